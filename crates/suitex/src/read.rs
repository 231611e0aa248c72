//! Reading records: rows, their lines, and our marks beside them, in as few statements as there are tables.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use jiff_sqlx::Timestamp as SqlTimestamp;
use model::{Failure, Fields, NativeId, Observed, ReadRequest, Rid, Timestamp, WriteId};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use crate::canonical::{canonical, lines_value};
use crate::layout::{Column, Layout, LineTable, statement};

/// Leading columns of [`Layout::select`] before the fields.
const BODY_OFFSET: usize = 5;
/// Leading columns of [`LineTable::select`] before the fields.
const LINE_OFFSET: usize = 2;

/// What was found under one native id.
pub(crate) struct Found {
    /// Synced fields. One whose value cannot be represented is left out: it is unknown, and the others go on.
    fields: Fields,
    token: Option<i64>,
    age: Option<Duration>,
    clock: Timestamp,
    external_rid: Option<Rid>,
}

/// Answers requests, in order. All statements must see one snapshot: row version, lines and inbox have to agree.
pub(crate) async fn observe(
    conn: &mut PgConnection,
    layout: &Layout,
    wants: &[ReadRequest],
) -> Result<Vec<Observed>, sqlx::Error> {
    let created = created_ids(conn, layout, wants).await?;
    let id_of =
        |want: &ReadRequest| want.native_id.clone().or_else(|| created.get(&(want.rid, want.generation)).cloned());
    let ids: BTreeSet<String> = wants.iter().filter_map(id_of).map(String::from).collect();
    let mut found = rows(conn, layout, &ids).await?;
    add_lines(conn, layout, &mut found).await?;
    let (landed, clock) = landed(conn, wants).await?;
    let answer = |want: &ReadRequest| {
        let native_id = id_of(want);
        let landed: Vec<_> = want.unresolved.iter().copied().filter(|id| landed.contains(id)).collect();
        let created_here = created.contains_key(&(want.rid, want.generation)).then_some(want.rid);
        match native_id.as_ref().and_then(|id| found.get(id.as_str())) {
            None => {
                Observed { native_id, external_rid: created_here, landed, clock: Some(clock), ..Observed::default() }
            }
            Some(row) => Observed { native_id, landed, ..row.observed() },
        }
    };
    Ok(wants.iter().map(answer).collect())
}

/// A record as it stands after a write of ours, inside the write's own transaction.
pub(crate) struct ReadBack {
    /// Its version.
    pub(crate) token: Option<i64>,
    /// All of it that can be represented.
    pub(crate) observed: Observed,
}

/// Reads one record back.
pub(crate) async fn read_back(
    conn: &mut PgConnection,
    layout: &Layout,
    id: &NativeId,
    landed: WriteId,
) -> Result<ReadBack, sqlx::Error> {
    let mut found = rows(conn, layout, &[id.to_string()].into()).await?;
    add_lines(conn, layout, &mut found).await?;
    let ours = |observed| Observed { native_id: Some(id.clone()), landed: vec![landed], ..observed };
    Ok(match found.get(id.as_str()) {
        None => ReadBack { token: None, observed: ours(Observed::default()) },
        Some(row) => ReadBack { token: row.token, observed: ours(row.observed()) },
    })
}

impl Found {
    fn observed(&self) -> Observed {
        Observed {
            exists: true,
            native_id: None,
            fields: self.fields.clone(),
            token: self.token,
            stamp: None,
            note: None,
            before: None,
            unproven: Vec::new(),
            external_rid: self.external_rid,
            landed: Vec::new(),
            age: self.age,
            clock: Some(self.clock),
        }
    }
}

/// The native ids of creates whose answer we never had.
async fn created_ids(
    conn: &mut PgConnection,
    layout: &Layout,
    wants: &[ReadRequest],
) -> Result<HashMap<(Rid, u32), NativeId>, sqlx::Error> {
    let unknown: Vec<_> = wants.iter().filter(|want| want.native_id.is_none()).collect();
    if unknown.is_empty() {
        return Ok(HashMap::new());
    }
    let rids: Vec<Uuid> = unknown.iter().map(|want| want.rid.0).collect();
    let generations: Vec<i32> = unknown.iter().map(|want| want.generation.cast_signed()).collect();
    let rows = sqlx::query(
        "select i.rid, i.generation, i.native_id from concord.sync_inbox i
           join unnest($2::uuid[], $3::int[]) as want(rid, generation)
             on want.rid = i.rid and want.generation = i.generation
          where i.record_type = $1 and i.kind = 'create' and i.native_id is not null",
    )
    .bind(layout.record_type.as_str())
    .bind(rids)
    .bind(generations)
    .fetch_all(conn)
    .await?;
    let mut created = HashMap::new();
    for row in rows {
        let generation: i32 = row.try_get(1)?;
        created.insert((Rid(row.try_get(0)?), generation.cast_unsigned()), native_id(row.try_get(2)?)?);
    }
    Ok(created)
}

