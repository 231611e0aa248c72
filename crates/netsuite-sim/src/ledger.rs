//! What an account was asked and did, counted since the process started.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use crate::world::{Operation, WriteStatus};

const MAX_PATHS: usize = 500;

/// Counters of one account.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    counts: Mutex<Counts>,
}

/// What the ledger shows.
#[derive(Debug, Default, Clone, Serialize)]
pub(crate) struct Counts {
    /// API calls of all kinds, refused ones included.
    calls: u64,
    /// Saves and deletes that API calls made (users' edits are not among them).
    pub(crate) writes: u64,
    creates: u64,
    updates: u64,
    deletes: u64,
    /// Creates, updates and deletes that were asked for, whatever became of them.
    create_requests: u64,
    update_requests: u64,
    delete_requests: u64,
    /// Results of guarded writes by status.
    outcomes: BTreeMap<WriteStatus, u64>,
    /// Governance units used by RESTlets.
    units: u64,
    /// Rows that queries returned.
    rows: u64,
    /// Answers outside 2xx by status.
    refusals: BTreeMap<u16, u64>,
    /// Requests refused because too many ran.
    over_limit: u64,
    peak_concurrency: u32,
    /// Faults carried out, by kind.
    faults: BTreeMap<&'static str, u64>,
    /// Access tokens given out.
    tokens: u64,
    user_edits: u64,
    ue: Scripts,
    paths: BTreeMap<String, PathCounts>,
}

/// Posts of user-event scripts.
#[derive(Debug, Default, Clone, Serialize)]
struct Scripts {
    /// Waiting or on their way.
    queued: u64,
    /// Accepted by ingest.
    sent: u64,
    /// Given up after the last try, or refused.
    failed: u64,
    /// Not queued, as the queue was full.
    dropped: u64,
}

#[derive(Debug, Default, Clone, Serialize)]
struct PathCounts {
    calls: u64,
    refused: u64,
}

impl Ledger {
    /// A copy of all counters.
    pub(crate) fn read(&self) -> Counts {
        self.counts().clone()
    }

    /// Starts again from zero.
    pub(crate) fn clear(&self) {
        let mut counts = self.counts();
        // Posts under way are still counted when they end.
        let queued = counts.ue.queued;
        *counts = Counts { ue: Scripts { queued, ..Scripts::default() }, ..Counts::default() };
    }

    /// Counts an answered call.
    pub(crate) fn call(&self, path: &str, status: u16) {
        let mut counts = self.counts();
        counts.calls += 1;
        let refused = !(200..300).contains(&status);
        if refused {
            *counts.refusals.entry(status).or_default() += 1;
        }
        // Paths are patterns, but callers can invent any number of unknown ones.
        let known = counts.paths.contains_key(path) || counts.paths.len() < MAX_PATHS;
        let path = if known { path } else { "other" };
        let entry = counts.paths.entry(path.to_owned()).or_default();
        entry.calls += 1;
        entry.refused += u64::from(refused);
    }

    pub(crate) fn write_asked(&self, operation: Operation) {
        let mut counts = self.counts();
        match operation {
            Operation::Create => counts.create_requests += 1,
            Operation::Update => counts.update_requests += 1,
            Operation::Delete => counts.delete_requests += 1,
        }
    }

    pub(crate) fn write_done(&self, operation: Operation) {
        let mut counts = self.counts();
        counts.writes += 1;
        match operation {
            Operation::Create => counts.creates += 1,
            Operation::Update => counts.updates += 1,
            Operation::Delete => counts.deletes += 1,
        }
    }

    pub(crate) fn outcome(&self, status: WriteStatus) {
        *self.counts().outcomes.entry(status).or_default() += 1;
    }

    pub(crate) fn units(&self, units: u32) {
        self.counts().units += u64::from(units);
    }

    pub(crate) fn rows(&self, rows: usize) {
        self.counts().rows += rows as u64;
    }

    pub(crate) fn over_limit(&self) {
        self.counts().over_limit += 1;
    }

    pub(crate) fn running(&self, requests: u32) {
        let mut counts = self.counts();
        counts.peak_concurrency = counts.peak_concurrency.max(requests);
    }

    pub(crate) fn fault(&self, kind: &'static str) {
        *self.counts().faults.entry(kind).or_default() += 1;
    }

    pub(crate) fn token(&self) {
        self.counts().tokens += 1;
    }

    pub(crate) fn user_edit(&self) {
        self.counts().user_edits += 1;
    }

    pub(crate) fn script_queued(&self) {
        self.counts().ue.queued += 1;
    }

    /// A post counted as queued found no room.
    pub(crate) fn script_dropped(&self) {
        let mut counts = self.counts();
        counts.ue.queued = counts.ue.queued.saturating_sub(1);
        counts.ue.dropped += 1;
    }

    pub(crate) fn script_done(&self, accepted: bool) {
        let mut counts = self.counts();
        counts.ue.queued = counts.ue.queued.saturating_sub(1);
        if accepted {
            counts.ue.sent += 1;
        } else {
            counts.ue.failed += 1;
        }
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    /// The counters a scrape shows: name and value.
    pub(crate) fn samples(&self) -> [(&'static str, u64); 6] {
        [
            ("netsuite_sim_calls_total", self.calls),
            ("netsuite_sim_writes_total", self.writes),
            ("netsuite_sim_units_total", self.units),
            ("netsuite_sim_user_edits_total", self.user_edits),
            ("netsuite_sim_scripts_sent_total", self.ue.sent),
            ("netsuite_sim_scripts_failed_total", self.ue.failed + self.ue.dropped),
        ]
    }
}
