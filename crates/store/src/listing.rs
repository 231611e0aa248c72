//! What people ask for: pages of rows as JSON, newest first where time matters. Names of columns are the contract's.

use std::collections::BTreeMap;

use model::{AccountId, RecordRef, RecordType, Rid, Timestamp};
use serde_json::Value;
use sqlx::{PgPool, Postgres, QueryBuilder, Row};
use uuid::Uuid;

use crate::StoreError;
use crate::instant::Instant;

/// Most rows of one page.
pub const MAX_PAGE: i64 = 500;

/// One page.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// Rows.
    pub items: Vec<Value>,
    /// Where the next page begins; `None` on the last one.
    pub next_cursor: Option<i64>,
}

/// Which events.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct EventFilter {
    /// The tenant.
    pub account: Option<AccountId>,
    /// The type.
    pub record_type: Option<RecordType>,
    /// A side's id, or a rid.
    pub record: Option<String>,
    /// `pending` or a disposition.
    pub disposition: Option<String>,
}

/// Runs a query whose first column is the cursor (bigint) and whose second is the row (jsonb).
async fn page(pool: &PgPool, mut query: QueryBuilder<Postgres>, limit: i64, what: &'static str) -> Result<Page, StoreError> {
    query.push(" limit ").push_bind(limit + 1);
    let rows = query.build().fetch_all(pool).await.map_err(StoreError::database(what))?;
    let full = rows.len() as i64 > limit;
    let mut items = Vec::with_capacity(rows.len());
    let mut last = None;
    for row in rows.iter().take(usize::try_from(limit).unwrap_or(usize::MAX)) {
        last = Some(row.try_get::<i64, _>(0).map_err(StoreError::database(what))?);
        items.push(row.try_get::<Value, _>(1).map_err(StoreError::database(what))?);
    }
    Ok(Page { items, next_cursor: last.filter(|_| full) })
}

/// Microseconds since 1970 of a column, as a cursor.
fn micros(column: &str) -> String {
    format!("(extract(epoch from {column}) * 1000000)::bigint")
}

/// The immutable log, newest first.
///
/// # Errors
/// The database.
pub async fn events(pool: &PgPool, filter: &EventFilter, cursor: Option<i64>, limit: i64) -> Result<Page, StoreError> {
    let at = micros("e.received_at");
    let mut query = QueryBuilder::new(format!("select {at}, to_jsonb(e) - 'id' - 'timestamp' from sync.events e where true"));
    if let Some(account) = &filter.account {
        query.push(" and e.account_id = ").push_bind(account.as_str().to_owned());
    }
    if let Some(record_type) = &filter.record_type {
        query.push(" and e.record_type = ").push_bind(record_type.as_str().to_owned());
    }
    match filter.record.as_deref().map(|record| (record, record.parse::<Uuid>())) {
        Some((_, Ok(rid))) => {
            query.push(" and e.rid = ").push_bind(rid);
        }
        Some((id, Err(_))) => {
            query.push(" and e.record_id = ").push_bind(id.to_owned());
        }
        None => {}
    }
    match filter.disposition.as_deref() {
        Some("pending") => {
            query.push(" and e.disposition is null");
        }
        Some(word) => {
            query.push(" and e.disposition = ").push_bind(word.to_owned());
        }
        None => {}
    }
    if let Some(cursor) = cursor {
        query.push(format!(" and {at} < ")).push_bind(cursor);
    }
    query.push(" order by e.received_at desc, e.event_id desc");
    page(pool, query, limit, "list events").await
}

/// Conflicts, newest first.
///
/// # Errors
/// The database.
pub async fn conflicts(
    pool: &PgPool,
    account: Option<&AccountId>,
    status: Option<&str>,
    cursor: Option<i64>,
    limit: i64,
) -> Result<Page, StoreError> {
    let at = micros("c.created_ts");
    let mut query = QueryBuilder::new(format!("select {at}, to_jsonb(c) from sync.conflicts c where true"));
    if let Some(account) = account {
        query.push(" and c.account_id = ").push_bind(account.as_str().to_owned());
    }
    if let Some(status) = status {
        query.push(" and c.status = ").push_bind(status.to_owned());
    }
    if let Some(cursor) = cursor {
        query.push(format!(" and {at} < ")).push_bind(cursor);
    }
    query.push(" order by c.created_ts desc, c.conflict_id desc");
    page(pool, query, limit, "list conflicts").await
}

