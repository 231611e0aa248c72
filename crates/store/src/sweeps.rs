//! `sync.sweep`: when the reconciler's sweeps are due and how far they have come. A sweep belongs to one process at a time
//! by a lease with a fencing token: progress is stored only by its holder, so a process that slept through its lease
//! changes nothing.

use std::time::Duration;

use model::{AccountId, RecordType, Rid, Timestamp};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::types::Json;
use sqlx::{PgExecutor, PgPool};
use uuid::Uuid;

use crate::StoreError;
use crate::cells::Cells;
use crate::instant::{Instant, maybe};

/// The channel that rings when somebody asks for a sweep (`sweep=now`) or a resync (`resync=now`).
pub const CHANNEL: &str = "concord_reconcile";

/// Certificates of an account and type that are kept.
const KEPT_CERTIFICATES: i64 = 100;

/// A part of a sweep, in its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Ids of SuiteX.
    Suitex,
    /// Ids of NetSuite.
    Netsuite,
    /// All records, with what both sides hold of them.
    Records,
}

impl Phase {
    /// The word in `phase`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Suitex => "suitex",
            Self::Netsuite => "netsuite",
            Self::Records => "records",
        }
    }

    pub(crate) fn parse(word: &str) -> Option<Self> {
        [Self::Suitex, Self::Netsuite, Self::Records].into_iter().find(|phase| phase.as_str() == word)
    }
}

/// A sweep in this process's hands.
#[derive(Debug, Clone, PartialEq)]
pub struct Sweep<T> {
    /// The tenant.
    pub account: AccountId,
    /// The type.
    pub record_type: RecordType,
    /// Which sweep.
    pub sweep_id: Uuid,
    /// Tells this lease from the next.
    pub token: i64,
    /// Where it is.
    pub phase: Phase,
    /// The last id counted; `None` at the beginning of a phase.
    pub position: Option<String>,
    /// What was counted.
    pub tally: T,
    /// NetSuite's clock before it began; `None` until that was asked.
    pub verified_through: Option<Timestamp>,
    /// When it began.
    pub started_at: Timestamp,
    /// The newest request it answers.
    pub answers: Option<Timestamp>,
    /// How often in a row a side did not answer.
    pub attempts: u32,
}

/// A lease to be taken.
#[derive(Debug, Clone, Copy)]
pub struct Lease<'a> {
    /// Who.
    pub owner: &'a str,
    /// The present.
    pub now: Timestamp,
    /// How long from now.
    pub length: Duration,
}

impl Lease<'_> {
    pub(crate) fn until(&self) -> Instant {
        Instant(self.now.checked_add(self.length).unwrap_or(self.now))
    }
}

/// Makes the types and the schedule known: the next sweep of each is due at `due_at` (`None`: never). One that is due
/// already, because a night was missed or somebody asked, stays due.
///
/// # Errors
/// The database.
pub async fn introduce(
    executor: impl PgExecutor<'_>,
    account: &AccountId,
    types: &[RecordType],
    due_at: Option<Timestamp>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let types: Vec<&str> = types.iter().map(RecordType::as_str).collect();
    sqlx::query(
        "insert into sync.sweep as s (account_id, record_type, due_at)
         select $1, t, coalesce($3, 'infinity') from unnest($2::text[]) t
         on conflict (account_id, record_type) do update set due_at = excluded.due_at where s.due_at > $4",
    )
    .bind(account.as_str())
    .bind(types)
    .bind(maybe(due_at))
    .bind(Instant(now))
    .execute(executor)
    .await
    .map(drop)
    .map_err(StoreError::database("introduce sweeps"))
}

/// Asks for a sweep now; the reconcilers are woken.
///
/// # Errors
/// The database.
pub async fn request(
    executor: impl PgExecutor<'_>,
    account: &AccountId,
    record_type: &RecordType,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query(
        "with asked as (
            insert into sync.sweep as s (account_id, record_type, due_at, requested_at) values ($1, $2, $3, $3)
            on conflict (account_id, record_type) do update
               set due_at = least(s.due_at, excluded.due_at), requested_at = excluded.requested_at
            returning 1
         )
         select pg_notify($4, 'sweep=now')::text from asked",
    )
    .bind(account.as_str())
    .bind(record_type.as_str())
    .bind(Instant(now))
    .bind(CHANNEL)
    .execute(executor)
    .await
    .map(drop)
    .map_err(StoreError::database("request a sweep"))
}

