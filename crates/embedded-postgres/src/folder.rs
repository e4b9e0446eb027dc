//! The folder of a cluster: made, claimed for one server and one user, and never longer than a socket address.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::fs::{FlockOperation, flock};
use rustix::process::geteuid;
use tokio::time::sleep;

pub(super) const SOCKET: &str = ".s.PGSQL.5432";
/// `sun_path` holds 108 bytes, the closing zero included.
const LONGEST_SOCKET_PATH: usize = 107;
const LARGEST_LOG: u64 = 10 * 1024 * 1024;

/// A folder that this process alone uses for as long as this value lives.
pub(super) struct Folder {
    /// Absolute and without symbolic links.
    pub(super) path: PathBuf,
    /// Usually the same; see [`socket_folder`].
    pub(super) socket: PathBuf,
    /// Whom PostgreSQL runs as, if not as us.
    pub(super) account: Option<Account>,
    _lock: File,
}

impl Folder {
    /// Makes the folder if absent, and takes it unless another server has it.
    pub(super) async fn claim(path: &Path) -> Result<Folder> {
        let us = || format!("cannot use the folder {} as user {}", path.display(), user_name(geteuid().as_raw()));
        let path = make(path).with_context(us)?;
        let account = Account::for_cluster(&path)?;
        let lock = open(&path.join("lock"), account.as_ref()).with_context(us)?;
        exclude_others(&path, &lock).await?;
        give(&path, account.as_ref())?;
        let socket = socket_folder(&path, account.as_ref())?;
        Ok(Folder { path, socket, account, _lock: lock })
    }

    pub(super) fn data(&self) -> PathBuf {
        self.path.join("data")
    }

    /// What PostgreSQL says, kept short. It appends, so emptying works while it runs.
    pub(super) fn open_log(&self) -> Result<File> {
        let log = open(&self.path.join("postgres.log"), self.account.as_ref())?;
        if log.metadata()?.len() > LARGEST_LOG {
            log.set_len(0)?;
        }
        Ok(log)
    }

    /// Names the folder on the way that is closed to the user PostgreSQL runs as.
    pub(super) fn check_reachable(&self) -> Result<()> {
        let Some(Account { name, uid, gid }) = &self.account else {
            return Ok(());
        };
        let mut ancestors = self.path.ancestors().collect::<Vec<_>>();
        ancestors.reverse();
        for folder in ancestors {
            let metadata = fs::metadata(folder)?;
            let needed = match metadata {
                _ if metadata.uid() == *uid => 0o100,
                _ if metadata.gid() == *gid => 0o010,
                _ => 0o001,
            };
            ensure!(
                metadata.mode() & needed != 0,
                "PostgreSQL runs as user {name} (never as root), who may not enter {}: run `chmod o+x {0}`, \
                 or choose another data_dir than one below it",
                folder.display()
            );
        }
        Ok(())
    }
}

/// The socket's folder of a cluster that another process has claimed.
pub(super) fn socket_of_other(path: &Path) -> Option<PathBuf> {
    let path = path.canonicalize().ok()?;
    let lock = File::open(path.join("lock")).ok()?;
    if flock(&lock, FlockOperation::NonBlockingLockShared).is_ok() {
        return None;
    }
    socket_folder(&path, Account::for_cluster(&path).ok()?.as_ref()).ok()
}

/// Whatever the umask: closed to others, but as root with parents that the user of PostgreSQL may pass through.
fn make(path: &Path) -> io::Result<PathBuf> {
    let path = std::path::absolute(path)?;
    let missing = path.ancestors().take_while(|it| !it.exists()).collect::<Vec<_>>();
    for folder in missing.into_iter().rev() {
        fs::create_dir(folder)?;
        let mode = if geteuid().is_root() { 0o711 } else { 0o700 };
        fs::set_permissions(folder, Permissions::from_mode(mode))?;
    }
    fs::set_permissions(&path, Permissions::from_mode(0o700))?;
    path.canonicalize()
}

