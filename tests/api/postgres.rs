//! The embedded cluster, with real processes: what it survives, and what it refuses in words a person can act on.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use embedded_postgres::Cluster;
use rustix::process::{Pid, Signal, geteuid, kill_process};
use tempfile::TempDir;

/// A place that PostgreSQL's user may enter when the tests run as root.
fn place() -> TempDir {
    let place = TempDir::new().unwrap();
    fs::set_permissions(place.path(), Permissions::from_mode(0o711)).unwrap();
    place
}

async fn start(folder: &Path) -> Cluster {
    let cluster = Cluster::claim(folder).await.unwrap();
    cluster.start().await.unwrap();
    cluster
}

async fn refusal(folder: &Path) -> String {
    let started = async { Cluster::claim(folder).await?.start().await };
    format!("{:#}", started.await.expect_err("should be refused"))
}

fn postmaster(folder: &Path) -> Pid {
    let file = fs::read_to_string(folder.join("data/postmaster.pid")).unwrap();
    Pid::from_raw(file.lines().next().unwrap().parse().unwrap()).unwrap()
}

/// Every process that works in this cluster, found by its working directory so that no other cluster is touched.
fn processes(folder: &Path) -> Vec<Pid> {
    let data = folder.canonicalize().unwrap().join("data");
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let ours = entries.filter(|it| fs::read_link(it.path().join("cwd")).is_ok_and(|cwd| cwd == data));
    ours.filter_map(|it| Pid::from_raw(it.file_name().to_str()?.parse().ok()?)).collect()
}

fn kill_all(folder: &Path) {
    for pid in processes(folder) {
        kill_process(pid, Signal::KILL).ok();
    }
}

#[tokio::test]
async fn a_cluster_is_made_stopped_and_started_again() {
    let place = place();
    let folder = place.path().join("new/postgres");
    let cluster = start(&folder).await;
    assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
    cluster.stop().await.unwrap();
    assert!(processes(&folder).is_empty());
    drop(cluster);
    start(&folder).await.stop().await.unwrap();
}

