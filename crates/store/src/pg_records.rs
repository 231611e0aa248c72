//! The port of the core over Postgres. The schema is explained in `migrations/0001_sync.sql`.
//!
//! A transaction locks the heads it takes, then reads what belongs to them, each in a statement of its own (a statement
//! sees what was committed before it began, so what is read after the lock is what the last holder left), then stores
//! the patches in a few statements for the whole batch.

mod alone;
mod brake;
mod columns;
mod doorbell;
mod extras;
mod folded;
mod intake;
mod isolate;
mod kept;
mod links;
mod load;
mod pick;
mod queries;
mod save;
mod save_folded;
mod save_head;
mod save_log;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use async_trait::async_trait;
use model::limits::DeleteBrake;
use model::record::Windows;
use model::{AccountId, NativeId, RecordRef, RecordType, Rid, Side, Timestamp};
use sqlx::{PgPool, Postgres, Transaction};

use crate::StoreError;
use crate::handoff::{Committed, Handoff, PATIENCE};
use crate::records::{Hint, Intake, Link, LogRow, Pick, Plan, Records, View};
use intake::{Attempt, Manner};
pub(crate) use queries::{LOG_COLUMNS, read_log_row};

/// The channel that rings when a transaction left work: the payload says for whom and when it falls due, in milliseconds
/// since 1970 (`merge=1764126000000 netsuite=1764126002000`; words `merge`, `suitex`, `netsuite`). A hint, not a queue:
/// whoever misses it finds the work by [`Records::next_due`].
pub const WORK_CHANNEL: &str = "concord_work";

/// How often intake begins again because somebody else linked an id or merged a record while it waited.
const MAX_ATTEMPTS: usize = 8;

/// Every statement of the core is a lookup by key or by one of the queue's partial indexes, and must stay one while tables
/// grow and before anybody has analysed them. So the plan is made once and not from statistics: no scans, no joins but by
/// index, and whoever touches the fewest rows wins.
macro_rules! planned {
    ($begin:literal) => {
        concat!(
            $begin,
            "; set local plan_cache_mode = force_generic_plan; set local enable_seqscan = off; \
             set local enable_bitmapscan = off; set local enable_hashjoin = off; set local enable_mergejoin = off; \
             set local cpu_tuple_cost = 1"
        )
    };
}

const BEGIN: &str = planned!("begin");
const BEGIN_READING: &str = planned!("begin isolation level repeatable read read only");

/// [`Records`] over Postgres. Cloning shares the pool.
#[derive(Debug, Clone)]
pub struct PgRecords {
    pool: PgPool,
    handoff: Option<Handoff>,
}

impl PgRecords {
    /// Over a pool of a migrated database, see [`crate::migrate`].
    pub fn new(pool: PgPool) -> Self {
        Self { pool, handoff: None }
    }

    /// Hands the messages that its transactions commit to this process' relay, so that no sweep is needed for them.
    #[must_use]
    pub fn handing_to(self, handoff: Handoff) -> Self {
        Self { handoff: Some(handoff), ..self }
    }

    /// How long a sweep leaves this process its own messages.
    fn patience(&self) -> Duration {
        if self.handoff.is_some() { PATIENCE } else { Duration::ZERO }
    }

    /// After the commit, and only then.
    fn hand_over(&self, committed: Vec<Committed>) {
        if let Some(handoff) = &self.handoff {
            handoff.give(committed);
        }
    }

