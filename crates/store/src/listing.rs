//! What people ask for: pages of rows as JSON, newest first where time matters. Names of columns are the contract's.

use std::collections::BTreeMap;

use model::{AccountId, RecordRef, RecordType, Rid};
use serde_json::Value;
use sqlx::{PgPool, Postgres, QueryBuilder, Row};
use uuid::Uuid;

use crate::StoreError;

mod blame;
mod decided;
mod record;

pub use blame::blame;
pub use decided::{Made, lost, made};
pub use record::{event, state, timeline, version_at, versions_up_to};

/// Most rows of one page.
pub const MAX_PAGE: i64 = 500;

/// One page.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// Rows.
    pub items: Vec<Value>,
    /// Where the next page begins; `None` on the last one.
    pub next_cursor: Option<Cursor>,
}

/// The last row of a page: its instant, and its id where several share one. As text `MICROSECONDS.ID`; opaque to callers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// Microseconds since 1970.
    at: i64,
    /// The row's id.
    id: Uuid,
}

impl Cursor {
    /// Reads the text of a cursor.
    pub fn parse(text: &str) -> Option<Self> {
        let (at, id) = text.split_once('.')?;
        Some(Self { at: at.parse().ok()?, id: id.parse().ok()? })
    }
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.at, self.id.simple())
    }
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

/// Where rows of one listing stand in time: a batch is stored in one instant, so the id leads on inside it.
struct Order {
    at: &'static str,
    id: &'static str,
}

impl Order {
    /// Begins a query of rows (a jsonb expression) of a table under this order.
    fn select(&self, row: &str, from: &str) -> QueryBuilder<Postgres> {
        let Self { at, id } = self;
        QueryBuilder::new(format!("select (extract(epoch from {at}) * 1000000)::bigint, {id}, {row} from {from}"))
    }

    /// Runs it from the cursor on.
    async fn page(
        &self,
        pool: &PgPool,
        mut query: QueryBuilder<Postgres>,
        cursor: Option<Cursor>,
        limit: i64,
        what: &'static str,
    ) -> Result<Page, StoreError> {
        let Self { at, id } = self;
        if let Some(cursor) = cursor {
            query.push(format!(" and ({at}, {id}) < (timestamptz 'epoch' + interval '1 microsecond' * "));
            query.push_bind(cursor.at).push(", ").push_bind(cursor.id).push(")");
        }
        query.push(format!(" order by {at} desc, {id} desc limit ")).push_bind(limit + 1);
        let rows = query.build().fetch_all(pool).await.map_err(StoreError::database(what))?;
        let full = rows.len() as i64 > limit;
        let (mut items, mut last) = (Vec::with_capacity(rows.len()), None);
        for row in rows.iter().take(usize::try_from(limit).unwrap_or(usize::MAX)) {
            let at = row.try_get(0).map_err(StoreError::database(what))?;
            last = Some(Cursor { at, id: row.try_get(1).map_err(StoreError::database(what))? });
            items.push(row.try_get::<Value, _>(2).map_err(StoreError::database(what))?);
        }
        Ok(Page { items, next_cursor: last.filter(|_| full) })
    }
}

/// The immutable log, newest first.
///
/// # Errors
/// The database.
pub async fn events(
    pool: &PgPool,
    filter: &EventFilter,
    cursor: Option<Cursor>,
    limit: i64,
) -> Result<Page, StoreError> {
    let order = Order { at: "e.received_at", id: "e.event_id" };
    let mut query = order.select("to_jsonb(e) - 'id' - 'timestamp'", "sync.events e where true");
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
    order.page(pool, query, cursor, limit, "list events").await
}

/// Conflicts, newest first.
///
/// # Errors
/// The database.
pub async fn conflicts(
    pool: &PgPool,
    account: Option<&AccountId>,
    status: Option<&str>,
    cursor: Option<Cursor>,
    limit: i64,
) -> Result<Page, StoreError> {
    let order = Order { at: "c.created_ts", id: "c.conflict_id" };
    let mut query = order.select("to_jsonb(c)", "sync.conflicts c where true");
    if let Some(account) = account {
        query.push(" and c.account_id = ").push_bind(account.as_str().to_owned());
    }
    if let Some(status) = status {
        query.push(" and c.status = ").push_bind(status.to_owned());
    }
    order.page(pool, query, cursor, limit, "list conflicts").await
}

/// One conflict's row and its record.
///
/// # Errors
/// The database.
pub async fn conflict(pool: &PgPool, conflict_id: Uuid) -> Result<Option<(RecordRef, Value)>, StoreError> {
    let what = "read a conflict";
    let row = sqlx::query(
        "select account_id, record_type, rid, to_jsonb(c) as row from sync.conflicts c where conflict_id = $1",
    )
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
pub async fn locks(
    pool: &PgPool,
    account: Option<&AccountId>,
    cursor: Option<Cursor>,
    limit: i64,
) -> Result<Page, StoreError> {
    let order = Order { at: "l.locked_at", id: "l.lock_id" };
    let mut query = order.select("to_jsonb(l)", "sync.record_lock l where l.released_at is null");
    if let Some(account) = account {
        query.push(" and l.account_id = ").push_bind(account.as_str().to_owned());
    }
    order.page(pool, query, cursor, limit, "list locks").await
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
    let (Ok(account), Ok(record_type)) =
        (AccountId::parse(&text("account_id")?), RecordType::parse(&text("record_type")?))
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
    cursor: Option<Cursor>,
    limit: i64,
) -> Result<Page, StoreError> {
    // Ids are numbers here: one is spelt as the UUID of the same value.
    let order = Order { at: "q.created_at", id: "lpad(to_hex(q.id), 32, '0')::uuid" };
    let row = "to_jsonb(q) - 'payload' || jsonb_build_object('payload_bytes', length(q.payload))";
    let mut query = order.select(row, "sync.sync_error_queue q where true");
    if let Some(account) = account {
        query.push(" and q.account_id = ").push_bind(account.as_str().to_owned());
    }
    if let Some(status) = status {
        query.push(" and q.status = ").push_bind(status.to_owned());
    }
    order.page(pool, query, cursor, limit, "list errors").await
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
pub async fn settle_error(
    conn: impl sqlx::PgExecutor<'_>,
    id: i64,
    status: &str,
    by: &str,
) -> Result<bool, StoreError> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_and_nothing_else_is_one() {
        let cursor = Cursor { at: 1_700_000_000_000_001, id: Uuid::from_u128(7) };
        assert_eq!(Cursor::parse(&cursor.to_string()), Some(cursor));
        for text in ["", "5", "5.", ".7", "x.00000000000000000000000000000007", "5.7"] {
            assert_eq!(Cursor::parse(text), None, "{text}");
        }
    }
}
