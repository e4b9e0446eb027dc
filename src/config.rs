//! The configuration: built-in defaults < `config.toml` < environment < flags, read once at start.
//!
//! Every setting has a default that can be shown and a type that an environment variable can be checked against; an empty
//! text stands for an optional setting that is not set. An environment variable or flag that is empty sets nothing, whatever
//! the type: what `${NAME:-}` leaves in a compose file must not switch anything off.

use std::{borrow::Cow, collections::BTreeSet, fmt, path::PathBuf, str::FromStr, time::Duration};

use anyhow::{Context, bail, ensure};
use ipnet::IpNet;
use percent_encoding::percent_decode_str;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize, Serializer};
use toml::{Table, Value};
use tracing_subscriber::EnvFilter;

/// Environment variables of the customer's document and the settings they stand for.
const DOCUMENT_NAMES: [(&str, &str); 6] = [
    ("DATABASE_URL", "database.url"),
    ("REDIS_URL", "redis.url"),
    ("JWT_SECRET_KEY", "auth.jwt_secret"),
    ("UPLOAD_FOLDER", "storage.url"),
    ("USE_CDN", "cdn.enabled"),
    ("CDN_BASE_URL", "cdn.base_url"),
];
const PREFIX: &str = "MARKETPLACE__";
/// Secrets that stand in samples and tutorials, and so in attackers' word lists.
const SAMPLE_SECRETS: [&str; 8] =
    ["secret", "change", "your-", "example", "password", "default", "postgres", "marketplace"];

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
    pub log: Log,
}

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

section!(
    /// Where the server listens and how long it waits.
    Server {
        host: String = "127.0.0.1".into(),
        port: u16 = 5000,
        public_url: String = String::new(),
        trusted_proxies: Vec<IpNet> = Vec::new(),
        cors_origins: Vec<String> = vec!["*".into()],
        request_timeout_seconds: u64 = 30,
        upload_timeout_seconds: u64 = 300,
        header_timeout_seconds: u64 = 10,
        drain_seconds: u64 = 0,
        idle_timeout_seconds: u64 = 75,
        stall_timeout_seconds: u64 = 30,
        shutdown_timeout_seconds: u64 = 30,
        max_connections: usize = 8192,
        max_connections_per_address: usize = 256,
    }
);
section!(
    /// PostgreSQL; without a URL the server runs its own private cluster.
    Database {
        url: Secret = Secret::default(),
        max_connections: u32 = 20,
        acquire_timeout_seconds: u64 = 5,
    }
);
section!(
    /// Redis; without a URL caches and limits live in this process.
    Redis { url: Secret = Secret::default() }
);
section!(
    /// Where packages are kept.
    Storage {
        url: String = String::new(),
        accel_redirect: String = String::new(),
        s3_endpoint: String = String::new(),
        s3_public_endpoint: String = String::new(),
        s3_region: String = "us-east-1".into(),
        s3_access_key: Secret = Secret::default(),
        s3_secret_key: Secret = Secret::default(),
    }
);
section!(
    /// A content delivery network in front of the packages.
    Cdn { enabled: bool = true, base_url: String = String::new() }
);
section!(
    /// Sessions.
    Auth {
        jwt_secret: Secret = Secret::default(),
        access_token_seconds: u64 = 86_400,
        refresh_token_seconds: u64 = 30 * 86_400,
    }
);
section!(
    /// How often one user or address may do what.
    Limits {
        enabled: bool = true,
        login: Rate = Rate::per_minute(100),
        login_account: Rate = Rate::per_minute(10),
        register: Rate = Rate::per_hour(1_000),
        publish: Rate = Rate::per_minute(120),
        write: Rate = Rate::per_minute(600),
        report: Rate = Rate::per_hour(60),
        search: Rate = Rate::per_minute(3_000),
        read: Rate = Rate::per_minute(10_000),
        download: Rate = Rate::per_minute(30_000),
    }
);
section!(
    /// Answers kept in memory.
    Cache { memory_mb: u64 = 24, seconds: u64 = 60 }
);
section!(
    /// What is logged, and where.
    Log {
        level: String = "info".into(),
        format: LogFormat = LogFormat::Text,
        folder: String = String::new(),
    }
);

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
            log: Log::default(),
        }
    }
}

/// How a log line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// A text that is never printed or serialized; empty means not set.
#[derive(Clone, Default, Deserialize)]
#[serde(transparent)]
pub struct Secret(Option<SecretString>);

