//! Crash points (semantics §2.10): where a test lets a real process die, without destructor and without drain.
//!
//! There are none in a build without debug assertions: [`point`] is empty, [`records`], [`remote`] and `bus` hand back
//! what they were given, and the setting that would arm them is refused. In other builds a process that was given a folder
//! in `CONCORD_CRASH_POINTS` looks, whenever it passes the point `K7`, for the file `SERVICE.K7` there; if it is the one
//! that removes it, it dies. So a point strikes once, whoever passes it, and not again after the restart.

use std::sync::Arc;

use model::Remote;
use store::records::Records;

use crate::bus::Bus;
use crate::settings::{SettingError, Settings, Topics};

mod points;
#[cfg(debug_assertions)]
mod ports;
#[cfg(test)]
mod tests;

pub use points::point;

const SETTING: &str = "CONCORD_CRASH_POINTS";

/// Arms the points of this process, when it was asked for.
///
/// # Errors
/// In a build that has none, or when the folder is not there.
pub(crate) fn arm(service: &str, settings: &Settings) -> Result<(), SettingError> {
    let Some(folder) = settings.path(SETTING) else { return Ok(()) };
    let shown = folder.display().to_string();
    if !cfg!(debug_assertions) {
        return Err(SettingError::wrong(SETTING, shown, "nothing: this build has no crash points"));
    }
    if !folder.is_dir() {
        return Err(SettingError::wrong(SETTING, shown, "a folder that is there"));
    }
    points::arm(service, folder);
    Ok(())
}

/// Transactions with the points K1 (intake, before it commits), K2 (after that) and K12 (after any other transaction).
pub fn records(records: Arc<dyn Records>) -> Arc<dyn Records> {
    #[cfg(debug_assertions)]
    if points::armed() {
        return Arc::new(ports::Records(records));
    }
    records
}

/// A side with the points K3 (after a read), K6 (before a write) and K7 (after one that landed).
pub fn remote(remote: Arc<dyn Remote>) -> Arc<dyn Remote> {
    #[cfg(debug_assertions)]
    if points::armed() {
        return Arc::new(ports::Remote(remote));
    }
    remote
}

/// A bus with the points K4 and K5 (before and after doorbells are published), K11 and K10 (the same of events).
pub(crate) fn bus(bus: Arc<dyn Bus>, topics: &Topics) -> Arc<dyn Bus> {
    #[cfg(debug_assertions)]
    if points::armed() {
        return Arc::new(ports::Bus { bus, topics: topics.clone() });
    }
    let _ = topics;
    bus
}
