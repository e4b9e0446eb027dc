//! `scripts/deploy`, with real servers for containers: `tests/deploy/docker` stands in for an engine.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process_group};
use sqlx::PgPool;
use tokio::process::Command;

use crate::{
    app::Client,
    package_builder::PackageBuilder,
    stack::{Load, Nginx, Stack, database_url, free_port, user},
};

/// What a release does when it is asked to serve; anything else the real program does.
const WELL: &str = ":";
const EXITS: &str = r#"[ "$1" != serve ] || exit 1"#;
const NEVER_HEALTHY: &str = r#"[ "$1" != serve ] || exec sleep 100"#;

/// An installation in a folder of its own: the delivered scripts, `.env`, nginx, and no server yet.
struct Installation {
    folder: PathBuf,
    nginx: Nginx,
    stack: Stack,
}

impl Installation {
    async fn new(db: PgPool, replicas: usize) -> Self {
        let stack = Stack::new(db);
        let ports: Vec<u16> = (0..2 * replicas + 1).map(|_| free_port()).collect();
        let nginx = Nginx::start(&stack, &ports, |text| {
            // Only a master can load its configuration anew. In production, its name server knows only containers that
            // run; here it is given all ports there will ever be, and so has to try more of them.
            let text = text.replace("master_process off;", "user root;").replace("rate=600r/s", "rate=60000r/s");
            text.replace("proxy_next_upstream_tries 3", "proxy_next_upstream_tries 9")
        })
        .await;
        let here = Self { folder: stack.path("project"), nginx, stack };
        for (from, to) in [
            ("scripts", "scripts"),
            ("docker-compose.yml", "docker-compose.yml"),
            ("tests/deploy/docker", "bin/docker"),
        ] {
            let (from, to) = (Path::new(env!("CARGO_MANIFEST_DIR")).join(from), here.folder.join(to));
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            let copied = Command::new("cp").arg("-r").args([&from, &to]).status().await.unwrap();
            assert!(copied.success());
        }
        let address = format!("https://127.0.0.1:{}", here.nginx.https);
        let (is_made, said) = here.script("make-env", &[&address]).await;
        assert!(is_made, "{said}");
        let ports = ports.iter().map(|port| format!("{port}\n")).collect::<String>();
        here.write("state/ports", &ports);
        here.write("state/database", &database_url(&here.stack.db));
        here.write("state/nginx", here.nginx.folder.to_str().unwrap());
        here.set("");
        here.release(WELL);
        here.write("replicas", &replicas.to_string());
        here
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// The settings of all servers started from now on: those of docker-compose.yml that matter here, and another.
    fn set(&self, another: &str) {
        let (data, store) = (self.folder.join("data"), self.stack.store());
        self.write(
            "state/web.env",
            &format!(
                "DATABASE_URL={}\nUPLOAD_FOLDER={}\nMARKETPLACE__DATA_DIR={}\nMARKETPLACE__LIMITS__ENABLED=false\n\
                 JWT_SECRET_KEY=f0c1a7d29b6e4835-one-for-all-of-them\nMARKETPLACE__STORAGE__ACCEL_REDIRECT=/_packages/\n\
                 MARKETPLACE__SERVER__TRUSTED_PROXIES=127.0.0.1/32\nMARKETPLACE__SERVER__DRAIN_SECONDS=2\n\
                 MARKETPLACE__DATABASE__MAX_CONNECTIONS=6\n{another}\n",
                database_url(&self.stack.db),
                store.display(),
                data.display(),
            ),
        );
    }

    /// What the next deployment brings: a program of its own, that behaves so.
    fn release(&self, behaviour: &str) {
        let program = env!("CARGO_BIN_EXE_marketplace");
        self.write("state/new", &format!("#!/bin/sh\n{behaviour}\nexec {program} \"$@\"\n"));
        fs::set_permissions(self.folder.join("state/new"), Permissions::from_mode(0o755)).unwrap();
    }

    /// Runs a script, and says whether it succeeded and what it said.
    async fn script(&self, name: &str, arguments: &[&str]) -> (bool, String) {
        let path = format!("{}:{}", self.folder.join("bin").display(), std::env::var("PATH").unwrap());
        let mut command = Command::new(self.folder.join("scripts").join(name));
        command.env_remove("DATABASE_URL").env("PATH", path).env("DOCKER_STATE", self.folder.join("state"));
        command.env("HTTPS_PORT", self.nginx.https.to_string()).env("CERTIFICATE", "1").env("DISK", "101");
        if let Ok(replicas) = fs::read_to_string(self.folder.join("replicas")) {
            command.env("WEB_REPLICAS", replicas);
        }
        let output = command.args(arguments).kill_on_drop(true).output().await.unwrap();
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        (output.status.success(), text(&output.stdout) + &text(&output.stderr))
    }

    async fn deploys(&self) {
        let (is_done, said) = self.script("deploy", &[]).await;
        assert!(is_done, "{said}");
    }

    /// The containers there are, with the images they are of.
    fn containers(&self) -> Vec<(String, String)> {
        let entries = fs::read_dir(self.folder.join("state/containers")).unwrap().map(|entry| entry.unwrap().path());
        let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
        let mut all: Vec<_> = entries
            .map(|path| (name(&path), fs::read_to_string(path.join("image")).unwrap().trim().to_owned()))
            .collect();
        all.sort();
        all
    }

    /// The image of that name.
    fn image(&self, tag: &str) -> String {
        let image = fs::read_link(self.folder.join(format!("state/images/geektools-marketplace:{tag}"))).unwrap();
        image.file_name().unwrap().to_str().unwrap().to_owned()
    }

    /// A user, and somebody else's plugin that can be asked for and rated.
    async fn user(&self) -> Client {
        let ada = user(&self.nginx.client(), "ada").await;
        ada.publish(&PackageBuilder::new("hello", "1.0.0")).await.expect(201);
        user(&self.nginx.client(), "rater").await
    }
}

impl Drop for Installation {
    fn drop(&mut self) {
        self.nginx.terminate();
        let Ok(containers) = fs::read_dir(self.folder.join("state/containers")) else { return };
        for container in containers.flatten() {
            let pid = fs::read_to_string(container.path().join("pid")).ok().and_then(|pid| pid.trim().parse().ok());
            if let Some(pid) = pid.and_then(Pid::from_raw) {
                kill_process_group(pid, Signal::KILL).ok();
            }
        }
    }
}

#[sqlx::test]
async fn a_deployment_under_load_loses_no_request(db: PgPool) {
    let here = Installation::new(db, 2).await;
    // The first one has nothing to replace, and nothing to back up.
    here.deploys().await;
    let before = here.containers();
    assert_eq!(before.len(), 2);
    let load = Load::start(&here.user().await);

    here.release("# another one");
    here.deploys().await;

    tokio::time::sleep(Duration::from_millis(500)).await;
    let after = here.containers();
    assert_eq!(after.len(), 2, "{after:?}");
    assert!(after.iter().all(|(id, image)| before.iter().all(|(old, was)| id != old && image != was)), "{after:?}");
    load.nothing_was_lost(&here.nginx).await;
    let backups = fs::read_dir(here.folder.join("backups")).unwrap().flatten();
    assert_eq!(backups.filter(|entry| entry.path().join("database.dump").exists()).count(), 1);
}

#[sqlx::test]
async fn a_release_that_is_not_well_is_taken_back_while_the_old_one_serves(db: PgPool) {
    let here = Installation::new(db, 2).await;
    here.deploys().await;
    let before = here.containers();
    let load = Load::start(&here.user().await);
    for behaviour in [EXITS, NEVER_HEALTHY] {
        here.release(behaviour);
        let (is_done, said) = here.script("deploy", &[]).await;
        assert!(!is_done && said.contains("going back") && said.contains("went back to"), "{said}");
        assert_eq!(here.containers(), before, "{said}");
        assert_eq!(here.image("latest"), before[0].1, "what starts next is the old one too");
    }
    load.nothing_was_lost(&here.nginx).await;
}

#[sqlx::test]
async fn a_wrong_setting_and_a_sample_secret_stop_a_deployment_before_it_changes_anything(db: PgPool) {
    let here = Installation::new(db, 1).await;
    here.deploys().await;
    let before = here.containers();
    here.release("# another one");
    here.set("MARKETPLACE__SERVER__HEADER_TIMEOUT_SECONDS=soon");
    let (is_done, said) = here.script("deploy", &[]).await;
    assert!(!is_done && said.contains("HEADER_TIMEOUT_SECONDS"), "{said}");

    here.set("");
    let env_file = fs::read_to_string(here.folder.join(".env")).unwrap();
    let line = env_file.lines().find(|line| line.starts_with("REDIS_PASSWORD=")).unwrap();
    fs::write(here.folder.join(".env"), env_file.replace(line, "REDIS_PASSWORD=changeme")).unwrap();
    let (is_done, said) = here.script("deploy", &[]).await;
    assert!(!is_done && said.contains("REDIS_PASSWORD"), "{said}");

    assert_eq!(here.containers(), before);
    here.nginx.client().get("/plugins").await.expect(200);
    assert!(!here.folder.join("backups").exists());
}

#[sqlx::test]
async fn a_server_that_had_died_is_replaced_too(db: PgPool) {
    let here = Installation::new(db, 2).await;
    here.deploys().await;
    let before = here.containers();
    let pid = fs::read_to_string(here.folder.join("state/containers").join(&before[0].0).join("pid")).unwrap();
    kill_process_group(Pid::from_raw(pid.trim().parse().unwrap()).unwrap(), Signal::KILL).unwrap();
    here.release("# another one");
    let (is_done, said) = here.script("deploy", &["1.4.0"]).await;
    assert!(is_done && said.contains("deployed geektools-marketplace:1.4.0"), "{said}");
    let after = here.containers();
    assert_eq!(after.len(), 2, "{after:?}");
    assert!(after.iter().all(|(_, image)| *image != before[0].1), "none of the old ones is left: {after:?}");
    assert_eq!(here.image("latest"), after[0].1, "what starts later is the new one too");
}
