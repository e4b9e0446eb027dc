//! What stands in one file and must fit what stands in another.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use marketplace::config::Config;
use serde_json::Value;

use crate::stack::program;

fn read(path: &str) -> String {
    fs::read_to_string(format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// The settings of `web` in docker-compose.yml, variables replaced as after `scripts/make-env`.
fn web_settings() -> Vec<(String, String)> {
    let compose = read("docker-compose.yml");
    let web = compose.split("\n  web:\n").nth(1).unwrap().split("\n  db:\n").next().unwrap().to_owned();
    let lines = web.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    let pairs = lines.filter_map(|line| line.split_once(": "));
    let is_setting = |name: &str| name == name.to_uppercase() && name.len() > 5;
    pairs.filter(|(name, _)| is_setting(name)).map(|(name, value)| (name.to_owned(), filled(value))).collect()
}

/// A value with each `${NAME:-default}` replaced by its default, and required ones by a random secret.
fn filled(value: &str) -> String {
    let mut text = value.trim_matches('"').to_owned();
    while let Some(start) = text.find("${") {
        let end = start + text[start..].find('}').unwrap();
        let inside = text[start + 2..end].to_owned();
        let default = match inside.split_once(":?") {
            Some(("PUBLIC_URL", _)) => "https://plugins.example.org".to_owned(),
            Some(_) => "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08".to_owned(),
            None => inside.split_once('-').unwrap().1.to_owned(),
        };
        text.replace_range(start..=end, &default);
    }
    text
}

#[test]
fn the_compose_file_sets_what_the_program_knows() {
    let settings = web_settings();
    assert!(settings.len() > 10, "{settings:?}");
    let config = Config::load(None, settings.into_iter(), &[]).unwrap();
    assert_eq!(config.storage.url, "/srv/packages");
    assert_eq!(config.storage.accel_redirect, "/_packages/");
}

#[tokio::test]
async fn docker_compose_understands_the_file() {
    let Some(program) = program("docker-compose").await else { return };
    let folder = tempfile::TempDir::new().unwrap();
    // Reading needs no engine. `file` comes on top of the delivered one.
    let read_with = |replicas: &str, env_file: &Path, file: &str| {
        let extra = folder.path().join("extra.yml");
        fs::write(&extra, file).unwrap();
        let mut command = std::process::Command::new(&program);
        command.env_clear().env("WEB_REPLICAS", replicas).current_dir(env!("CARGO_MANIFEST_DIR"));
        command.arg("--env-file").arg(env_file).args(["-f", "docker-compose.yml", "-f"]).arg(extra);
        let output = command.args(["--profile", "monitoring", "config", "--format", "json"]).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        if output.status.success() { Ok(serde_json::from_slice::<Value>(&output.stdout).unwrap()) } else { Err(said) }
    };
    let refused = read_with("1", Path::new("/dev/null"), "services: {}").unwrap_err();
    assert!(refused.contains("run scripts/make-env first"), "{refused}");

    let env_file = folder.path().join(".env");
    let mut make_env = std::process::Command::new(format!("{}/scripts/make-env", env!("CARGO_MANIFEST_DIR")));
    make_env
        .env("ENV_FILE", &env_file)
        .env("TLS_FOLDER", folder.path())
        .env("SECRETS_FOLDER", folder.path())
        .arg("https://plugins.example.org");
    assert!(make_env.output().unwrap().status.success());
    for replicas in [1, 3] {
        let file = read_with(&replicas.to_string(), &env_file, "services: {}").unwrap();
        let web = &file["services"]["web"];
        assert_eq!(web["deploy"]["replicas"], replicas);
        assert_eq!(file["services"].as_object().unwrap().len(), 13);
        let settings = web["environment"].as_object().unwrap();
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let settings = settings.iter().map(|(name, value)| (name.clone(), text(value)));
        let secrets = fs::read_to_string(folder.path().join("web.toml")).unwrap();
        let config = Config::load(Some(("web.toml", &secrets)), settings, &[]).unwrap();
        assert_eq!(config.server.public_url, "https://plugins.example.org");
        assert!(config.redis.url.get().unwrap().ends_with("@redis:6379/0"));
        assert!(config.database.url.get().unwrap().ends_with("@db:5432/marketplace"));
        assert!(config.auth.jwt_secret.get().unwrap().len() >= 32);
    }
    let misspelt = read_with("1", &env_file, "services: {web: {ulimit: 3}}").unwrap_err();
    assert!(misspelt.contains("'ulimit' not allowed"), "{misspelt}");
}

/// What the Dockerfile takes from the repository.
fn copied() -> BTreeSet<String> {
    let dockerfile = read("Dockerfile");
    let copies =
        dockerfile.lines().filter_map(|line| line.strip_prefix("COPY ")).filter(|copy| !copy.starts_with("--"));
    let sources = copies.flat_map(|copy| copy.rsplit_once(' ').unwrap().0.split(' '));
    sources.map(str::to_owned).collect()
}

#[test]
fn the_image_is_built_from_what_is_let_through() {
    let ignore = read(".dockerignore");
    let let_through = ignore.lines().filter_map(|line| line.strip_prefix('!')).map(str::to_owned).collect();
    assert_eq!(copied(), let_through);
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    assert!(copied().iter().all(|name| root.join(name).exists()));
    for source in sources(&root.join("src")) {
        let text = fs::read_to_string(&source).unwrap();
        let text = text.split("#[cfg(test)]").next().unwrap();
        for included in text.split("include_").skip(1).filter_map(|rest| rest.split_once("!(\"")) {
            let file = source.parent().unwrap().join(included.1.split('"').next().unwrap());
            let Ok(file) = file.canonicalize() else { continue };
            let name =
                file.strip_prefix(root.canonicalize().unwrap()).unwrap().iter().next().unwrap().to_str().unwrap();
            assert!(copied().contains(name), "{} includes {name}, which the image's build lacks", source.display());
        }
    }
}

/// All files of a folder and of those below.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] }).collect()
}

#[test]
fn the_layer_of_dependencies_needs_only_what_it_copies() {
    let folder = tempfile::TempDir::new().unwrap();
    for name in ["Cargo.toml", "Cargo.lock"] {
        fs::write(folder.path().join(name), read(name)).unwrap();
    }
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("crates");
    std::os::unix::fs::symlink(crates, folder.path().join("crates")).unwrap();
    // As the Dockerfile does it.
    let dockerfile = read("Dockerfile");
    let prepare = dockerfile.split("RUN ").find(|run| run.starts_with("mkdir src")).unwrap();
    let prepare = prepare.split("&& \\").next().unwrap();
    let manifest = "cargo metadata --locked --offline --no-deps --format-version 1";
    let mut shell = std::process::Command::new("sh");
    let output = shell.args(["-ec", &format!("{prepare}\n{manifest}")]).current_dir(&folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn nginx_and_the_compose_file_agree() {
    let (compose, nginx, upstream) =
        (read("docker-compose.yml"), read("deploy/nginx/nginx.conf"), read("deploy/nginx/upstream.conf"));
    let config = Config::load(None, web_settings().into_iter(), &[]).unwrap();
    let idle = upstream.split("keepalive_timeout ").nth(1).unwrap().split('s').next().unwrap();
    assert!(config.server.drain_seconds > idle.parse().unwrap(), "a closing connection could be used again");
    let proxy = config.server.trusted_proxies[0].addr().to_string();
    assert!(compose.contains(&format!("ipv4_address: {proxy}")), "the proxy that is trusted is nginx");
    assert!(nginx.contains("location /_packages/") && nginx.contains("alias /srv/packages/;"));
    assert!(compose.contains("packages:/srv/packages:ro"));
    assert!(upstream.contains("server web:5000 resolve"));
}

#[test]
fn no_secret_and_no_sample_of_one_is_shipped() {
    for file in ["Dockerfile", "docker-compose.yml", "deploy/nginx/nginx.conf"] {
        for line in read(file).lines().filter(|line| !line.trim_start().starts_with('#')) {
            let upper = line.to_uppercase();
            let names_secret = ["PASSWORD", "SECRET", "ACCESS_KEY"].iter().any(|word| upper.contains(word));
            let value = line.split_once([':', '=']).map_or("", |(_, value)| value.trim());
            // A variable, a file with the secret, a list of such files, or nothing.
            let is_reference =
                value.is_empty() || value.contains("${") || value.contains("/secrets/") || value.starts_with('[');
            assert!(!names_secret || is_reference, "{file}: {line}");
        }
    }
    assert!(read(".gitignore").lines().any(|line| line == ".env"));
    assert!(read(".dockerignore").starts_with('#') && read(".dockerignore").contains("\n*\n"));
}

#[test]
fn no_banned_crate_is_in_the_lock_file() {
    let table = |file: &str| toml::from_str::<toml::Table>(&read(file)).unwrap();
    let (rules, lock) = (table("deny.toml"), table("Cargo.lock"));
    let names = |list: &toml::Value, key: &str| -> Vec<String> {
        list.as_array().unwrap().iter().map(|entry| entry[key].as_str().unwrap().to_owned()).collect()
    };
    let (banned, locked) = (names(&rules["bans"]["deny"], "crate"), names(&lock["package"], "name"));
    assert!(banned.len() >= 3 && locked.contains(&"ring".to_owned()), "{banned:?}");
    let found: Vec<_> = banned.iter().filter(|name| locked.contains(name)).collect();
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn weak_secrets_are_refused() {
    let folder = tempfile::TempDir::new().unwrap();
    let env_file = folder.path().join(".env");
    let make_env = |argument: &str| {
        let mut command = std::process::Command::new(format!("{}/scripts/make-env", env!("CARGO_MANIFEST_DIR")));
        command.env("ENV_FILE", &env_file).env("TLS_FOLDER", folder.path().join("tls"));
        command.env("SECRETS_FOLDER", folder.path().join("secrets")).arg(argument);
        let output = command.output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert!(!make_env("--check").0, "there is none yet");
    assert!(make_env("https://plugins.example.org").0);
    assert!(make_env("--check").0);
    assert!(folder.path().join("tls/fullchain.pem").exists());
    assert!(make_env("https://other.example.org").1.contains("already"), "an existing one is never replaced");
    let good = fs::read_to_string(&env_file).unwrap();
    let secret = good.lines().find_map(|line| line.strip_prefix("JWT_SECRET_KEY=")).unwrap();
    for (bad, says) in [
        ("your-secret-key", "shorter"),
        ("change-me-change-me-change-me-change-me", "sample"),
        ("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "repeats"),
        ("0123456789abcdef/0123456789abcdef@0123", "characters"),
        ("", "missing"),
    ] {
        fs::write(&env_file, good.replace(secret, bad)).unwrap();
        let (is_fit, said) = make_env("--check");
        assert!(!is_fit && said.contains(says), "{bad}: {said}");
    }
}
