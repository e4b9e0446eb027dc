//! The command line: configuration, administrators, importing, and two processes on one folder.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, time::Duration};

use serde_json::json;

use crate::{
    app::Client,
    package_builder::PackageBuilder,
    program::{Server, finish, marketplace, place, run},
};

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/plugins");

#[test]
fn help_is_there_for_every_command() {
    let place = place();
    let help = run(place.path(), &["--help"]).success().out;
    for word in ["serve", "migrate", "admin", "import", "config", "--config", "--host", "--port", "--data-dir", "--set"]
    {
        assert!(help.contains(word), "{word} in {help}");
    }
    assert!(run(place.path(), &["--version"]).success().out.contains(env!("CARGO_PKG_VERSION")));
    for command in [&["serve"][..], &["migrate"], &["admin"], &["admin", "create"], &["import"], &["config", "check"]] {
        let help = run(place.path(), &[command, &["--help"]].concat()).success().out;
        assert!(help.contains("Usage:"), "{command:?}: {help}");
    }
    run(place.path(), &["explode"]).refused(&["explode", "--help"]);
    run(place.path(), &["admin", "create"]).refused(&["USERNAME"]);
    assert!(!place.path().join("data").exists(), "asking for help makes nothing");
}

#[test]
fn a_configuration_is_checked_and_shown_without_secrets() {
    let place = place();
    fs::write(place.path().join("config.toml"), "[server]\nport = 6001\n\n[auth]\njwt_secret = \"horse-battery\"\n")
        .unwrap();
    let shown = run(place.path(), &["config", "check"]).success().out;
    assert!(shown.contains("port = 6001") && !shown.contains("horse"), "{shown}");

    let mut command = marketplace(place.path(), &["config", "check", "--set", "limits.enabled=false"]);
    command
        .env("MARKETPLACE__SERVER__PORT", "6002")
        .env("USE_CDN", "false")
        .env("CDN_BASE_URL", "https://cdn.example.org");
    let shown = finish(command).success().out;
    for line in ["port = 6002", "enabled = false", "base_url = \"https://cdn.example.org\""] {
        assert!(shown.contains(line), "{line} in {shown}");
    }
    let shown = run(place.path(), &["config", "check", "--port", "6003"]).success().out;
    assert!(shown.contains("port = 6003"), "flags win: {shown}");
}

#[test]
fn what_is_wrong_with_a_configuration_is_said_with_its_place() {
    let place = place();
    let file = place.path().join("config.toml");
    for (text, words) in [
        ("[server]\nhost = \"x\"\nprot = 1\n", &["config.toml", "line 3", "prot"][..]),
        ("[sever]\nport = 1\n", &["line 1", "sever"]),
        ("[server]\n\nport = \"many\"\n", &["line 3"]),
        ("[server]\nport = 70000\n", &["line 2"]),
        ("[limits]\nlogin = \"often\"\n", &["line 2", "60/minute"]),
        ("[server]\ntrusted_proxies = [\"nowhere\"]\n", &["line 2"]),
        ("[log]\nformat = \"xml\"\n", &["line 2"]),
        ("[server\n", &["line 1"]),
        ("[database]\nurl = \"mysql://x\"\n", &["database.url"]),
        ("[database]\nmax_connections = 1\n", &["database.max_connections"]),
    ] {
        fs::write(&file, text).unwrap();
        run(place.path(), &["config", "check"]).refused(words);
        run(place.path(), &["serve"]).refused(words);
    }
    fs::remove_file(&file).unwrap();
    for (arguments, words) in [
        (&["--config", "absent.toml", "config", "check"][..], &["absent.toml"][..]),
        (&["--port", "many", "config", "check"], &["server.port", "many"]),
        (&["--set", "server.prot=1", "config", "check"], &["server.prot"]),
        (&["--set", "port", "config", "check"], &["KEY=VALUE"]),
    ] {
        run(place.path(), arguments).refused(words);
    }
    for (name, value) in [
        ("MARKETPLACE__SERVER__PROT", "1"),
        ("MARKETPLACE__SERVER__PORT", "x"),
        ("USE_CDN", "perhaps"),
        ("DATABASE_URL", "sqlite:x"),
    ] {
        let mut command = marketplace(place.path(), &["config", "check"]);
        command.env(name, value);
        let said = finish(command).refused(&[]);
        assert!(said.err.contains(name) || said.err.contains("database.url"), "{name}: {}", said.err);
    }
    assert!(!place.path().join("data").exists(), "a wrong configuration makes nothing");
}

