//! What the poller can be told.

use std::sync::Arc;
use std::time::Duration;

use chassis::accounts::Accounts;
use chassis::settings::{SettingError, Settings};
use chassis::snapshots::Snapshots;
use model::limits::Limits;

/// Settings of the poller, beside those every service has.
#[derive(Debug, Clone)]
pub struct Config {
    /// Coalescing: see `chassis::sync::limits`.
    pub limits: Limits,
    /// `POLL_INTERVAL_SECONDS`, default 30: from the end of one sweep to the start of the next.
    pub interval: Duration,
    /// `POLL_OVERLAP_SECONDS`, default 120: how far behind the watermark a sweep begins; at least the longest time
    /// between a change's stamp and its visibility.
    pub overlap: Duration,
    /// `POLL_READ_BACK_SECONDS`, default 900: how far behind the watermark the first sweep after a start begins.
    pub read_back: Duration,
    /// `POLL_PAGE`, default 1000: rows a query; NetSuite gives no more.
    pub page: usize,
    /// `SNAPSHOT_URL`: where events go that are too large for the bus.
    pub snapshots: Option<Arc<Snapshots>>,
}

impl Config {
    /// Reads the settings, and the accounts far enough to know that their NetSuite can be called.
    ///
    /// # Errors
    /// The first one that is wrong, by name.
    pub fn from_settings(settings: &Settings) -> Result<Self, SettingError> {
        Accounts::check(settings, |account| netsuite::check(&account.into()))?;
        Ok(Self {
            limits: chassis::sync::limits(settings, "poller")?,
            interval: settings.seconds("POLL_INTERVAL_SECONDS", Duration::from_secs(30), 0.1..=86_400.0)?,
            overlap: settings.seconds("POLL_OVERLAP_SECONDS", Duration::from_secs(120), 0.0..=86_400.0)?,
            read_back: settings.seconds("POLL_READ_BACK_SECONDS", Duration::from_secs(900), 0.0..=604_800.0)?,
            page: settings.number("POLL_PAGE", 1_000, 1..=1_000)?,
            snapshots: Snapshots::from_settings(settings)?,
        })
    }
}
