//! What netsuite-writer can be told.

use std::time::Duration;

use chassis::accounts::Accounts;
use chassis::settings::{SettingError, Settings};
use model::limits::Limits;

/// Settings of netsuite-writer, beside those every service has.
#[derive(Debug, Clone)]
pub struct Config {
    /// Deadlines and backoff: see `chassis::sync::limits`.
    pub limits: Limits,
    /// `WRITE_BATCH`, default 10: most records of one claim; NetSuite takes ten writes a call (seed 002, appendix H).
    pub batch: usize,
    /// `WRITE_LOOPS`, default 4: claims at once; the account's own limit stands above it.
    pub loops: usize,
    /// `WRITE_TIMEOUT_SECONDS`, default 20.
    pub timeout: Duration,
}

impl Config {
    /// Reads the settings, and the accounts far enough to know that their NetSuite can be called.
    ///
    /// # Errors
    /// The first one that is wrong, by name.
    pub fn from_settings(settings: &Settings) -> Result<Self, SettingError> {
        Accounts::check(settings, |account| netsuite::check(&account.into()))?;
        Ok(Self {
            limits: chassis::sync::limits(settings, "netsuite-writer")?,
            batch: settings.number("WRITE_BATCH", 10, 1..=100)?,
            loops: settings.number("WRITE_LOOPS", 4, 1..=64)?,
            timeout: chassis::sync::write_timeout(settings)?,
        })
    }
}