/// Reads an id that stands in the database.
pub(crate) fn native_id(text: String) -> Result<NativeId, sqlx::Error> {
    NativeId::parse(&text).map_err(|bad| sqlx::Error::Decode(Box::new(bad)))
}

/// Which of the asked-for writes are in the inbox, and the tenant's time.
async fn landed(conn: &mut PgConnection, wants: &[ReadRequest]) -> Result<(BTreeSet<WriteId>, Timestamp), sqlx::Error> {
    let asked: Vec<WriteId> = wants.iter().flat_map(|want| want.unresolved.iter().copied()).collect();
    let row = sqlx::query(
        "select array(select i.write_id from concord.sync_inbox i where i.write_id = any($1)), clock_timestamp()",
    )
    .bind(asked)
    .fetch_one(conn)
    .await?;
    let landed: Vec<WriteId> = row.try_get(0)?;
    Ok((landed.into_iter().collect(), row.try_get::<SqlTimestamp, _>(1)?.to_jiff()))
}

async fn rows(
    conn: &mut PgConnection,
    layout: &Layout,
    ids: &BTreeSet<String>,
) -> Result<HashMap<String, Found>, sqlx::Error> {
    let ids: Vec<&str> = ids.iter().map(String::as_str).filter(|id| layout.id.may_be(id)).collect();
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = sqlx::query(statement(layout.select.clone()))
        .bind(ids)
        .bind(layout.record_type.as_str())
        .fetch_all(conn)
        .await?;
    let mut found = HashMap::with_capacity(rows.len());
    for row in rows {
        let age: Option<f64> = row.try_get(2)?;
        let external_rid: Option<Uuid> = row.try_get(4)?;
        let id: String = row.try_get(0)?;
        let body = Found {
            fields: fields(&row, &layout.columns, BODY_OFFSET, |failure| left_out(layout, &id, failure))?,
            token: row.try_get(1)?,
            // A row stamped by a clock that was set back has no age below zero.
            age: age.map(|seconds| Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::ZERO)),
            clock: row.try_get::<SqlTimestamp, _>(3)?.to_jiff(),
            external_rid: external_rid.map(Rid),
        };
        found.insert(id, body);
    }
    Ok(found)
}

async fn add_lines(
    conn: &mut PgConnection,
    layout: &Layout,
    found: &mut HashMap<String, Found>,
) -> Result<(), sqlx::Error> {
    if found.is_empty() {
        return Ok(());
    }
    for table in &layout.lines {
        let mut lines = line_rows(conn, table, found.keys().cloned().collect()).await?;
        for (id, row) in found.iter_mut() {
            match lines.remove(id).unwrap_or(Ok(BTreeMap::new())) {
                Ok(lines) => {
                    row.fields.insert(table.name.clone(), lines_value(lines));
                }
                Err(failure) => left_out(layout, id, &failure),
            }
        }
    }
    Ok(())
}

/// Says which field is not taken part of a record. A row of the error queue came from the outbox when it was typed; one
/// that was typed before anybody captured it is told here only.
fn left_out(layout: &Layout, id: &str, failure: &Failure) {
    let record_type = &layout.record_type;
    tracing::warn!(%record_type, record_id = id, code = failure.code, "{record_type} {id} of SuiteX is read without one field: {}", failure.reason);
}

type LinesOfParent = Result<BTreeMap<String, Fields>, Failure>;

async fn line_rows(
    conn: &mut PgConnection,
    table: &LineTable,
    parents: Vec<String>,
) -> Result<HashMap<String, LinesOfParent>, sqlx::Error> {
    let rows = sqlx::query(statement(table.select.clone())).bind(parents).fetch_all(conn).await?;
    let mut lines: HashMap<String, LinesOfParent> = HashMap::new();
    for row in rows {
        let mut refused = None;
        let line = fields(&row, &table.columns, LINE_OFFSET, |failure| refused = Some(failure.clone()))?;
        let of_parent = lines.entry(row.try_get(0)?).or_insert_with(|| Ok(BTreeMap::new()));
        match (of_parent.as_mut(), refused) {
            (Ok(lines), None) => {
                lines.insert(row.try_get(1)?, line);
            }
            // Half a line would be taken for a line somebody emptied: the sublist as a whole is unknown.
            (Ok(_), Some(failure)) => *of_parent = Err(within(&table.name, failure)),
            (Err(_), _) => {}
        }
    }
    Ok(lines)
}

/// Names the sublist around a line field's failure.
fn within(sublist: &str, failure: Failure) -> Failure {
    Failure { reason: format!("sublist {sublist}, {}", failure.reason), ..failure }
}

fn fields(
    row: &PgRow,
    columns: &[Column],
    offset: usize,
    mut left_out: impl FnMut(&Failure),
) -> Result<Fields, sqlx::Error> {
    let mut fields = Fields::new();
    for (n, column) in columns.iter().enumerate() {
        let text: Option<&str> = row.try_get(offset + n)?;
        match canonical(&column.field, text) {
            Ok(value) => {
                fields.insert(column.field.name.clone(), value);
            }
            Err(failure) => left_out(&failure),
        }
    }
    Ok(fields)
}