impl Secret {
    /// The text, or `None` when not set.
    pub fn get(&self) -> Option<&str> {
        self.0.as_ref().map(|s| s.expose_secret()).filter(|s| !s.is_empty())
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(Some(text.into()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.get().is_some() { "(set, hidden)" } else { "" })
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{self:?}"))
    }
}

/// So many requests in a window of time, written `60/minute`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Rate {
    /// Requests allowed in one window; at least 1.
    pub requests: u32,
    /// The window's length.
    pub window: Duration,
}

impl Rate {
    const fn per_minute(requests: u32) -> Self {
        Self { requests, window: Duration::from_secs(60) }
    }
    const fn per_hour(requests: u32) -> Self {
        Self { requests, window: Duration::from_secs(3600) }
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("'{text}' is no rate; write a number and a window, e.g. \"60/minute\"");
        let (count, window) = text.split_once('/').ok_or_else(wrong)?;
        let seconds = match window.trim() {
            "s" | "second" => 1,
            "m" | "minute" => 60,
            "h" | "hour" => 3600,
            "d" | "day" => 86_400,
            _ => return Err(wrong()),
        };
        let requests = count.trim().parse().ok().filter(|n| *n > 0).ok_or_else(wrong)?;
        Ok(Self { requests, window: Duration::from_secs(seconds) })
    }
}

impl TryFrom<String> for Rate {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Rate> for String {
    fn from(rate: Rate) -> Self {
        let unit = match rate.window.as_secs() {
            1 => "second",
            60 => "minute",
            3600 => "hour",
            _ => "day",
        };
        format!("{}/{unit}", rate.requests)
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
        let url = &self.server.public_url;
        if !url.is_empty() {
            let is_web = url.starts_with("http://") || url.starts_with("https://");
            ensure!(is_web && url.is_ascii(), "server.public_url: '{url}' is no http(s) address in ASCII");
            ensure!(
                !self.auth.jwt_secret.get().is_some_and(|secret| is_weak(secret, 32)),
                "auth.jwt_secret is weak: with server.public_url set it must be at least 32 random characters \
                 (or leave it empty: the server makes one and keeps it in data_dir)"
            );
            for (name, url) in [("database.url", &self.database.url), ("redis.url", &self.redis.url)] {
                ensure!(
                    !url.get().and_then(password_of).is_some_and(|password| is_weak(&password, 16)),
                    "the password in {name} is weak: with server.public_url set it must be at least 16 random \
                     characters (scripts/make-env makes one)"
                );
            }
        }
        let cdn = &self.cdn.base_url;
        let is_web = cdn.starts_with("http://") || cdn.starts_with("https://");
        ensure!(
            cdn.is_empty() || is_web && is_fit_for_a_header(cdn),
            "cdn.base_url: '{cdn}' is no http(s) address in ASCII"
        );
        if let Some(url) = self.database.url.get() {
            ensure!(
                url.starts_with("postgres://") || url.starts_with("postgresql://"),
                "database.url must begin with postgres://"
            );
        }
        let storage = &self.storage;
        let is_scheme_known = storage.url.starts_with("s3://") || storage.url.starts_with("file://");
        ensure!(
            is_scheme_known || !storage.url.contains("://"),
            "storage.url must be a folder or begin with s3://: '{}'",
            storage.url
        );
        for (key, endpoint) in
            [("s3_endpoint", &storage.s3_endpoint), ("s3_public_endpoint", &storage.s3_public_endpoint)]
        {
            let is_web = endpoint.starts_with("http://") || endpoint.starts_with("https://");
            ensure!(endpoint.is_empty() || is_web, "storage.{key}: '{endpoint}' is no http(s) address");
        }
        ensure!(
            storage.s3_access_key.get().is_some() == storage.s3_secret_key.get().is_some(),
            "storage.s3_access_key and storage.s3_secret_key go together"
        );
        ensure!(
            storage.accel_redirect.is_empty() || !storage.url.starts_with("s3://"),
            "storage.accel_redirect needs packages in a folder: nginx cannot send files from a bucket"
        );
        let accel = &storage.accel_redirect;
        ensure!(is_fit_for_a_header(accel), "storage.accel_redirect: '{accel}' is no path in ASCII");
        if let Some(origin) = self.server.cors_origins.iter().find(|origin| !is_fit_for_a_header(origin)) {
            bail!("server.cors_origins: '{origin}' is no origin in ASCII");
        }
        ensure!(is_log_filter(&self.log.level), "log.level: '{}' is neither a level nor a filter", self.log.level);
        if let Some(url) = self.redis.url.get() {
            let known = ["redis://", "rediss://", "redis+unix://", "unix://"];
            ensure!(known.iter().any(|scheme| url.starts_with(scheme)), "redis.url must begin with redis://");
        }
        ensure!(self.database.max_connections >= 2, "database.max_connections must be at least 2");
        let server = &self.server;
        for (name, seconds) in [
            ("request", server.request_timeout_seconds),
            ("upload", server.upload_timeout_seconds),
            ("header", server.header_timeout_seconds),
            ("idle", server.idle_timeout_seconds),
            ("stall", server.stall_timeout_seconds),
        ] {
            ensure!(seconds >= 1, "server.{name}_timeout_seconds must be at least 1");
        }
        ensure!(server.max_connections >= 1, "server.max_connections must be at least 1");
        ensure!(server.max_connections_per_address >= 1, "server.max_connections_per_address must be at least 1");
        ensure!(self.auth.access_token_seconds >= 1, "auth.access_token_seconds must be at least 1");
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

/// Whether this is a level or a filter of levels, as `info,sqlx=warn`. The filter's own parser would take a misspelt level
/// for the name of a module, and log nothing.
fn is_log_filter(text: &str) -> bool {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let is_level = |level: &str| LEVELS.contains(&level.trim().to_ascii_lowercase().as_str());
    text.split(',').all(|part| is_level(part.rsplit_once('=').map_or(part, |(_, level)| level)))
        && EnvFilter::try_new(text).is_ok()
}

/// Whether a secret could be guessed, or stands in a sample.
fn is_weak(secret: &str, length: usize) -> bool {
    let lower = secret.to_lowercase();
    let distinct = secret.bytes().collect::<BTreeSet<_>>().len();
    secret.len() < length || distinct < 8 || SAMPLE_SECRETS.iter().any(|sample| lower.contains(sample))
}

/// The password in an address, wherever PostgreSQL and Redis let it stand.
fn password_of(url: &str) -> Option<String> {
    let url = reqwest::Url::parse(url).ok()?;
    let in_query = url.query_pairs().find(|(name, _)| name == "password" || name == "pass");
    let encoded = || percent_decode_str(url.password()?).decode_utf8().ok();
    in_query.map(|(_, password)| password).or_else(encoded).map(Cow::into_owned)
}

fn setting_of(variable: &str) -> Option<String> {
    if let Some((_, path)) = DOCUMENT_NAMES.iter().find(|(name, _)| *name == variable) {
        return Some((*path).to_owned());
    }
    Some(variable.strip_prefix(PREFIX)?.to_lowercase().replace("__", "."))
}

fn merge(into: &mut Table, from: Table) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(Value::Table(into)), Value::Table(from)) => merge(into, from),
            (_, value) => {
                into.insert(key, value);
            }
        }
    }
}