/// One conflict's row and its record.
///
/// # Errors
/// The database.
pub async fn conflict(pool: &PgPool, conflict_id: Uuid) -> Result<Option<(RecordRef, Value)>, StoreError> {
    let what = "read a conflict";
    let row = sqlx::query("select account_id, record_type, rid, to_jsonb(c) as row from sync.conflicts c where conflict_id = $1")
        .bind(conflict_id)
        .fetch_optional(pool)
        .await
        .map_err(StoreError::database(what))?;
    let Some(row) = row else { return Ok(None) };
    let text = |name: &str| row.try_get::<String, _>(name).map_err(StoreError::database(what));
    let corrupt = |column: &'static str| StoreError::Corrupt {
        table: "sync.conflicts",
        column,
        row: conflict_id.to_string(),
        reason: "not an id".to_owned(),
    };
    let record = RecordRef {
        account: AccountId::parse(&text("account_id")?).map_err(|_| corrupt("account_id"))?,
        record_type: RecordType::parse(&text("record_type")?).map_err(|_| corrupt("record_type"))?,
        rid: Rid(row.try_get("rid").map_err(StoreError::database(what))?),
    };
    Ok(Some((record, row.try_get("row").map_err(StoreError::database(what))?)))
}

/// Locks in force, newest first.
///
/// # Errors
/// The database.
pub async fn locks(pool: &PgPool, account: Option<&AccountId>, cursor: Option<i64>, limit: i64) -> Result<Page, StoreError> {
    let at = micros("l.locked_at");
    let mut query =
        QueryBuilder::new(format!("select {at}, to_jsonb(l) from sync.record_lock l where l.released_at is null"));
    if let Some(account) = account {
        query.push(" and l.account_id = ").push_bind(account.as_str().to_owned());
    }
    if let Some(cursor) = cursor {
        query.push(format!(" and {at} < ")).push_bind(cursor);
    }
    query.push(" order by l.locked_at desc, l.lock_id desc");
    page(pool, query, limit, "list locks").await
}

/// The record a lock in force is on.
///
/// # Errors
/// The database.
pub async fn lock(pool: &PgPool, lock_id: Uuid) -> Result<Option<(RecordRef, Option<Uuid>)>, StoreError> {
    let what = "read a lock";
    let row = sqlx::query(
        "select account_id, record_type, rid, conflict_id from sync.record_lock where lock_id = $1 and released_at is null",
    )
    .bind(lock_id)
    .fetch_optional(pool)
    .await
    .map_err(StoreError::database(what))?;
    let Some(row) = row else { return Ok(None) };
    let text = |name: &str| row.try_get::<String, _>(name).map_err(StoreError::database(what));
    let (Ok(account), Ok(record_type)) = (AccountId::parse(&text("account_id")?), RecordType::parse(&text("record_type")?))
    else {
        return Ok(None);
    };
    let rid = Rid(row.try_get("rid").map_err(StoreError::database(what))?);
    let conflict = row.try_get("conflict_id").map_err(StoreError::database(what))?;
    Ok(Some((RecordRef { account, record_type, rid }, conflict)))
}

