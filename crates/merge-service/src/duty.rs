//! Merge steps over what is due.

use async_trait::async_trait;
use chassis::duty::{Duty, Turn};
use model::AccountId;
use steps::{Engine, Merged, merge_step};
use store::records::Pick;

/// One merge loop.
pub(crate) struct Merging {
    pub(crate) engine: Engine,
    pub(crate) accounts: Vec<AccountId>,
    pub(crate) per_account: usize,
}

#[async_trait]
impl Duty for Merging {
    async fn turn(&self) -> anyhow::Result<Turn> {
        let pick = Pick::DueMerge {
            accounts: self.accounts.clone(),
            per_account: self.per_account,
            now: self.engine.clock.now(),
        };
        let done = merge_step(&self.engine.core(), &pick).await?;
        if done.records == 0 {
            return Ok(Turn { full: false, next_due: self.engine.records.next_due(&self.accounts, None).await? });
        }
        let full = done.records >= self.per_account;
        report(done);
        Ok(Turn { full, next_due: Some(self.engine.clock.now()) })
    }
}

/// Counts what was merged, in a step or by intake.
pub(crate) fn report(done: Merged) {
    let count = |outcome: &'static str, n: usize| {
        metrics::counter!("concord_events_merged_total", "outcome" => outcome).increment(n as u64);
    };
    count("applied", done.applied);
    count("settled", done.settled - done.applied);
    count("unreadable", done.unreadable);
    for (policy, n) in done.clashes {
        metrics::counter!("concord_conflicts_total", "policy" => policy).increment(n as u64);
    }
}
