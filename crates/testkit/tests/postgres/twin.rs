//! One store that is two: every transaction runs in Postgres, and what its plan made of it in memory as well. A transaction
//! blocks until Postgres has committed, so it stays one atomic step of the schedule.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use model::limits::DeleteBrake;
use model::record::Windows;
use model::{AccountId, NativeId, RecordRef, RecordType, Rid, Side, Timestamp};
use sqlx::PgPool;
use store::records::{Hint, Intake, Link, LogRow, Patch, Pick, Plan, Records, View};
use store::{PgRecords, StoreError};
use testkit::memory::MemRecords;
use tokio::runtime::Runtime;

/// Postgres, and memory beside it.
pub(crate) struct Twin<'a> {
    pub(crate) runtime: &'a Runtime,
    pub(crate) postgres: PgRecords,
    memory: &'a MemRecords,
    differences: Mutex<Vec<String>>,
    transactions: AtomicUsize,
}

impl<'a> Twin<'a> {
    pub(crate) fn new(runtime: &'a Runtime, pool: PgPool, memory: &'a MemRecords) -> Self {
        let (differences, transactions) = (Mutex::default(), AtomicUsize::new(0));
        Self { runtime, postgres: PgRecords::new(pool), memory, differences, transactions }
    }

    pub(crate) fn transactions(&self) -> usize {
        self.transactions.load(Ordering::Relaxed)
    }

    /// Where the two were not of one mind.
    pub(crate) fn differences(&self) -> Vec<String> {
        self.differences.lock().unwrap().clone()
    }

    fn same<T: PartialEq + std::fmt::Debug>(&self, what: &str, postgres: &T, memory: &T) {
        if postgres != memory {
            let difference = format!("{what}: Postgres and memory say {}", apart(postgres, memory));
            self.differences.lock().unwrap().push(difference);
        }
    }

    fn wait<T>(&self, answer: impl Future<Output = T>) -> T {
        self.runtime.block_on(answer)
    }
}

/// The first lines in which two things differ.
pub(crate) fn apart<T: std::fmt::Debug>(one: &T, other: &T) -> String {
    const MOST: usize = 6;
    let (one, other) = (format!("{one:#?}"), format!("{other:#?}"));
    let differing = one.lines().zip(other.lines()).filter(|(one, other)| one != other).take(MOST);
    let told: Vec<String> = differing.map(|(one, other)| format!("{} / {}", one.trim(), other.trim())).collect();
    told.join("; ")
}

/// A plan that notes what it was shown and what it made of it.
fn noted<'a>(
    plan: &'a mut Plan<'_>,
    last: &'a mut (Vec<View>, Vec<Patch>),
) -> impl FnMut(&[View]) -> Vec<Patch> + Send + 'a {
    |views| {
        let patches = plan(views);
        *last = (views.to_vec(), patches.clone());
        patches
    }
}

/// Hints are in order on each side; how those of both sides are mixed is not promised.
fn in_order(views: &[View]) -> Vec<View> {
    let mut views = views.to_vec();
    views.iter_mut().for_each(|view| view.pending.sort_by_key(|hint| hint.side));
    views
}

/// When a rung record falls due is decided after the plan of intake: what it sees of that is nothing yet.
fn undue(views: &[View]) -> Vec<View> {
    let mut views = in_order(views);
    for view in &mut views {
        Side::BOTH.into_iter().for_each(|side| view.record.shadows[side].ready_at = None);
    }
    views
}

