//! The scheduler: at every step it picks one enabled action; a task goes on only when picked, and may be killed instead.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Mutex;

use model::record::Conflict;
use model::{AccountId, ChangeEvent, Clock, ManualClock, RecordRef, Side};
use steps::{
    Choice, Core, Merged, Recovered, ResolveError, ResolveRequest, StepError, Written, intake, merge_step,
    recover_step, resolve, to_hint, write_step,
};
use store::records::Pick;

use super::bus::{Body, Doorbell};
use super::poller::{Watermarks, sweep};
use super::remote::lock;
use super::stage::Stage;
use crate::memory::MemRecords;

mod end;
mod starts;
mod tasks;

/// Most records of an account a step takes.
const BATCH: usize = 3;
/// Most tasks at once.
const TASKS: usize = 4;
/// A step that gives way more often than this does not end.
const MOST_POLLS: usize = 2_000;
/// A world that is not quiet after this many rounds never will be (I1).
const MOST_ROUNDS: usize = 600;

/// How a task ended.
#[derive(Debug)]
pub enum Done {
    /// Nothing to tell.
    Quiet,
    /// A merge step.
    Merged(Merged),
    /// A write step.
    Written(Written),
    /// A recovery step.
    Recovered(Recovered),
    /// A person's decision.
    Resolved(Result<u64, ResolveError>),
}

type Step<'a> = Pin<Box<dyn Future<Output = Result<Done, StepError>> + 'a>>;

struct Task<'a> {
    /// For the story.
    name: &'static str,
    raw: Vec<u64>,
    merged: Vec<u64>,
    future: Step<'a>,
}

/// One run of a world.
pub struct Run<'a> {
    /// Ports and rules.
    pub core: Core<'a>,
    /// The store.
    pub records: &'a MemRecords,
    /// Both systems.
    pub stage: &'a Mutex<Stage>,
    /// The poller's watermarks.
    pub marks: &'a Mutex<Watermarks>,
    /// Time.
    pub clock: &'a ManualClock,
    /// The tenants.
    pub accounts: Vec<AccountId>,
    /// What went wrong.
    pub failures: Vec<String>,
    /// Decisions in preparation: what people have on screen.
    screens: Vec<ResolveRequest>,
    tasks: Vec<Task<'a>>,
    operations_left: usize,
}

/// What may happen next.
#[derive(Debug, Clone, Copy)]
enum Action {
    User,
    Poll,
    Intake,
    Answer,
    Merge,
    Write(Side),
    Recover(Side),
    RelayOurs,
    RelaySuitex,
    Sweep,
    Reconcile,
    Land,
    Tick,
    Jump,
    Look,
    Decide,
}

impl<'a> Run<'a> {
    /// A run that has not begun.
    pub fn new(
        core: Core<'a>,
        records: &'a MemRecords,
        stage: &'a Mutex<Stage>,
        marks: &'a Mutex<Watermarks>,
        clock: &'a ManualClock,
        accounts: Vec<AccountId>,
    ) -> Self {
        let operations_left = lock(stage).vary.operations;
        Self {
            core,
            records,
            stage,
            marks,
            clock,
            accounts,
            failures: Vec::new(),
            screens: Vec::new(),
            tasks: Vec::new(),
            operations_left,
        }
    }

    /// The first records.
    pub fn populate(&mut self) {
        let mut stage = lock(self.stage);
        for account in &self.accounts {
            for _ in 0..stage.vary.records {
                let side = if stage.rng.bool() { Side::Suitex } else { Side::Netsuite };
                stage.user_creates(side, account, "thing");
                if stage.vary.references {
                    stage.user_creates(side, account, "order");
                }
            }
        }
    }

