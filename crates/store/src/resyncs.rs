//! `sync.resync`: what people asked the reconciler to look at again, and the plans of what that would write. Work on one
//! is leased with a fencing token, like a sweep.

use model::{AccountId, RecordType, Rid, SumHash, Timestamp};
use serde_json::Value;
use sqlx::{PgExecutor, PgPool};
use uuid::Uuid;

use crate::StoreError;
use crate::cells::{Cells, corrupt};
use crate::instant::Instant;
use crate::sweeps::{CHANNEL, Lease, Phase};

mod items;
mod moved;

use items::insert_items;
pub use items::{Item, Met, items, planned};
use moved::notify;
pub use moved::{MOVED_CHANNEL, Moved};

/// Most moved records that are named.
pub const MAX_NAMED: usize = 100;

/// How often in a row a side may not answer before a request is given up.
pub const MAX_ATTEMPTS: u32 = 5;

/// A request as it is made.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked<'a> {
    /// Its id.
    pub resync_id: Uuid,
    /// The tenant.
    pub account: &'a AccountId,
    /// The type.
    pub record_type: &'a RecordType,
    /// Only say what it would write.
    pub plan: bool,
    /// These records; `None` = all of the type.
    pub rids: Option<Vec<Rid>>,
    /// Who.
    pub by: &'a str,
    /// When.
    pub at: Timestamp,
}

/// What is to be done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Ring the records.
    Ring,
    /// Plan the records.
    Plan,
    /// Look whether the records still stand where the plan found them.
    Check,
    /// Ring the records of the plan that differ.
    Apply,
}

/// A request in this process's hands.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// Its id.
    pub resync_id: Uuid,
    /// Tells this lease from the next.
    pub token: i64,
    /// The type.
    pub record_type: RecordType,
    /// What to do.
    pub stage: Stage,
    /// These records; `None` = all of the type.
    pub rids: Option<Vec<Rid>>,
    /// What is gone through at present: the ids of a side, or the records.
    pub phase: Phase,
    /// The last id done of that side.
    pub id_position: Option<String>,
    /// The last record done.
    pub position: Option<Rid>,
    /// Records looked at so far.
    pub records: u64,
    /// Those of them that would change.
    pub differences: u64,
    /// Hash of what the plan stands on so far.
    pub digest: SumHash,
    /// Records that moved, the first of them.
    pub moved: Vec<Rid>,
    /// How often in a row a side did not answer.
    pub attempts: u32,
}

/// Stores a request; the reconcilers are woken.
///
/// # Errors
/// The database.
pub async fn ask(executor: impl PgExecutor<'_>, asked: &Asked<'_>) -> Result<(), StoreError> {
    let rids: Option<Vec<Uuid>> = asked.rids.as_ref().map(|rids| rids.iter().map(|rid| rid.0).collect());
    sqlx::query(
        "with asked as (
            insert into sync.resync (resync_id, account_id, record_type, kind, status, rids, asked_by, asked_at, phase)
            values ($1, $2, $3, $4, 'queued', $5, $6, $7, case when $5 is null then 'suitex' else 'records' end)
            returning 1
         )
         select pg_notify($8, 'resync=now')::text from asked",
    )
    .bind(asked.resync_id)
    .bind(asked.account.as_str())
    .bind(asked.record_type.as_str())
    .bind(if asked.plan { "plan" } else { "resync" })
    .bind(rids)
    .bind(asked.by)
    .bind(Instant(asked.at))
    .bind(CHANNEL)
    .execute(executor)
    .await
    .map(drop)
    .map_err(StoreError::database("ask for a resync"))
}

/// Asks for a plan to be carried out; the reconcilers are woken. False when it is no plan that is ready.
///
/// # Errors
/// The database.
pub async fn apply(executor: impl PgExecutor<'_>, resync_id: Uuid, by: &str) -> Result<bool, StoreError> {
    let woken: Option<String> = sqlx::query_scalar(
        "with applied as (
            update sync.resync set status = 'checking', applied_by = $2, position = null, finished_at = null
             where resync_id = $1 and kind = 'plan' and status = 'ready' returning 1
         )
         select pg_notify($3, 'resync=now')::text from applied",
    )
    .bind(resync_id)
    .bind(by)
    .bind(CHANNEL)
    .fetch_optional(executor)
    .await
    .map_err(StoreError::database("apply a plan"))?;
    Ok(woken.is_some())
}

/// Takes the account's oldest open request; `None` when there is none.
///
/// # Errors
/// The database, or a row that contradicts the model.
pub async fn take(
    executor: impl PgExecutor<'_>,
    account: &AccountId,
    lease: Lease<'_>,
) -> Result<Option<Job>, StoreError> {
    let row = sqlx::query(
        // Materialized: a sub-select could be run once for every row, and each time find another.
        "with due as materialized (
            select resync_id from sync.resync
             where account_id = $1 and status in ('queued', 'running', 'checking', 'applying')
               and (lease_until is null or lease_until <= $4) and (retry_at is null or retry_at <= $4)
             order by asked_at, resync_id limit 1 for update skip locked
         )
         update sync.resync r
            set lease_owner = $2, lease_until = $3, lease_token = r.lease_token + 1,
                status = case when r.status = 'queued' then 'running' else r.status end
           from due
          where r.resync_id = due.resync_id
         returning r.resync_id, r.lease_token, r.record_type, r.kind || ' ' || r.status, r.rids, r.phase, r.id_position,
                   r.position, r.records, r.differences, r.digest, r.moved, r.attempts",
    )
    .bind(account.as_str())
    .bind(lease.owner)
    .bind(lease.until())
    .bind(Instant(lease.now))
    .fetch_optional(executor)
    .await
    .map_err(StoreError::database("take a resync"))?;
    row.map(|row| {
        let mut cells = Cells::of(&row);
        Ok(Job {
            resync_id: cells.next()?,
            token: cells.next()?,
            record_type: cells.word("record_type", |word| RecordType::parse(word).ok())?,
            stage: cells.word("status", stage)?,
            rids: cells.next::<Option<Vec<Uuid>>>()?.map(|rids| rids.into_iter().map(Rid).collect()),
            phase: cells.word("phase", Phase::parse)?,
            id_position: cells.next()?,
            position: cells.next::<Option<Uuid>>()?.map(Rid),
            records: cells.count()?,
            differences: cells.count()?,
            digest: digest(cells.next()?)?,
            moved: cells.next::<Vec<Uuid>>()?.into_iter().map(Rid).collect(),
            attempts: cells.small_count()?,
        })
    })
    .transpose()
}