#[async_trait]
impl Records for Twin<'_> {
    async fn take_in(
        &self,
        hints: &[&Hint],
        now: Timestamp,
        windows: &Windows,
        plan: &mut Plan<'_>,
    ) -> Result<Vec<Intake>, StoreError> {
        let mut last = (Vec::new(), Vec::new());
        let answers = self.wait(self.postgres.take_in(hints, now, windows, &mut noted(plan, &mut last)))?;
        let (seen, patches) = last;
        let mut again = |views: &[View]| {
            self.same("views of intake", &undue(&seen), &undue(views));
            patches.clone()
        };
        let beside = self.memory.take_in(hints, now, windows, &mut again).await?;
        self.same("answers of intake", &answers, &beside);
        self.transactions.fetch_add(1, Ordering::Relaxed);
        Ok(answers)
    }

    async fn transact(&self, pick: &Pick, pending: bool, plan: &mut Plan<'_>) -> Result<usize, StoreError> {
        let mut last = (Vec::new(), Vec::new());
        let taken = self.wait(self.postgres.transact(pick, pending, &mut noted(plan, &mut last)))?;
        self.same("how many are due", &taken, &self.memory.book().due(pick).len());
        let (seen, patches) = last;
        // The same records: of several that fall due in one instant each store may take others first.
        let these = Pick::These(seen.iter().map(|view| view.record.key.clone()).collect());
        let mut again = |views: &[View]| {
            self.same("views", &in_order(&seen), &in_order(views));
            patches.clone()
        };
        self.memory.transact(&these, pending, &mut again).await?;
        self.transactions.fetch_add(1, Ordering::Relaxed);
        Ok(taken)
    }

    async fn views(&self, records: &[RecordRef], pending: bool) -> Result<Vec<View>, StoreError> {
        let views = self.wait(self.postgres.views(records, pending))?;
        self.same("views", &in_order(&views), &in_order(&self.memory.views(records, pending).await?));
        Ok(views)
    }

    async fn links(
        &self,
        account: &AccountId,
        side: Side,
        ids: &[(RecordType, NativeId)],
    ) -> Result<HashMap<(RecordType, NativeId), Link>, StoreError> {
        let found = self.wait(self.postgres.links(account, side, ids))?;
        self.same("links", &found, &self.memory.links(account, side, ids).await?);
        Ok(found)
    }

    async fn native_ids(
        &self,
        account: &AccountId,
        side: Side,
        rids: &[(RecordType, Rid)],
    ) -> Result<HashMap<(RecordType, Rid), NativeId>, StoreError> {
        let found = self.wait(self.postgres.native_ids(account, side, rids))?;
        self.same("native ids", &found, &self.memory.native_ids(account, side, rids).await?);
        Ok(found)
    }

    async fn candidates(
        &self,
        account: &AccountId,
        record_type: &RecordType,
        natural_key: &str,
    ) -> Result<Vec<Rid>, StoreError> {
        let mut found = self.wait(self.postgres.candidates(account, record_type, natural_key))?;
        let mut beside = self.memory.candidates(account, record_type, natural_key).await?;
        found.sort_unstable();
        beside.sort_unstable();
        self.same("candidates", &found, &beside);
        Ok(found)
    }

    async fn may_delete(
        &self,
        account: &AccountId,
        record_type: &RecordType,
        brake: &DeleteBrake,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let may = self.wait(self.postgres.may_delete(account, record_type, brake, now))?;
        self.same("deletions", &may, &self.memory.may_delete(account, record_type, brake, now).await?);
        Ok(may)
    }

    async fn writes_by_themselves(&self, record: &RecordRef, since: Timestamp) -> Result<Option<u64>, StoreError> {
        let writes = self.wait(self.postgres.writes_by_themselves(record, since))?;
        self.same("writes", &writes, &self.memory.writes_by_themselves(record, since).await?);
        Ok(writes)
    }

    async fn next_due(&self, accounts: &[AccountId], side: Option<Side>) -> Result<Option<Timestamp>, StoreError> {
        let due = self.wait(self.postgres.next_due(accounts, side))?;
        self.same("the next due", &due, &self.memory.next_due(accounts, side).await?);
        Ok(due)
    }

    async fn log(&self, record: &RecordRef) -> Result<Vec<LogRow>, StoreError> {
        let log = self.wait(self.postgres.log(record))?;
        self.same("log", &log, &self.memory.log(record).await?);
        Ok(log)
    }
}
