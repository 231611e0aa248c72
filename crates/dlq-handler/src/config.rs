//! What dlq-handler can be told.

use chassis::settings::{SettingError, Settings};
use model::limits::Limits;

/// Settings of dlq-handler, beside those every service has.
#[derive(Debug, Clone)]
pub struct Config {
    /// Limits of the core, for the locks it sets.
    pub limits: Limits,
    /// `DLQ_BATCH`, default 100: most messages of one transaction.
    pub batch: usize,
}

impl Config {
    /// Reads the settings.
    ///
    /// # Errors
    /// The first one that is wrong, by name.
    pub fn from_settings(settings: &Settings) -> Result<Self, SettingError> {
        Ok(Self {
            limits: chassis::sync::limits(settings, "dlq-handler")?,
            batch: settings.number("DLQ_BATCH", 100, 1..=1_000)?,
        })
    }
}
