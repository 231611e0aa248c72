//! The state folder: what lies where in it, and that one folder has one stack.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// A state folder that this process alone uses.
#[derive(Debug)]
pub struct StateDir {
    root: PathBuf,
    _lock: File,
}

impl StateDir {
    /// Creates the folder where it is missing and takes it for this process.
    ///
    /// # Errors
    /// When it cannot be written, or another stack runs in it.
    pub fn take(path: &Path) -> Result<Self> {
        let named = || format!("the state folder {} cannot be used", path.display());
        fs::create_dir_all(path).with_context(named)?;
        let root = path.canonicalize().with_context(named)?;
        let lock_path = root.join("lock");
        let mut lock = OpenOptions::new().create(true).append(true).open(&lock_path).with_context(named)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let holder = fs::read_to_string(&lock_path).unwrap_or_default();
                bail!("a stack already runs in {} (process {})", root.display(), holder.trim());
            }
            Err(TryLockError::Error(error)) => return Err(error).with_context(named),
        }
        lock.set_len(0).and_then(|()| writeln!(lock, "{}", std::process::id())).with_context(named)?;
        for folder in ["logs", "secrets"] {
            fs::create_dir_all(root.join(folder)).with_context(named)?;
        }
        fs::set_permissions(root.join("secrets"), fs::Permissions::from_mode(0o700)).with_context(named)?;
        Ok(Self { root, _lock: lock })
    }

    /// The folder, canonical.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A file or folder in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Where the outside reads what runs and where: `dev.json`.
    pub fn manifest(&self) -> PathBuf {
        self.path("dev.json")
    }

    /// The log of one child. The log of the stack before is kept beside it as `.1`.
    pub fn log(&self, name: &str, replica: usize) -> PathBuf {
        self.root.join("logs").join(format!("{name}-{replica}.log"))
    }

    /// Moves last time's logs aside.
    ///
    /// # Errors
    /// When the logs folder cannot be read or changed.
    pub fn rotate_logs(&self) -> Result<()> {
        for entry in fs::read_dir(self.path("logs")).context("the logs folder cannot be read")? {
            let path = entry?.path();
            if path.extension().is_some_and(|e| e == "log") {
                fs::rename(&path, path.with_extension("log.1")).context("an old log cannot be moved aside")?;
            }
        }
        Ok(())
    }

    /// Writes a file that only we may read, whole or not at all.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.path(name);
        replace(&path, text, 0o600)?;
        Ok(path)
    }
}

/// Replaces a file atomically: a reader sees the old text or the new one.
///
/// # Errors
/// When the file cannot be written beside its place or moved there.
pub fn replace(path: &Path, text: &str, mode: u32) -> Result<()> {
    let named = || format!("{} cannot be written", path.display());
    let mut name = path.file_name().context("a file needs a name")?.to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let beside = path.with_file_name(name);
    let mut file =
        OpenOptions::new().create(true).truncate(true).write(true).mode(mode).open(&beside).with_context(named)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).with_context(named)?;
    fs::rename(&beside, path).with_context(named)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_folder_has_one_stack() {
        let folder = tempfile::tempdir().unwrap();
        let first = StateDir::take(folder.path()).unwrap();
        let refused = StateDir::take(folder.path()).unwrap_err().to_string();
        assert!(refused.contains("already runs") && refused.contains(&std::process::id().to_string()), "{refused}");
        drop(first);
        StateDir::take(folder.path()).unwrap();
    }

    #[test]
    fn secrets_are_for_us_alone() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::take(folder.path()).unwrap();
        let path = state.write("secrets/key", "k").unwrap();
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(state.path("secrets")).unwrap().permissions().mode() & 0o777, 0o700);
    }
}
