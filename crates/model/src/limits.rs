//! The limits of the core, each with its name. Read by `chassis`, obeyed by `steps`.

use std::time::Duration;

use crate::record::Windows;

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
