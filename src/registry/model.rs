//! What a program says of itself when it registers.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::{
    http::extract::{Choice, Fields, FromFields},
    upstream::Host,
};

const MAX_NAME: usize = 100;
const MAX_TITLE: usize = 255;
const MAX_DESCRIPTION: usize = 2_000;
const MAX_VERSION: usize = 50;
const MAX_PATH: usize = 1_000;
const MAX_METADATA: usize = 16 * 1024;
const MAX_TAGS: usize = 20;
const MAX_TAG: usize = 100;
const MAX_ENDPOINTS: usize = 500;
const MAX_ROLES: usize = 50;

/// Names that stand for addresses of this server, or may one day.
const RESERVED: [&str; 25] = [
    "v1",
    "v2",
    "api",
    "registry",
    "gateway",
    "admin",
    "app",
    "auth",
    "plugins",
    "search",
    "stats",
    "tags",
    "health",
    "metrics",
    "oauth2",
    "addons",
    "hooks",
    "extensions",
    "platform",
    "docs",
    "openapi",
    "internal",
    "static",
    "assets",
    "www",
];

/// Whether no service may have this name.
pub fn is_reserved(name: &str) -> bool {
    RESERVED.contains(&name)
}

/// Whether this can be the name of a service.
pub fn is_service_name(name: &str) -> bool {
    let is_first = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = name.as_bytes();
    (1..=MAX_NAME).contains(&bytes.len())
        && bytes.first().copied().is_some_and(is_first)
        && bytes.iter().all(|b| is_first(*b) || matches!(b, b'-' | b'_'))
}

/// How an instance is doing, by its own account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Reported {
    /// It has said nothing since it registered.
    #[default]
    Starting,
    /// It serves.
    Healthy,
    /// It asks for no requests.
    Unhealthy,
    /// It finishes what it has.
    Draining,
}

impl Choice for Reported {
    const NAMES: &'static [(&'static str, Self)] = &[
        ("healthy", Self::Healthy),
        ("unhealthy", Self::Unhealthy),
        ("draining", Self::Draining),
        ("starting", Self::Starting),
    ];
}

impl Reported {
    /// The name in requests and in the database.
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, reported)| *reported == self).map_or("", |(name, _)| name)
    }
}

/// An address of a service, as it declares it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ServiceEndpoint)]
pub struct Endpoint {
    /// Without a slash in front; `{x}` stands for one segment, `*` at the end for the rest.
    #[schema(example = "items/{id}")]
    pub path: String,
    /// The method, in capitals.
    #[schema(required = false, example = "GET")]
    pub method: String,
    /// For people.
    #[schema(required = false)]
    pub description: String,
    /// Whether it needs no authentication.
    #[schema(required = false)]
    pub is_public: bool,
    /// Roles of which a caller must have one; empty for none.
    #[schema(required = false)]
    pub required_roles: Vec<String>,
    /// Requests a minute that each caller may send.
    #[schema(required = false, minimum = 1)]
    pub rate_limit: Option<u32>,
}

/// A registration. Everything sent replaces what was.
#[derive(Clone, Debug, ToSchema)]
pub struct Registration {
    #[schema(pattern = "^[a-z0-9][a-z0-9_-]{0,99}$", example = "my-plugin")]
    pub name: String,
    /// A name or an address.
    #[schema(value_type = String, example = "localhost")]
    pub host: Host,
    #[schema(minimum = 1, maximum = 65535, example = 8010)]
    pub port: u16,
    #[schema(required = false, max_length = 255)]
    pub display_name: String,
    #[schema(required = false, max_length = 2000)]
    pub description: String,
    #[schema(required = false, max_length = 50, example = "1.0.0")]
    pub version: String,
    #[schema(required = false, example = "/")]
    pub base_path: String,
    /// A path from the root, one below `base_path`, or a URL of the same host and port.
    #[schema(required = false, example = "/health")]
    pub health_check_url: Option<String>,
    #[schema(required = false)]
    pub metadata: Map<String, Value>,
    #[schema(required = false, max_items = 20)]
    pub tags: Vec<String>,
    #[schema(required = false)]
    pub requires_auth: bool,
    #[schema(required = false, max_items = 500)]
    pub endpoints: Vec<Endpoint>,
}

