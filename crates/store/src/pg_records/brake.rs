//! What keeps Concord from doing harm in bulk: the brake on deletions (semantics §2.6), and the count of writes that go on
//! by themselves (§2.9).
//!
//! The brake's state is a row of the error queue: open, the brake is on; closed by a person, deletions go on and the count
//! begins anew.

use model::limits::DeleteBrake;
use model::{AccountId, ErrorClass, RecordRef, RecordType, Timestamp};
use sqlx::{PgConnection, PgPool};

use crate::StoreError;
use crate::errors::{NewError, insert};
use crate::instant::Instant;

/// Where the row says it comes from, and its code.
const BRAKE: &str = "delete_brake";

/// Rows of a record's log that are looked at: more than the window can hold of a loop worth stopping.
const RECENT: i64 = 1_000;

/// May deletions of the type be carried out? Too many of late put the brake on.
pub(super) async fn may_delete(
    pool: &PgPool,
    account: &AccountId,
    record_type: &RecordType,
    brake: &DeleteBrake,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let what = "ask the delete brake";
    let mut tx = pool.begin().await.map_err(StoreError::database(what))?;
    // One process at a time: the row is written once.
    sqlx::query("select pg_advisory_xact_lock(hashtextextended($1, 0))")
        .bind(format!("{BRAKE}|{account}|{record_type}"))
        .execute(&mut *tx)
        .await
        .map_err(StoreError::database(what))?;
    let free = judge(&mut tx, account, record_type, brake, now).await?;
    tx.commit().await.map_err(StoreError::database(what))?;
    Ok(free)
}

async fn judge(
    conn: &mut PgConnection,
    account: &AccountId,
    record_type: &RecordType,
    brake: &DeleteBrake,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let what = "ask the delete brake";
    let (on, since): (bool, Instant) = sqlx::query_as(
        "select coalesce(bool_or(status = 'open'), false), greatest($3, coalesce(max(settled_at), $3))
           from sync.sync_error_queue where topic = 'delete_brake' and account_id = $1 and record_type = $2",
    )
    .bind(account.as_str())
    .bind(record_type.as_str())
    .bind(Instant(brake.since(now)))
    .fetch_one(&mut *conn)
    .await
    .map_err(StoreError::database(what))?;
    if on {
        return Ok(false);
    }
    let gone: i64 = sqlx::query_scalar(
        "select count(distinct rid) from sync.versions
          where account_id = $1 and record_type = $2 and not alive and created_at > $3",
    )
    .bind(account.as_str())
    .bind(record_type.as_str())
    .bind(since)
    .fetch_one(&mut *conn)
    .await
    .map_err(StoreError::database(what))?;
    let gone = u64::try_from(gone).unwrap_or(0);
    if gone <= brake.records {
        return Ok(true); // most of the time the type need not be counted
    }
    let living: i64 = sqlx::query_scalar(
        "select count(*) from sync.record_head where account_id = $1 and record_type = $2 and alive and merged_into is null",
    )
    .bind(account.as_str())
    .bind(record_type.as_str())
    .fetch_one(&mut *conn)
    .await
    .map_err(StoreError::database(what))?;
    if !brake.trips(gone, u64::try_from(living).unwrap_or(0)) {
        return Ok(true);
    }
    insert(conn, &[row(account, record_type, gone, now)]).await?;
    Ok(false)
}

fn row(account: &AccountId, record_type: &RecordType, gone: u64, now: Timestamp) -> NewError {
    let minutes = DeleteBrake::WINDOW.as_secs() / 60;
    NewError {
        account_id: account.to_string(),
        record_type: Some(record_type.to_string()),
        topic: BRAKE.to_owned(),
        message_id: format!("{account}|{record_type}|{}", now.as_microsecond()),
        class: ErrorClass::Operational,
        code: BRAKE.to_owned(),
        reason: format!(
            "{gone} records of type {record_type} vanished within {minutes} minutes; their deletion on the other side waits. \
             If that was meant, retry this row and the deletions go on"
        ),
        first_failed_at: Some(now),
        ..NewError::default()
    }
}

/// Our writes to a record since then, unless somebody else's edit was heard of.
pub(super) async fn writes_by_themselves(
    pool: &PgPool,
    record: &RecordRef,
    since: Timestamp,
) -> Result<Option<u64>, StoreError> {
    let (writes, heard): (i64, bool) = sqlx::query_as(
        "select (select count(*) from (
                    select kind, received_at from sync.event_log
                     where account_id = $1 and rid = $2 and record_seq is not null order by record_seq desc limit $4) entry
                  where kind = 'claim' and received_at > $3),
                exists (select from unnest(array['suitex', 'netsuite']) as of (side), lateral (
                    select source, write_id, auth_context, received_at from sync.event_log
                     where account_id = $1 and rid = $2 and event_log.side = of.side and seq is not null
                     order by seq desc limit $4) hint
                  where received_at > $3 and write_id is null
                    and (source = 'suitex' or source = 'netsuite-ue'
                         and coalesce(auth_context ->> 'executionContext', '') <> 'RESTLET'))",
    )
    .bind(record.account.as_str())
    .bind(record.rid.0)
    .bind(Instant(since))
    .bind(RECENT)
    .fetch_one(pool)
    .await
    .map_err(StoreError::database("count writes that go on by themselves"))?;
    Ok((!heard).then(|| u64::try_from(writes).unwrap_or(0)))
}
