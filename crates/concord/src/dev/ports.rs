//! Ports: the default if it is free, else any, and never one that another stack on this machine is about to take.

use std::fs::{self, File, OpenOptions};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use anyhow::{Result, bail};

/// Below the range from which Linux takes the ports of outgoing connections, so that a restarted child finds its port free.
const ANY: std::ops::Range<u16> = 20_000..30_000;
/// Ports tried before giving up.
const ATTEMPTS: usize = 2_000;

/// The ports of one stack, held against other stacks until this is dropped.
#[derive(Debug)]
pub struct Ports {
    chance: fastrand::Rng,
    folder: PathBuf,
    held: Vec<File>,
}

impl Ports {
    /// Starts with nothing held. `seed` spreads stacks that start together over the range.
    pub fn new(seed: u64) -> Self {
        let folder = std::env::temp_dir().join("concord-ports");
        // Best effort: without the folder two stacks that start in the same second may pick the same port, and the
        // later one fails to bind and says so.
        if fs::create_dir(&folder).is_ok() {
            let _ = fs::set_permissions(&folder, fs::Permissions::from_mode(0o1777));
        }
        Self { chance: fastrand::Rng::with_seed(seed), folder, held: Vec::new() }
    }

    /// A free port on loopback: `preferred`, or any.
    ///
    /// # Errors
    /// When none of many is free.
    pub fn claim(&mut self, preferred: u16) -> Result<u16> {
        if self.take(preferred) {
            return Ok(preferred);
        }
        for _ in 0..ATTEMPTS {
            let port = self.chance.u16(ANY);
            if self.take(port) {
                return Ok(port);
            }
        }
        bail!("no free port between {} and {} was found", ANY.start, ANY.end)
    }

    fn take(&mut self, port: u16) -> bool {
        let Some(lock) = self.lock(port) else { return false };
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_err() {
            return false;
        }
        self.held.extend(lock);
        true
    }

    /// `None`: another stack holds it. `Some(None)`: holding is not possible here.
    fn lock(&self, port: u16) -> Option<Option<File>> {
        let path = self.folder.join(port.to_string());
        let file = File::open(&path).or_else(|_| OpenOptions::new().create(true).append(true).open(&path));
        match file {
            Ok(file) => file.try_lock().is_ok().then_some(Some(file)),
            Err(_) => Some(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_default_gives_way_to_any_other_and_stacks_do_not_share() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let taken = listener.local_addr().unwrap().port();
        let (mut one, mut two) = (Ports::new(7), Ports::new(7));
        let first = one.claim(taken).unwrap();
        assert_ne!(first, taken);
        let second = two.claim(first).unwrap();
        assert_ne!(second, first, "held by the other stack although nobody listens yet");
        drop(one);
        assert_eq!(two.claim(first).unwrap(), first, "free again");
    }
}
