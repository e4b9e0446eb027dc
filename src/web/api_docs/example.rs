//! An example of each operation, as a command for curl.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::document::Operation;
use crate::http::middleware::BASES;

/// The gateway's own listener as the customer's document has it.
const GATEWAY: &str = "http://127.0.0.1:8000";

/// What examples are about.
pub struct Sample {
    /// Where the site is.
    pub site: String,
    /// A plugin,
    pub id: String,
    /// a version of it,
    pub version: String,
    /// and an account.
    pub username: String,
}

impl Sample {
    /// What somebody wants to change: never a plugin of others.
    pub fn written_by_caller(site: String) -> Self {
        Self { site, id: "my_plugin".into(), version: "1.0.0".into(), username: "developer123".into() }
    }

    /// Where the API is.
    pub fn api(&self) -> String {
        format!("{}{}", self.site, BASES[0])
    }

    fn base(&self, operation: &Operation) -> String {
        match operation.is_at_root {
            true if operation.path.starts_with("/gateway/") => GATEWAY.to_owned(),
            true => self.site.clone(),
            false => self.api(),
        }
    }

    fn value(&self, path: &str, parameter: &str) -> String {
        match parameter {
            "id" if path.starts_with("/plugins/") || path.starts_with("/admin/plugins/") => self.id.clone(),
            "version" => self.version.clone(),
            "range" => format!("{0}...{0}", self.version),
            "name" => "my-service".into(),
            "username" => self.username.clone(),
            "path" => "info.json".into(),
            "q" | "search" => "disk".into(),
            "limit" => "5".into(),
            _ => "1".into(),
        }
    }
}

/// The command. It can be pasted; where it needs a token, that is taken from `$TOKEN`.
pub fn curl(operation: &Operation, sample: &Sample) -> String {
    let only_reads = operation.method == "GET";
    let own = Sample::written_by_caller(sample.site.clone());
    let sample = if only_reads { sample } else { &own };
    let mut path = operation.path.clone();
    let mut query = Vec::new();
    for parameter in &operation.parameters {
        let value = sample.value(&operation.path, &parameter.name);
        match parameter.place.as_str() {
            "path" => path = path.replace(&format!("{{{}}}", parameter.name), &value),
            _ if parameter.is_required || only_reads && parameter.name == "limit" => {
                query.push(format!("{}={}", parameter.name, utf8_percent_encode(&value, NON_ALPHANUMERIC)));
            }
            _ => {}
        }
    }
    let sign = if query.is_empty() { "" } else { "?" };
    let mut command = String::from(if path.ends_with("/download") { "curl -fLo package.tar.gz" } else { "curl -s" });
    if !only_reads && (operation.method != "POST" || operation.body.is_none()) {
        command.push_str(&format!(" -X {}", operation.method));
    }
    command.push_str(&format!(" {}", quoted(&format!("{}{path}{sign}{}", sample.base(operation), query.join("&")))));
    if operation.needs_token {
        command.push_str(" \\\n  -H \"Authorization: Bearer $TOKEN\"");
    }
    match &operation.body {
        Some(body) if body.media == "application/json" => {
            let json = quoted(&body.example.to_string());
            command.push_str(&format!(" \\\n  -H 'Content-Type: application/json' \\\n  -d {json}"));
        }
        Some(_) => command.push_str(" \\\n  -F plugin_file=@my_plugin.tar.gz"),
        None => {}
    }
    command
}

/// A word of a shell command.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
