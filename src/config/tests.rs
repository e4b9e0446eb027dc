use toml::Value;

use super::{
    layers::{DOCUMENT_NAMES, PREFIX},
    *,
};

fn load(file: &str, env: &[(&str, &str)]) -> anyhow::Result<Config> {
    let env = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    Config::load(Some(("config.toml", file)), env, &[])
}

fn refusal(file: &str, env: &[(&str, &str)]) -> String {
    format!("{:#}", load(file, env).expect_err("refused"))
}

#[test]
fn the_shipped_file_holds_every_setting_with_its_default() {
    let shipped: Table = toml::from_str(include_str!("../../config.toml")).expect("TOML");
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
        let secrets = [&config.database.url, &config.redis.url, &config.auth.jwt_secret, &config.storage.s3_access_key];
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
