//! What can be set.

use std::num::NonZeroU32;
use std::time::Duration;

use chassis::accounts::Accounts;
use chassis::settings::{SettingError, Settings};
use model::envelope::MAX_EVENTS;

use crate::signature::read_keys;

/// The relay's limits. Every one is a setting; the default is the value of [`IngestSettings::default`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IngestSettings {
    /// `INGEST_EVENTS_PER_SECOND`, default 500: events one account may send to this process in the long run.
    pub events_per_second: NonZeroU32,
    /// `INGEST_BURST`, default 2,000: events one account may send at once after a pause; at least one full request.
    pub burst: NonZeroU32,
    /// `INGEST_PUBLISH_TIMEOUT_SECONDS`, default 10: wait for the broker's acknowledgement before answering 503.
    pub publish_timeout: Duration,
    /// `INGEST_BODY_TIMEOUT_SECONDS`, default 10: time a sender has for its body.
    pub body_timeout: Duration,
    /// `INGEST_MAX_REQUESTS`, default 256: requests worked on at once; further ones are answered 503 at once.
    pub max_requests: u32,
}

const EVENTS_PER_SECOND: NonZeroU32 = NonZeroU32::new(500).unwrap();
const BURST: NonZeroU32 = NonZeroU32::new(2_000).unwrap();

impl Default for IngestSettings {
    fn default() -> Self {
        Self {
            events_per_second: EVENTS_PER_SECOND,
            burst: BURST,
            publish_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(10),
            max_requests: 256,
        }
    }
}

impl IngestSettings {
    /// Reads the relay's settings, and the accounts' signing secrets far enough to know that they can be used.
    ///
    /// # Errors
    /// A sentence that names the variable.
    pub fn from_settings(settings: &Settings) -> Result<Self, SettingError> {
        const MOST: NonZeroU32 = NonZeroU32::new(1_000_000).unwrap();
        const REQUEST: NonZeroU32 = NonZeroU32::new(MAX_EVENTS as u32).unwrap();
        for account in Accounts::from_settings(settings)?.iter() {
            read_keys(account)?;
        }
        let defaults = Self::default();
        let seconds = |name, default| settings.seconds(name, default, 0.1..=60.0);
        Ok(Self {
            events_per_second: settings.number(
                "INGEST_EVENTS_PER_SECOND",
                defaults.events_per_second,
                NonZeroU32::MIN..=MOST,
            )?,
            burst: settings.number("INGEST_BURST", defaults.burst, REQUEST..=MOST)?,
            publish_timeout: seconds("INGEST_PUBLISH_TIMEOUT_SECONDS", defaults.publish_timeout)?,
            body_timeout: seconds("INGEST_BODY_TIMEOUT_SECONDS", defaults.body_timeout)?,
            max_requests: settings.number("INGEST_MAX_REQUESTS", defaults.max_requests, 1..=10_000)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_settings_the_defaults_stand() {
        let read = IngestSettings::from_settings(&Settings::default());
        assert_eq!(read, Ok(IngestSettings::default()));
    }

    #[test]
    fn each_wrong_setting_is_named() {
        for (name, value) in [
            ("INGEST_EVENTS_PER_SECOND", "0"),
            ("INGEST_EVENTS_PER_SECOND", "many"),
            ("INGEST_BURST", "99"),
            ("INGEST_PUBLISH_TIMEOUT_SECONDS", "0"),
            ("INGEST_BODY_TIMEOUT_SECONDS", "61"),
            ("INGEST_MAX_REQUESTS", "0"),
        ] {
            let error = IngestSettings::from_settings(&Settings::from_pairs([(name, value)])).expect_err(name);
            assert!(error.to_string().starts_with(name), "{error}");
        }
    }
}
