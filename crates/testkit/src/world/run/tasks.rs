//! Tasks under way: going on, ending, dying.

use std::task::{Context, Poll, Waker};

use steps::{ResolveError, StepError};

use super::{Done, MOST_POLLS, Run, Step, Task, lock};

impl<'a> Run<'a> {
    pub(super) fn start(&mut self, name: &'static str, raw: Vec<u64>, merged: Vec<u64>, future: Step<'a>) {
        self.tasks.push(Task { name, raw, merged, future });
    }

    pub(super) fn poll_one(&mut self) {
        let at = {
            let mut stage = lock(self.stage);
            let (at, faults) = (stage.rng.usize(..self.tasks.len()), stage.faults);
            if stage.chance(faults * 0.1) {
                stage.coverage.hit("killed");
                drop(stage);
                self.kill(at);
                return;
            }
            let share = stage.vary.adversary;
            if self.operations_left > 0 && stage.hot.is_some() && stage.chance(share) && stage.adversary_acts() {
                self.operations_left -= 1;
            }
            at
        };
        self.poll(at);
    }

    /// The process dies where it is: nothing of the step is heard of again, its messages are delivered anew.
    pub(super) fn kill(&mut self, at: usize) {
        let task = self.tasks.swap_remove(at);
        let mut stage = lock(self.stage);
        stage.note(|| format!("{} is killed", task.name));
        for id in task.raw {
            stage.bus.raw.give_back(id);
        }
        for id in task.merged {
            stage.bus.merged.give_back(id);
        }
    }

    /// A task goes on to its next point. Answers true when it has ended.
    fn poll(&mut self, at: usize) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        match self.tasks[at].future.as_mut().poll(&mut cx) {
            Poll::Pending => false,
            Poll::Ready(done) => {
                let task = self.tasks.swap_remove(at);
                self.ended(task, done);
                true
            }
        }
    }

    fn ended(&mut self, task: Task<'a>, done: Result<Done, StepError>) {
        let mut stage = lock(self.stage);
        stage.note(|| format!("{}: {done:?}", task.name));
        let faults = stage.faults;
        for id in task.raw {
            if stage.chance(faults * 0.2) {
                stage.coverage.hit("message delivered twice");
                stage.bus.raw.give_back(id);
            } else {
                stage.bus.raw.acknowledge(id);
            }
        }
        for id in task.merged {
            if stage.chance(faults * 0.2) {
                stage.coverage.hit("message delivered twice");
                stage.bus.merged.give_back(id);
            } else {
                stage.bus.merged.acknowledge(id);
            }
        }
        match done {
            Ok(Done::Quiet) => {}
            Ok(Done::Merged(merged)) => {
                stage.coverage.add("fast delta", merged.fast);
                stage.coverage.add("version", merged.versions);
                stage.coverage.add("override", merged.overrides);
                stage.coverage.add("conflict", merged.conflicts);
            }
            Ok(Done::Written(written)) => stage.coverage.add("parked for a parent", written.parked),
            Ok(Done::Recovered(recovered)) => {
                stage.coverage.add("recovered: landed", recovered.landed);
                stage.coverage.add("recovered: unknown", recovered.unknown);
            }
            Ok(Done::Resolved(answer)) => match answer {
                Ok(_) => stage.coverage.hit("resolved"),
                Err(ResolveError::Moved(_)) => stage.coverage.hit("stale resolution"),
                Err(ResolveError::NotOpen | ResolveError::Step(_)) => {}
            },
            Err(error) => self.failures.push(format!("{} failed: {error}", task.name)),
        }
    }

    /// How many tasks are under way.
    pub fn under_way(&self) -> usize {
        self.tasks.len()
    }

    /// A task goes on to its next point, by its place among those under way.
    pub fn poll_at(&mut self, at: usize) {
        if !self.tasks.is_empty() {
            self.poll(at % self.tasks.len());
        }
    }

    /// A task is killed where it is, by its place among those under way.
    pub fn kill_at(&mut self, at: usize) {
        if !self.tasks.is_empty() {
            self.kill(at % self.tasks.len());
        }
    }

    /// The task begun last goes on to its next point. Answers true when it has ended.
    pub fn poll_last(&mut self) -> bool {
        self.tasks.is_empty() || self.poll(self.tasks.len() - 1)
    }

    /// The task begun last goes on to its end.
    pub fn finish_last_task(&mut self) {
        while !self.poll_last() {}
    }

    /// The task begun last is killed where it is.
    pub fn kill_last(&mut self) {
        if !self.tasks.is_empty() {
            self.kill(self.tasks.len() - 1);
        }
    }

    /// Lets every task go on to its end.
    pub fn finish_tasks(&mut self) {
        let mut polls = 0;
        while !self.tasks.is_empty() {
            self.poll(0);
            polls += 1;
            if polls > MOST_POLLS {
                self.failures.push(format!("{} does not end", self.tasks[0].name));
                return;
            }
        }
    }
}
