//! When sweeps are due: five fields of cron, in UTC.

use std::str::FromStr;

use chassis::settings::{SettingError, Settings};
use croner::Cron;
use jiff::tz::TimeZone;
use model::Timestamp;

const NAME: &str = "RECONCILE_SWEEP_CRON";
const DEFAULT: &str = "0 2 * * *";
const ACCEPTED: &str =
    "five fields of cron in UTC such as 0 2 * * * (minute, hour, day of month, month, day of week), or never";

/// A schedule; empty = never.
#[derive(Debug, Clone)]
pub struct Schedule(Option<Cron>);

impl Schedule {
    /// Reads `RECONCILE_SWEEP_CRON`.
    pub(crate) fn from_settings(settings: &Settings) -> Result<Self, SettingError> {
        let text = settings.text(NAME).unwrap_or(DEFAULT);
        if text.eq_ignore_ascii_case("never") {
            return Ok(Self(None));
        }
        // Patterns with seconds would sweep without end.
        let read = (text.split_whitespace().count() == 5).then(|| Cron::from_str(text).ok()).flatten();
        read.map(|cron| Self(Some(cron))).ok_or_else(|| SettingError::wrong(NAME, text, ACCEPTED))
    }

    /// The first instant after this one; `None`: never.
    pub(crate) fn after(&self, now: Timestamp) -> Option<Timestamp> {
        let civil = now.to_zoned(TimeZone::UTC).datetime();
        let next = self.0.as_ref()?.find_next_occurrence(&civil, false).ok()?;
        Some(next.to_zoned(TimeZone::UTC).ok()?.timestamp())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(text: &str) -> Result<Schedule, SettingError> {
        Schedule::from_settings(&Settings::from_pairs([(NAME, text)]))
    }

    #[test]
    fn it_is_every_night_at_two_if_nobody_says_otherwise() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let nightly = Schedule::from_settings(&Settings::default()).unwrap();
        assert_eq!(nightly.after(at("2026-11-14T01:59:59.5Z")), Some(at("2026-11-14T02:00:00Z")));
        assert_eq!(nightly.after(at("2026-11-14T02:00:00Z")), Some(at("2026-11-15T02:00:00Z")));
        let sundays = schedule("30 4 * * SUN").unwrap();
        assert_eq!(sundays.after(at("2026-11-14T02:00:00Z")), Some(at("2026-11-15T04:30:00Z")));
        assert_eq!(schedule("never").unwrap().after(at("2026-11-14T02:00:00Z")), None);
    }

    #[test]
    fn a_wrong_one_names_the_setting_what_was_read_and_what_is_accepted() {
        for wrong in ["nightly", "61 * * * *", "* * * *", "* * * * * *"] {
            let sentence = schedule(wrong).unwrap_err().to_string();
            assert!(
                sentence.contains(NAME) && sentence.contains(wrong) && sentence.contains("0 2 * * *"),
                "{sentence}"
            );
        }
    }
}
