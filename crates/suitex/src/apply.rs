//! The statements of one write, inside its transaction. Whatever stops it rolls everything back.

use std::collections::BTreeMap;

use model::spec::Kind;
use model::{Fields, LineIds, NativeId, Value, WriteKind, WriteOutcome, WriteRequest};
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{PgConnection, Postgres, Row};

use crate::canonical::{Bound, bound};
use crate::layout::{Column, Layout, LineTable, id_fits, statement};
use crate::read::{native_id, read_back};

/// Why a write ends without COMMIT.
#[derive(Debug)]
pub(crate) enum Stop {
    /// With this answer.
    Outcome(WriteOutcome),
    /// The database failed or refused.
    Database(sqlx::Error),
}

impl From<sqlx::Error> for Stop {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

/// Applies the write; the answer holds if COMMIT does.
pub(crate) async fn apply(
    conn: &mut PgConnection,
    layout: &Layout,
    request: &WriteRequest,
) -> Result<WriteOutcome, Stop> {
    enter(conn, layout, request).await?;
    match (request.kind, &request.native_id) {
        (WriteKind::Create, _) => create(conn, layout, request).await,
        (WriteKind::Update, Some(id)) if layout.id.may_be(id.as_str()) => update(conn, layout, request, id).await,
        (WriteKind::Delete, Some(id)) if layout.id.may_be(id.as_str()) => delete(conn, layout, request, id).await,
        // No row can have this id, or none was ever known.
        (WriteKind::Update | WriteKind::Delete, _) => Err(Stop::Outcome(WriteOutcome::Gone)),
    }
}

/// Leaves the write's id in the inbox. It is there already when an earlier attempt landed (another attempt that is
/// still under way is waited for): then the answer is the record as it stands.
async fn enter(conn: &mut PgConnection, layout: &Layout, request: &WriteRequest) -> Result<(), Stop> {
    let inserted = sqlx::query(
        "insert into concord.sync_inbox (write_id, record_type, rid, generation, kind, native_id)
         values ($1, $2, $3, $4, $5, $6) on conflict (write_id) do nothing",
    )
    .bind(request.write_id)
    .bind(layout.record_type.as_str())
    .bind(request.rid.0)
    .bind(request.generation.cast_signed())
    .bind(request.kind.as_str())
    .bind(request.native_id.as_ref().map(NativeId::as_str))
    .execute(&mut *conn)
    .await?;
    if inserted.rows_affected() == 1 {
        return Ok(());
    }
    let landed: Option<String> =
        sqlx::query_scalar("select i.native_id from concord.sync_inbox i where i.write_id = $1")
            .bind(request.write_id)
            .fetch_one(&mut *conn)
            .await?;
    let id = native_id(landed.unwrap_or_default())?;
    Err(Stop::Outcome(landed_as(conn, layout, request, id, LineIds::new()).await?))
}

async fn landed_as(
    conn: &mut PgConnection,
    layout: &Layout,
    request: &WriteRequest,
    id: NativeId,
    line_ids: LineIds,
) -> Result<WriteOutcome, sqlx::Error> {
    let now = read_back(conn, layout, &id, request.write_id).await?;
    Ok(WriteOutcome::Ok {
        native_id: id,
        token: now.token,
        line_ids,
        observed: Some(Box::new(now.observed)),
        before: None,
        unproven: Vec::new(),
    })
}

async fn create(conn: &mut PgConnection, layout: &Layout, request: &WriteRequest) -> Result<WriteOutcome, Stop> {
    let columns = assignments(&layout.columns, &body(layout, &request.changes)?)?;
    // The empty value of a column that has to be filled is its default's business.
    let columns = columns.into_iter().filter(|(column, value)| !column.required || !value.is_null()).collect();
    let id = insert(conn, &layout.table, &layout.id.quoted, Vec::new(), columns).await?;
    let id = native_id(id)?;
    let line_ids = if layout.lines.is_empty() {
        LineIds::new()
    } else {
        // From here on the record has a name by which the triggers know that its lines are ours too.
        sqlx::query("select set_config('concord.write_for', $1, true)")
            .bind(format!("{}|{id}", layout.record_type))
            .execute(&mut *conn)
            .await?;
        write_lines(conn, layout, request, id.as_str()).await?
    };
    sqlx::query("update concord.sync_inbox set native_id = $2 where write_id = $1")
        .bind(request.write_id)
        .bind(id.as_str())
        .execute(&mut *conn)
        .await?;
    Ok(landed_as(conn, layout, request, id, line_ids).await?)
}

async fn update(
    conn: &mut PgConnection,
    layout: &Layout,
    request: &WriteRequest,
    id: &NativeId,
) -> Result<WriteOutcome, Stop> {
    let Some(token) = request.token else { return Err(refused_by_guard(conn, layout, id).await?) };
    let columns = assignments(&layout.columns, &body(layout, &request.changes)?)?;
    let touches_lines = layout.lines.iter().any(|table| request.changes.contains_key(&table.name));
    if touches_lines {
        lock_lines(conn, layout, id).await?;
    }
    let Layout { table, id: key, version, .. } = layout;
    let (sets, values) = numbered(3, columns);
    let guard = if sets.is_empty() {
        format!("select from {table} where {} = {} and {version} = $2 for no key update", key.quoted, key.parameter(1))
    } else {
        // Raised here for applications without the triggers; the trigger comes to the same value.
        let sets: String = sets.iter().map(|(column, parameter)| format!("{column} = {parameter}, ")).collect();
        format!(
            "update {table} set {sets}{version} = {version} + 1 where {} = {} and {version} = $2",
            key.quoted,
            key.parameter(1)
        )
    };
    let query = sqlx::query(statement(guard)).bind(id.as_str()).bind(token);
    if bind_all(query, values).execute(&mut *conn).await?.rows_affected() == 0 {
        return Err(refused_by_guard(conn, layout, id).await?);
    }
    let line_ids = write_lines(conn, layout, request, id.as_str()).await?;
    if touches_lines {
        // Without the triggers nothing has raised the version yet; with them this finds another version, or changes
        // nothing.
        let raise = format!(
            "update {table} set {version} = {version} + 1 where {} = {} and {version} = $2",
            key.quoted,
            key.parameter(1)
        );
        sqlx::query(statement(raise)).bind(id.as_str()).bind(token).execute(&mut *conn).await?;
    }
    Ok(landed_as(conn, layout, request, id.clone(), line_ids).await?)
}

async fn delete(
    conn: &mut PgConnection,
    layout: &Layout,
    request: &WriteRequest,
    id: &NativeId,
) -> Result<WriteOutcome, Stop> {
    let Some(token) = request.token else { return Err(refused_by_guard(conn, layout, id).await?) };
    lock_lines(conn, layout, id).await?;
    let Layout { table, id: key, version, .. } = layout;
    let delete = format!("delete from {table} where {} = {} and {version} = $2", key.quoted, key.parameter(1));
    let done = sqlx::query(statement(delete)).bind(id.as_str()).bind(token).execute(&mut *conn).await?;
    if done.rows_affected() == 0 {
        return Err(refused_by_guard(conn, layout, id).await?);
    }
    Ok(landed_as(conn, layout, request, id.clone(), LineIds::new()).await?)
}

/// Not there, or there with another version?
async fn refused_by_guard(conn: &mut PgConnection, layout: &Layout, id: &NativeId) -> Result<Stop, sqlx::Error> {
    let look =
        format!("select exists(select from {} where {} = {})", layout.table, layout.id.quoted, layout.id.parameter(1));
    let exists: bool = sqlx::query_scalar(statement(look)).bind(id.as_str()).fetch_one(conn).await?;
    Ok(Stop::Outcome(if exists { WriteOutcome::Stale } else { WriteOutcome::Gone }))
}

/// Locks lines before their parent, the order in which a user's statement on a line takes the two (the line, then by
/// the trigger its parent); the other way round the two would wait for each other.
async fn lock_lines(conn: &mut PgConnection, layout: &Layout, id: &NativeId) -> Result<(), sqlx::Error> {
    for table in &layout.lines {
        let lock = format!(
            "select from {} where {} = $1::text::{} order by {} for no key update",
            table.table, table.parent, table.parent_type, table.id.quoted
        );
        sqlx::query(statement(lock)).bind(id.as_str()).execute(&mut *conn).await?;
    }
    Ok(())
}

/// Changes, adds and removes lines; answers with the ids of the lines that were written.
async fn write_lines(
    conn: &mut PgConnection,
    layout: &Layout,
    request: &WriteRequest,
    parent: &str,
) -> Result<LineIds, Stop> {
    let mut written = LineIds::new();
    for table in &layout.lines {
        let lines = match request.changes.get(&table.name) {
            Some(Value::Lines(lines)) => lines,
            None | Some(Value::Null) => continue,
            Some(other) => return Err(refuse(&table.name, &format!("is {}, not lines", other.shape()))),
        };
        let known = request.line_ids.get(&table.name);
        let mut ids = BTreeMap::new();
        for (key, line) in lines {
            let id = known.and_then(|ids| ids.get(key));
            if let Some(id) = write_line(conn, table, parent, id, line.as_ref()).await? {
                ids.insert(key.clone(), id);
            }
        }
        if !ids.is_empty() {
            written.insert(table.name.clone(), ids);
        }
    }
    Ok(written)
}

async fn write_line(
    conn: &mut PgConnection,
    table: &LineTable,
    parent: &str,
    id: Option<&String>,
    line: Option<&Fields>,
) -> Result<Option<String>, Stop> {
    let key = &table.id;
    let of_parent =
        format!("{} = {} and {} = $2::text::{}", key.quoted, key.parameter(1), table.parent, table.parent_type);
    match (line, id) {
        (None, None) => Ok(None),
        (None, Some(id)) => {
            if key.may_be(id) {
                let remove = format!("delete from {} where {of_parent}", table.table);
                sqlx::query(statement(remove)).bind(id).bind(parent).execute(conn).await?;
            }
            Ok(None)
        }
        (Some(line), Some(id)) => {
            let (sets, values) = numbered(3, assignments(&table.columns, &line.iter().collect::<Vec<_>>())?);
            if sets.is_empty() {
                return Ok(Some(id.clone()));
            }
            let sets: Vec<_> = sets.iter().map(|(column, parameter)| format!("{column} = {parameter}")).collect();
            let change = format!("update {} set {} where {of_parent}", table.table, sets.join(", "));
            let query = bind_all(sqlx::query(statement(change)).bind(id).bind(parent), values);
            // The parent's version vouched for this line; an application without the triggers may still lose it.
            let there = key.may_be(id) && query.execute(conn).await?.rows_affected() == 1;
            if there { Ok(Some(id.clone())) } else { Err(Stop::Outcome(WriteOutcome::Stale)) }
        }
        (Some(line), None) => {
            let columns = assignments(&table.columns, &line.iter().collect::<Vec<_>>())?;
            let columns = columns.into_iter().filter(|(column, value)| !column.required || !value.is_null()).collect();
            let to_parent = (table.parent.clone(), format!("$1::text::{}", table.parent_type), parent.to_owned());
            Ok(Some(insert(conn, &table.table, &key.quoted, vec![to_parent], columns).await?))
        }
    }
}

/// Inserts a row and answers with its id. `first` = (column, parameter, value) ahead of the mapped columns.
async fn insert(
    conn: &mut PgConnection,
    table: &str,
    id: &str,
    first: Vec<(String, String, String)>,
    columns: Vec<(&Column, Bound)>,
) -> Result<String, sqlx::Error> {
    let (sets, mut values) = numbered(first.len() + 1, columns);
    let mut names = Vec::new();
    let mut parameters = Vec::new();
    let mut leading = Vec::new();
    for (name, parameter, value) in first {
        names.push(name);
        parameters.push(parameter);
        leading.push(Bound::Scalar(Some(value)));
    }
    for (name, parameter) in sets {
        names.push(name);
        parameters.push(parameter);
    }
    leading.append(&mut values);
    let sql = if names.is_empty() {
        format!("insert into {table} default values returning {id}::text")
    } else {
        format!("insert into {table} ({}) values ({}) returning {id}::text", names.join(", "), parameters.join(", "))
    };
    let row: PgRow = bind_all(sqlx::query(statement(sql)), leading).fetch_one(conn).await?;
    row.try_get(0)
}

/// The body's changes: everything but sublists.
fn body<'a>(layout: &Layout, changes: &'a Fields) -> Result<Vec<(&'a String, &'a Value)>, Stop> {
    Ok(changes.iter().filter(|(name, _)| layout.lines.iter().all(|table| table.name != **name)).collect())
}

