//! The program of the document on services, unchanged, and clients that nobody here wrote.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::timeout,
};

use crate::server::Client;

const PATIENCE: Duration = Duration::from_secs(60);

/// A Python with the packages that the document names; none when they cannot be had.
async fn python() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("services-venv");
    let python = folder.join("bin/python");
    let import = ["-c", "import fastapi, httpx, httpx_sse, pydantic, uvicorn, websockets"];
    let has_packages =
        async || Command::new(&python).args(import).output().await.is_ok_and(|output| output.status.success());
    if !has_packages().await {
        let _ = Command::new("python3").args(["-m", "venv"]).arg(&folder).output().await;
        let requirements = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/services/requirements.txt");
        let _ = Command::new(&python).args(["-m", "pip", "install", "-q", "-r", requirements]).output().await;
    }
    let is_there = has_packages().await;
    if !is_there {
        println!("skipped: no Python packages");
    }
    is_there.then_some(python)
}

struct Program {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Program {
    fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// The first line that begins like this.
    async fn line(&mut self, beginning: &str) -> String {
        let found = async {
            while let Some(line) = self.lines.next_line().await.unwrap() {
                if line.starts_with(beginning) {
                    return line;
                }
            }
            panic!("it ended without {beginning:?}")
        };
        timeout(PATIENCE, found).await.unwrap_or_else(|_| panic!("no {beginning:?}"))
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.child.id().unwrap() as i32).unwrap(), signal).unwrap();
    }
}

#[tokio::test]
async fn the_documents_program_runs_unchanged() {
    let place = TempDir::new().unwrap();
    // The private PostgreSQL runs as another user when this is root.
    std::fs::set_permissions(place.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    // The ports are those of the document.
    for port in [8000, 8001, 8010, 8019] {
        if tokio::net::TcpListener::bind(("127.0.0.1", port)).await.is_err() {
            println!("skipped: port {port} is taken");
            return;
        }
    }
    let Some(python) = python().await else { return };
    let mut server = Command::new(env!("CARGO_BIN_EXE_marketplace"));
    server.env_clear().env("PATH", std::env::var("PATH").unwrap()).arg("--data-dir").arg(place.path().join("data"));
    server.args(["--port", "0", "--set", "log.level=warn", "serve", "--document-ports"]).current_dir(place.path());
    let mut server = Program::start(&mut server);
    assert_eq!(server.line("registry: ").await, "registry: http://127.0.0.1:8001");
    assert_eq!(server.line("gateway: ").await, "gateway: http://127.0.0.1:8000");

    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/services/main.py");
    let mut program = Program::start(Command::new(&python).args(["-u", program]).env("PYTHONWARNINGS", "ignore"));
    program.line("✓ 服务注册成功: my-plugin").await;
    let (gateway, direct) = (Client::at("http://localhost:8000"), Client::at("http://localhost:8010"));
    for path in ["hello?name=Developer", "data", "data/7", "health", ""] {
        let through = gateway.get(&format!("//api/my-plugin/{path}")).await;
        let beside = direct.get(&format!("//{path}")).await;
        assert_eq!((through.status(), &through.bytes), (beside.status(), &beside.bytes), "{path}");
    }
    let item = serde_json::json!({"title": "测试数据", "content": "这是测试内容"});
    assert_eq!(gateway.post("//api/my-plugin/data", item).await.expect(200).json()["item"]["title"], "测试数据");
    let listed = Client::at("http://localhost:8001").get("//api/registry/services").await.expect(200).json();
    assert_eq!(listed[0]["name"], "my-plugin");

    let clients = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/systems/clients.py");
    let clients = Command::new(&python).arg(clients).output();
    let clients = timeout(PATIENCE, clients).await.unwrap().unwrap();
    assert!(clients.status.success(), "{}", String::from_utf8_lossy(&clients.stderr));

    program.signal(Signal::INT);
    program.line("✓ 服务注销成功").await;
    gateway.get("//api/my-plugin/hello").await.expect(404);
    server.signal(Signal::TERM);
    assert!(timeout(PATIENCE, server.child.wait()).await.unwrap().unwrap().success());
}

#[tokio::test]
async fn the_tours_of_the_readmes_work() {
    for name in ["README.md", "README.zh-CN.md"] {
        let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap();
        let tour = readme.split("<!-- services -->\n```sh\n").nth(1).unwrap().split("```").next().unwrap().to_owned();
        let place = TempDir::new().unwrap();
        std::fs::set_permissions(place.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let mut server = Command::new(env!("CARGO_BIN_EXE_marketplace"));
        server.env_clear().env("PATH", std::env::var("PATH").unwrap()).arg("--data-dir").arg(place.path().join("data"));
        server.args(["--port", "0", "--set", "registry.listen=127.0.0.1:0", "--set", "gateway.listen=127.0.0.1:0"]);
        let mut server = Program::start(server.args(["serve", "--document-ports"]).current_dir(place.path()));
        let registry = server.line("registry: http://").await["registry: ".len()..].to_owned();
        let gateway = server.line("gateway: http://").await["gateway: ".len()..].to_owned();
        let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        let tour = tour.replace("http://127.0.0.1:8001", &registry).replace("http://127.0.0.1:8000", &gateway);
        // A shell that obeys `kill %1` as one that is typed into does.
        let tour = format!("set -em\n{}", tour.replace("8010", &free.to_string()));
        let done = timeout(PATIENCE, Command::new("bash").arg("-c").arg(tour).current_dir(place.path()).output());
        let done = done.await.unwrap().unwrap();
        let said = String::from_utf8_lossy(&done.stdout).into_owned();
        assert!(done.status.success(), "{name}: {said} {}", String::from_utf8_lossy(&done.stderr));
        for text in ["\"name\":\"files\"", "Directory listing", "\"instance_ids\":[\"", "\"status\":\"healthy\""] {
            assert!(said.contains(text), "{name}: {text}: {said}");
        }
        server.signal(Signal::TERM);
        assert!(timeout(PATIENCE, server.child.wait()).await.unwrap().unwrap().success());
    }
}
