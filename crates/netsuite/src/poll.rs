//! What changed since a cursor: keyset pages, every instant by NetSuite's clock (semantics §2.13).
//!
//! A cursor is a second and, within it, the last id seen. Stamps have one-second precision and thousands of rows may
//! share one, so the id leads on inside the second, in numeric order.

use std::collections::BTreeMap;

use model::spec::TypeSpec;
use model::{Fields, NativeId, RemoteError, Rid, Timestamp};

use crate::columns::{self, ID, MODIFIED, NOW};
use crate::connection::Connection;
use crate::read::snapshots;
use crate::snapshot::{Snapshot, add_lines, instant, sublist};
use crate::suiteql::{IN_LIST, PAGE_ROWS, Row, query, refused, unreadable};

/// How far a stream has been read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor {
    /// The second, in UTC by NetSuite's clock.
    pub second: Timestamp,
    /// The last key seen within it; `None` = none of it yet.
    pub id: Option<i64>,
}

impl Cursor {
    /// The beginning of a second.
    pub fn at(second: Timestamp) -> Self {
        Self { second, id: None }
    }
}

/// One page.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<R> {
    /// In cursor order.
    pub rows: Vec<R>,
    /// As many rows came as were asked for: there may be more behind them.
    pub full: bool,
    /// Where the next page begins; the given cursor where there were no rows.
    pub next: Cursor,
    /// NetSuite's clock at the query; `None` where no row carried it, see [`crate::NetsuiteRemote::now`].
    pub ns_now: Option<Timestamp>,
}

impl<R> Page<R> {
    /// The page with each row made another.
    pub fn map<S>(self, other: impl FnMut(R) -> S) -> Page<S> {
        let Self { rows, full, next, ns_now } = self;
        Page { rows: rows.into_iter().map(other).collect(), full, next, ns_now }
    }
}

/// A record that was modified.
#[derive(Debug, Clone, PartialEq)]
pub struct ModifiedRow {
    /// NetSuite's id.
    pub native_id: NativeId,
    /// The rid our external id names.
    pub external_rid: Option<Rid>,
    /// The stamp it carries.
    pub stamp: Option<(Rid, u64)>,
    /// Last modified, to the second.
    pub lastmodified: Timestamp,
    /// All synced fields in canonical form; fewer where `complete` is false.
    pub fields: Fields,
    /// False where a value could not be read, or the lines are of another instant than the body: the row is a hint
    /// all the same, but must not be compared with a shadow.
    pub complete: bool,
}

/// A record that was deleted, as `deletedrecord` tells. A hint: only a read decides existence, and not every type
/// leaves rows there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeletedRow {
    /// NetSuite's id.
    pub native_id: NativeId,
    /// When, to the second.
    pub deleted: Timestamp,
}

/// A record of which lines were modified; its own stamp may not have moved (fact sheet §8).
#[derive(Debug, Clone, PartialEq)]
pub struct LineRow {
    /// The record the lines belong to.
    pub native_id: NativeId,
    /// When the latest of them was modified, to the second.
    pub lastmodified: Timestamp,
    /// All synced fields of the record in canonical form, lines and all, read after the lines were found; `None` where they
    /// cannot be read, or the lines are of another instant than the body: a hint all the same.
    pub fields: Option<Fields>,
}