/// Takes a sweep of these types that is due, or one under way whose holder is gone; `None` when there is none. A new one
/// gets this id, and the next by the schedule is due at `next_due` (`None`: never).
///
/// # Errors
/// The database, or a tally that cannot be read.
pub async fn take<T: DeserializeOwned + Default>(
    executor: impl PgExecutor<'_>,
    account: &AccountId,
    types: &[RecordType],
    lease: Lease<'_>,
    new_id: Uuid,
    next_due: Option<Timestamp>,
) -> Result<Option<Sweep<T>>, StoreError> {
    let types: Vec<&str> = types.iter().map(RecordType::as_str).collect();
    let row = sqlx::query(
        // Materialized: a sub-select could be run once for every row, and each time find another.
        "with due as materialized (
            select record_type from sync.sweep
             where account_id = $1 and record_type = any($2) and (sweep_id is not null or due_at <= $5)
               and (lease_until is null or lease_until <= $5) and (retry_at is null or retry_at <= $5)
             order by sweep_id is null, due_at limit 1 for update skip locked
         )
         update sync.sweep s
            set lease_owner = $3, lease_until = $4, lease_token = s.lease_token + 1,
                started_at = coalesce(s.started_at, $5), phase = coalesce(s.phase, 'suitex'),
                answers = case when s.sweep_id is null then s.requested_at else s.answers end,
                due_at = case when s.sweep_id is null then coalesce($7, 'infinity') else s.due_at end,
                sweep_id = coalesce(s.sweep_id, $6)
           from due
          where s.account_id = $1 and s.record_type = due.record_type
         returning s.record_type, s.sweep_id, s.lease_token, s.phase, s.position, s.tally, s.verified_through,
                   s.started_at, s.answers, s.attempts",
    )
    .bind(account.as_str())
    .bind(types)
    .bind(lease.owner)
    .bind(lease.until())
    .bind(Instant(lease.now))
    .bind(new_id)
    .bind(maybe(next_due))
    .fetch_optional(executor)
    .await
    .map_err(StoreError::database("take a sweep"))?;
    row.map(|row| {
        let mut cells = Cells::of(&row);
        Ok(Sweep {
            account: account.clone(),
            record_type: cells.word("record_type", |word| RecordType::parse(word).ok())?,
            sweep_id: cells.next()?,
            token: cells.next()?,
            phase: cells.word("phase", Phase::parse)?,
            position: cells.next()?,
            tally: cells.maybe_json()?.unwrap_or_default(),
            verified_through: cells.instant()?,
            started_at: cells.instant()?.unwrap_or(lease.now),
            answers: cells.instant()?,
            attempts: cells.small_count()?,
        })
    })
    .transpose()
}

/// Stores a page's progress and gives the sweep back: whoever comes next takes the next page. False: the lease was lost,
/// and nothing is stored.
///
/// # Errors
/// The database.
pub async fn advance<T: Serialize + Sync>(executor: impl PgExecutor<'_>, sweep: &Sweep<T>) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "update sync.sweep set phase = $4, position = $5, tally = $6, verified_through = $7,
                lease_owner = null, lease_until = null, attempts = 0, retry_at = null
          where account_id = $1 and record_type = $2 and lease_token = $3",
    )
    .bind(sweep.account.as_str())
    .bind(sweep.record_type.as_str())
    .bind(sweep.token)
    .bind(sweep.phase.as_str())
    .bind(&sweep.position)
    .bind(Json(&sweep.tally))
    .bind(maybe(sweep.verified_through))
    .execute(executor)
    .await
    .map_err(StoreError::database("store a sweep's progress"))?;
    Ok(done.rows_affected() == 1)
}

