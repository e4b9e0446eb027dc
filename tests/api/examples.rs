//! The example plugins: every script runs, and does what it says.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use serde_json::Value;

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/plugins");

/// Runs a script of a plugin in a folder, with a home of its own.
fn run(script: &str, folder: &Path, arguments: &[&str]) -> Output {
    let (plugin, file) = script.split_once('/').unwrap();
    Command::new(Path::new(EXAMPLES).join(plugin).join("scripts").join(file))
        .args(arguments)
        .current_dir(folder)
        .env("HOME", home(folder))
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// Scripts refuse to clean a whole home folder, so that of a test's subfolder is the folder above.
fn home(folder: &Path) -> &Path {
    match folder.parent() {
        Some(above) if folder.ends_with("logs") => above,
        _ => folder,
    }
}

/// What a script printed, when it succeeded.
#[track_caller]
fn said(script: &str, folder: &Path, arguments: &[&str]) -> String {
    let output = run(script, folder, arguments);
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{script} {arguments:?}: {out}{err}");
    out.into_owned()
}

fn plugins() -> Vec<(PathBuf, Value)> {
    let folders = fs::read_dir(EXAMPLES).unwrap().map(|entry| entry.unwrap().path());
    let read = |folder: &PathBuf| serde_json::from_slice(&fs::read(folder.join("info.json")).unwrap()).unwrap();
    folders.map(|folder| (folder.clone(), read(&folder))).collect()
}

#[test]
fn every_script_explains_itself_and_refuses_nonsense() {
    let folder = tempfile::tempdir().unwrap();
    let mut scripts = 0;
    for (plugin, info) in plugins() {
        let id = info["id"].as_str().unwrap();
        assert_eq!(plugin.file_name().unwrap().to_str(), Some(id), "a folder is named after its plugin");
        for script in info["scripts"].as_array().unwrap() {
            let name = format!("{id}/{}", script["file"].as_str().unwrap());
            assert_eq!(script["executable"], true, "{name}");
            let help = said(&name, folder.path(), &["--help"]);
            assert!(help.contains("Usage: ") || help.contains("用法: "), "{name}: {help}");
            let refused = run(&name, folder.path(), &["--no-such-option"]);
            assert!(!refused.status.success() && !refused.stderr.is_empty(), "{name} takes any option");
            scripts += 1;
        }
    }
    assert!(scripts >= 27, "{scripts}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "asking for help leaves nothing");
}

#[test]
fn scripts_that_only_look_find_what_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    fs::write(here.join("big.bin"), vec![0; 3 << 20]).unwrap();
    fs::write(here.join("main.py"), "print('x')\n\nprint('y')\n").unwrap();
    fs::write(here.join("gbk.txt"), [0xc4, 0xe3, 0xba, 0xc3, 0xca, 0xc0, 0xbd, 0xe7]).unwrap();
    assert!(said("disk-analyzer/usage.sh", here, &["."]).contains("big.bin"));
    assert!(said("disk-analyzer/bigfiles.sh", here, &["-s", "1M", "."]).contains("big.bin"));
    assert!(said("code-stats/lines.sh", here, &["."]).contains("Python"));
    assert!(said("code-stats/tree.sh", here, &["."]).contains("main.py"));
    assert!(said("text-encoding/detect.sh", here, &["gbk.txt", "main.py"]).contains("GB"));
    assert!(!said("system-info/overview.sh", here, &[]).is_empty());
    assert!(!said("system-info/top-processes.sh", here, &[]).is_empty());
    said("port-check/listening.sh", here, &[]);
    let password = said("password-generator/generate.sh", here, &[]);
    assert!(password.trim().len() >= 12, "{password}");
    assert_ne!(password, said("password-generator/generate.sh", here, &[]));
}

#[test]
fn a_port_is_probed() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let folder = tempfile::tempdir().unwrap();
    said("port-check/probe.sh", folder.path(), &["127.0.0.1", &port]);
    said("port-check/port-owner.sh", folder.path(), &[&port]);
    drop(listener);
    assert!(!run("port-check/probe.sh", folder.path(), &["127.0.0.1", &port]).status.success());
}

