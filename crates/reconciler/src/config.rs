//! What the reconciler can be told.

use std::time::Duration;

use chassis::settings::{SettingError, Settings};
use model::limits::Limits;

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
}

impl Config {
    /// Reads the settings.
    ///
    /// # Errors
    /// The first one that is wrong, by name.
    pub fn from_settings(settings: &Settings) -> Result<Self, SettingError> {
        Ok(Self {
            limits: chassis::sync::limits(settings, "reconciler")?,
            interval: settings.seconds("RECONCILE_INTERVAL_SECONDS", Duration::from_secs(30), 0.5..=86_400.0)?,
            confirm_after: settings.seconds("RECONCILE_CONFIRM_SECONDS", Duration::from_secs(60), 1.0..=86_400.0)?,
            batch: settings.number("RECONCILE_BATCH", 1_000, 1..=10_000)?,
        })
    }
}
