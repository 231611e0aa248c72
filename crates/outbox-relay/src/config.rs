//! What outbox-relay can be told.

use std::sync::Arc;
use std::time::Duration;

use chassis::settings::{SettingError, Settings};
use chassis::snapshots::Snapshots;

/// Settings of outbox-relay, beside those every service has.
#[derive(Debug, Clone)]
pub struct Config {
    /// `RELAY_BATCH`, default 500: most outbox rows of a tenant published at once.
    pub batch: u32,
    /// `RELAY_POLL_SECONDS`, default 2: a tenant that cannot notify is looked at this often.
    pub poll: Duration,
    /// `RELAY_KEEP_HOURS`, default 72: published outbox rows are kept this long.
    pub keep: Duration,
    /// `TENANT_POOL_SIZE`, default 3: most connections to one tenant's database; one of them listens.
    pub tenant_pool: u32,
    /// `SNAPSHOT_URL`: where events go that are too large for the bus.
    pub snapshots: Option<Arc<Snapshots>>,
}

/// Seconds of an hour.
const HOUR: u64 = 3_600;

impl Config {
    /// Reads the settings.
    ///
    /// # Errors
    /// The first one that is wrong, by name.
    pub fn from_settings(settings: &Settings) -> Result<Self, SettingError> {
        let hours: u64 = settings.number("RELAY_KEEP_HOURS", 72, 1..=8_760)?;
        Ok(Self {
            batch: settings.number("RELAY_BATCH", 500, 1..=5_000)?,
            poll: settings.seconds("RELAY_POLL_SECONDS", Duration::from_secs(2), 0.05..=60.0)?,
            keep: Duration::from_secs(hours * HOUR),
            tenant_pool: settings.number("TENANT_POOL_SIZE", 3, 2..=100)?,
            snapshots: Snapshots::from_settings(settings)?,
        })
    }
}
