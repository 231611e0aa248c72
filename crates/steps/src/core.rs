//! What every step is given: the ports, the rules, the limits. A step never spawns, never sleeps, and reads no clock
//! but this one; dropping its future is the same as killing the process there.

use std::time::Duration;

use merge::settle_columns;
use model::record::{Record, Windows};
use model::spec::{TypeSpec, World};
use model::{Clock, Ids, PerSide, RecordType, Remote, Timestamp};
use store::StoreError;
use store::records::Records;

/// The ports and rules of the core.
#[derive(Clone, Copy)]
pub struct Core<'a> {
    /// Whole transactions.
    pub records: &'a dyn Records,
    /// Both sides.
    pub remotes: &'a PerSide<&'a dyn Remote>,
    /// The record types.
    pub world: &'a World,
    /// Time.
    pub clock: &'a dyn Clock,
    /// Chance.
    pub ids: &'a dyn Ids,
    /// Limits.
    pub settings: &'a Settings,
}

/// Limits with names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
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
}

impl Default for Settings {
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
        }
    }
}

impl Settings {
    /// The wait after this many refusals in a row.
    pub fn backoff_after(&self, attempts: u32) -> Duration {
        let last = self.backoff.len().saturating_sub(1);
        self.backoff.get((attempts as usize).min(last)).copied().unwrap_or(Duration::from_secs(5))
    }
}

/// Why a step could not be carried out. Nothing of it is half done.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// Our own database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Core<'_> {
    pub(crate) fn spec(&self, record_type: &RecordType) -> Option<&TypeSpec> {
        self.world.get(record_type)
    }

    pub(crate) fn settle(&self, record: &mut Record, spec: &TypeSpec, now: Timestamp) {
        settle_columns(record, spec, &self.settings.windows, now, self.settings.net);
    }
}

/// `at + wait`, or `at` at the end of time.
pub(crate) fn after(at: Timestamp, wait: Duration) -> Timestamp {
    at.checked_add(wait).unwrap_or(at)
}