impl FromFields for Registration {
    fn from_fields(fields: &mut Fields) -> Self {
        let name = fields.text("name");
        if !name.is_empty() && !is_service_name(&name) {
            fields.fault(
                "name",
                "应以小写字母或数字开头，只含小写字母、数字、- 和 _，至多 100 个字符",
                "must begin with a small letter or digit, hold only those, - and _, and have at most 100 characters",
            );
        }
        let host = read_host(fields);
        let port = u16::try_from(fields.integer("port", 1..=65_535)).unwrap_or(1);
        let base_path = read_base_path(fields);
        let health_check_url = fields.short_text("health_check_url", MAX_PATH);
        if let Some(url) = &health_check_url
            && check_path(url, &host, port, &base_path).is_none()
        {
            fields.fault(
                "health_check_url",
                "应为路径，或同一主机和端口的 http 地址",
                "must be a path, or an http URL of the same host and port",
            );
        }
        let version = fields.short_text("version", MAX_VERSION).unwrap_or_else(|| "1.0.0".to_owned());
        if !version.bytes().all(|b| b.is_ascii_graphic()) {
            fields.fault("version", "只能含有可见的 ASCII 字符", "must hold only visible ASCII characters");
        }
        Self {
            display_name: fields.short_text("display_name", MAX_TITLE).unwrap_or_else(|| name.clone()),
            name,
            host,
            port,
            description: fields.short_text("description", MAX_DESCRIPTION).unwrap_or_default(),
            version,
            base_path,
            health_check_url,
            metadata: read_metadata(fields),
            tags: read_tags(fields),
            requires_auth: fields.optional_bool("requires_auth").unwrap_or(true),
            endpoints: fields.objects("endpoints", MAX_ENDPOINTS, read_endpoint),
        }
    }
}

fn read_host(fields: &mut Fields) -> Host {
    let text = fields.text("host");
    Host::parse(&text).unwrap_or_else(|| {
        if !text.is_empty() {
            fields.fault("host", "应为主机名或 IP 地址", "must be a host name or an IP address");
        }
        Host::Name(String::new())
    })
}

fn read_base_path(fields: &mut Fields) -> String {
    let path = fields.short_text("base_path", MAX_PATH).unwrap_or_else(|| "/".to_owned());
    let is_path = path.starts_with('/') && !path.contains("..") && path.bytes().all(is_path_byte);
    if !is_path {
        fields.fault("base_path", "应以 / 开头，且不含 ..、? 和 #", "must begin with / and hold no .., ? or #");
    }
    path
}

/// What may stand in a path as it is (RFC 3986, 3.3).
fn is_path_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@%".contains(&b)
}

/// The path and query that a health check asks for; none when the setting is none.
pub fn check_path(url: &str, host: &Host, port: u16, base_path: &str) -> Option<String> {
    let is_sound = |path: &str| path.bytes().all(|b| is_path_byte(b) || b == b'?');
    if url.contains("://") {
        let uri: axum::http::Uri = url.parse().ok()?;
        let is_same = uri.scheme_str() == Some("http")
            && Host::parse(uri.host()?).as_ref() == Some(host)
            && uri.port_u16().unwrap_or(80) == port
            && !uri.authority()?.as_str().contains('@');
        return is_same.then(|| uri.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string));
    }
    let path = match url.starts_with('/') {
        true => url.to_owned(),
        false => format!("{}/{url}", base_path.trim_end_matches('/')),
    };
    is_sound(&path).then_some(path)
}