    /// The pool beneath.
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    async fn begin(&self, statement: &'static str) -> Result<Transaction<'static, Postgres>, StoreError> {
        self.pool.begin_with(statement).await.map_err(StoreError::database("begin a transaction"))
    }

    async fn try_intake(
        &self,
        hints: &[&Hint],
        now: Timestamp,
        windows: &Windows,
        manner: Manner,
        plan: &mut Plan<'_>,
    ) -> Result<Attempt, StoreError> {
        let mut tx = self.begin(BEGIN).await?;
        let mut attempt = intake::store(&mut tx, hints, now, windows, manner, self.patience(), plan).await?;
        match &mut attempt {
            Attempt::Done(_, committed) => {
                commit(tx).await?;
                self.hand_over(std::mem::take(committed));
            }
            Attempt::Again | Attempt::Known | Attempt::Unfoldable => rollback(tx).await?,
        }
        Ok(attempt)
    }
}

async fn commit(tx: Transaction<'_, Postgres>) -> Result<(), StoreError> {
    tx.commit().await.map_err(StoreError::database("commit"))
}

async fn rollback(tx: Transaction<'_, Postgres>) -> Result<(), StoreError> {
    tx.rollback().await.map_err(StoreError::database("roll back"))
}

#[async_trait]
impl Records for PgRecords {
    async fn take_in(
        &self,
        hints: &[&Hint],
        now: Timestamp,
        windows: &Windows,
        plan: &mut Plan<'_>,
    ) -> Result<Vec<Intake>, StoreError> {
        let mut seen = HashSet::with_capacity(hints.len());
        let first: Vec<bool> = hints.iter().map(|hint| seen.insert((&hint.account, hint.event_id))).collect();
        let fresh: Vec<&Hint> = hints.iter().zip(&first).filter(|(_, first)| **first).map(|(hint, _)| *hint).collect();
        if fresh.is_empty() {
            plan(&[]);
            return Ok(Vec::new());
        }
        let mut manner = Manner { ask: false, fold: true };
        for _ in 0..MAX_ATTEMPTS {
            match self.try_intake(&fresh, now, windows, manner, plan).await? {
                Attempt::Done(answers, _) => {
                    let mut answers = answers.into_iter();
                    let answer = |first: &bool| if *first { answers.next() } else { Some(Intake::Known) };
                    return Ok(first.iter().filter_map(answer).collect());
                }
                Attempt::Again => {}
                Attempt::Known => manner.ask = true,
                Attempt::Unfoldable => manner.fold = false,
            }
        }
        Err(StoreError::Contended { what: "store hints", attempts: MAX_ATTEMPTS })
    }

    async fn transact(&self, pick: &Pick, pending: bool, plan: &mut Plan<'_>) -> Result<usize, StoreError> {
        let mut tx = self.begin(BEGIN).await?;
        let heads = pick::lock_heads(&mut tx, pick).await?;
        if heads.is_empty() {
            rollback(tx).await?;
            return Ok(0);
        }
        let (views, remembered) = load::load(&mut tx, heads, pending).await?;
        let mut patches = plan(&views);
        alone::retain(&mut tx, &mut patches).await?;
        let changes = save::changes(&views, &remembered, &patches)?;
        let committed = isolate::apply(&mut tx, &changes, self.patience()).await?;
        commit(tx).await?;
        self.hand_over(committed);
        Ok(views.len())
    }

    async fn views(&self, records: &[RecordRef], pending: bool) -> Result<Vec<View>, StoreError> {
        let mut tx = self.begin(BEGIN_READING).await?;
        let heads = pick::read_heads(&mut tx, records).await?;
        let (views, _) = load::load(&mut tx, heads, pending).await?;
        rollback(tx).await?;
        let mut views: HashMap<RecordRef, View> =
            views.into_iter().map(|view| (view.record.key.clone(), view)).collect();
        Ok(records.iter().filter_map(|record| views.remove(record)).collect())
    }

    async fn links(
        &self,
        account: &AccountId,
        side: Side,
        ids: &[(RecordType, NativeId)],
    ) -> Result<HashMap<(RecordType, NativeId), Link>, StoreError> {
        queries::links(&self.pool, account, side, ids).await
    }

    async fn native_ids(
        &self,
        account: &AccountId,
        side: Side,
        rids: &[(RecordType, Rid)],
    ) -> Result<HashMap<(RecordType, Rid), NativeId>, StoreError> {
        queries::native_ids(&self.pool, account, side, rids).await
    }

    async fn candidates(
        &self,
        account: &AccountId,
        record_type: &RecordType,
        natural_key: &str,
    ) -> Result<Vec<Rid>, StoreError> {
        queries::candidates(&self.pool, account, record_type, natural_key).await
    }

    async fn may_delete(
        &self,
        account: &AccountId,
        record_type: &RecordType,
        brake: &DeleteBrake,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        brake::may_delete(&self.pool, account, record_type, brake, now).await
    }

    async fn writes_by_themselves(&self, record: &RecordRef, since: Timestamp) -> Result<Option<u64>, StoreError> {
        brake::writes_by_themselves(&self.pool, record, since).await
    }

    async fn next_due(&self, accounts: &[AccountId], side: Option<Side>) -> Result<Option<Timestamp>, StoreError> {
        let accounts: Vec<&str> = accounts.iter().map(AccountId::as_str).collect();
        let mut tx = self.begin(BEGIN_READING).await?;
        let due = pick::next_due(&mut tx, &accounts, side).await?;
        rollback(tx).await?;
        Ok(due)
    }

    async fn log(&self, record: &RecordRef) -> Result<Vec<LogRow>, StoreError> {
        queries::log(&self.pool, record).await
    }
}