/// Records of a type, by last modification.
pub(crate) async fn modified_since(
    connection: &Connection,
    spec: &TypeSpec,
    cursor: Cursor,
    limit: usize,
) -> Result<Page<ModifiedRow>, RemoteError> {
    let condition = after("t.lastmodifieddate", "t.id", cursor);
    let statement = columns::select(spec, &condition).map_err(refused)?;
    let statement = format!("{statement} ORDER BY {} ASC, t.id ASC", extracted("t.lastmodifieddate"));
    let rows = query(connection, &statement, limit).await?;
    let keys = keys(&rows, ID, MODIFIED, cursor)?;

    let mut found: BTreeMap<i64, Result<Snapshot, RemoteError>> = BTreeMap::new();
    for (row, key) in rows.iter().zip(&keys) {
        found.insert(key.id.unwrap_or_default(), Snapshot::read(spec, row).map_err(refused));
    }
    let torn = add_lines(connection, spec, &mut found).await?;
    let mut modified = Vec::with_capacity(rows.len());
    for key in &keys {
        let id = key.id.unwrap_or_default();
        modified.push(match found.remove(&id) {
            Some(Ok(one)) => ModifiedRow {
                native_id: one.native_id,
                external_rid: one.external_rid,
                stamp: one.stamp,
                lastmodified: one.modified,
                fields: one.fields,
                complete: !torn.contains(&id),
            },
            Some(Err(_)) | None => ModifiedRow {
                native_id: native(id)?,
                external_rid: None,
                stamp: None,
                lastmodified: key.second,
                fields: Fields::new(),
                complete: false,
            },
        });
    }
    page(&rows, &keys, modified, cursor, limit)
}

/// Deletions of a type, by time.
pub(crate) async fn deleted_since(
    connection: &Connection,
    spec: &TypeSpec,
    cursor: Cursor,
    limit: usize,
) -> Result<Page<DeletedRow>, RemoteError> {
    let kind = spec.netsuite.deleted_type.replace('\'', "''");
    let statement = format!(
        "SELECT d.recordid AS {ID}, {} AS {MODIFIED}, {} AS {NOW} FROM deletedrecord d WHERE d.type = '{kind}' AND {} \
         ORDER BY {} ASC, d.recordid ASC",
        columns::utc("d.deleteddate"),
        columns::now(),
        after("d.deleteddate", "d.recordid", cursor),
        extracted("d.deleteddate"),
    );
    let rows = query(connection, &statement, limit).await?;
    let keys = keys(&rows, ID, MODIFIED, cursor)?;
    let deleted = keys
        .iter()
        .map(|key| Ok(DeletedRow { native_id: native(key.id.unwrap_or_default())?, deleted: key.second }))
        .collect::<Result<_, RemoteError>>()?;
    page(&rows, &keys, deleted, cursor, limit)
}

/// Records of a type by the last modification of their lines. Empty for types without a sublist.
pub(crate) async fn lines_modified_since(
    connection: &Connection,
    spec: &TypeSpec,
    cursor: Cursor,
    limit: usize,
) -> Result<Page<LineRow>, RemoteError> {
    if sublist(spec).map_err(refused)?.is_none() {
        return page(&[], &[], Vec::new(), cursor, limit);
    }
    let filter = spec
        .netsuite
        .filter
        .as_deref()
        .map(|filter| format!(" AND tl.transaction IN (SELECT id FROM transaction WHERE {filter})"));
    let statement = format!(
        "SELECT tl.uniquekey AS {ID}, tl.transaction AS concord_parent, {} AS {MODIFIED}, {} AS {NOW} \
         FROM transactionline tl WHERE {} AND tl.taxline = 'F'{} ORDER BY {} ASC, tl.uniquekey ASC",
        columns::utc("tl.linelastmodifieddate"),
        columns::now(),
        after("tl.linelastmodifieddate", "tl.uniquekey", cursor),
        filter.unwrap_or_default(),
        extracted("tl.linelastmodifieddate"),
    );
    let rows = query(connection, &statement, limit).await?;
    let keys = keys(&rows, ID, MODIFIED, cursor)?;
    // Lines come by their time, so a record's latest one is met last.
    let mut latest: BTreeMap<i64, Timestamp> = BTreeMap::new();
    for (row, key) in rows.iter().zip(&keys) {
        latest.insert(row.number("concord_parent").map_err(refused)?, key.second);
    }
    let ids: Vec<i64> = latest.keys().copied().collect();
    let mut found: BTreeMap<i64, Result<Snapshot, RemoteError>> = BTreeMap::new();
    for batch in ids.chunks(IN_LIST) {
        found.extend(snapshots(connection, spec, &format!("t.id IN ({})", columns::list(batch))).await?);
    }
    let mut lines = latest
        .into_iter()
        .map(|(id, lastmodified)| {
            let fields = found.remove(&id).and_then(Result::ok).map(|one| one.fields);
            Ok(LineRow { native_id: native(id)?, lastmodified, fields })
        })
        .collect::<Result<Vec<_>, RemoteError>>()?;
    lines.sort_by_key(|row| row.lastmodified);
    page(&rows, &keys, lines, cursor, limit)
}