#[test]
fn a_folder_is_backed_up_verified_and_restored() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    fs::create_dir_all(here.join("资料/inner")).unwrap();
    fs::write(here.join("资料/inner/a b.txt"), "内容").unwrap();
    said("folder-backup/backup.sh", here, &["资料"]);
    let archive = find(&here.join("backups"), ".tar.gz").expect("an archive");
    let archive = archive.to_str().unwrap();
    said("folder-backup/verify.sh", here, &[archive]);
    fs::rename(here.join("资料"), here.join("moved")).unwrap();
    said("folder-backup/restore.sh", here, &[archive]);
    let restored = find(here, "a b.txt").expect("the file");
    assert_eq!(fs::read_to_string(restored).unwrap(), "内容");
    fs::write(archive, "damaged").unwrap();
    assert!(!run("folder-backup/verify.sh", here, &[archive]).status.success());
}

#[test]
fn files_are_renamed_and_renamed_back() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let names = || {
        let mut names: Vec<_> =
            fs::read_dir(here).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.retain(|name| !name.starts_with('.'));
        names.sort();
        names
    };
    let before = ["a b.JPG", "旅行.JPG"];
    for name in before {
        fs::write(here.join(name), name).unwrap();
    }
    let change = ["--match", "*.JPG", "--ext", "jpg", "--spaces", "--prefix", "照片_"];
    said("batch-rename/rename.sh", here, &change);
    assert_eq!(names(), before, "a preview changes nothing");
    said("batch-rename/rename.sh", here, &[&change[..], &["--yes"]].concat());
    assert_eq!(names(), ["照片_a_b.jpg", "照片_旅行.jpg"]);
    said("batch-rename/undo.sh", here, &["--yes"]);
    assert_eq!(names(), before);
}

#[test]
fn logs_are_rotated_and_cleaned() {
    let folder = tempfile::tempdir().unwrap();
    // A home folder itself is refused, rightly.
    let here = &folder.path().join("logs");
    fs::create_dir(here).unwrap();
    fs::write(here.join("app.log"), "line\n").unwrap();
    said("log-cleaner/rotate.sh", here, &["--yes", "app.log"]);
    assert_eq!(fs::read_to_string(here.join("app.log")).unwrap(), "");
    assert!(here.join("app.log.1.gz").exists());
    let old = here.join("old.log");
    fs::write(&old, "old").unwrap();
    let long_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(90 * 86_400);
    fs::File::options().write(true).open(&old).unwrap().set_modified(long_ago).unwrap();
    said("log-cleaner/clean.sh", here, &["."]);
    assert!(old.exists(), "a preview removes nothing");
    said("log-cleaner/clean.sh", here, &["--yes", "."]);
    assert!(!old.exists() && here.join("app.log").exists());
}

#[test]
fn a_text_is_converted_to_utf8() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    fs::write(here.join("gbk.txt"), [0xc4, 0xe3, 0xba, 0xc3, 0xca, 0xc0, 0xbd, 0xe7, b'\n']).unwrap();
    fs::create_dir(here.join("out")).unwrap();
    said("text-encoding/convert.sh", here, &["-f", "GBK", "-o", "out", "gbk.txt"]);
    assert_eq!(fs::read_to_string(here.join("out/gbk.txt")).unwrap(), "你好世界\n");
}

#[test]
fn a_repository_is_described_and_tidied() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let git = |arguments: &str| {
        let identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"];
        let mut command = Command::new("git");
        let done = command.args(identity).args(arguments.split(' ')).current_dir(here).output().unwrap();
        assert!(done.status.success(), "{arguments}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    };
    git("init -q -b main");
    git("commit -q --allow-empty -m first");
    git("branch merged");
    assert!(said("git-helper/repo-stats.sh", here, &[]).contains("Ada"));
    said("git-helper/branch-cleanup.sh", here, &[]);
    assert!(git("branch").contains("merged"), "a dry run deletes nothing");
    said("git-helper/branch-cleanup.sh", here, &["--yes"]);
    assert!(!git("branch").contains("merged"));
}

#[test]
fn a_certificate_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let made = Command::new("openssl")
        .args(
            "req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 90 -subj /CN=plugins.example.org"
                .split(' '),
        )
        .current_dir(here)
        .output();
    if made.is_err() {
        return; // Without openssl the scripts say so, and nothing is left to test.
    }
    assert!(said("cert-check/check-cert.sh", here, &["cert.pem"]).contains("cert.pem"));
    assert!(said("cert-check/show-cert.sh", here, &["cert.pem"]).contains("plugins.example.org"));
}

/// The first file below a folder whose name ends so.
fn find(folder: &Path, end: &str) -> Option<PathBuf> {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.to_string_lossy().ends_with(end) {
                return Some(path);
            }
        }
    }
    None
}