/// The error queue, newest first; the payload is left out.
///
/// # Errors
/// The database.
pub async fn errors(
    pool: &PgPool,
    account: Option<&AccountId>,
    status: Option<&str>,
    cursor: Option<i64>,
    limit: i64,
) -> Result<Page, StoreError> {
    let mut query = QueryBuilder::new(
        "select q.id, to_jsonb(q) - 'payload' || jsonb_build_object('payload_bytes', length(q.payload))
           from sync.sync_error_queue q where true",
    );
    if let Some(account) = account {
        query.push(" and q.account_id = ").push_bind(account.as_str().to_owned());
    }
    if let Some(status) = status {
        query.push(" and q.status = ").push_bind(status.to_owned());
    }
    if let Some(cursor) = cursor {
        query.push(" and q.id < ").push_bind(cursor);
    }
    query.push(" order by q.id desc");
    page(pool, query, limit, "list errors").await
}

/// Accounts with what waits for each of them.
///
/// # Errors
/// The database.
pub async fn accounts(pool: &PgPool) -> Result<Vec<Value>, StoreError> {
    let what = "list accounts";
    let rows = sqlx::query(
        "select to_jsonb(a) || jsonb_build_object(
                'open_conflicts', (select count(*) from sync.conflicts c where c.account_id = a.account_id and c.status = 'open'),
                'open_errors', (select count(*) from sync.sync_error_queue q where q.account_id = a.account_id and q.status = 'open'),
                'locks', (select count(*) from sync.record_lock l where l.account_id = a.account_id and l.released_at is null))
           from sync.account a order by a.account_id",
    )
    .fetch_all(pool)
    .await
    .map_err(StoreError::database(what))?;
    rows.iter().map(|row| row.try_get(0).map_err(StoreError::database(what))).collect()
}

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

/// The version that stood at an instant; `None` before the first.
///
/// # Errors
/// The database.
pub async fn version_at(pool: &PgPool, record: &RecordRef, at: Timestamp) -> Result<Option<i64>, StoreError> {
    sqlx::query_scalar("select max(version) from sync.versions where account_id = $1 and rid = $2 and created_at <= $3")
        .bind(record.account.as_str())
        .bind(record.rid.0)
        .bind(Instant(at))
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
        "select jsonb_build_object('version', version, 'delta', delta::jsonb, 'full', full_state::jsonb, 'alive', alive,
                    'event_id', event_id, 'decisions', decisions::jsonb, 'created_at', created_at)
           from sync.versions
          where account_id = $1 and rid = $2 and version <= $3
            and version >= coalesce((select max(version) from sync.versions
                                      where account_id = $1 and rid = $2 and version <= $3 and full_state is not null), 0)
          order by version",
    )
    .bind(record.account.as_str())
    .bind(record.rid.0)
    .bind(version)
    .fetch_all(pool)
    .await
    .map_err(StoreError::database(what))?;
    rows.iter().map(|row| row.try_get(0).map_err(StoreError::database(what))).collect()
}

/// Everything that happened to a record, oldest first: events, versions, values lost, writes.
///
/// # Errors
/// The database.
pub async fn timeline(pool: &PgPool, record: &RecordRef, limit: i64) -> Result<Vec<Value>, StoreError> {
    let what = "read a timeline";
    let rows = sqlx::query(
        "select item from (
             select received_at as at, 1 as rank, to_jsonb(e) - 'id' - 'timestamp' || '{\"what\": \"event\"}' as item
               from sync.events e where account_id = $1 and rid = $2
             union all
             select created_at, 2, jsonb_build_object('what', 'version', 'version', version, 'delta', delta::jsonb,
                        'alive', alive, 'event_id', event_id, 'decisions', decisions::jsonb, 'at', created_at)
               from sync.versions where account_id = $1 and rid = $2
             union all
             select created_at, 3, to_jsonb(o) || '{\"what\": \"override\"}' from sync.overrides o
              where account_id = $1 and rid = $2
             union all
             select created_at, 4, to_jsonb(w) || '{\"what\": \"write\"}' from sync.event_audit_log w
              where account_id = $1 and rid = $2
             order by 1 desc, 2 desc limit $3) newest
         order by at, rank",
    )
    .bind(record.account.as_str())
    .bind(record.rid.0)
    .bind(limit)
    .fetch_all(pool)
    .await
    .map_err(StoreError::database(what))?;
    rows.iter().map(|row| row.try_get(0).map_err(StoreError::database(what))).collect()
}