    /// Delivers everything ever published once more: nothing may change (I4).
    pub fn repeat(&mut self) -> Vec<String> {
        let standing = |run: &Self| {
            let (stage, book) = (lock(run.stage), run.records.book());
            let of = |kept: &crate::memory::Kept| {
                (kept.record.key.clone(), kept.record.head.version, kept.record.head.record_seq)
            };
            let versions: Vec<(RecordRef, u64, u64)> = book.records.values().map(of).collect();
            (versions, stage.rows.clone(), stage.ledger.sync_writes)
        };
        let before = standing(self);
        {
            let mut stage = lock(self.stage);
            stage.bus.raw.redeliver_all();
            stage.bus.merged.redeliver_all();
        }
        if !self.drain(false) {
            return Vec::new();
        }
        if before == standing(self) {
            Vec::new()
        } else {
            vec!["I4: a second delivery of everything changed something".to_owned()]
        }
    }

    /// Users, faults and steps in random order, until users are done and a little longer.
    pub fn storm(&mut self) {
        let mut after = 40;
        while after > 0 && self.failures.is_empty() {
            if self.operations_left == 0 {
                after -= 1;
            }
            let action = self.choose();
            self.act(action);
        }
    }

    fn choose(&mut self) -> Action {
        let now = self.clock.now();
        let mut enabled: Vec<(u32, Action)> = vec![(100, Action::Tick), (12, Action::Jump)];
        let mut add = |when: bool, weight: u32, action: Action| {
            if when {
                enabled.push((weight, action));
            }
        };
        add(!self.tasks.is_empty(), 450, Action::Poll);
        add(self.operations_left > 0, 50, Action::User);
        let mut stage = lock(self.stage);
        let eager = stage.vary.eager;
        add(stage.network.iter().any(|packet| packet.answer.is_none()), eager, Action::Land);
        add(!stage.outbox.is_empty(), 60, Action::RelaySuitex);
        let ordered = stage.vary.ordered;
        let book = self.records.book();
        add(!book.outbox.is_empty(), 60, Action::RelayOurs);
        let conflicts = book.records.values().any(|kept| !kept.record.conflicts.is_empty());
        add(conflicts, 30, Action::Look);
        add(!self.screens.is_empty(), 20, Action::Decide);
        if self.tasks.len() < TASKS {
            add(!stage.bus.raw.ready(ordered).is_empty(), 100, Action::Intake);
            add(!stage.bus.merged.ready(ordered).is_empty(), 100, Action::Answer);
            add(true, 20, Action::Sweep);
            add(true, 4, Action::Reconcile);
            let due = |pick: &Pick| !book.due(pick).is_empty();
            add(due(&self.due_merge(now)), 80, Action::Merge);
            for side in Side::BOTH {
                add(due(&self.due_write(side, now)), 30, Action::Write(side));
                add(due(&self.overdue(side, now)), 40, Action::Recover(side));
            }
        }
        let total = enabled.iter().map(|(weight, _)| weight).sum();
        let mut at = stage.rng.u32(0..total);
        for (weight, action) in enabled {
            if at < weight {
                return action;
            }
            at -= weight;
        }
        Action::Tick
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::User => {
                let acted = lock(self.stage).user_acts(&self.accounts);
                self.operations_left -= 1;
                let _ = acted; // a day on which nothing could be done is a day less
            }
            Action::Poll => self.poll_one(),
            Action::Intake => self.start_intake(BATCH),
            Action::Answer => self.start_answers(BATCH),
            Action::Merge => self.start_merge(),
            Action::Write(side) => self.start_write(side),
            Action::Recover(side) => self.start_recover(side),
            Action::RelayOurs => self.relay_ours(),
            Action::RelaySuitex => self.relay_suitex(),
            Action::Sweep => {
                let (account, spec) = self.any_type();
                self.start_sweep(account, spec);
            }
            Action::Reconcile => {
                let (account, spec) = self.any_type();
                self.start_reconcile(account, spec);
            }
            Action::Land => self.land_any(),
            Action::Tick => {
                let micros = lock(self.stage).rng.i64(1_000..700_000);
                self.clock.advance_micros(micros);
            }
            Action::Jump => {
                let mut stage = lock(self.stage);
                let seconds = stage.rng.i64(3..50);
                stage.note(|| format!("{seconds} s pass"));
                if seconds > 30 && !self.tasks.is_empty() {
                    stage.coverage.hit("clock jumped past a deadline");
                }
                self.clock.advance_micros(seconds * 1_000_000);
            }
            Action::Look => self.look(),
            Action::Decide => {
                let at = lock(self.stage).rng.usize(..self.screens.len());
                let request = self.screens.swap_remove(at);
                self.start_decision(request);
            }
        }
    }

    fn any_type(&self) -> (usize, usize) {
        let mut stage = lock(self.stage);
        (stage.rng.usize(..self.accounts.len()), stage.rng.usize(..self.core.world.types.len()))
    }

    // ---- what needs no task

    fn land_any(&mut self) {
        let mut stage = lock(self.stage);
        let open: Vec<u64> = stage.network.iter().filter(|p| p.answer.is_none()).map(|p| p.id).collect();
        if open.is_empty() {
            return;
        }
        let id = open[stage.rng.usize(..open.len())];
        stage.coverage.hit("late request landed");
        stage.land(id);
    }

    /// Our outbox: doorbells go to `events.merged`.
    pub fn relay_ours(&mut self) {
        let mut stage = lock(self.stage);
        let mut book = self.records.book();
        while let Some(row) = book.outbox.pop_front() {
            if row.topic == "events.merged" {
                match Doorbell::open(&row) {
                    Ok(bell) => stage.bus.merged.publish(row.record_key.clone(), bell, || row.clone()),
                    Err(error) => self.failures.push(format!("a doorbell cannot be read: {error}")),
                }
            } else {
                stage.note(|| format!("{} {:?}", row.topic, row.attributes));
                stage.bus.errors.push(std::collections::BTreeMap::clone(&row.attributes));
            }
            let faults = stage.faults;
            if stage.chance(faults * 0.15) {
                // Published, and killed before the mark: published again later.
                book.outbox.push_front(row);
                return;
            }
            book.relayed += 1;
        }
    }

    /// The outbox of SuiteX goes to `events.raw`.
    pub fn relay_suitex(&mut self) {
        let mut stage = lock(self.stage);
        while let Some(event) = stage.outbox.pop_front() {
            stage.publish(event.clone());
            let faults = stage.faults;
            if stage.chance(faults * 0.15) {
                stage.outbox.push_front(event);
                return;
            }
        }
    }

    /// A person opens a conflict; the decision comes later, and may be about values that are no longer there.
    fn look(&mut self) {
        let open = self.open_conflicts();
        if open.is_empty() {
            return;
        }
        let at = lock(self.stage).rng.usize(..open.len());
        let (record, conflict) = &open[at];
        let request = self.decision(record, conflict);
        self.screens.push(request);
    }

    fn open_conflicts(&self) -> Vec<(RecordRef, Conflict)> {
        let book = self.records.book();
        let of = |kept: &crate::memory::Kept| {
            let key = kept.record.key.clone();
            kept.record.conflicts.clone().into_iter().map(move |conflict| (key.clone(), conflict)).collect::<Vec<_>>()
        };
        book.records.values().flat_map(of).collect()
    }

    fn decision(&mut self, record: &RecordRef, conflict: &Conflict) -> ResolveRequest {
        let mut stage = lock(self.stage);
        let side = if stage.rng.bool() { Side::Suitex } else { Side::Netsuite };
        ResolveRequest {
            record: record.clone(),
            conflict_id: conflict.conflict_id,
            rev: conflict.rev,
            choice: Choice::Accept(side),
            actor: "somebody".to_owned(),
            note: String::new(),
        }
    }

    fn due_merge(&self, now: model::Timestamp) -> Pick {
        Pick::DueMerge { accounts: self.accounts.clone(), per_account: BATCH, now }
    }

    fn due_write(&self, side: Side, now: model::Timestamp) -> Pick {
        Pick::DueWrite { accounts: self.accounts.clone(), side, per_account: BATCH, now }
    }

    fn overdue(&self, side: Side, now: model::Timestamp) -> Pick {
        Pick::Overdue { accounts: self.accounts.clone(), side, per_account: BATCH, now }
    }
}

fn name_of_write(side: Side) -> &'static str {
    match side {
        Side::Suitex => "write suitex",
        Side::Netsuite => "write netsuite",
    }
}
