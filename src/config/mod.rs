//! The configuration: built-in defaults < `config.toml` < environment < flags, read once at start.
//!
//! Every setting has a default that can be shown and a type that an environment variable can be checked against; an empty
//! text stands for an optional setting that is not set. An environment variable or flag that is empty sets nothing, whatever
//! the type: what `${NAME:-}` leaves in a compose file must not switch anything off.

mod auth;
mod cache;
mod database;
mod gateway;
mod layers;
mod limits;
mod log;
mod registry;
mod secret;
mod server;
mod storage;
#[cfg(test)]
mod tests;

pub use self::{
    auth::Auth,
    cache::Cache,
    database::{Database, Redis},
    gateway::Gateway,
    limits::{Limits, Rate},
    log::{Log, LogFormat},
    registry::Registry,
    secret::Secret,
    server::Server,
    storage::{Cdn, Storage},
};

use std::path::PathBuf;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use toml::Table;

use self::layers::{merge, set, setting_of};

/// Every setting; `config.toml` explains each one.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, reason = "config.toml documents every setting")]
pub struct Config {
    pub data_dir: PathBuf,
    pub server: Server,
    pub database: Database,
    pub redis: Redis,
    pub storage: Storage,
    pub cdn: Cdn,
    pub auth: Auth,
    pub limits: Limits,
    pub cache: Cache,
    pub registry: Registry,
    pub gateway: Gateway,
    pub log: Log,
}

/// Makes a section of settings with their defaults.
macro_rules! section {
    ($(#[$meta:meta])* $name:ident { $($field:ident : $type:ty = $default:expr),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        #[expect(missing_docs, reason = "config.toml documents every setting")]
        pub struct $name { $(pub $field: $type),* }
        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $default),* }
            }
        }
    };
}
use section;

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::new(),
            server: Server::default(),
            database: Database::default(),
            redis: Redis::default(),
            storage: Storage::default(),
            cdn: Cdn::default(),
            auth: Auth::default(),
            limits: Limits::default(),
            cache: Cache::default(),
            registry: Registry::default(),
            gateway: Gateway::default(),
            log: Log::default(),
        }
    }
}

impl Config {
    /// Reads all layers: the text of a `config.toml` (with its name for messages), the environment,
    /// and `key=value` flags.
    ///
    /// # Errors
    /// Names the unknown key or wrong value, for a file with the line it stands on.
    pub fn load(
        file: Option<(&str, &str)>,
        environment: impl Iterator<Item = (String, String)>,
        flags: &[(String, String)],
    ) -> anyhow::Result<Self> {
        let mut table = Table::try_from(Self::default())?;
        if let Some((name, text)) = file {
            // Read into the typed form first: its errors show the line.
            toml::from_str::<Self>(text).map_err(|e| anyhow::anyhow!("{name}: {e}"))?;
            merge(&mut table, toml::from_str(text)?);
        }
        let defaults = Table::try_from(Self::default())?;
        for (name, value) in environment {
            if let Some(path) = setting_of(&name) {
                set(&mut table, &defaults, &path, &value).with_context(|| format!("environment variable {name}"))?;
            }
        }
        for (path, value) in flags {
            set(&mut table, &defaults, path, value).with_context(|| format!("--set {path}"))?;
        }
        let config: Self = table.try_into().context("configuration")?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> anyhow::Result<()> {
        let is_public = !self.server.public_url.is_empty();
        self.server.check()?;
        self.auth.check(is_public)?;
        self.database.check(is_public)?;
        self.redis.check(is_public)?;
        self.cdn.check()?;
        self.storage.check()?;
        self.registry.check(is_public)?;
        self.gateway.check()?;
        self.check_listeners()?;
        self.log.check()
    }

    /// Opens the listeners of services at the addresses of the document on services, unless they have one.
    pub fn use_document_ports(&mut self) {
        for (listen, address) in
            [(&mut self.registry.listen, "127.0.0.1:8001"), (&mut self.gateway.listen, "127.0.0.1:8000")]
        {
            if listen.is_empty() {
                *listen = address.to_owned();
            }
        }
    }

    /// Two listeners at one address would leave one of them without its port.
    fn check_listeners(&self) -> anyhow::Result<()> {
        let main = format!("{}:{}", self.server.host, self.server.port);
        let listeners =
            [("server", main.as_str()), ("registry", &self.registry.listen), ("gateway", &self.gateway.listen)];
        for (i, (name, address)) in listeners.iter().enumerate() {
            let taken = listeners[..i].iter().find(|(_, other)| other == address);
            if let Some((other, _)) = taken.filter(|_| !address.is_empty() && !address.ends_with(":0")) {
                bail!("{name}.listen and {other} have the same address: {address}");
            }
        }
        Ok(())
    }

    /// The folder for all state; the platform's usual place when not configured.
    pub fn data_dir(&self) -> anyhow::Result<PathBuf> {
        const NAME: &str = "geektools-marketplace";
        if !self.data_dir.as_os_str().is_empty() {
            return Ok(std::path::absolute(&self.data_dir)?);
        }
        if rustix::process::geteuid().is_root() {
            return Ok(PathBuf::from("/var/lib").join(NAME));
        }
        let variable = |name| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        match variable("XDG_DATA_HOME").or_else(|| Some(variable("HOME")?.join(".local/share"))) {
            Some(folder) => Ok(folder.join(NAME)),
            None => bail!("neither HOME nor XDG_DATA_HOME is set: set data_dir"),
        }
    }

    /// The address clients reach this server at, without a trailing slash; empty when not configured.
    pub fn public_url(&self) -> &str {
        self.server.public_url.trim_end_matches('/')
    }

    /// Where downloads are redirected to, when a CDN is in use.
    pub fn cdn(&self) -> Option<&str> {
        let base = self.cdn.base_url.trim_end_matches('/');
        (self.cdn.enabled && !base.is_empty()).then_some(base)
    }
}

/// Whether a text can stand in a header as it is.
fn is_fit_for_a_header(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_graphic())
}

/// The host and the port of a listener, written `host:port`.
///
/// # Errors
/// When it is something else.
pub fn split_address(address: &str) -> anyhow::Result<(String, u16)> {
    let (host, port) = address.rsplit_once(':').context("write it as host:port")?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    anyhow::ensure!(!host.is_empty(), "write it as host:port");
    Ok((host.to_owned(), port.parse().with_context(|| format!("'{port}' is no port"))?))
}

fn is_web_address(url: &str) -> bool {
    url.starts_with("http://") || url.starts_with("https://")
}
