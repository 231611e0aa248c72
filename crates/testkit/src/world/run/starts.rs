//! Beginning tasks: intake, doorbells, merge, write, recovery, sweeps, decisions.

use std::time::Duration;

use steps::{Look, LookError};

use super::super::reconciler::reconcile;
use super::{
    AccountId, BTreeSet, ChangeEvent, Clock, Done, Doorbell, Pick, RecordRef, ResolveError, ResolveRequest, Run, Side,
    intake, lock, merge_step, name_of_write, recover_step, resolve, sweep, to_hint, write_step,
};

impl<'a> Run<'a> {
    /// Intake of some messages in one transaction; they are acknowledged when it has ended.
    pub fn start_intake(&mut self, most: usize) {
        let core = self.core;
        let (ids, events) = self.take_raw(most);
        let mut hints = Vec::with_capacity(events.len());
        for event in &events {
            match to_hint(&core, event) {
                Ok(hint) => hints.push(hint),
                Err(failure) => self.failures.push(format!("an event of the world was refused: {failure}")),
            }
        }
        let step = async move {
            intake(&core, &hints.iter().collect::<Vec<_>>()).await?;
            Ok(Done::Quiet)
        };
        self.start("intake", ids, Vec::new(), Box::pin(step));
    }

    fn take_raw(&mut self, most: usize) -> (Vec<u64>, Vec<ChangeEvent>) {
        let mut stage = lock(self.stage);
        let ordered = stage.vary.ordered;
        let mut found: Vec<u64> = stage.bus.raw.ready(ordered).into_iter().map(|m| m.id).collect();
        stage.rng.shuffle(&mut found);
        found.truncate(most);
        let events = stage.bus.raw.take(&found);
        drop(stage);
        (found, self.arrived(events))
    }

    /// What was taken from the bus; nothing, and the run has failed, when it arrived otherwise than it was published.
    fn arrived<T>(&mut self, taken: Result<Vec<T>, String>) -> Vec<T> {
        taken.unwrap_or_else(|why| {
            self.failures.push(format!("the bus: {why}"));
            Vec::new()
        })
    }

    /// A write step for some doorbells of one side.
    pub fn start_answers(&mut self, most: usize) {
        let (side, bells) = {
            let mut stage = lock(self.stage);
            let ordered = stage.vary.ordered;
            let mut found: Vec<(u64, Doorbell)> =
                stage.bus.merged.ready(ordered).into_iter().map(|m| (m.id, m.body.clone())).collect();
            stage.rng.shuffle(&mut found);
            let Some(side) = found.first().map(|(_, bell)| bell.target) else { return };
            found.retain(|(_, bell)| bell.target == side);
            found.truncate(most);
            (side, found)
        };
        self.start_answer(side, bells);
    }

    /// A write step for just these doorbells.
    pub fn start_answer(&mut self, side: Side, bells: Vec<(u64, Doorbell)>) {
        let core = self.core;
        // A scenario may ring again with a bell that was answered long ago.
        let (bells, again): (Vec<_>, Vec<_>) =
            bells.into_iter().partition(|(id, _)| lock(self.stage).bus.merged.has(*id));
        let ids: Vec<u64> = bells.into_iter().map(|(id, _)| id).collect();
        let taken = lock(self.stage).bus.merged.take(&ids);
        let bells = self.arrived(taken).into_iter().chain(again.into_iter().map(|(_, bell)| bell));
        let records: BTreeSet<RecordRef> = bells.map(|bell| bell.record).collect();
        let records: Vec<RecordRef> = records.into_iter().collect();
        let step = async move {
            let written = write_step(&core, side, &Pick::These(records), &|_: &AccountId| true).await?;
            Ok(Done::Written(written))
        };
        self.start(name_of_write(side), Vec::new(), ids, Box::pin(step));
    }

    /// A merge step over what is due.
    pub fn start_merge(&mut self) {
        let (core, pick) = (self.core, self.due_merge(self.clock.now()));
        let step = async move { Ok(Done::Merged(merge_step(&core, &pick).await?)) };
        self.start("merge", Vec::new(), Vec::new(), Box::pin(step));
    }

    /// A write step over what is due without a doorbell.
    pub fn start_write(&mut self, side: Side) {
        let (core, pick) = (self.core, self.due_write(side, self.clock.now()));
        let step = async move { Ok(Done::Written(write_step(&core, side, &pick, &|_: &AccountId| true).await?)) };
        self.start(name_of_write(side), Vec::new(), Vec::new(), Box::pin(step));
    }

    /// A recovery step.
    pub fn start_recover(&mut self, side: Side) {
        let (core, pick) = (self.core, self.overdue(side, self.clock.now()));
        let step = async move { Ok(Done::Recovered(recover_step(&core, side, &pick).await?)) };
        self.start("recover", Vec::new(), Vec::new(), Box::pin(step));
    }

    /// A sweep of one type of one account.
    pub fn start_sweep(&mut self, account: usize, spec: usize) {
        let (core, stage, marks) = (self.core, self.stage, self.marks);
        let account = self.accounts[account].clone();
        let step = async move {
            sweep(&core, stage, marks, &account, &core.world.types[spec]).await?;
            Ok(Done::Quiet)
        };
        self.start("sweep", Vec::new(), Vec::new(), Box::pin(step));
    }

    /// The reconciler's sweep of one type of one account.
    pub fn start_reconcile(&mut self, account: usize, spec: usize) {
        let (core, stage, records) = (self.core, self.stage, self.records);
        let (account, page) = (self.accounts[account].clone(), lock(stage).vary.page);
        let step = async move {
            let look = Look { core, account: &account, spec: &core.world.types[spec], grace: Duration::ZERO };
            match reconcile(look, records, page).await {
                Ok(tally) => {
                    let found = tally.drift + tally.unknown.suitex + tally.unknown.netsuite;
                    lock(stage).coverage.add("drift found", usize::try_from(found).unwrap_or(usize::MAX));
                }
                Err(LookError::Step(error)) => return Err(error),
                Err(LookError::Remote(_)) => {} // it is put off
            }
            Ok(Done::Quiet)
        };
        self.start("reconcile", Vec::new(), Vec::new(), Box::pin(step));
    }

    /// A person submits a decision.
    pub fn start_decision(&mut self, request: ResolveRequest) {
        let core = self.core;
        let step = async move {
            Ok(Done::Resolved(match resolve(&core, &request).await {
                Err(ResolveError::Step(error)) => return Err(error),
                answer => answer,
            }))
        };
        self.start("resolve", Vec::new(), Vec::new(), Box::pin(step));
    }
}
