//! The limits of the core, each with its name. Read by `chassis`, obeyed by `steps`.

use std::time::Duration;

use crate::record::Windows;
use crate::{RulesId, Timestamp};

/// Limits with names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Who holds leases: process and replica.
    pub owner: String,
    /// Coalescing.
    pub windows: Windows,
    /// How long a merge step may take before another may take the record over.
    pub lease: Duration,
    /// How long a claimed write may be on its way before recovery looks for it.
    pub write_deadline: Duration,
    /// How long before the deadline a request is not sent any more.
    pub send_margin: Duration,
    /// How long after its doorbell an owed side is found by the sweep.
    pub net: Duration,
    /// How long a record is left alone after a side could not be read.
    pub read_backoff: Duration,
    /// Waits after refusals that may pass: 5 s, 15 s, 30 s, 60 s, 5 min (seed 002, appendix H).
    pub backoff: Vec<Duration>,
    /// Covered, gap-free deltas of SuiteX stand for a read (semantics §2.4).
    pub fast_delta: bool,
    /// When deletions wait for a person.
    pub delete_brake: DeleteBrake,
    /// Number of the rules that entries are folded under; `None` where nobody numbers them.
    pub rules: Option<RulesId>,
}

/// Deletions wait for a person when more than this many records of a type, and more than one in a hundred, vanished within
/// [`DeleteBrake::WINDOW`]: a mistaken mass deletion, or a role that lost sight of its records, must not empty the other
/// side (semantics §2.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeleteBrake {
    /// Records that may vanish.
    pub records: u64,
}

impl DeleteBrake {
    /// How far back is counted.
    pub const WINDOW: Duration = Duration::from_secs(600);

    /// Does this many that vanished, of a type with this many left, put the brake on?
    pub fn trips(&self, gone: u64, living: u64) -> bool {
        gone > self.records && gone > gone.saturating_add(living) / 100
    }

    /// From when on is counted.
    pub fn since(&self, now: Timestamp) -> Timestamp {
        now.checked_sub(Self::WINDOW).unwrap_or(Timestamp::MIN)
    }
}

impl Default for DeleteBrake {
    fn default() -> Self {
        Self { records: 20 }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            owner: "concord".to_owned(),
            windows: Windows::default(),
            lease: Duration::from_secs(30),
            write_deadline: Duration::from_secs(30),
            send_margin: Duration::from_secs(5),
            net: Duration::from_secs(2),
            read_backoff: Duration::from_secs(5),
            backoff: [5, 15, 30, 60, 300].map(Duration::from_secs).to_vec(),
            fast_delta: true,
            delete_brake: DeleteBrake::default(),
            rules: None,
        }
    }
}

impl Limits {
    /// The wait after this many refusals in a row.
    pub fn backoff_after(&self, attempts: u32) -> Duration {
        let last = self.backoff.len().saturating_sub(1);
        self.backoff.get((attempts as usize).min(last)).copied().unwrap_or(Duration::from_secs(5))
    }
}

/// Two systems that answer each other may go on for ever, each write a success (semantics §2.9). So every so many writes to
/// a record those of the last [`WriteLoop::WINDOW`] are counted; where they are many, and nobody's edit is among what was
/// heard of the record meanwhile, a person is asked. Polling alone cannot come near it: at the shortest advised interval
/// it sees twenty changes in that time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WriteLoop;

impl WriteLoop {
    /// Writes are counted when the stamp is a multiple of this.
    pub const EVERY: u64 = 64;
    /// That many writes are too many.
    pub const WRITES: u64 = 32;
    /// Within this time.
    pub const WINDOW: Duration = Duration::from_secs(600);

    /// From when on is counted.
    pub fn since(now: Timestamp) -> Timestamp {
        now.checked_sub(Self::WINDOW).unwrap_or(Timestamp::MIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_brake_asks_for_both_a_number_and_a_share() {
        let brake = DeleteBrake::default();
        assert!(!brake.trips(20, 0));
        assert!(brake.trips(21, 100));
        assert!(!brake.trips(21, 10_000), "a fraction of a percent is an ordinary day");
        assert!(brake.trips(102, 10_000));
    }
}