fn read_metadata(fields: &mut Fields) -> Map<String, Value> {
    let given = fields.optional_object("metadata");
    let alias = fields.optional_object("service_metadata");
    let metadata = given.or(alias).unwrap_or_default();
    let text = serde_json::to_string(&metadata).unwrap_or_default();
    if text.len() > MAX_METADATA {
        fields.fault("metadata", "至多 16 KiB", "must be at most 16 KiB");
    } else if text.contains("\\u0000") {
        fields.fault("metadata", "不能含有空字符", "must not hold a NUL character");
    }
    if let Some(timeout) = metadata.get("timeout_ms").filter(|value| !value.is_null())
        && !timeout.as_u64().is_some_and(|ms| (1..=300_000).contains(&ms))
    {
        fields.fault("metadata.timeout_ms", "应为 1 到 300000 的整数", "must be a whole number from 1 to 300000");
    }
    metadata
}

fn read_tags(fields: &mut Fields) -> Vec<String> {
    let tags = fields.texts("tags");
    if tags.len() > MAX_TAGS || tags.iter().any(|tag| tag.chars().count() > MAX_TAG) {
        fields.fault("tags", "至多 20 个，每个至多 100 个字符", "must be at most 20, of at most 100 characters each");
    }
    tags
}

fn read_endpoint(fields: &mut Fields) -> Endpoint {
    let path = fields.optional_text("path");
    if path.is_none() {
        fields.fault("path", "必填", "is required");
    }
    let path = path.unwrap_or_default();
    let path = path.strip_prefix('/').unwrap_or(&path).to_owned();
    if path.len() > MAX_PATH || path.chars().any(|c| c.is_control() || c == '?' || c == '#') {
        fields.fault("path", "至多 1000 字节，且不含 ? 和 #", "must have at most 1000 bytes and hold no ? or #");
    }
    let method = fields.short_text("method", 20).unwrap_or_else(|| "GET".to_owned()).to_ascii_uppercase();
    if axum::http::Method::from_bytes(method.as_bytes()).is_err() {
        fields.fault("method", "不是 HTTP 方法", "is no HTTP method");
    }
    let required_roles = fields.texts("required_roles");
    if required_roles.len() > MAX_ROLES || required_roles.iter().any(|role| role.chars().count() > MAX_TAG) {
        fields.fault(
            "required_roles",
            "至多 50 个，每个至多 100 个字符",
            "must be at most 50, of at most 100 characters each",
        );
    }
    let rate_limit = fields.optional_integer("rate_limit", 1..=i64::from(i32::MAX));
    Endpoint {
        path,
        method,
        description: fields.short_text("description", MAX_DESCRIPTION).unwrap_or_default(),
        is_public: fields.optional_bool("is_public").unwrap_or(false),
        required_roles,
        rate_limit: rate_limit.and_then(|rate| u32::try_from(rate).ok()),
    }
}

/// A sign of life.
#[derive(Debug, ToSchema)]
pub struct Heartbeat {
    /// The name of a service, its id, or the id of an instance.
    #[schema(example = "my-plugin")]
    pub service_id: String,
    /// `healthy`, `unhealthy`, `draining` or `starting`.
    #[schema(required = false, value_type = String, example = "healthy")]
    pub status: Reported,
}

impl FromFields for Heartbeat {
    fn from_fields(fields: &mut Fields) -> Self {
        let service_id = fields.text("service_id");
        Self { service_id, status: fields.optional_choice("status").unwrap_or(Reported::Healthy) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_health_check_stays_at_its_instance() {
        let host = Host::parse("localhost").expect("a host");
        let path = |url: &str| check_path(url, &host, 8010, "/base");
        assert_eq!(path("/health").as_deref(), Some("/health"));
        assert_eq!(path("health?full=1").as_deref(), Some("/base/health?full=1"));
        assert_eq!(path("http://localhost:8010/health").as_deref(), Some("/health"));
        for url in [
            "http://localhost/health",
            "http://example.org:8010/",
            "https://localhost:8010/",
            "http://a@localhost:8010/",
            "/a b",
        ] {
            assert_eq!(path(url), None, "{url}");
        }
    }
}