/// Finds the column and parameter of each value.
fn assignments<'a>(columns: &'a [Column], values: &[(&String, &Value)]) -> Result<Vec<(&'a Column, Bound)>, Stop> {
    let mut assigned = Vec::with_capacity(values.len());
    for (name, value) in values {
        let Some(column) = columns.iter().find(|column| column.field.name == **name) else {
            return Err(refuse(name, "is not mapped to a column"));
        };
        let shaped = bound(&column.field.kind, value, column.required);
        let shaped =
            shaped.ok_or_else(|| refuse(name, &format!("is {}, which its column cannot hold", value.shape())))?;
        if let (Kind::Reference { to }, Some(id)) = (&column.field.kind, value.as_text())
            && !id_fits(&column.sql_type, id)
        {
            return Err(refuse(name, &format!("is no id of a {to} in this database")));
        }
        assigned.push((column, shaped));
    }
    Ok(assigned)
}

fn refuse(field: &str, why: &str) -> Stop {
    let message = format!("SuiteX cannot take the write: field {field} {why}");
    Stop::Outcome(WriteOutcome::Invalid { code: "bad_value".to_owned(), message })
}

/// Column names with their parameters from `$first` on, and what to bind.
fn numbered(first: usize, columns: Vec<(&Column, Bound)>) -> (Vec<(String, String)>, Vec<Bound>) {
    let mut sets = Vec::with_capacity(columns.len());
    let mut values = Vec::with_capacity(columns.len());
    for (n, (column, value)) in columns.into_iter().enumerate() {
        sets.push((column.quoted.clone(), column.parameter(first + n, &value)));
        values.push(value);
    }
    (sets, values)
}

type Statement<'q> = Query<'q, Postgres, PgArguments>;

fn bind_all(query: Statement<'_>, values: Vec<Bound>) -> Statement<'_> {
    values.into_iter().fold(query, |query, value| match value {
        Bound::Scalar(text) => query.bind(text),
        Bound::List(members) => query.bind(members),
    })
}
