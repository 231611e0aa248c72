//! Processes of an earlier stack in the same state folder, left behind because it was killed before it could stop them.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Marks every child with the state folder it belongs to.
pub const MARK: &str = "CONCORD_STACK";
/// As long as a service may drain, and a little.
const GRACE: Duration = Duration::from_secs(27);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Finds and ends them: the services first, then, when those are gone, Postgres.
///
/// # Errors
/// When one survives even SIGKILL.
pub async fn clear(state_dir: &Path, data_dir: &Path) -> Result<usize> {
    let services = || marked(state_dir);
    let postgres = || inside(data_dir);
    let found = services().len() + postgres().len();
    end(&services, Signal::SIGTERM).await?;
    end(&postgres, Signal::SIGINT).await?;
    Ok(found)
}

async fn end(find: &dyn Fn() -> Vec<Pid>, signal: Signal) -> Result<()> {
    let start = Instant::now();
    for pid in find() {
        let _ = kill(pid, signal);
        let _ = kill(pid, Signal::SIGCONT);
    }
    while !find().is_empty() {
        if start.elapsed() > GRACE {
            for pid in find() {
                let _ = kill(pid, Signal::SIGKILL);
            }
        }
        if start.elapsed() > GRACE + Duration::from_secs(5) {
            bail!("processes of an earlier stack cannot be ended: {:?}", find());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(())
}

fn processes() -> impl Iterator<Item = (Pid, PathBuf)> {
    fs::read_dir("/proc").into_iter().flatten().filter_map(|entry| {
        let path = entry.ok()?.path();
        let id: i32 = path.file_name()?.to_str()?.parse().ok()?;
        Some((Pid::from_raw(id), path))
    })
}

/// Ended but not yet collected by its parent; there is nothing left to stop.
fn is_zombie(proc: &Path) -> bool {
    let stat = fs::read_to_string(proc.join("stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('Z') || rest.starts_with('X'))
}

/// Processes whose environment carries the mark of this state folder.
pub fn marked(state_dir: &Path) -> Vec<Pid> {
    let mark = [MARK.as_bytes(), b"=", state_dir.as_os_str().as_bytes()].concat();
    processes()
        .filter(|(pid, path)| {
            *pid != Pid::this()
                && fs::read(path.join("environ")).is_ok_and(|env| env.split(|b| *b == 0).any(|entry| entry == mark))
                && !is_zombie(path)
        })
        .map(|(pid, _)| pid)
        .collect()
}

/// Processes that work inside a folder. Every process of Postgres does so in its data folder, and overwrites its environment.
fn inside(folder: &Path) -> Vec<Pid> {
    processes()
        .filter(|(_, path)| fs::read_link(path.join("cwd")).is_ok_and(|cwd| cwd == folder) && !is_zombie(path))
        .map(|(pid, _)| pid)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_an_earlier_stack_left_is_ended_and_nothing_else() {
        let (mine, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let start = |folder: &Path| {
            std::process::Command::new("/bin/sleep").arg("600").env(MARK, folder).spawn().expect("sleep runs")
        };
        let (mut left, mut stranger) = (start(mine.path()), start(other.path()));
        assert_eq!(clear(mine.path(), Path::new("/nonexistent")).await.unwrap(), 1);
        assert!(left.wait().unwrap().code().is_none(), "ended by a signal");
        assert!(stranger.try_wait().unwrap().is_none(), "the other stack's process still runs");
        stranger.kill().unwrap();
        stranger.wait().unwrap();
    }
}