#[tokio::test]
async fn a_second_server_is_refused_on_the_same_folder() {
    let place = place();
    let folder = place.path().join("postgres");
    let cluster = start(&folder).await;
    let refusal = refusal(&folder).await;
    assert!(refusal.contains(&format!("another server (process {})", std::process::id())), "{refusal}");
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn what_a_killed_server_left_running_is_adopted() {
    let place = place();
    let folder = place.path().join("postgres");
    drop(start(&folder).await);
    let running = postmaster(&folder);
    let cluster = start(&folder).await;
    assert_eq!(postmaster(&folder), running);
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn what_was_left_running_is_adopted_in_a_renamed_folder() {
    let place = place();
    let (before, after) = (place.path().join("before"), place.path().join("after"));
    drop(start(&before).await);
    let running = postmaster(&before);
    fs::rename(&before, &after).unwrap();
    let cluster = start(&after).await;
    cluster.ensure_running().await.unwrap();
    assert_eq!(postmaster(&after), running, "it was not started again");
    cluster.stop().await.unwrap();
    assert!(processes(&after).is_empty());
}

#[tokio::test]
async fn a_start_that_was_given_up_can_be_stopped() {
    let place = place();
    let folder = place.path().join("postgres");
    start(&folder).await.stop().await.unwrap();
    let cluster = Cluster::claim(&folder).await.unwrap();
    // Until PostgreSQL runs, and no longer.
    while processes(&folder).is_empty() {
        tokio::time::timeout(Duration::from_millis(5), cluster.start()).await.ok();
    }
    cluster.stop().await.unwrap();
    assert!(processes(&folder).is_empty());
}

#[tokio::test]
async fn a_cluster_killed_whole_comes_back_again_and_again() {
    let place = place();
    let folder = place.path().join("postgres");
    let cluster = start(&folder).await;
    for _ in 0..3 {
        let killed = postmaster(&folder);
        kill_all(&folder);
        while postmaster(&folder) == killed {
            cluster.ensure_running().await.unwrap();
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    cluster.stop().await.unwrap();
    cluster.ensure_running().await.unwrap();
    assert!(processes(&folder).is_empty(), "a stopped cluster stays stopped");
}

#[tokio::test]
async fn a_stranger_with_the_number_of_the_dead_postmaster_is_no_hindrance() {
    let place = place();
    let folder = place.path().join("postgres");
    let cluster = start(&folder).await;
    let file = folder.join("data/postmaster.pid");
    let before = fs::read_to_string(&file).unwrap();
    kill_all(&folder);
    // A zombie is such a stranger, too: it has a number, and no command line.
    let mut stranger = std::process::Command::new("true").spawn().unwrap();
    let rest = before.split_once('\n').unwrap().1;
    for path in [file, folder.join(".s.PGSQL.5432.lock")] {
        fs::write(path, format!("{}\n{rest}", stranger.id())).unwrap();
    }
    drop(cluster);
    start(&folder).await.stop().await.unwrap();
    stranger.wait().unwrap();
}

#[tokio::test]
async fn a_first_start_cut_short_is_begun_anew() {
    let place = place();
    let folder = place.path().join("postgres");
    fs::create_dir_all(folder.join("initdb-1/base")).unwrap();
    start(&folder).await.stop().await.unwrap();
    assert!(!folder.join("initdb-1").exists());
}

#[tokio::test]
async fn an_empty_lock_file_of_a_crashed_machine_is_no_hindrance() {
    let place = place();
    let folder = place.path().join("postgres");
    start(&folder).await.stop().await.unwrap();
    fs::write(folder.join("data/postmaster.pid"), "").unwrap();
    start(&folder).await.stop().await.unwrap();
}

#[tokio::test]
async fn a_folder_deeper_than_a_socket_address_works() {
    let place = place();
    let folder = place.path().join("deep".repeat(30));
    let cluster = start(&folder).await;
    let url = cluster.url();
    let socket = url.split_once("host=").unwrap().1.split('&').next().unwrap();
    assert!(socket.starts_with("/tmp/marketplace-"), "{socket}");
    assert_eq!(fs::metadata(socket).unwrap().permissions().mode() & 0o777, 0o700);
    cluster.stop().await.unwrap();
    fs::remove_dir_all(socket).unwrap();
}

#[tokio::test]
async fn odd_characters_and_links_in_the_path_work() {
    let place = place();
    let folder = place.path().join("插件, \"quoted\" & 100%");
    let link = place.path().join("link");
    let cluster = start(&folder).await;
    assert!(cluster.url().contains("%E6%8F%92%E4%BB%B6%2C%20%22quoted%22%20%26%20100%25&sslmode"));
    drop(cluster);
    symlink(&folder, &link).unwrap();
    let running = postmaster(&folder);
    let cluster = start(&link).await;
    assert_eq!(postmaster(&folder), running);
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn data_of_another_version_is_refused_by_name() {
    let place = place();
    let folder = place.path().join("postgres");
    start(&folder).await.stop().await.unwrap();
    fs::write(folder.join("data/PG_VERSION"), "99\n").unwrap();
    let refusal = refusal(&folder).await;
    assert!(refusal.contains("PostgreSQL 99") && refusal.contains("apt-get install postgresql-99"), "{refusal}");
}

#[tokio::test]
async fn a_closed_folder_on_the_way_is_named() {
    if !geteuid().is_root() {
        return; // Only root starts PostgreSQL as somebody else.
    }
    let place = TempDir::new().unwrap();
    fs::set_permissions(place.path(), Permissions::from_mode(0o700)).unwrap();
    let refusal = refusal(&place.path().join("postgres")).await;
    let closed: PathBuf = place.path().canonicalize().unwrap();
    assert!(refusal.contains("as user postgres") && refusal.contains(closed.to_str().unwrap()), "{refusal}");
}

#[tokio::test]
async fn what_postgresql_says_is_in_the_error_when_it_cannot_start() {
    let place = place();
    let folder = place.path().join("postgres");
    start(&folder).await.stop().await.unwrap();
    fs::write(folder.join("data/postgresql.conf"), "no_such_setting = 1\n").unwrap();
    let refusal = refusal(&folder).await;
    assert!(refusal.contains("no_such_setting"), "{refusal}");
}

#[tokio::test]
async fn the_log_does_not_grow_for_ever() {
    let place = place();
    let folder = place.path().join("postgres");
    let cluster = start(&folder).await;
    let log = folder.join("postgres.log");
    fs::write(&log, vec![b'x'; 11 << 20]).unwrap();
    cluster.ensure_running().await.unwrap();
    assert_eq!(fs::metadata(&log).unwrap().len(), 0);
    cluster.stop().await.unwrap();
}