#[tokio::test]
async fn administrators_are_made_while_nothing_runs_and_while_a_server_does() {
    let place = place();
    let here = place.path();
    let said = run(here, &["migrate"]).success();
    assert!(said.out.contains("up to date"), "{said:?}");
    let made = run(here, &["admin", "create", "root"]).success().out;
    let password = made.lines().find_map(|line| line.strip_prefix("password: ")).expect("a password").to_owned();
    run(here, &["admin", "create", "ROOT"]).refused(&["taken"]);
    run(here, &["admin", "create", "a b"]).refused(&["3–50"]);
    run(here, &["admin", "create", "other", "--password", "short"]).refused(&["8–128"]);
    run(here, &["admin", "promote", "nobody"]).refused(&["nobody"]);

    let server = Server::start(here);
    let anyone = Client::at(&server.url);
    let root = anyone.sign_in_with("root", &password).await;
    root.get("/admin/stats").await.expect(200);
    let mut command = marketplace(here, &["admin", "create", "second"]);
    command.env("MARKETPLACE_ADMIN_PASSWORD", "battery staple");
    assert!(!finish(command).success().out.contains("battery"), "a given password is not shown");
    anyone.sign_in_with("second", "battery staple").await.get("/admin/stats").await.expect(200);

    let account = json!({"username": "ada", "email": "ada@example.org", "password": "correct horse"});
    anyone.post("/auth/register", account).await.expect(201);
    let ada = anyone.sign_in("ada").await;
    ada.get("/admin/stats").await.refused(403, "forbidden");
    run(here, &["admin", "promote", "ada"]).success();
    ada.get("/admin/stats").await.expect(200);
    run(here, &["admin", "disable", "ADA"]).success();
    ada.get("/auth/me").await.refused(403, "account_disabled");
    run(here, &["migrate"]).success();
    let acts = root.get("/admin/audit").await.expect(200).data();
    let acts: Vec<&str> = acts["acts"].as_array().unwrap().iter().map(|act| act["action"].as_str().unwrap()).collect();
    assert_eq!(acts, ["user.disable", "user.role.admin", "user.create.admin", "user.create.admin"]);
    root.get("/health").await.expect(200);
    server.stop();
}

