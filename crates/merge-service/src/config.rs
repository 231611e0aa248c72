//! What merge-service can be told.

use chassis::accounts::Accounts;
use chassis::settings::{SettingError, Settings};
use model::limits::Limits;

/// Settings of merge-service, beside those every service has.
#[derive(Debug, Clone)]
pub struct Config {
    /// Coalescing, leases, deadlines: see `chassis::sync::limits`.
    pub limits: Limits,
    /// `MERGE_BATCH`, default 500: most messages of an intake transaction and most records of an account in a merge step.
    pub batch: usize,
    /// `MERGE_LOOPS`, default 2: merge steps at once; the database is the ceiling, two to four suffice.
    pub loops: usize,
    /// `TENANT_POOL_SIZE`, default 4: most connections to one tenant's database.
    pub tenant_pool: u32,
}

impl Config {
    /// Reads the settings, and the accounts far enough to know that their NetSuite can be called.
    ///
    /// # Errors
    /// The first one that is wrong, by name.
    pub fn from_settings(settings: &Settings) -> Result<Self, SettingError> {
        Accounts::check(settings, |account| netsuite::check(&account.into()))?;
        Ok(Self {
            limits: chassis::sync::limits(settings, "merge-service")?,
            batch: settings.number("MERGE_BATCH", 500, 1..=5_000)?,
            loops: settings.number("MERGE_LOOPS", 2, 1..=16)?,
            tenant_pool: settings.number("TENANT_POOL_SIZE", 4, 1..=100)?,
        })
    }
}
