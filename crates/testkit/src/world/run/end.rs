//! The end of a world: everything that was begun ends.

use super::{Clock, MOST_ROUNDS, Pick, Run, Side, lock};

impl Run<'_> {
    /// No more faults: everything that was begun ends, until nothing is left to do. Answers false when that never
    /// comes. `decide`: open conflicts are decided.
    pub fn drain(&mut self, decide: bool) -> bool {
        lock(self.stage).faults = 0.0;
        let mut swept_at_bell = None;
        for _ in 0..MOST_ROUNDS {
            self.finish_tasks();
            if !self.failures.is_empty() {
                return false;
            }
            if self.one_round() {
                continue;
            }
            let published = lock(self.stage).bus.raw.ever.len();
            if swept_at_bell != Some(published) {
                swept_at_bell = Some(published);
                for account in 0..self.accounts.len() {
                    for spec in 0..self.core.world.types.len() {
                        self.start_sweep(account, spec);
                    }
                }
                continue;
            }
            if decide && !self.open_conflicts().is_empty() {
                let (record, conflict) = self.open_conflicts().swap_remove(0);
                let request = self.decision(&record, &conflict);
                self.start_decision(request);
                continue;
            }
            let next = self.records.book().next_due_any();
            match next {
                None => return true,
                Some(at) => {
                    let micros = at.as_microsecond() - self.clock.now().as_microsecond();
                    self.clock.advance_micros(micros.max(1));
                }
            }
        }
        self.failures.push(format!("I1: not quiet after {MOST_ROUNDS} rounds"));
        false
    }

    /// Starts whatever can be started now. Answers false when there is nothing.
    fn one_round(&mut self) -> bool {
        let open = lock(self.stage).network.iter().any(|packet| packet.answer.is_none());
        if open {
            self.land_any();
            return true;
        }
        let (raw, merged, outbox) = {
            let stage = lock(self.stage);
            (!stage.bus.raw.is_empty(), !stage.bus.merged.is_empty(), !stage.outbox.is_empty())
        };
        let now = self.clock.now();
        let due = |pick: &Pick| !self.records.book().due(pick).is_empty();
        if outbox || !self.records.book().outbox.is_empty() {
            self.relay_suitex();
            self.relay_ours();
        } else if raw {
            self.start_intake(50);
        } else if merged {
            self.start_answers(50);
        } else if due(&self.due_merge(now)) {
            self.start_merge();
        } else if let Some(side) = Side::BOTH.into_iter().find(|side| due(&self.overdue(*side, now))) {
            self.start_recover(side);
        } else if let Some(side) = Side::BOTH.into_iter().find(|side| due(&self.due_write(*side, now))) {
            self.start_write(side);
        } else {
            return false;
        }
        true
    }
}
