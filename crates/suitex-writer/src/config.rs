//! What suitex-writer can be told.

use chassis::settings::{SettingError, Settings};
use model::limits::Limits;

/// Settings of suitex-writer, beside those every service has.
#[derive(Debug, Clone)]
pub struct Config {
    /// Deadlines and backoff: see `chassis::sync::limits`.
    pub limits: Limits,
    /// `WRITE_BATCH`, default 50: most records of one claim.
    pub batch: usize,
    /// `WRITE_LOOPS`, default 2: claims at once.
    pub loops: usize,
    /// `TENANT_POOL_SIZE`, default 4: most connections to one tenant's database.
    pub tenant_pool: u32,
}

impl Config {
    /// Reads the settings.
    ///
    /// # Errors
    /// The first one that is wrong, by name.
    pub fn from_settings(settings: &Settings) -> Result<Self, SettingError> {
        Ok(Self {
            limits: chassis::sync::limits(settings, "suitex-writer")?,
            batch: settings.number("WRITE_BATCH", 50, 1..=500)?,
            loops: settings.number("WRITE_LOOPS", 2, 1..=64)?,
            tenant_pool: settings.number("TENANT_POOL_SIZE", 4, 1..=100)?,
        })
    }
}
