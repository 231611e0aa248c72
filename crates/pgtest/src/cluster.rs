//! The cluster: finding Postgres, starting it once, finding it running.

use std::fs::File;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::fcntl::{Flock, FlockArg};
use nix::unistd::{Uid, User};

/// Superuser of the test cluster.
const SUPERUSER: &str = "concord";
/// Longest path of a Unix socket's folder that leaves room for the socket's own name.
const MAX_SOCKET_FOLDER: usize = 85;

/// Why there is no test database.
#[derive(Debug, thiserror::Error)]
pub enum PgTestError {
    /// No binaries anywhere.
    #[error(
        "Postgres is needed for this test and was not found: put initdb and pg_ctl into the PATH, install Debian's \
         postgresql, or set CONCORD_PG_BIN to the folder that holds them"
    )]
    NotFound,
    /// A file or folder could not be used.
    #[error("{} cannot be used for the test cluster", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// initdb or pg_ctl failed.
    #[error("{command} failed: {output}")]
    Command {
        /// Which program.
        command: &'static str,
        /// What it said.
        output: String,
    },
    /// Postgres answered with an error.
    #[error("the test cluster refused")]
    Database(#[source] sqlx::Error),
    /// The workspace's migrations do not apply.
    #[error("the workspace's migrations do not apply")]
    Migration(#[source] sqlx::migrate::MigrateError),
    /// A background task was lost.
    #[error("starting the test cluster was interrupted")]
    Task(#[source] tokio::task::JoinError),
}

impl PgTestError {
    pub(crate) fn file(path: &Path, source: io::Error) -> Self {
        Self::File { path: path.to_owned(), source }
    }

    pub(crate) fn database(source: sqlx::Error) -> Self {
        Self::Database(source)
    }

    pub(crate) fn migration(source: sqlx::migrate::MigrateError) -> Self {
        Self::Migration(source)
    }

    pub(crate) fn task(source: tokio::task::JoinError) -> Self {
        Self::Task(source)
    }
}

/// A running cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    port: u16,
}

impl Cluster {
    /// Finds the workspace's test cluster running, or starts it.
    pub fn ensure() -> Result<Self, PgTestError> {
        let place = Place::find()?;
        let _lock = place.lock()?;
        if let Some(port) = place.running_port() {
            return Ok(Self { port });
        }
        place.start().map(|port| Self { port })
    }

    /// The URL of one of its databases.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://{SUPERUSER}@127.0.0.1:{}/{database}", self.port)
    }
}

/// Stops the workspace's test cluster, if it runs. Its databases stay until the folder is deleted.
pub fn stop() -> Result<(), PgTestError> {
    let place = Place::find()?;
    let _lock = place.lock()?;
    if place.running_port().is_none() {
        return Ok(());
    }
    let mut command = place.command("pg_ctl")?;
    command.arg("-D").arg(place.data()).args(["-m", "immediate", "-w", "stop"]);
    run("pg_ctl stop", command)
}

/// Where the cluster lives, and as whom it runs.
#[derive(Debug)]
struct Place {
    folder: PathBuf,
    user: Option<User>,
}

impl Place {
    fn find() -> Result<Self, PgTestError> {
        let user = match Uid::effective().is_root() {
            true => unprivileged_user(),
            false => None,
        };
        let wanted = match std::env::var_os("CONCORD_PGTEST_DIR") {
            Some(folder) => PathBuf::from(folder),
            None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/pgtest"),
        };
        std::fs::create_dir_all(&wanted).map_err(|error| PgTestError::file(&wanted, error))?;
        let wanted = wanted.canonicalize().map_err(|error| PgTestError::file(&wanted, error))?;
        let folder = match user {
            Some(_) if !open_to_others(&wanted) => fallback(&wanted)?,
            Some(_) | None => wanted,
        };
        if let Some(user) = &user {
            let (uid, gid) = (user.uid.as_raw(), user.gid.as_raw());
            chown(&folder, Some(uid), Some(gid)).map_err(|error| PgTestError::file(&folder, error))?;
        }
        Ok(Self { folder, user })
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn lock(&self) -> Result<Flock<File>, PgTestError> {
        let path = self.folder.join("lock");
        let file = File::create(&path).map_err(|error| PgTestError::file(&path, error))?;
        Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, errno)| PgTestError::file(&path, errno.into()))
    }

    /// The port of the cluster, when its postmaster lives and listens. Line 1 of `postmaster.pid` is the process, line 4
    /// the port.
    fn running_port(&self) -> Option<u16> {
        let text = std::fs::read_to_string(self.data().join("postmaster.pid")).ok()?;
        let mut lines = text.lines();
        let pid: u32 = lines.next()?.trim().parse().ok()?;
        let port: u16 = lines.nth(2)?.trim().parse().ok()?;
        let alive = Path::new("/proc").join(pid.to_string()).exists();
        let address = ([127, 0, 0, 1], port).into();
        (alive && TcpStream::connect_timeout(&address, Duration::from_secs(2)).is_ok()).then_some(port)
    }

    fn start(&self) -> Result<u16, PgTestError> {
        if !self.data().join("PG_VERSION").exists() {
            self.init()?;
        }
        let port = free_port().map_err(|error| PgTestError::file(&self.folder, error))?;
        let socket = match self.folder.as_os_str().len() <= MAX_SOCKET_FOLDER {
            true => self.folder.display().to_string(),
            false => String::new(),
        };
        let settings = [
            "-c listen_addresses=127.0.0.1".to_owned(),
            format!("-c port={port}"),
            format!("-c unix_socket_directories='{socket}'"),
            "-c fsync=off -c synchronous_commit=off -c full_page_writes=off".to_owned(),
            "-c max_connections=300 -c shared_buffers=128MB -c max_wal_size=512MB".to_owned(),
            "-c autovacuum_naptime=10s -c jit=off -c timezone=UTC".to_owned(),
        ];
        let mut command = self.command("pg_ctl")?;
        command.arg("-D").arg(self.data()).arg("-l").arg(self.folder.join("log"));
        command.arg("-o").arg(settings.join(" ")).args(["-w", "-t", "60", "start"]);
        run("pg_ctl start", command)?;
        Ok(port)
    }

    fn init(&self) -> Result<(), PgTestError> {
        let data = self.data();
        // What a killed initdb left is no cluster.
        if data.exists() {
            std::fs::remove_dir_all(&data).map_err(|error| PgTestError::file(&data, error))?;
        }
        let mut command = self.command("initdb")?;
        command.arg("-D").arg(&data).args(["-U", SUPERUSER, "--auth=trust", "-E", "UTF8", "--locale=C"]);
        command.args(["--no-sync", "--no-instructions"]);
        run("initdb", command)
    }

    fn command(&self, program: &str) -> Result<Command, PgTestError> {
        let mut command = Command::new(binaries().ok_or(PgTestError::NotFound)?.join(program));
        command.current_dir(&self.folder).env_remove("PGDATA").env("LC_ALL", "C");
        if let Some(user) = &self.user {
            command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
        }
        Ok(command)
    }
}

