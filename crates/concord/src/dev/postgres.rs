//! The stack's private Postgres cluster: its folder, its making, and how it is run.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::Signal;
use nix::unistd::{Uid, User};
use tokio::process::Command;

use super::child::{ChildSpec, RunAs};
use super::identity::Identity;
use super::programs::Programs;
use super::state::StateDir;

/// The role everything connects as.
pub const ROLE: &str = "concord";
/// Where data goes when the account that runs Postgres may not enter the state folder.
const OUTSIDE: &str = "/var/tmp";
const OUTSIDE_PREFIX: &str = "concord-postgres-";
/// A fast shutdown writes a checkpoint; this is far more than one takes on a slow disk.
const STOP_GRACE: Duration = Duration::from_secs(15);

/// A cluster that is made and can be run.
#[derive(Debug)]
pub struct Cluster {
    data: PathBuf,
    bin: PathBuf,
    run_as: Option<RunAs>,
    password: String,
}

impl Cluster {
    /// Where the cluster of this state folder lies, made or not.
    ///
    /// # Errors
    /// When we are root and no other account can run Postgres.
    pub fn locate(state: &StateDir, programs: &Programs, identity: &Identity) -> Result<Self> {
        let run_as = account()?;
        let data = match &run_as {
            Some(account) if !may_enter(state.root(), account) => {
                Path::new(OUTSIDE).join(format!("{OUTSIDE_PREFIX}{}", identity.stack)).join("data")
            }
            _ => state.path("postgres"),
        };
        Ok(Self { data, bin: programs.postgres.clone(), run_as, password: identity.database_password.clone() })
    }

    /// The data folder.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Makes the cluster where it is missing. Afterwards [`Cluster::child`] can be run.
    ///
    /// # Errors
    /// When `initdb` fails, or the folder was made by another major version of Postgres.
    pub async fn prepare(&self, state: &StateDir) -> Result<()> {
        if self.data.join("PG_VERSION").is_file() {
            self.check_version().await?;
            // Whoever held it is gone (see `leftovers`); its process id may be anybody's by now.
            remove_if_there(&self.data.join("postmaster.pid"))?;
            return Ok(());
        }
        let parent = self.data.parent().context("the data folder lies in a folder")?;
        if parent != state.root() {
            fs::create_dir_all(parent).with_context(|| format!("{} cannot be made", parent.display()))?;
            fs::write(parent.join("state-dir"), state.root().as_os_str().as_encoded_bytes())?;
        }
        // Made beside its place and moved there, so that a cluster is there whole or not at all.
        let fresh = self.data.with_extension("new");
        if fresh.exists() {
            fs::remove_dir_all(&fresh).context("a half-made cluster cannot be removed")?;
        }
        fs::create_dir(&fresh).with_context(|| format!("{} cannot be made", fresh.display()))?;
        fs::set_permissions(&fresh, fs::Permissions::from_mode(0o700))?;
        let password = fresh.with_extension("password");
        super::state::replace(&password, &self.password, 0o600)?;
        if let Some(account) = &self.run_as {
            for path in [&fresh, &password] {
                chown(path, Some(account.uid), Some(account.gid)).context("the data folder cannot be handed over")?;
            }
        }
        let made = self.initdb(&fresh, &password).await;
        remove_if_there(&password)?;
        made?;
        fs::rename(&fresh, &self.data).context("the new cluster cannot be moved to its place")
    }

    async fn initdb(&self, folder: &Path, password: &Path) -> Result<()> {
        let mut command = Command::new(self.bin.join("initdb"));
        command
            .args(["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync", "--username", ROLE])
            .arg("--pwfile")
            .arg(password)
            .arg("--pgdata")
            .arg(folder)
            .current_dir("/")
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("LC_ALL", "C");
        if let Some(account) = &self.run_as {
            command.uid(account.uid).gid(account.gid);
        }
        let output = command.output().await.context("initdb cannot be run")?;
        ensure!(output.status.success(), "initdb failed: {}", String::from_utf8_lossy(&output.stderr).trim());
        Ok(())
    }

    async fn check_version(&self) -> Result<()> {
        let made_by = fs::read_to_string(self.data.join("PG_VERSION")).context("PG_VERSION cannot be read")?;
        let output = Command::new(self.bin.join("postgres")).arg("--version").output().await?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let ours = text.rsplit(") ").next().unwrap_or_default().split('.').next().unwrap_or_default().trim().to_owned();
        ensure!(
            ours == made_by.trim(),
            "the data in {} was made by Postgres {}, the programs in {} are version {ours}: set CONCORD_PG_BIN or start afresh with `make clean`",
            self.data.display(),
            made_by.trim(),
            self.bin.display(),
        );
        Ok(())
    }

