//! One record as it is asked: now, in the past, and how it came to be so.

use model::{AccountId, EventId, RecordRef, Timestamp};
use serde_json::Value;
use sqlx::{PgPool, Row};

use crate::StoreError;
use crate::instant::Instant;

/// A canonical record as it stands.
///
/// # Errors
/// The database.
pub async fn state(pool: &PgPool, record: &RecordRef) -> Result<Option<Value>, StoreError> {
    let what = "read a state";
    let row = sqlx::query(
        "select jsonb_build_object('account_id', account_id, 'record_type', record_type, 'record_id', record_id,
                    'version', version, 'state', state, 'last_modified', last_modified, 'alive', alive,
                    'suitex_id', suitex_id, 'netsuite_id', netsuite_id, 'locked', locked)
           from sync.current_state where account_id = $1 and record_type = $2 and rid = $3",
    )
    .bind(record.account.as_str())
    .bind(record.record_type.as_str())
    .bind(record.rid.0)
    .fetch_optional(pool)
    .await
    .map_err(StoreError::database(what))?;
    row.map(|row| row.try_get(0)).transpose().map_err(StoreError::database(what))
}

/// An event of the log by its id, with what became of it.
///
/// # Errors
/// The database.
pub async fn event(pool: &PgPool, account: &AccountId, event_id: EventId) -> Result<Option<Value>, StoreError> {
    sqlx::query_scalar(
        "select to_jsonb(e) - 'id' - 'timestamp' from sync.events e where account_id = $1 and event_id = $2",
    )
    .bind(account.as_str())
    .bind(event_id)
    .fetch_optional(pool)
    .await
    .map_err(StoreError::database("read an event"))
}

/// The version that stood at an instant; `None` before the first.
///
/// # Errors
/// The database.
pub async fn version_at(pool: &PgPool, record: &RecordRef, at: Timestamp) -> Result<Option<i64>, StoreError> {
    sqlx::query_scalar("select max(version) from sync.versions where account_id = $1 and rid = $2 and record_type = $4 and created_at <= $3")
        .bind(record.account.as_str())
        .bind(record.rid.0)
        .bind(Instant(at))
        .bind(record.record_type.as_str())
        .fetch_one(pool)
        .await
        .map_err(StoreError::database("find the version of an instant"))
}

/// Deltas from the last whole state up to a version, oldest first: what a reading of the past folds.
///
/// # Errors
/// The database.
pub async fn versions_up_to(pool: &PgPool, record: &RecordRef, version: i64) -> Result<Vec<Value>, StoreError> {
    let what = "read versions";
    let rows = sqlx::query(
        "select jsonb_build_object('version', version, 'delta', coalesce(delta, (select e.changes from sync.event_log e
                        where e.account_id = v.account_id and e.event_id = v.event_id))::jsonb,
                    'full', full_state::jsonb, 'alive', alive, 'event_id', event_id, 'decisions', decisions::jsonb,
                    'created_at', created_at)
           from sync.versions v
          where account_id = $1 and rid = $2 and record_type = $4 and version <= $3
            and version >= coalesce((select max(version) from sync.versions
                                      where account_id = $1 and rid = $2 and version <= $3 and full_state is not null), 0)
          order by version",
    )
    .bind(record.account.as_str())
    .bind(record.rid.0)
    .bind(version)
    .bind(record.record_type.as_str())
    .fetch_all(pool)
    .await
    .map_err(StoreError::database(what))?;
    rows.iter().map(|row| row.try_get(0).map_err(StoreError::database(what))).collect()
}

/// Everything that happened to a record, oldest first: events, versions, values lost, writes, what people did.
///
/// # Errors
/// The database.
pub async fn timeline(pool: &PgPool, record: &RecordRef, limit: i64) -> Result<Vec<Value>, StoreError> {
    let what = "read a timeline";
    let rows = sqlx::query(
        "select item from (
             select received_at as at, 1 as rank, to_jsonb(e) - 'id' - 'timestamp' || '{\"what\": \"event\"}' as item
               from sync.events e where account_id = $1 and rid = $2 and record_type = $4
             union all
             select created_at, 2, jsonb_build_object('what', 'version', 'version', version,
                        'delta', coalesce(delta, (select e.changes from sync.event_log e
                            where e.account_id = v.account_id and e.event_id = v.event_id))::jsonb,
                        'alive', alive, 'event_id', event_id, 'decisions', decisions::jsonb, 'at', created_at)
               from sync.versions v where account_id = $1 and rid = $2 and record_type = $4
             union all
             select created_at, 3, to_jsonb(o) || '{\"what\": \"override\"}' from sync.overrides o
              where account_id = $1 and rid = $2 and record_type = $4
             union all
             select created_at, 4, to_jsonb(w) || '{\"what\": \"write\"}' from sync.event_audit_log w
              where account_id = $1 and rid = $2 and record_type = $4
             union all
             select at, 5, to_jsonb(d) || '{\"what\": \"action\"}' from console.audit d
              where account_id = $1 and rid = $2 and record_type = $4
             order by 1 desc, 2 desc limit $3) newest
         order by at, rank",
    )
    .bind(record.account.as_str())
    .bind(record.rid.0)
    .bind(limit)
    .bind(record.record_type.as_str())
    .fetch_all(pool)
    .await
    .map_err(StoreError::database(what))?;
    rows.iter().map(|row| row.try_get(0).map_err(StoreError::database(what))).collect()
}
