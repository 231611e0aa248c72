//! An account's share: how many events a second one account may send to this process, and in one burst.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use governor::clock::{Clock as _, ReasonablyRealtime};
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{NotUntil, Quota, RateLimiter};
use model::{Clock, Timestamp};

/// One account's share.
#[derive(Debug)]
pub(crate) struct Share {
    clock: ForwardClock,
    limiter: RateLimiter<NotKeyed, InMemoryState, ForwardClock, NoOpMiddleware<Duration>>,
}

impl Share {
    pub(crate) fn new(per_second: NonZeroU32, burst: NonZeroU32, clock: Arc<dyn Clock>) -> Self {
        let clock = ForwardClock::starting(clock);
        let quota = Quota::per_second(per_second).allow_burst(burst);
        Self { limiter: RateLimiter::direct_with_clock(quota, clock.clone()), clock }
    }

    /// Takes `events` from the share, all or none.
    ///
    /// # Errors
    /// How long to wait until as many are there.
    pub(crate) fn take(&self, events: usize) -> Result<(), Duration> {
        let Some(events) = u32::try_from(events).ok().and_then(NonZeroU32::new) else { return Ok(()) };
        match self.limiter.check_n(events) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(not_until)) => Err(wait(&not_until, &self.clock)),
            // Cannot happen: settings keep the burst at or above the most events of one request.
            Err(_) => Err(Duration::from_secs(1)),
        }
    }
}

fn wait(not_until: &NotUntil<Duration>, clock: &ForwardClock) -> Duration {
    not_until.wait_time_from(clock.now())
}

/// The time that has passed by a clock that people and machines may set back: steps back count as no time at all.
/// Without this an hour set back would silence every account for an hour.
#[derive(Clone)]
struct ForwardClock {
    clock: Arc<dyn Clock>,
    seen: Arc<Mutex<(Timestamp, Duration)>>,
}

impl ForwardClock {
    fn starting(clock: Arc<dyn Clock>) -> Self {
        let seen = Arc::new(Mutex::new((clock.now(), Duration::ZERO)));
        Self { clock, seen }
    }
}

impl std::fmt::Debug for ForwardClock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ForwardClock").finish_non_exhaustive()
    }
}

impl governor::clock::Clock for ForwardClock {
    type Instant = Duration;

    fn now(&self) -> Duration {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        let step = Duration::try_from(now.duration_since(seen.0)).unwrap_or(Duration::ZERO);
        *seen = (now, seen.1 + step);
        seen.1
    }
}

impl ReasonablyRealtime for ForwardClock {}

#[cfg(test)]
mod tests {
    use model::ManualClock;

    use super::*;

    fn share(per_second: u32, burst: u32) -> (Share, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::at("2026-11-14T13:12:05Z".parse().unwrap()));
        let number = |n| NonZeroU32::new(n).unwrap();
        (Share::new(number(per_second), number(burst), clock.clone()), clock)
    }

    #[test]
    fn a_burst_is_allowed_and_then_the_rate() {
        let (share, clock) = share(10, 100);
        assert_eq!(share.take(60), Ok(()));
        assert_eq!(share.take(40), Ok(()));
        let wait = share.take(5).unwrap_err();
        assert!(wait > Duration::from_millis(400) && wait <= Duration::from_millis(500), "{wait:?}");
        clock.advance_micros(500_000);
        assert_eq!(share.take(5), Ok(()));
        assert!(share.take(1).is_err());
    }

    #[test]
    fn a_refused_request_takes_nothing() {
        let (share, _clock) = share(10, 100);
        assert_eq!(share.take(90), Ok(()));
        assert!(share.take(20).is_err());
        assert_eq!(share.take(10), Ok(()));
    }

    #[test]
    fn a_clock_set_back_silences_nobody() {
        let (share, clock) = share(10, 100);
        assert_eq!(share.take(100), Ok(()));
        clock.advance_micros(-3_600_000_000);
        assert!(share.take(1).is_err());
        clock.advance_micros(1_000_000);
        assert_eq!(share.take(10), Ok(()));
    }
}