/// Every field with its cause: side, event, instant, and the values it stands against.
///
/// # Errors
/// The database.
pub async fn blame(pool: &PgPool, record: &RecordRef) -> Result<Vec<Value>, StoreError> {
    let what = "read blame";
    let rows = sqlx::query(
        "select jsonb_build_object('field', m.key, 'value', c.state -> m.key, 'side', m.value -> 'side',
                    'event_id', m.value -> 'event_id', 'edited_at', m.value -> 'edited_at',
                    'causes', (select e.entry -> 'causes' from sync.events e
                                where e.account_id = c.account_id and e.event_id = (m.value ->> 'event_id')::uuid),
                    'actor', (select e.entry -> 'actor' from sync.events e
                                where e.account_id = c.account_id and e.event_id = (m.value ->> 'event_id')::uuid),
                    'overrides', coalesce((select jsonb_agg(to_jsonb(o) order by o.id) from sync.overrides o
                                where o.account_id = c.account_id and o.rid = c.rid and o.field = m.key), '[]'))
           from sync.current_state c, jsonb_each(c.field_meta) m
          where c.account_id = $1 and c.record_type = $2 and c.rid = $3
          order by m.key",
    )
    .bind(record.account.as_str())
    .bind(record.record_type.as_str())
    .bind(record.rid.0)
    .fetch_all(pool)
    .await
    .map_err(StoreError::database(what))?;
    rows.iter().map(|row| row.try_get(0).map_err(StoreError::database(what))).collect()
}

/// A queued failure as it came, for another attempt.
#[derive(Debug, Clone, PartialEq)]
pub struct Queued {
    /// Its id.
    pub id: i64,
    /// The tenant; empty when nobody could read it.
    pub account_id: String,
    /// The type, if known.
    pub record_type: Option<String>,
    /// The record, if known.
    pub rid: Option<Rid>,
    /// The message.
    pub payload: Option<Vec<u8>>,
    /// Its attributes.
    pub attributes: BTreeMap<String, String>,
    /// `open`, or how it ended.
    pub status: String,
}

/// One queued failure; `None` when there is none of this id.
pub async fn queued_error(conn: impl sqlx::PgExecutor<'_>, id: i64) -> Result<Option<Queued>, StoreError> {
    let what = "read an error";
    let row = sqlx::query(
        "select account_id, record_type, rid, payload, attributes::text as attributes, status
           from sync.sync_error_queue where id = $1",
    )
    .bind(id)
    .fetch_optional(conn)
    .await
    .map_err(StoreError::database(what))?;
    let Some(row) = row else { return Ok(None) };
    let attributes: String = row.try_get("attributes").map_err(StoreError::database(what))?;
    Ok(Some(Queued {
        id,
        account_id: row.try_get("account_id").map_err(StoreError::database(what))?,
        record_type: row.try_get("record_type").map_err(StoreError::database(what))?,
        rid: row.try_get::<Option<uuid::Uuid>, _>("rid").map_err(StoreError::database(what))?.map(Rid),
        payload: row.try_get("payload").map_err(StoreError::database(what))?,
        attributes: serde_json::from_str(&attributes).map_err(|error| StoreError::Corrupt {
            table: "sync.sync_error_queue",
            column: "attributes",
            row: id.to_string(),
            reason: error.to_string(),
        })?,
        status: row.try_get("status").map_err(StoreError::database(what))?,
    }))
}

/// Ends an open failure (`retried`, `discarded`, `resolved`). False when it was not open any more.
pub async fn settle_error(conn: impl sqlx::PgExecutor<'_>, id: i64, status: &str, by: &str) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "update sync.sync_error_queue set status = $2, settled_by = $3, settled_at = now() where id = $1 and status = 'open'",
    )
    .bind(id)
    .bind(status)
    .bind(by)
    .execute(conn)
    .await
    .map_err(StoreError::database("settle an error"))?;
    Ok(done.rows_affected() == 1)
}
