//! What happened in runs. A batch of runs in which one of these never happened has tested less than it claims to.

use std::collections::BTreeMap;

/// Events counted by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage(BTreeMap<&'static str, u64>);

/// What a batch of random runs must have met at least once.
pub const EXPECTED: &[&str] = &[
    "a stranger was ours",
    "adopted",
    "blind overwrite prevented",
    "clock jumped past a deadline",
    "conflict",
    "delete propagated",
    "drift found",
    "duplicate create refused",
    "fast delta",
    "fenced late request",
    "killed",
    "late request landed",
    "line edited",
    "message delivered twice",
    "override",
    "parked for a parent",
    "read refused",
    "recovered: landed",
    "recovered: unknown",
    "recreated",
    "resolved",
    "sent to a record that is gone",
    "stale resolution",
    "throttled",
    "two tenants",
    "unknown outcome",
    "user edited under a write",
    "version",
    "workflow edit",
];

impl Coverage {
    /// Counts one.
    pub fn hit(&mut self, what: &'static str) {
        self.add(what, 1);
    }

    /// Counts several.
    pub fn add(&mut self, what: &'static str, n: usize) {
        if n > 0 {
            *self.0.entry(what).or_default() += n as u64;
        }
    }

    /// Takes another count in.
    pub fn merge(&mut self, other: &Self) {
        for (what, n) in &other.0 {
            *self.0.entry(what).or_default() += n;
        }
    }

    /// How often it happened.
    pub fn of(&self, what: &str) -> u64 {
        self.0.get(what).copied().unwrap_or_default()
    }

    /// Everything counted, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        self.0.iter().map(|(what, n)| (*what, *n))
    }

    /// What should have happened and did not.
    pub fn missing(&self) -> Vec<&'static str> {
        EXPECTED.iter().copied().filter(|what| self.of(what) == 0).collect()
    }
}
