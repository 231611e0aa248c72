//! NetSuite's clock: the machine's, or one that moves only when told to.

use std::sync::Mutex;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// How the clock runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    /// With the machine.
    Real,
    /// Only by the control API.
    Virtual,
}

/// The clock of the simulated accounts; stamps, SuiteQL's "now" and late visibility follow it.
///
/// Credentials and webhook signatures follow [`Clock::real`] always: their other end runs on a real clock.
#[derive(Debug)]
pub(crate) struct Clock {
    /// The virtual moment; `None` while the clock is real.
    moment: Mutex<Option<Timestamp>>,
}

impl Clock {
    /// A clock that follows the machine.
    pub(crate) fn following_the_machine() -> Self {
        Self { moment: Mutex::new(None) }
    }

    /// NetSuite's present moment.
    pub(crate) fn now(&self) -> Timestamp {
        self.guard().unwrap_or_else(Self::real)
    }

    /// The machine's present moment.
    #[allow(clippy::disallowed_methods, reason = "the one place where the simulator reads the machine's clock")]
    pub(crate) fn real() -> Timestamp {
        Timestamp::now()
    }

    /// The mode and the present moment.
    pub(crate) fn state(&self) -> (Mode, Timestamp) {
        match *self.guard() {
            None => (Mode::Real, Self::real()),
            Some(moment) => (Mode::Virtual, moment),
        }
    }

    /// Changes mode, moment or both; advancing is for the virtual clock.
    ///
    /// # Errors
    /// Advancing or setting a clock that stays real, or leaving the range of time.
    pub(crate) fn set(
        &self,
        mode: Option<Mode>,
        now: Option<Timestamp>,
        advance_seconds: Option<i64>,
    ) -> Result<(), &'static str> {
        let mut moment = self.guard();
        let mode = mode.unwrap_or(if moment.is_some() || now.is_some() { Mode::Virtual } else { Mode::Real });
        let next = match mode {
            Mode::Real if now.is_some() || advance_seconds.is_some_and(|s| s != 0) => {
                return Err("a real clock can be neither set nor advanced: ask for mode virtual");
            }
            Mode::Real => None,
            Mode::Virtual => {
                let start = now.or(*moment).unwrap_or_else(Self::real);
                let step = SignedDuration::from_secs(advance_seconds.unwrap_or(0));
                Some(start.checked_add(step).map_err(|_| "that moment is outside the range of time")?)
            }
        };
        *moment = next;
        Ok(())
    }

    fn guard(&self) -> std::sync::MutexGuard<'_, Option<Timestamp>> {
        self.moment.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_virtual_clock_moves_only_when_told() {
        let clock = Clock::following_the_machine();
        let start: Timestamp = "2026-03-08T09:59:59Z".parse().unwrap();
        clock.set(Some(Mode::Virtual), Some(start), None).unwrap();
        assert_eq!(clock.now(), start);
        clock.set(None, None, Some(2)).unwrap();
        assert_eq!(clock.now().to_string(), "2026-03-08T10:00:01Z");
        clock.set(Some(Mode::Real), None, None).unwrap();
        assert_eq!(clock.state().0, Mode::Real);
        assert!(clock.set(None, None, Some(2)).is_err());
    }
}
