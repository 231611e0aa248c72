//! Records as stored: one, all ids, or all of a type at once.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use rusqlite::{Connection, OptionalExtension, Row};
use rust_decimal::Decimal;
use serde_json::{Map, Value as Json, json};

use super::value::Value;
use crate::catalog::{RecordType, catalog};

/// A record with all its fields and lines.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Stored {
    pub(crate) id: i64,
    /// In the order of [`RecordType::fields`].
    pub(crate) values: Vec<Value>,
    /// Line id → values in the order of [`RecordType::line_fields`]; quantities as the user sees them.
    pub(crate) lines: BTreeMap<i64, Vec<Value>>,
}

impl Stored {
    /// A body field's value; null for a name the type does not have.
    pub(crate) fn value(&self, kind: &RecordType, name: &str) -> &Value {
        static NOTHING: Value = Value::Null;
        kind.position(name).map_or(&NOTHING, |position| &self.values[position])
    }

    /// Sets a body field by name; names the type does not have are left out.
    pub(crate) fn set(&mut self, kind: &RecordType, name: &str, value: Value) {
        if let Some(position) = kind.position(name) {
            self.values[position] = value;
        }
    }

    /// The fields in natural JSON under their SuiteQL names; sales orders with `lines`.
    pub(crate) fn to_json(&self, kind: &RecordType) -> Map<String, Json> {
        let mut fields: Map<String, Json> = kind
            .fields
            .iter()
            .zip(&self.values)
            .map(|(field, value)| (field.name.to_owned(), value.to_json()))
            .collect();
        if kind.has_lines() {
            let lines = self.lines.iter().map(|(id, line)| (id.to_string(), line_json(kind, line))).collect();
            fields.insert("lines".to_owned(), Json::Object(lines));
        }
        fields
    }
}

/// A line in natural JSON.
pub(crate) fn line_json(kind: &RecordType, line: &[Value]) -> Json {
    let fields = kind.line_fields.iter().zip(line).map(|(field, value)| (field.name.to_owned(), value.to_json()));
    Json::Object(fields.collect())
}

/// The columns of a type in the order of its fields.
pub(crate) fn columns(kind: &RecordType) -> String {
    kind.fields.iter().map(|field| format!("\"{}\"", field.name)).collect::<Vec<_>>().join(", ")
}

fn stored(kind: &RecordType, row: &Row<'_>, zone: &TimeZone) -> rusqlite::Result<Stored> {
    let mut values = Vec::with_capacity(kind.fields.len());
    for (index, field) in kind.fields.iter().enumerate() {
        values.push(Value::from_column(field.kind, row.get_ref(index + 1)?, zone));
    }
    Ok(Stored { id: row.get(0)?, values, lines: BTreeMap::new() })
}

fn line(kind: &RecordType, row: &Row<'_>, zone: &TimeZone) -> rusqlite::Result<Vec<Value>> {
    let sign = Decimal::from(kind.sign());
    kind.line_fields
        .iter()
        .enumerate()
        .map(|(index, field)| {
            let value = Value::from_column(field.kind, row.get_ref(index + 2)?, zone);
            Ok(match value {
                Value::Decimal(quantity) if field.name == "quantity" => Value::Decimal(quantity * sign),
                other => other,
            })
        })
        .collect()
}

const LINES_OF_ONE: &str = r#"SELECT "transaction", id, item, quantity, rate FROM transactionline
    WHERE "transaction" = ? AND mainline = 'F' ORDER BY id"#;
const LINES_OF_ALL: &str = r#"SELECT "transaction", id, item, quantity, rate FROM transactionline
    WHERE mainline = 'F' ORDER BY "transaction", id"#;

/// One record, or nothing when it does not exist (any more).
pub(crate) fn find(
    connection: &Connection,
    kind: &RecordType,
    id: i64,
    zone: &TimeZone,
) -> rusqlite::Result<Option<Stored>> {
    let sql = format!(r#"SELECT id, {} FROM "{}" WHERE id = ?{}"#, columns(kind), kind.table, kind.filter);
    let mut statement = connection.prepare_cached(&sql)?;
    let mut found = statement.query_row([id], |row| stored(kind, row, zone)).optional()?;
    if let Some(record) = &mut found
        && kind.has_lines()
    {
        let mut statement = connection.prepare_cached(LINES_OF_ONE)?;
        let mut rows = statement.query([id])?;
        while let Some(row) = rows.next()? {
            record.lines.insert(row.get(1)?, line(kind, row, zone)?);
        }
    }
    Ok(found)
}

/// The id that carries an external id.
pub(crate) fn find_external(
    connection: &Connection,
    kind: &RecordType,
    external_id: &str,
) -> rusqlite::Result<Option<i64>> {
    if kind.position("externalid").is_none() {
        return Ok(None);
    }
    let sql = format!(r#"SELECT id FROM "{}" WHERE externalid = ?{}"#, kind.table, kind.filter);
    connection.prepare_cached(&sql)?.query_row([external_id], |row| row.get(0)).optional()
}

/// Every id of a type, ascending.
pub(crate) fn ids(connection: &Connection, kind: &RecordType) -> rusqlite::Result<Vec<i64>> {
    let sql = format!(r#"SELECT id FROM "{}" WHERE true{} ORDER BY id"#, kind.table, kind.filter);
    let mut statement = connection.prepare_cached(&sql)?;
    statement.query_map([], |row| row.get(0))?.collect()
}

/// Every record of a type, ascending, from one snapshot.
pub(crate) fn dump(connection: &Connection, kind: &RecordType, zone: &TimeZone) -> rusqlite::Result<Vec<Json>> {
    let snapshot = connection.unchecked_transaction()?;
    let mut lines: BTreeMap<i64, BTreeMap<i64, Vec<Value>>> = BTreeMap::new();
    if kind.has_lines() {
        let mut statement = snapshot.prepare_cached(LINES_OF_ALL)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            lines.entry(row.get(0)?).or_default().insert(row.get(1)?, line(kind, row, zone)?);
        }
    }
    let sql = format!(r#"SELECT id, {} FROM "{}" WHERE true{} ORDER BY id"#, columns(kind), kind.table, kind.filter);
    let mut statement = snapshot.prepare_cached(&sql)?;
    let mut rows = statement.query([])?;
    let mut records = Vec::new();
    while let Some(row) = rows.next()? {
        let mut record = stored(kind, row, zone)?;
        record.lines = lines.remove(&record.id).unwrap_or_default();
        records.push(json!({ "id": record.id.to_string(), "fields": record.to_json(kind) }));
    }
    Ok(records)
}

/// The text shown where a record is referred to.
pub(crate) fn title(connection: &Connection, table: &str, id: i64) -> rusqlite::Result<Option<String>> {
    let Some((key, column)) = catalog().table(table).and_then(|own| Some((own.key?, own.title))) else {
        return Ok(None);
    };
    if column.is_empty() {
        return Ok(Some(id.to_string()));
    }
    let sql = format!(r#"SELECT "{column}" FROM "{table}" WHERE "{key}" = ?"#);
    let found = connection.prepare_cached(&sql)?.query_row([id], |row| row.get::<_, Option<String>>(0)).optional()?;
    Ok(found.flatten())
}
