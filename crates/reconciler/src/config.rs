//! What the reconciler can be told.

use std::time::Duration;

use chassis::accounts::Accounts;
use chassis::settings::{SettingError, Settings};
use model::limits::Limits;

use crate::schedule::Schedule;

/// Settings of the reconciler, beside those every service has.
#[derive(Debug, Clone)]
pub struct Config {
    /// Limits of the core.
    pub limits: Limits,
    /// `RECONCILE_INTERVAL_SECONDS`, default 30.
    pub interval: Duration,
    /// `RECONCILE_CONFIRM_SECONDS`, default 60: a published outbox row whose event is unknown after this long is
    /// published again.
    pub confirm_after: Duration,
    /// `RECONCILE_BATCH`, default 1000: most rows looked at in one statement.
    pub batch: usize,
    /// `RECONCILE_SWEEP_CRON`, default `0 2 * * *` (UTC): when every type of every account is swept; `never`.
    pub sweep: Schedule,
    /// `RECONCILE_PAGE`, default 1000: records looked at in one page of a sweep; NetSuite gives no more.
    pub page: usize,
    /// `RECONCILE_GRACE_SECONDS`, default 120: a difference younger than this is not drift yet.
    pub grace: Duration,
    /// `RECONCILE_LEASE_SECONDS`, default 120: longest time one page may take before another process takes it over.
    pub lease: Duration,
    /// `TENANT_POOL_SIZE`, default 2: most connections to each tenant's database.
    pub tenant_pool: u32,
}

impl Config {
    /// Reads the settings, and the accounts far enough to know that their NetSuite can be called.
    ///
    /// # Errors
    /// The first one that is wrong, by name.
    pub fn from_settings(settings: &Settings) -> Result<Self, SettingError> {
        let config = Self {
            limits: chassis::sync::limits(settings, "reconciler")?,
            interval: settings.seconds("RECONCILE_INTERVAL_SECONDS", Duration::from_secs(30), 0.5..=86_400.0)?,
            confirm_after: settings.seconds("RECONCILE_CONFIRM_SECONDS", Duration::from_secs(60), 1.0..=86_400.0)?,
            batch: settings.number("RECONCILE_BATCH", 1_000, 1..=10_000)?,
            sweep: Schedule::from_settings(settings)?,
            page: settings.number("RECONCILE_PAGE", 1_000, 1..=1_000)?,
            grace: settings.seconds("RECONCILE_GRACE_SECONDS", Duration::from_secs(120), 0.0..=86_400.0)?,
            lease: settings.seconds("RECONCILE_LEASE_SECONDS", Duration::from_secs(120), 1.0..=3_600.0)?,
            tenant_pool: settings.number("TENANT_POOL_SIZE", 2, 1..=100)?,
        };
        Accounts::check(settings, |account| netsuite::check(&account.into()))?;
        Ok(config)
    }
}
