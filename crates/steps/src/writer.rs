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

/// What a turn over due work came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Worked {
    /// What was written.
    pub written: Written,
    /// As much was looked at as one turn looks at: there may be more.
    pub full: bool,
    /// When something falls due.
    pub next_due: Option<Timestamp>,
}

impl Writer {
    /// Writes and recovers what is due.
    ///
    /// # Errors
    /// The database.
    pub async fn work(&self, may_write: &(dyn Fn(&AccountId) -> bool + Sync)) -> Result<Worked, StepError> {
        let written = self.write_due(may_write).await?;
        let looked = written.records + self.recover_due().await?.looked;
        let next_due = if looked > 0 { Some(self.engine.clock.now()) } else { self.next_due().await? };
        Ok(Worked { written, full: looked >= self.per_account, next_due })
    }

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