/// Sets one dotted setting from a text, read as the type its default has; an empty text leaves it as it is.
fn set(settings: &mut Table, defaults: &Table, path: &str, text: &str) -> anyhow::Result<()> {
    let (sections, key) = path.rsplit_once('.').unwrap_or(("", path));
    let (mut changed, mut defaults) = (settings.clone(), defaults);
    let mut table = &mut changed;
    for section in sections.split('.').filter(|s| !s.is_empty()) {
        defaults =
            defaults.get(section).and_then(Value::as_table).with_context(|| format!("unknown section '{section}'"))?;
        table = table.get_mut(section).and_then(Value::as_table_mut).context("a section is not a table")?;
    }
    let value = match defaults.get(key).with_context(|| format!("unknown setting '{path}'"))? {
        Value::Table(_) => bail!("'{path}' is a section, not a setting"),
        _ if text.trim().is_empty() => return Ok(()),
        Value::String(_) => Value::String(text.to_owned()),
        Value::Integer(_) => {
            Value::Integer(text.trim().parse().with_context(|| format!("'{text}' is no whole number"))?)
        }
        Value::Boolean(_) => Value::Boolean(parse_bool(text)?),
        Value::Array(_) => {
            let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
            Value::Array(parts.map(|part| Value::String(part.to_owned())).collect())
        }
        _ => bail!("'{path}' has a type that no text can be read as"),
    };
    table.insert(key.to_owned(), value);
    // Whether it is a rate or one of a few names shows only here, where the variable can still be named.
    let _: Config = changed.clone().try_into().with_context(|| format!("'{path}'"))?;
    *settings = changed;
    Ok(())
}

