//! A rebuild's own tables. Projections are text to the store: what is in them is the merge's business.

use model::{AccountId, RecordRef, RecordType, Rid, Timestamp};
use sqlx::PgExecutor;
use uuid::Uuid;

use crate::StoreError;
use crate::cells::{Cells, read_key};
use crate::error::expect_rows;
use crate::instant::Instant;
use crate::json_text::JsonText;

/// A rebuild.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// Its id.
    pub run_id: Uuid,
    /// The account; `None` = all.
    pub account: Option<String>,
    /// The type; `None` = all.
    pub record_type: Option<String>,
    /// When it ended; `None` while it runs, or when it broke off.
    pub finished_at: Option<Timestamp>,
    /// Entries folded.
    pub events: u64,
    /// Records.
    pub records: u64,
    /// Records that differ, or whose log cannot be folded.
    pub differing: u64,
}

/// What the log of a record folds to.
#[derive(Debug, Clone, PartialEq)]
pub struct Kept {
    /// The record.
    pub record: RecordRef,
    /// The last entry folded.
    pub record_seq: u64,
    /// Names of the parts that differ from what is stored.
    pub differs: Vec<String>,
    /// The projection as JSON.
    pub folded: String,
}

/// Begins a run.
///
/// # Errors
/// The database.
pub async fn begin(
    executor: impl PgExecutor<'_>,
    run_id: Uuid,
    account: Option<&AccountId>,
    record_type: Option<&RecordType>,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query("insert into sync.replay_run (run_id, account_id, record_type, started_at) values ($1, $2, $3, $4)")
        .bind(run_id)
        .bind(account.map(AccountId::as_str))
        .bind(record_type.map(RecordType::as_str))
        .bind(Instant(now))
        .execute(executor)
        .await
        .map(drop)
        .map_err(StoreError::database("begin a rebuild"))
}

/// Keeps a batch of projections, in one statement.
///
/// # Errors
/// The database.
pub async fn keep(executor: impl PgExecutor<'_>, run_id: Uuid, batch: &[Kept]) -> Result<(), StoreError> {
    if batch.is_empty() {
        return Ok(());
    }
    let what = "keep projections";
    let done = sqlx::query(
        "insert into sync.replay_record (run_id, account_id, record_type, rid, record_seq, differs, folded)
         select $1, account_id, record_type, rid, record_seq,
                coalesce(string_to_array(nullif(differs, ''), ','), '{}'), folded
           from unnest($2::text[], $3::text[], $4::uuid[], $5::bigint[], $6::text[], $7::json[])
             as k (account_id, record_type, rid, record_seq, differs, folded)",
    )
    .bind(run_id)
    .bind(batch.iter().map(|kept| kept.record.account.as_str()).collect::<Vec<_>>())
    .bind(batch.iter().map(|kept| kept.record.record_type.as_str()).collect::<Vec<_>>())
    .bind(batch.iter().map(|kept| kept.record.rid.0).collect::<Vec<_>>())
    .bind(batch.iter().map(|kept| i64::try_from(kept.record_seq).unwrap_or(i64::MAX)).collect::<Vec<_>>())
    .bind(batch.iter().map(|kept| kept.differs.join(",")).collect::<Vec<_>>())
    .bind(batch.iter().map(|kept| JsonText(&kept.folded)).collect::<Vec<_>>())
    .execute(executor)
    .await
    .map_err(StoreError::database(what))?;
    expect_rows(what, batch.len(), done.rows_affected())
}

/// Ends a run with its counts.
///
/// # Errors
/// The database.
pub async fn finish(executor: impl PgExecutor<'_>, run: &Run, now: Timestamp) -> Result<(), StoreError> {
    let what = "end a rebuild";
    let count = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let done = sqlx::query(
        "update sync.replay_run set finished_at = $2, events = $3, records = $4, differing = $5 where run_id = $1",
    )
    .bind(run.run_id)
    .bind(Instant(now))
    .bind(count(run.events))
    .bind(count(run.records))
    .bind(count(run.differing))
    .execute(executor)
    .await
    .map_err(StoreError::database(what))?;
    expect_rows(what, 1, done.rows_affected())
}

/// A run by its id.
///
/// # Errors
/// The database.
pub async fn run(executor: impl PgExecutor<'_>, run_id: Uuid) -> Result<Option<Run>, StoreError> {
    let row = sqlx::query(
        "select run_id, account_id, record_type, finished_at, events, records, differing
           from sync.replay_run where run_id = $1",
    )
    .bind(run_id)
    .fetch_optional(executor)
    .await
    .map_err(StoreError::database("read a rebuild"))?;
    let Some(row) = row else { return Ok(None) };
    let mut cells = Cells::of(&row);
    Ok(Some(Run {
        run_id: cells.next()?,
        account: cells.next()?,
        record_type: cells.next()?,
        finished_at: cells.instant()?,
        events: cells.count()?,
        records: cells.count()?,
        differing: cells.count()?,
    }))
}

/// Records of a run that differ and were not swapped, after a place, with what their logs fold to.
///
/// # Errors
/// The database.
pub async fn differing(
    executor: impl PgExecutor<'_>,
    run_id: Uuid,
    after: Option<&RecordRef>,
    limit: usize,
) -> Result<Vec<Kept>, StoreError> {
    let rows = sqlx::query(
        "select account_id, record_type, rid, record_seq, array_to_string(differs, ','), folded::text
           from sync.replay_record
          where run_id = $1 and differs <> '{}' and swapped_at is null and (account_id, rid) > ($2, $3)
          order by account_id, rid limit $4",
    )
    .bind(run_id)
    .bind(after.map_or("", |record| record.account.as_str()))
    .bind(after.map_or(Uuid::nil(), |record| record.rid.0))
    .bind(i64::try_from(limit).unwrap_or(i64::MAX))
    .fetch_all(executor)
    .await
    .map_err(StoreError::database("list what differs"))?;
    rows.iter()
        .map(|row| {
            let mut cells = Cells::of(row);
            let record = read_key(&mut cells)?;
            let record_seq = cells.count()?;
            let differs: &str = cells.next()?;
            Ok(Kept {
                record,
                record_seq,
                differs: differs.split(',').map(str::to_owned).collect(),
                folded: cells.next()?,
            })
        })
        .collect()
}

/// Notes that a record was made what its log folds to.
///
/// # Errors
/// The database.
pub async fn swapped(
    executor: impl PgExecutor<'_>,
    run_id: Uuid,
    account: &AccountId,
    rid: Rid,
    now: Timestamp,
) -> Result<(), StoreError> {
    let what = "note a swap";
    let done =
        sqlx::query("update sync.replay_record set swapped_at = $4 where run_id = $1 and account_id = $2 and rid = $3")
            .bind(run_id)
            .bind(account.as_str())
            .bind(rid.0)
            .bind(Instant(now))
            .execute(executor)
            .await
            .map_err(StoreError::database(what))?;
    expect_rows(what, 1, done.rows_affected())
}