/// Opened for appending, and open to the user of PostgreSQL too, should that user run the next server.
fn open(path: &Path, account: Option<&Account>) -> io::Result<File> {
    let file = OpenOptions::new().create(true).append(true).read(true).mode(0o600).open(path)?;
    give(path, account)?;
    Ok(file)
}

fn give(path: &Path, account: Option<&Account>) -> io::Result<()> {
    account.map_or(Ok(()), |account| chown(path, Some(account.uid), Some(account.gid)))
}

async fn exclude_others(path: &Path, mut lock: &File) -> Result<()> {
    // A killed server takes a moment to be gone.
    let deadline = Instant::now() + Duration::from_secs(1);
    while flock(lock, FlockOperation::NonBlockingLockExclusive).is_err() {
        if Instant::now() > deadline {
            let holder = fs::read_to_string(path.join("lock")).unwrap_or_default();
            bail!("another server (process {holder}) already uses {}", path.display());
        }
        sleep(Duration::from_millis(20)).await;
    }
    lock.set_len(0)?;
    write!(lock, "{}", std::process::id())?;
    Ok(())
}

/// The folder itself, unless its name is too long for a socket. Then a private one below `/tmp`, named after the inode:
/// short, and found again by the next server.
fn socket_folder(path: &Path, account: Option<&Account>) -> Result<PathBuf> {
    if path.join(SOCKET).as_os_str().len() <= LONGEST_SOCKET_PATH {
        return Ok(path.to_owned());
    }
    let home = fs::metadata(path)?;
    let short = PathBuf::from(format!("/tmp/marketplace-{:x}-{:x}", home.dev(), home.ino()));
    DirBuilder::new().mode(0o700).create(&short).ok();
    // Anyone may make a folder in /tmp: one that we did not make is a trap.
    let found = fs::symlink_metadata(&short)?;
    let ours = found.uid() == home.uid() || found.uid() == geteuid().as_raw();
    ensure!(found.is_dir() && ours && found.mode() & 0o077 == 0, "{} is not a private folder of ours", short.display());
    give(&short, account)?;
    Ok(short)
}

/// The user PostgreSQL runs as when we are root, which it refuses to be.
#[derive(Clone)]
pub(super) struct Account {
    pub(super) name: String,
    pub(super) uid: u32,
    pub(super) gid: u32,
}

impl Account {
    /// The owner of the cluster, else `postgres`, else `nobody`; none when we are an ordinary user.
    fn for_cluster(folder: &Path) -> Result<Option<Account>> {
        if !geteuid().is_root() {
            return Ok(None);
        }
        let owner = fs::metadata(folder.join("data")).or_else(|_| fs::metadata(folder))?;
        let accounts = Account::all();
        if owner.uid() != 0 {
            let known = accounts.into_iter().find(|it| it.uid == owner.uid());
            let unknown = || Account { name: user_name(owner.uid()), uid: owner.uid(), gid: owner.gid() };
            return Ok(Some(known.unwrap_or_else(unknown)));
        }
        let account = ["postgres", "nobody"].iter().find_map(|name| accounts.iter().find(|it| it.name == *name));
        account.cloned().map(Some).context("PostgreSQL refuses to run as root, and there is no user postgres or nobody")
    }

    fn all() -> Vec<Account> {
        let account = |line: &str| {
            let mut fields = line.split(':');
            let (name, _, uid, gid) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
            Some(Account { name: name.to_owned(), uid: uid.parse().ok()?, gid: gid.parse().ok()? })
        };
        fs::read_to_string("/etc/passwd").unwrap_or_default().lines().filter_map(account).collect()
    }
}

fn user_name(uid: u32) -> String {
    let account = Account::all().into_iter().find(|it| it.uid == uid);
    account.map_or_else(|| format!("number {uid}"), |it| it.name)
}
