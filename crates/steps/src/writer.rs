//! A writer: the write and recovery steps of one side over what is due. Both writers are this, and their side.

use model::{AccountId, RecordRef, Side, Timestamp};
use store::records::Pick;

use crate::core::{Engine, StepError};
use crate::recover::{Recovered, recover_step};
use crate::write::{Written, write_step};

/// One side's writer over a set of accounts.
#[derive(Clone)]
pub struct Writer {
    /// Ports and rules.
    pub engine: Engine,
    /// The side written to.
    pub side: Side,
    /// Accounts served.
    pub accounts: Vec<AccountId>,
    /// Most records of an account in one step.
    pub per_account: usize,
}

impl Writer {
    /// Answers doorbells.
    ///
    /// # Errors
    /// The database.
    pub async fn answer(
        &self,
        mut records: Vec<RecordRef>,
        may_write: &(dyn Fn(&AccountId) -> bool + Sync),
    ) -> Result<Written, StepError> {
        records.sort_unstable();
        records.dedup();
        write_step(&self.engine.core(), self.side, &Pick::These(records), may_write).await
    }

    /// Writes what is due without a doorbell: after a backoff, or because a bell was lost.
    ///
    /// # Errors
    /// The database.
    pub async fn write_due(&self, may_write: &(dyn Fn(&AccountId) -> bool + Sync)) -> Result<Written, StepError> {
        let pick = Pick::DueWrite {
            accounts: self.accounts.clone(),
            side: self.side,
            per_account: self.per_account,
            now: self.engine.clock.now(),
        };
        write_step(&self.engine.core(), self.side, &pick, may_write).await
    }

    /// Looks for writes whose deadline has passed.
    ///
    /// # Errors
    /// The database.
    pub async fn recover_due(&self) -> Result<Recovered, StepError> {
        let pick = Pick::Overdue {
            accounts: self.accounts.clone(),
            side: self.side,
            per_account: self.per_account,
            now: self.engine.clock.now(),
        };
        recover_step(&self.engine.core(), self.side, &pick).await
    }

    /// When [`Writer::write_due`] or [`Writer::recover_due`] may find something.
    ///
    /// # Errors
    /// The database.
    pub async fn next_due(&self) -> Result<Option<Timestamp>, StepError> {
        Ok(self.engine.records.next_due(&self.accounts, Some(self.side)).await?)
    }
}