/// A side did not answer: the sweep is given back, to be gone on with at `retry_at`.
///
/// # Errors
/// The database.
pub async fn put_off<T: Sync>(
    executor: impl PgExecutor<'_>,
    sweep: &Sweep<T>,
    retry_at: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query(
        "update sync.sweep set retry_at = $4, attempts = attempts + 1, lease_owner = null, lease_until = null
          where account_id = $1 and record_type = $2 and lease_token = $3",
    )
    .bind(sweep.account.as_str())
    .bind(sweep.record_type.as_str())
    .bind(sweep.token)
    .bind(Instant(retry_at))
    .execute(executor)
    .await
    .map(drop)
    .map_err(StoreError::database("put a sweep off"))
}

/// Ends a sweep with its certificate, in one transaction. False: the lease was lost, and nothing is stored.
///
/// # Errors
/// The database.
pub async fn finish<T: Sync>(
    pool: &PgPool,
    sweep: &Sweep<T>,
    verified_through: Timestamp,
    complete: bool,
    body: &(impl Serialize + Sync),
    now: Timestamp,
) -> Result<bool, StoreError> {
    let what = "end a sweep";
    let mut tx = pool.begin().await.map_err(StoreError::database(what))?;
    let done = sqlx::query(
        "update sync.sweep set sweep_id = null, phase = null, position = null, tally = null, verified_through = null,
                started_at = null, answers = null, retry_at = null, attempts = 0, lease_owner = null, lease_until = null
          where account_id = $1 and record_type = $2 and lease_token = $3 and sweep_id = $4",
    )
    .bind(sweep.account.as_str())
    .bind(sweep.record_type.as_str())
    .bind(sweep.token)
    .bind(sweep.sweep_id)
    .execute(&mut *tx)
    .await
    .map_err(StoreError::database(what))?;
    if done.rows_affected() != 1 {
        return Ok(false);
    }
    sqlx::query(
        "insert into sync.certificate (account_id, record_type, sweep_id, issued_at, verified_through, complete, body)
         values ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(sweep.account.as_str())
    .bind(sweep.record_type.as_str())
    .bind(sweep.sweep_id)
    .bind(Instant(now))
    .bind(Instant(verified_through))
    .bind(complete)
    .bind(Json(body))
    .execute(&mut *tx)
    .await
    .map_err(StoreError::database(what))?;
    sqlx::query(
        "delete from sync.certificate where account_id = $1 and record_type = $2 and sweep_id in (
            select sweep_id from sync.certificate where account_id = $1 and record_type = $2
             order by issued_at desc, sweep_id offset $3)",
    )
    .bind(sweep.account.as_str())
    .bind(sweep.record_type.as_str())
    .bind(KEPT_CERTIFICATES)
    .execute(&mut *tx)
    .await
    .map_err(StoreError::database(what))?;
    tx.commit().await.map_err(StoreError::database(what))?;
    Ok(true)
}

/// The newest certificate of an account and type, as it is shown.
///
/// # Errors
/// The database.
pub async fn certificate(
    executor: impl PgExecutor<'_>,
    account: &AccountId,
    record_type: &RecordType,
) -> Result<Option<serde_json::Value>, StoreError> {
    sqlx::query_scalar(
        "select body from sync.certificate where account_id = $1 and record_type = $2
          order by issued_at desc, sweep_id limit 1",
    )
    .bind(account.as_str())
    .bind(record_type.as_str())
    .fetch_optional(executor)
    .await
    .map_err(StoreError::database("read a certificate"))
}

/// The rids of a type's records in their order, from `after`, at most `limit`: by keyset, whatever the table's size.
/// Records that turned out to be others are left out.
///
/// # Errors
/// The database.
pub async fn rids(
    executor: impl PgExecutor<'_>,
    account: &AccountId,
    record_type: &RecordType,
    after: Option<Rid>,
    limit: usize,
) -> Result<Vec<Rid>, StoreError> {
    let found: Vec<Uuid> = sqlx::query_scalar(
        "select rid from sync.record_head
          where account_id = $1 and record_type = $2 and rid > $3 and merged_into is null order by rid limit $4",
    )
    .bind(account.as_str())
    .bind(record_type.as_str())
    .bind(after.map_or(Uuid::nil(), |rid| rid.0))
    .bind(i64::try_from(limit).unwrap_or(i64::MAX))
    .fetch_all(executor)
    .await
    .map_err(StoreError::database("page through records"))?;
    Ok(found.into_iter().map(Rid).collect())
}

#[cfg(test)]
mod tests;
