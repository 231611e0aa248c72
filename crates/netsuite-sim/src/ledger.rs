//! What an account was asked and did, counted since the process started.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use crate::world::Operation;

const MAX_PATHS: usize = 500;
/// Results a guarded write can have.
const OUTCOMES: [&str; 6] = ["ok", "stale", "fenced", "gone", "duplicate", "invalid"];

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
    outcomes: BTreeMap<&'static str, u64>,
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
    /// Runs by script id.
    scripts: BTreeMap<String, Units>,
    /// What the user events of one save cost, all scripts together.
    saves: Units,
    /// What one guarded write cost: the run of its request, shared among the request's writes.
    guarded_writes: Units,
    /// Requests that scripts made.
    posts: Posts,
    /// Events in those requests.
    ue: Events,
    paths: BTreeMap<String, PathCounts>,
}

/// Governance units of something that happens again and again.
#[derive(Debug, Default, Clone, Serialize)]
struct Units {
    runs: u64,
    units: u64,
    /// The most that one run used.
    worst: u32,
    /// Runs that ended with an error.
    failures: u64,
}

/// Requests that scripts made.
#[derive(Debug, Default, Clone, Serialize)]
struct Posts {
    /// Answered with 2xx.
    accepted: u64,
    /// Answered with anything else.
    refused: u64,
    /// Not answered.
    failed: u64,
}

/// Events in the requests of scripts: an event counts each time it is sent.
#[derive(Debug, Default, Clone, Serialize)]
struct Events {
    /// On their way, the answer not there yet.
    queued: u64,
    /// In requests that were answered with 2xx.
    sent: u64,
    /// In requests that were refused or not answered.
    failed: u64,
}

impl Units {
    fn add(&mut self, units: u32, has_failed: bool) {
        self.runs += 1;
        self.units += u64::from(units);
        self.worst = self.worst.max(units);
        self.failures += u64::from(has_failed);
    }
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
        // What is on its way is still counted when it ends.
        let queued = counts.ue.queued;
        *counts = Counts { ue: Events { queued, ..Events::default() }, ..Counts::default() };
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

    /// Counts the result of a guarded write.
    pub(crate) fn outcome(&self, status: &str) {
        if let Some(known) = OUTCOMES.into_iter().find(|known| *known == status) {
            *self.counts().outcomes.entry(known).or_default() += 1;
        }
    }

    /// Counts what the writes of one request cost, each its share.
    pub(crate) fn write_units(&self, units: u32, writes: usize) {
        let mut counts = self.counts();
        let writes = u32::try_from(writes).unwrap_or(u32::MAX);
        for write in 0..writes {
            // The shares of all together are what was used.
            let share = units / writes + u32::from(write < units % writes);
            counts.guarded_writes.add(share, false);
        }
    }

    /// Counts a run of a script.
    pub(crate) fn script_run(&self, script: &str, units: u32, has_failed: bool) {
        self.counts().scripts.entry(script.to_owned()).or_default().add(units, has_failed);
    }

    /// Counts what the user events of one save cost.
    pub(crate) fn save_units(&self, units: u32) {
        self.counts().saves.add(units, false);
    }

    /// Counts a script's request that is on its way.
    pub(crate) fn posting(&self, events: u64) {
        self.counts().ue.queued += events;
    }

    /// Counts a script's request by the status it was answered with.
    pub(crate) fn posted(&self, status: Option<u64>, events: u64) {
        let mut counts = self.counts();
        counts.ue.queued = counts.ue.queued.saturating_sub(events);
        match status {
            Some(200..=299) => counts.ue.sent += events,
            Some(_) | None => counts.ue.failed += events,
        }
        match status {
            Some(200..=299) => counts.posts.accepted += 1,
            Some(_) => counts.posts.refused += 1,
            None => counts.posts.failed += 1,
        }
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

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    /// The counters a scrape shows: name and value.
    pub(crate) fn samples(&self) -> [(&'static str, u64); 9] {
        let scripts = |count: fn(&Units) -> u64| self.scripts.values().map(count).sum();
        [
            ("netsuite_sim_calls_total", self.calls),
            ("netsuite_sim_writes_total", self.writes),
            ("netsuite_sim_units_total", self.units),
            ("netsuite_sim_user_edits_total", self.user_edits),
            ("netsuite_sim_script_runs_total", scripts(|units| units.runs)),
            ("netsuite_sim_script_units_total", scripts(|units| units.units)),
            ("netsuite_sim_script_failures_total", scripts(|units| units.failures)),
            ("netsuite_sim_scripts_sent_total", self.ue.sent),
            ("netsuite_sim_scripts_failed_total", self.ue.failed),
        ]
    }
}