fn stage(word: &str) -> Option<Stage> {
    Some(match word {
        "resync running" => Stage::Ring,
        "plan running" => Stage::Plan,
        "plan checking" => Stage::Check,
        "plan applying" => Stage::Apply,
        _ => return None,
    })
}

fn digest(text: Option<&str>) -> Result<SumHash, StoreError> {
    let read = |text: &str| text.parse().map_err(|why: String| corrupt("digest", text, &why));
    text.map_or(Ok(SumHash::default()), read)
}

/// Stores a page's progress, its items and the status it leads to (`None`: the same goes on), and gives the request back.
/// False: the lease was lost, and nothing is stored.
///
/// # Errors
/// The database.
pub async fn advance(
    pool: &PgPool,
    job: &Job,
    items: &[Item],
    status: Option<&'static str>,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let what = "store a resync's progress";
    let mut tx = pool.begin().await.map_err(StoreError::database(what))?;
    let moved: Vec<Uuid> = job.moved.iter().map(|rid| rid.0).collect();
    let done = sqlx::query(
        "update sync.resync
            set position = $3, records = $4, differences = $5, digest = $6, moved = $7, status = coalesce($8, status),
                finished_at = case when $8 in ('done', 'ready', 'applied', 'moved', 'failed') then $9 end,
                lease_owner = null, lease_until = null, retry_at = null, attempts = 0, phase = $10, id_position = $11
          where resync_id = $1 and lease_token = $2",
    )
    .bind(job.resync_id)
    .bind(job.token)
    .bind(job.position.map(|rid| rid.0))
    .bind(i64::try_from(job.records).unwrap_or(i64::MAX))
    .bind(i64::try_from(job.differences).unwrap_or(i64::MAX))
    .bind(job.digest.to_string())
    .bind(moved)
    .bind(status)
    .bind(Instant(now))
    .bind(job.phase.as_str())
    .bind(&job.id_position)
    .execute(&mut *tx)
    .await
    .map_err(StoreError::database(what))?;
    if done.rows_affected() != 1 {
        return Ok(false);
    }
    if !items.is_empty() {
        insert_items(&mut *tx, job.resync_id, items).await?;
    }
    if status.is_some() {
        notify(&mut *tx, job.resync_id).await?;
    }
    tx.commit().await.map_err(StoreError::database(what))?;
    Ok(true)
}

/// A side did not answer: given back until `retry_at`, or given up after [`MAX_ATTEMPTS`].
///
/// # Errors
/// The database.
pub async fn put_off(executor: impl PgExecutor<'_>, job: &Job, retry_at: Timestamp) -> Result<(), StoreError> {
    let give_up = job.attempts + 1 >= MAX_ATTEMPTS;
    sqlx::query(
        "with put_off as (
            update sync.resync
               set retry_at = $3, attempts = attempts + 1, lease_owner = null, lease_until = null,
                   status = case when $4 then 'failed' else status end,
                   reason = case when $4 then 'side_unavailable' end,
                   finished_at = case when $4 then now() end
             where resync_id = $1 and lease_token = $2 returning 1
         )
         select pg_notify($5, $1::text)::text from put_off where $4",
    )
    .bind(job.resync_id)
    .bind(job.token)
    .bind(Instant(retry_at))
    .bind(give_up)
    .bind(MOVED_CHANNEL)
    .execute(executor)
    .await
    .map(drop)
    .map_err(StoreError::database("put a resync off"))
}

/// A request as it is shown, without its items; `None` when there is none of this id.
///
/// # Errors
/// The database.
pub async fn get(executor: impl PgExecutor<'_>, resync_id: Uuid) -> Result<Option<Value>, StoreError> {
    sqlx::query_scalar(
        "select jsonb_build_object('id', resync_id, 'account_id', account_id, 'record_type', record_type, 'kind', kind,
                'status', status, 'asked_by', asked_by, 'asked_at', asked_at, 'applied_by', applied_by,
                'finished_at', finished_at, 'records', records, 'differences', differences, 'digest', digest,
                'moved', moved, 'reason', reason)
           from sync.resync where resync_id = $1",
    )
    .bind(resync_id)
    .fetch_optional(executor)
    .await
    .map_err(StoreError::database("read a resync"))
}

/// Deletes requests that ended and were made before `before`. Answers how many.
///
/// # Errors
/// The database.
pub async fn forget(executor: impl PgExecutor<'_>, before: Timestamp) -> Result<u64, StoreError> {
    sqlx::query(
        "delete from sync.resync
          where asked_at < $1 and status not in ('queued', 'running', 'checking', 'applying')",
    )
    .bind(Instant(before))
    .execute(executor)
    .await
    .map(|done| done.rows_affected())
    .map_err(StoreError::database("forget resyncs"))
}

#[cfg(test)]
mod tests;