#[tokio::test]
async fn importing_twice_publishes_once_also_while_a_server_runs() {
    let place = place();
    let here = place.path();
    let first = run(here, &["import", EXAMPLES]).success();
    assert!(first.out.contains("13 published, 0 known already, 0 refused"), "{first:?}");
    assert!(!first.out.contains('\u{1b}') && !first.err.contains('\u{1b}'), "no terminal, no drawing: {first:?}");
    let again = run(here, &["import", EXAMPLES]).success();
    assert!(again.out.contains("0 published, 13 known already, 0 refused"), "{again:?}");

    let server = Server::start(here);
    let anyone = Client::at(&server.url);
    let list = anyone.get("/plugins?limit=100").await.expect(200).data();
    assert_eq!(list["pagination"]["total"], 13);
    let packages = here.join("packages");
    fs::create_dir(&packages).unwrap();
    let write = |name: &str, package: &PackageBuilder| fs::write(packages.join(name), package.build()).unwrap();
    write("a-needs-b.tar.gz", &PackageBuilder::new("needs-b", "1.0.0").set("dependencies", json!(["base-b"])));
    write("b.tar.gz", &PackageBuilder::new("base-b", "1.0.0"));
    write("broken.tar.gz", &PackageBuilder::new("broken", "1.0").set("author", json!(null)));
    write("lost.tar.gz", &PackageBuilder::new("lost", "1.0.0").set("dependencies", json!(["nowhere"])));
    fs::write(packages.join("no-gzip.tar.gz"), "text").unwrap();
    fs::write(packages.join("notes.txt"), "left alone").unwrap();
    let said = run(here, &["import", "packages"]).refused(&[
        "broken.tar.gz",
        "version",
        "author",
        "lost.tar.gz",
        "no-gzip.tar.gz",
    ]);
    assert!(said.out.contains("2 published, 0 known already, 3 refused"), "{said:?}");
    assert_eq!(anyone.get("/plugins/needs-b").await.expect(200).data()["dependencies"][0]["id"], "base-b");
    // A running server hears of it within a second, on a machine that has nothing else to do.
    for patience in (0..100).rev() {
        let found = anyone.get("/plugins?search=needs-b").await.expect(200).data();
        if found["plugins"][0]["id"] == "needs-b" {
            break;
        }
        assert!(patience > 0, "{found}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(leftovers(here), 0);

    // By file, for an owner, whose plugins nobody else's import touches.
    let account = json!({"username": "ada", "email": "ada@example.org", "password": "correct horse"});
    anyone.post("/auth/register", account).await.expect(201);
    write("mine.tar.gz", &PackageBuilder::new("mine", "1.0.0"));
    run(here, &["import", "--owner", "ada", "packages/mine.tar.gz"]).success();
    assert_eq!(anyone.get("/plugins/mine/owners").await.data()["owners"][0]["username"], "ada");
    write("mine.tar.gz", &PackageBuilder::new("mine", "1.0.1"));
    run(here, &["import", "packages/mine.tar.gz"]).refused(&["mine", "own"]);
    run(here, &["import", "--owner", "nobody", "packages/mine.tar.gz"]).refused(&["nobody"]);
    run(here, &["import", "absent"]).refused(&["absent"]);
    run(here, &["import", "data"]).refused(&["no package"]);
    server.stop();
}

/// Files in the store that are no package.
fn leftovers(place: &Path) -> usize {
    fs::read_dir(place.join("data/store/incoming")).unwrap().count()
}

#[test]
fn a_second_server_on_one_folder_is_refused_in_clear_words() {
    let place = place();
    let server = Server::start(place.path());
    let said = run(place.path(), &["--port", "0"]).refused(&[]);
    assert!(said.err.contains("another") && said.err.contains("data"), "{}", said.err);
    let port = server.url.rsplit(':').next().unwrap();
    run(place.path(), &["--port", port]).refused(&["cannot listen", port]);
    server.stop();
    Server::start(place.path()).stop();
}

/// Every file below a folder that another user could open: all folders on the way let others through.
fn open_to_others(folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let metadata = path.symlink_metadata().unwrap();
        let mode = metadata.permissions().mode();
        if metadata.is_dir() && mode & 0o011 != 0 {
            open_to_others(&path, found);
        }
        // Whoever can list a folder learns what is in it.
        if mode & 0o044 != 0 && !metadata.is_symlink() {
            found.push(path.display().to_string());
        }
    }
}

#[tokio::test]
async fn other_users_can_read_nothing_in_the_data_folder() {
    let place = place();
    let data = place.path().join("data");
    // What an earlier release made.
    for folder in ["journal", "search", "store/plugins"] {
        fs::create_dir_all(data.join(folder)).unwrap();
    }
    fs::write(data.join("store/plugins/old.tar.gz"), "old").unwrap();
    for nginx in [false, true, false] {
        if nginx {
            fs::write(place.path().join("config.toml"), "[storage]\naccel_redirect = \"/_packages/\"\n").unwrap();
        } else {
            fs::remove_file(place.path().join("config.toml")).ok();
        }
        let server = Server::start(place.path());
        let anyone = Client::at(&server.url);
        let name = format!("hello{}", fs::read_dir(data.join("store/plugins")).unwrap().count());
        let who = if nginx { "ada" } else { "bob" };
        anyone.register(who).await;
        anyone.sign_in(who).await.publish(&PackageBuilder::new(&name, "1.0.0")).await.expect(201);
        let mut found = Vec::new();
        open_to_others(&data, &mut found);
        let (packages, others): (Vec<_>, Vec<_>) = found.into_iter().partition(|path| path.contains("/data/store"));
        assert!(others.is_empty(), "{others:?}");
        // nginx, which runs as another user, sends packages itself, also those that were there before.
        assert_eq!(packages.iter().filter(|path| path.ends_with(".tar.gz")).count() >= 2, nginx, "{packages:?}");
        assert_eq!(packages.is_empty(), !nginx, "{packages:?}");
        let is_passable = fs::metadata(&data).unwrap().permissions().mode() & 0o001 != 0;
        assert!(is_passable || !nginx, "nginx cannot come through");
        server.stop();
    }
    assert_eq!(fs::metadata(data.join("jwt_secret")).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn an_empty_environment_is_no_environment() {
    let place = place();
    let plain = run(place.path(), &["config", "check"]).success().out;
    let mut command = marketplace(place.path(), &["config", "check"]);
    let names = ["MARKETPLACE__LIMITS__ENABLED", "MARKETPLACE__SERVER__PORT", "MARKETPLACE__LOG__FORMAT"];
    for name in names.iter().chain(&["USE_CDN", "DATABASE_URL", "MARKETPLACE_CONFIG", "MARKETPLACE_ADMIN_PASSWORD"]) {
        command.env(name, "");
    }
    assert_eq!(finish(command).success().out, plain);
    let mut loud = marketplace(place.path(), &["config", "check"]);
    loud.env("MARKETPLACE__LOG__LEVEL", "verbose");
    finish(loud).refused(&["log.level", "verbose"]);
}