/// NetSuite's clock.
pub(crate) async fn now(connection: &Connection) -> Result<Timestamp, RemoteError> {
    let rows = query(connection, &format!("SELECT {} AS {NOW} FROM DUAL", columns::now()), 1).await?;
    let row = rows.first().ok_or_else(|| refused(unreadable("NetSuite's clock gave no row".to_owned())))?;
    instant(row, NOW).map_err(refused)
}

/// Internal ids of a type in numeric order.
pub(crate) async fn list(
    connection: &Connection,
    spec: &TypeSpec,
    after: Option<i64>,
    limit: usize,
) -> Result<Vec<NativeId>, RemoteError> {
    let table = columns::name(&spec.netsuite.table).map_err(refused)?;
    let filter = columns::filter(spec);
    let mut after = after.unwrap_or(i64::MIN + 1);
    let mut ids = Vec::new();
    while ids.len() < limit {
        let asked = (limit - ids.len()).min(PAGE_ROWS);
        let statement = format!("SELECT t.id AS {ID} FROM {table} t WHERE t.id > {after}{filter} ORDER BY t.id ASC");
        let rows = query(connection, &statement, asked).await?;
        for row in &rows {
            let id = row.number(ID).map_err(refused)?;
            if id <= after {
                return Err(refused(out_of_order()));
            }
            after = id;
            ids.push(native(id)?);
        }
        if rows.len() < asked {
            break;
        }
    }
    Ok(ids)
}

/// Strictly after the cursor. The first comparison is with the bare column, for an index; the second is exact.
fn after(column: &str, key: &str, cursor: Cursor) -> String {
    let at = columns::instant(cursor.second);
    let exact = extracted(column);
    let beyond = match cursor.id {
        None => format!("{exact} >= {at}"),
        Some(id) => format!("({exact} > {at} OR ({exact} = {at} AND {key} > {id}))"),
    };
    match columns::day_before(cursor.second) {
        Some(day_before) => format!("{column} >= {day_before} AND {beyond}"),
        None => beyond,
    }
}

fn extracted(column: &str) -> String {
    format!("SYS_EXTRACT_UTC({column})")
}

/// The rows' cursors. Rows out of order would make us skip some, so they are refused.
fn keys(rows: &[Row], id: &str, time: &str, from: Cursor) -> Result<Vec<Cursor>, RemoteError> {
    let mut last = from;
    let mut keys = Vec::with_capacity(rows.len());
    for row in rows {
        let key = Cursor { second: instant(row, time).map_err(refused)?, id: Some(row.number(id).map_err(refused)?) };
        if key <= last {
            return Err(refused(out_of_order()));
        }
        last = key;
        keys.push(key);
    }
    Ok(keys)
}

fn out_of_order() -> model::Failure {
    unreadable("rows do not come in the order asked for".to_owned())
}

fn page<R>(rows: &[Row], keys: &[Cursor], page: Vec<R>, from: Cursor, limit: usize) -> Result<Page<R>, RemoteError> {
    let ns_now = match rows.last() {
        None => None,
        Some(row) => Some(instant(row, NOW).map_err(refused)?),
    };
    let full = !rows.is_empty() && rows.len() >= limit;
    Ok(Page { rows: page, full, next: keys.last().copied().unwrap_or(from), ns_now })
}

fn native(id: i64) -> Result<NativeId, RemoteError> {
    NativeId::parse(&id.to_string()).map_err(|_| refused(unreadable("an id is no id".to_owned())))
}
