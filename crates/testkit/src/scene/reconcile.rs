//! The reconciler in a scenario: one sweep of everything, to its end.

use std::time::Duration;

use steps::{Look, Tally};

use super::{Scene, wait};
use crate::world::reconciler::reconcile;
use crate::world::remote::lock;

impl Scene<'_, '_> {
    /// Sweeps every type of every account; answers what was counted of each.
    ///
    /// # Panics
    /// When a side does not answer.
    pub fn reconcile(&mut self) -> Vec<Tally> {
        let (core, page) = (self.run.core, lock(self.run.stage).vary.page);
        let mut tallies = Vec::new();
        for account in &self.run.accounts {
            for spec in &core.world.types {
                let look = Look { core, account, spec, grace: Duration::ZERO };
                let swept = wait(reconcile(look, self.run.records, page));
                tallies.push(swept.expect("both sides answer in a scenario"));
            }
        }
        tallies
    }
}