fn parse_bool(text: &str) -> anyhow::Result<bool> {
    match text.trim().to_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => bail!("'{text}' is neither true nor false"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(file: &str, env: &[(&str, &str)]) -> anyhow::Result<Config> {
        let env = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        Config::load(Some(("config.toml", file)), env, &[])
    }

    fn refusal(file: &str, env: &[(&str, &str)]) -> String {
        format!("{:#}", load(file, env).expect_err("refused"))
    }

    #[test]
    fn the_shipped_file_holds_every_setting_with_its_default() {
        let shipped: Table = toml::from_str(include_str!("../config.toml")).expect("TOML");
        assert_eq!(shipped, Table::try_from(Config::default()).expect("a table"));
    }

    #[test]
    fn the_environment_wins_over_the_file_and_is_read_by_type() {
        let config = load(
            "[server]\nport = 1\n",
            &[("MARKETPLACE__SERVER__PORT", "6000"), ("USE_CDN", "false"), ("JWT_SECRET_KEY", "12345")],
        )
        .expect("valid");
        assert_eq!((config.server.port, config.cdn.enabled), (6000, false));
        assert_eq!(config.auth.jwt_secret.get(), Some("12345"));
    }

    #[test]
    fn a_wrong_line_of_the_file_is_named() {
        let message = refusal("[server]\nhost = \"x\"\nprot = 1\n", &[]);
        assert!(message.contains("line 3") && message.contains("prot"), "{message}");
        assert!(refusal("[limits]\nlogin = \"often\"\n", &[]).contains("line 2"));
    }

    #[test]
    fn a_wrong_variable_is_named() {
        assert!(refusal("", &[("MARKETPLACE__SERVER__PORT", "many")]).contains("MARKETPLACE__SERVER__PORT"));
        assert!(refusal("", &[("MARKETPLACE__SERVER__COLOUR", "red")]).contains("server.colour"));
    }

    /// The dotted names of all settings.
    fn names() -> Vec<String> {
        let sections = Table::try_from(Config::default()).expect("a table");
        let names = sections.iter().flat_map(|(section, value)| match value {
            Value::Table(keys) => keys.keys().map(|key| format!("{section}.{key}")).collect(),
            _ => vec![section.clone()],
        });
        names.collect()
    }

    fn variable(name: &str) -> String {
        format!("{PREFIX}{}", name.to_uppercase().replace('.', "__"))
    }

    /// A configuration without any default, so that each setting shows whether it was touched.
    const EVERYTHING: &str = r#"
        data_dir = "/srv/state"
        [server]
        host = "0.0.0.0"
        port = 1
        public_url = "http://m.example.org"
        trusted_proxies = ["10.0.0.0/8"]
        cors_origins = ["https://a.example"]
        request_timeout_seconds = 1
        upload_timeout_seconds = 1
        header_timeout_seconds = 1
        drain_seconds = 1
        idle_timeout_seconds = 1
        stall_timeout_seconds = 1
        shutdown_timeout_seconds = 1
        max_connections = 1
        max_connections_per_address = 1
        [database]
        url = "postgres://db/m"
        max_connections = 2
        acquire_timeout_seconds = 1
        [redis]
        url = "redis://r"
        [storage]
        url = "/srv/packages"
        accel_redirect = "/p/"
        s3_endpoint = "http://s3"
        s3_public_endpoint = "http://s3.example"
        s3_region = "eu"
        s3_access_key = "a"
        s3_secret_key = "b"
        [cdn]
        enabled = true
        base_url = "https://cdn.example.org"
        [auth]
        jwt_secret = "9f86d081884c7d659a2feaa0c55ad015"
        access_token_seconds = 1
        refresh_token_seconds = 1
        [limits]
        enabled = false
        [cache]
        memory_mb = 1
        seconds = 1
        [log]
        level = "warn"
        format = "json"
        folder = "/var/log/m"
    "#;

    #[test]
    fn an_empty_variable_or_flag_sets_nothing() {
        let shown = |config: &Config| {
            let secrets =
                [&config.database.url, &config.redis.url, &config.auth.jwt_secret, &config.storage.s3_access_key];
            format!("{}{:?}", toml::to_string(config).expect("TOML"), secrets.map(Secret::get))
        };
        for file in ["", EVERYTHING] {
            let without = shown(&load(file, &[]).expect("valid"));
            let variables = names().into_iter().map(|name| variable(&name));
            for name in variables.chain(DOCUMENT_NAMES.map(|(name, _)| name.to_owned())) {
                for empty in ["", " "] {
                    assert_eq!(shown(&load(file, &[(&name, empty)]).expect("valid")), without, "{name} {file}");
                }
            }
            for name in names() {
                let flags = [(name.clone(), String::new())];
                let config = Config::load(Some(("config.toml", file)), std::iter::empty(), &flags).expect("valid");
                assert_eq!(shown(&config), without, "--set {name}= {file}");
            }
        }
        assert!(refusal("", &[("MARKETPLACE__SERVER__COLOUR", "")]).contains("server.colour"));
    }

    #[test]
    fn a_value_of_the_wrong_kind_names_its_variable() {
        let texts = ["data_dir", "server.host", "storage.s3_region", "log.folder", "database.url", "redis.url"];
        let free = |name: &str| texts.contains(&name) || name.starts_with("storage.") || name == "auth.jwt_secret";
        for name in names().into_iter().filter(|name| !free(name)) {
            let message = refusal("", &[(&variable(&name), "日 志")]);
            assert!(message.contains(&name) || message.contains(&variable(&name)), "{name}: {message}");
        }
    }

    #[test]
    fn a_level_that_cannot_be_is_refused() {
        for level in ["info", "WARN", "info,sqlx=warn", "off,marketplace=debug", "info,marketplace[span]=trace"] {
            assert!(load("", &[("MARKETPLACE__LOG__LEVEL", level)]).is_ok(), "{level}");
        }
        for level in ["verbose", "information", "info,sqlx", "info,sqlx=loud", "info,,warn", "=", "info,[=warn"] {
            let message = refusal("", &[("MARKETPLACE__LOG__LEVEL", level)]);
            assert!(message.contains("log.level"), "{level}: {message}");
        }
        assert!(refusal("[log]\nlevel = \"\"\n", &[]).contains("log.level"));
        assert!(refusal("", &[("MARKETPLACE__LOG__FORMAT", "xml")]).contains("LOG__FORMAT"));
    }

    #[test]
    fn a_cdn_is_used_when_it_has_an_address_and_is_not_switched_off() {
        let address = ("CDN_BASE_URL", "https://cdn.example.org/");
        assert_eq!(load("", &[address, ("USE_CDN", "False")]).expect("valid").cdn(), None);
        for given in [&[address][..], &[address, ("USE_CDN", "True")], &[address, ("USE_CDN", "")]] {
            assert_eq!(load("", given).expect("valid").cdn(), Some("https://cdn.example.org"));
        }
        assert_eq!(load("", &[("USE_CDN", "true")]).expect("valid").cdn(), None);
    }

    #[test]
    fn weak_secrets_are_refused_on_a_public_address_only() {
        let weak = "[auth]\njwt_secret = \"your-secret-key\"\n";
        assert!(load(weak, &[]).is_ok());
        assert!(refusal(weak, &[("MARKETPLACE__SERVER__PUBLIC_URL", "https://m.example.org")]).contains("weak"));
    }

    #[test]
    fn sample_passwords_of_database_and_redis_are_refused_on_a_public_address_only() {
        let public = ("MARKETPLACE__SERVER__PUBLIC_URL", "https://m.example.org");
        for (name, url) in [
            ("DATABASE_URL", "postgres://marketplace:postgres@db:5432/marketplace"),
            ("DATABASE_URL", "postgres://marketplace:change%2Dme-0123456789abcdef@db/marketplace"),
            ("DATABASE_URL", "postgres://db/marketplace?user=marketplace&password=short1234"),
            ("DATABASE_URL", "postgres://marketplace:@db/marketplace?password=aaaaaaaaaaaaaaaaaaaaaaaa"),
            ("REDIS_URL", "redis://:changeme@redis:6379/0"),
            ("REDIS_URL", "redis+unix:///run/redis.sock?pass=redis"),
        ] {
            assert!(load("", &[(name, url)]).is_ok(), "{url}");
            let message = refusal("", &[(name, url), public]);
            assert!(message.contains("weak") && !message.contains(url), "{message}");
        }
        for (name, url) in [
            ("DATABASE_URL", "postgres://marketplace:9f86d081884c7d659a2feaa0c55ad015@db:5432/marketplace"),
            // Who comes in by a socket or a certificate has none.
            ("DATABASE_URL", "postgres://marketplace@localhost/marketplace?host=/run/postgresql"),
            ("REDIS_URL", "redis://:9f86d081884c7d659a2feaa0c55ad015@redis:6379/0"),
            ("REDIS_URL", "redis://redis:6379/0"),
        ] {
            assert!(load("", &[(name, url), public]).is_ok(), "{url}");
        }
    }

    #[test]
    fn secrets_are_never_printed() {
        let config = load("[auth]\njwt_secret = \"0123456789abcdef\"\n", &[]).expect("valid");
        assert!(!format!("{config:?}").contains("0123456789abcdef"));
        assert!(!toml::to_string(&config).expect("TOML").contains("0123456789abcdef"));
    }
}