    /// How the cluster is run on a port of loopback.
    pub fn child(&self, port: u16, log: PathBuf, programs: &Programs) -> ChildSpec {
        let settings = [
            "listen_addresses=127.0.0.1".to_owned(),
            format!("port={port}"),
            // TCP alone: a socket's path may be longer than the system allows.
            "unix_socket_directories=".to_owned(),
            "max_connections=300".to_owned(),
            "shared_buffers=256MB".to_owned(),
            "fsync=on".to_owned(),
            "synchronous_commit=on".to_owned(),
            "max_wal_size=2GB".to_owned(),
            "checkpoint_timeout=15min".to_owned(),
            "jit=off".to_owned(),
            "log_line_prefix=%m [%p] %q%u@%d %a ".to_owned(),
            "log_min_duration_statement=2000".to_owned(),
            "timezone=UTC".to_owned(),
        ];
        let mut args = vec!["-D".to_owned(), self.data.to_string_lossy().into_owned()];
        args.extend(settings.into_iter().flat_map(|setting| ["-c".to_owned(), setting]));
        ChildSpec {
            name: "postgres".to_owned(),
            replica: 0,
            program: self.bin.join("postgres"),
            args,
            env: vec![("PATH".to_owned(), "/usr/bin:/bin".to_owned()), ("LC_ALL".to_owned(), "C".to_owned())],
            log,
            http: None,
            run_as: self.run_as.clone(),
            stop: Signal::SIGINT,
            grace: STOP_GRACE,
            setpriv: programs.setpriv.clone(),
        }
    }

    /// The URL of one of its databases.
    pub fn url(&self, port: u16, database: &str) -> String {
        format!("postgres://{ROLE}:{}@127.0.0.1:{port}/{database}", self.password)
    }
}

/// Postgres refuses to run as root; then it runs as `postgres`, or as `nobody` where that account does not exist.
fn account() -> Result<Option<RunAs>> {
    if !Uid::effective().is_root() {
        return Ok(None);
    }
    for name in ["postgres", "nobody"] {
        if let Some(user) = User::from_name(name).context("the accounts of this machine cannot be read")? {
            return Ok(Some(RunAs { uid: user.uid.as_raw(), gid: user.gid.as_raw() }));
        }
    }
    bail!("Postgres does not run as root, and there is neither an account postgres nor nobody to run it as")
}

/// May the account reach this folder: is every folder on the way open to it?
fn may_enter(folder: &Path, account: &RunAs) -> bool {
    folder.ancestors().all(|step| {
        fs::metadata(step).is_ok_and(|meta| {
            let bits = meta.mode();
            bits & 0o001 != 0
                || (meta.gid() == account.gid && bits & 0o010 != 0)
                || (meta.uid() == account.uid && bits & 0o100 != 0)
        })
    })
}

fn remove_if_there(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{} cannot be removed", path.display()))
        }
        _ => Ok(()),
    }
}

/// Removes data folders outside of state folders that are gone or have become another stack's.
pub fn sweep_outside() {
    for entry in fs::read_dir(OUTSIDE).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(stack) = name.strip_prefix(OUTSIDE_PREFIX) else { continue };
        let Ok(owner) = fs::read_to_string(path.join("state-dir")) else { continue };
        let identity = Path::new(&owner).join("secrets/identity.json");
        let owned = match fs::read_to_string(identity) {
            Ok(text) => text.contains(stack),
            // Unreadable is not gone.
            Err(error) => error.kind() != std::io::ErrorKind::NotFound,
        };
        if !owned {
            let _ = fs::remove_dir_all(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_folder_on_the_way_keeps_another_account_out() {
        let top = tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o755)).tempdir().unwrap();
        let inner = top.path().join("inner");
        fs::create_dir(&inner).unwrap();
        let stranger = RunAs { uid: 54_321, gid: 54_321 };
        assert!(may_enter(&inner, &stranger));
        fs::set_permissions(top.path(), fs::Permissions::from_mode(0o700)).unwrap();
        assert!(!may_enter(&inner, &stranger));
        let owner = fs::metadata(top.path()).unwrap().uid();
        assert!(may_enter(top.path(), &RunAs { uid: owner, gid: 54_321 }), "its owner may");
    }
}