/// Postgres refuses to run as root.
fn unprivileged_user() -> Option<User> {
    ["postgres", "nobody"].iter().find_map(|name| User::from_name(name).ok().flatten())
}

/// True when every folder on the way may be entered by anybody.
fn open_to_others(folder: &Path) -> bool {
    folder
        .parent()
        .into_iter()
        .flat_map(Path::ancestors)
        .all(|ancestor| ancestor.metadata().is_ok_and(|metadata| metadata.permissions().mode() & 0o001 != 0))
}

/// A folder under `/tmp` that belongs to the wanted one, made by us and by nobody else.
fn fallback(wanted: &Path) -> Result<PathBuf, PgTestError> {
    let bytes = wanted.as_os_str().as_encoded_bytes();
    let hash = bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3));
    let folder = std::env::temp_dir().join(format!("concord-pgtest-{hash:016x}"));
    match std::fs::DirBuilder::new().mode(0o700).create(&folder) {
        Ok(()) => Ok(folder),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let owner = folder.metadata().map_err(|error| PgTestError::file(&folder, error))?.uid();
            let ours = [Some(0), unprivileged_user().map(|user| user.uid.as_raw())].contains(&Some(owner));
            match ours {
                true => Ok(folder),
                false => Err(PgTestError::file(&folder, io::Error::other("it belongs to somebody else"))),
            }
        }
        Err(error) => Err(PgTestError::file(&folder, error)),
    }
}

/// The folder that holds `initdb` and `pg_ctl`.
fn binaries() -> Option<PathBuf> {
    let complete = |folder: &PathBuf| folder.join("initdb").exists() && folder.join("pg_ctl").exists();
    if let Some(folder) = std::env::var_os("CONCORD_PG_BIN").map(PathBuf::from) {
        return Some(folder).filter(complete);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    // A `pg_ctl` in the PATH is often a link into the folder that has the rest.
    let linked = |folder: PathBuf| folder.join("pg_ctl").canonicalize().ok()?.parent().map(Path::to_owned);
    if let Some(found) = std::env::split_paths(&path).filter_map(linked).find(complete) {
        return Some(found);
    }
    let mut versions: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .ok()?
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .collect();
    versions.sort();
    versions.into_iter().rev().map(|(_, folder)| folder).find(complete)
}

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// Runs a program to its end. Its output goes to a file first: a daemon that inherited our pipe would keep it open.
fn run(name: &'static str, mut command: Command) -> Result<(), PgTestError> {
    let failed = |output: String| PgTestError::Command { command: name, output };
    let output = std::env::temp_dir().join(format!("concord-pgtest-{}-{}", std::process::id(), name.replace(' ', "-")));
    let file = File::create(&output).map_err(|error| PgTestError::file(&output, error))?;
    let errors = file.try_clone().map_err(|error| PgTestError::file(&output, error))?;
    let status = command.stdin(Stdio::null()).stdout(file).stderr(errors).status();
    let text = std::fs::read_to_string(&output).unwrap_or_default();
    let _ = std::fs::remove_file(&output);
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(failed(format!("{status}; {}", text.trim()))),
        Err(error) => Err(failed(error.to_string())),
    }
}
