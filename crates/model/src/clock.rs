//! Time and chance as parameters, so that a seeded run repeats to the letter.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use uuid::Uuid;

/// An instant in UTC.
pub type Timestamp = jiff::Timestamp;

/// Where "now" comes from.
pub trait Clock: Send + Sync {
    /// The present instant by our own clock. Only intervals of it are ever compared with another machine's.
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods)] // the one place where the machine's clock is read
    fn now(&self) -> Timestamp {
        // To the microsecond, which is what Postgres keeps: the fold is replayed from what was kept.
        let now = Timestamp::now();
        Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
    }
}

/// A clock that moves only when told to.
#[derive(Debug)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// A clock standing at `at`.
    pub fn at(at: Timestamp) -> Self {
        Self(AtomicI64::new(at.as_microsecond()))
    }

    /// Moves the clock on by `micros` microseconds.
    pub fn advance_micros(&self, micros: i64) {
        self.0.fetch_add(micros, Ordering::Relaxed);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_microsecond(self.0.load(Ordering::Relaxed)).unwrap_or(Timestamp::UNIX_EPOCH)
    }
}

/// Where new identities come from.
pub trait Ids: Send + Sync {
    /// A UUID nobody has seen before.
    fn uuid(&self) -> Uuid;
}

/// Time-ordered UUIDs (version 7) from the machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct RandomIds;

impl Ids for RandomIds {
    #[allow(clippy::disallowed_methods)] // the one place where chance enters
    fn uuid(&self) -> Uuid {
        Uuid::now_v7()
    }
}

/// UUIDs counted from a seed: the same seed gives the same ids in the same order.
#[derive(Debug)]
pub struct SeededIds {
    seed: u64,
    next: AtomicU64,
}

impl SeededIds {
    /// Ids of the run with this seed.
    pub fn new(seed: u64) -> Self {
        Self { seed, next: AtomicU64::new(1) }
    }
}

impl Ids for SeededIds {
    fn uuid(&self) -> Uuid {
        let n = self.next.fetch_add(1, Ordering::Relaxed);
        // The counter leads, so ids sort in the order of their making, as version 7 does.
        Uuid::from_u128((u128::from(n) << 64) | u128::from(self.seed))
    }
}
