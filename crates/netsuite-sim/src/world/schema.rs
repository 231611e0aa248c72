//! The SQLite tables of an account's world, made from the catalogue. Names with the prefix `sim_` are the simulator's
//! own; SuiteQL never shows them.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use rusqlite::types::Value as Column;
use rusqlite::{Connection, params, params_from_iter};

use super::value::Value;
use crate::catalog::{Field, Kind, Months, Rows, Table, catalog};

/// Declared type of columns that hold a marked moment.
const MOMENT_TYPE: &str = "MOMENT_TEXT COLLATE NS";

const OWN_TABLES: &str = "
CREATE TABLE IF NOT EXISTS sim_seq (name TEXT PRIMARY KEY, next INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sim_meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sim_order (id INTEGER PRIMARY KEY, next_line INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS sim_pending (
  seq INTEGER PRIMARY KEY, due INTEGER NOT NULL, type TEXT NOT NULL, record INTEGER NOT NULL, body TEXT NOT NULL
);
";

/// Where numberings start; those not named here start at 1. Ids are never used twice, also not after a reset.
const FIRST_IDS: [(&str, i64); 5] =
    [("customer", 1_001), ("item", 101), ("transaction", 5_001), ("employee", 11), ("list", 201)];

/// Users stay when everything else is forgotten.
const USERS: &str = "employee";

/// Creates what is missing, columns of later versions included; harmless on a world that is complete.
pub(crate) fn create(connection: &mut Connection, zone: &TimeZone) -> rusqlite::Result<()> {
    let tx = connection.transaction()?;
    tx.execute_batch(OWN_TABLES)?;
    for table in stored() {
        tx.execute_batch(&definition(table))?;
        add_columns(&tx, table)?;
    }
    for table in &catalog().tables {
        if let Some(view) = &table.view {
            let name = table.name;
            tx.execute_batch(&format!("DROP VIEW IF EXISTS \"{name}\"; CREATE VIEW \"{name}\" AS {view}"))?;
        }
    }
    for table in stored() {
        create_indexes(&tx, table)?;
        fill(&tx, table, zone)?;
    }
    for sequence in catalog().tables.iter().filter_map(|table| table.sequence) {
        let first = FIRST_IDS.iter().find(|(name, _)| *name == sequence).map_or(1, |(_, first)| *first);
        tx.execute("INSERT OR IGNORE INTO sim_seq (name, next) VALUES (?, ?)", params![sequence, first])?;
    }
    tx.commit()
}

/// Forgets every record; lists are as in the beginning, users and numbering stay.
pub(crate) fn clear(connection: &mut Connection, zone: &TimeZone) -> rusqlite::Result<()> {
    let tx = connection.transaction()?;
    tx.execute_batch("DELETE FROM sim_order; DELETE FROM sim_pending; DELETE FROM sim_meta;")?;
    for table in stored().filter(|table| table.name != USERS) {
        tx.execute_batch(&format!("DELETE FROM \"{}\"", table.name))?;
        fill(&tx, table, zone)?;
    }
    tx.commit()
}

/// Creates the indexes that only speed reading up.
pub(crate) fn create_indexes(connection: &Connection, table: &Table) -> rusqlite::Result<()> {
    for (name, columns) in indexes(table) {
        connection
            .execute_batch(&format!("CREATE INDEX IF NOT EXISTS \"{name}\" ON \"{}\" ({columns})", table.name))?;
    }
    let unique = table.columns.iter().filter(|column| column.unique).map(|column| column.name.to_owned());
    for columns in unique.chain(table.unique.iter().cloned()) {
        let name = format!("{}_{}_unique", table.name, joined(&columns));
        let columns = quoted(&columns);
        connection.execute_batch(&format!(
            "CREATE UNIQUE INDEX IF NOT EXISTS \"{name}\" ON \"{}\" ({columns})",
            table.name
        ))?;
    }
    Ok(())
}

/// Drops what [`create_indexes`] creates for reading; many rows at once go in faster without.
pub(crate) fn drop_indexes(connection: &Connection, table: &Table) -> rusqlite::Result<()> {
    indexes(table).try_for_each(|(name, _)| connection.execute_batch(&format!("DROP INDEX IF EXISTS \"{name}\"")))
}

fn stored() -> impl Iterator<Item = &'static Table> {
    catalog().tables.iter().filter(|table| table.view.is_none())
}

fn indexes(table: &Table) -> impl Iterator<Item = (String, String)> {
    table.indexes.iter().map(|columns| (format!("{}_{}", table.name, joined(columns)), quoted(columns)))
}

fn joined(columns: &str) -> String {
    columns.replace(", ", "_")
}

fn quoted(columns: &str) -> String {
    columns.split(", ").map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ")
}

fn definition(table: &Table) -> String {
    let key = table.key.map(|key| {
        let kind = match (table.text_key, table.autoincrement) {
            (true, _) => "TEXT NOT NULL PRIMARY KEY",
            (false, true) => "INTEGER PRIMARY KEY AUTOINCREMENT",
            (false, false) => "INTEGER PRIMARY KEY",
        };
        format!("\"{key}\" {kind}")
    });
    let columns = table.columns.iter().map(|column| column_definition(column, true));
    let all: Vec<String> = key.into_iter().chain(columns).collect();
    format!("CREATE TABLE IF NOT EXISTS \"{}\" ({})", table.name, all.join(", "))
}

/// A column; one that is added later to a table with rows may be empty in them.
fn column_definition(column: &Field, is_new_table: bool) -> String {
    let kind = match column.kind {
        Kind::Text(_) | Kind::MultiSelect => "TEXT",
        Kind::Bool => "TEXT NOT NULL DEFAULT 'F'",
        Kind::Integer | Kind::Reference(_) => "INTEGER",
        Kind::Decimal(_) => "DECIMAL",
        Kind::Date | Kind::Moment => MOMENT_TYPE,
    };
    let mut text = format!("\"{}\" {kind}", column.name);
    if column.not_null && column.kind != Kind::Bool && (is_new_table || column.default.is_some()) {
        text.push_str(" NOT NULL");
    }
    match (column.default, column.kind) {
        (Some(default), Kind::Integer | Kind::Decimal(_)) => text.push_str(&format!(" DEFAULT {default}")),
        (Some(default), _) => text.push_str(&format!(" DEFAULT '{default}'")),
        (None, _) => {}
    }
    text
}

fn add_columns(tx: &Connection, table: &Table) -> rusqlite::Result<()> {
    let mut statement = tx.prepare("SELECT name FROM pragma_table_info(?)")?;
    let there = statement.query_map([table.name], |row| row.get(0))?.collect::<rusqlite::Result<Vec<String>>>()?;
    for column in table.columns.iter().filter(|column| !there.iter().any(|name| name == column.name)) {
        let definition = column_definition(column, false);
        tx.execute_batch(&format!("ALTER TABLE \"{}\" ADD COLUMN {definition}", table.name))?;
    }
    Ok(())
}

/// Puts the rows in that every account has, unless the table has some.
fn fill(tx: &Connection, table: &Table, zone: &TimeZone) -> rusqlite::Result<()> {
    if table.rows.is_none() && table.months.is_none() {
        return Ok(());
    }
    let empty: bool =
        tx.query_row(&format!("SELECT NOT EXISTS (SELECT 1 FROM \"{}\")", table.name), [], |row| row.get(0))?;
    if !empty {
        return Ok(());
    }
    if let Some(rows) = &table.rows {
        insert_rows(tx, table, rows)?;
    }
    if let Some(months) = &table.months {
        insert_months(tx, table, months, zone)?;
    }
    Ok(())
}

fn insert_rows(tx: &Connection, table: &Table, rows: &Rows) -> rusqlite::Result<()> {
    let names = quoted(&rows.columns.join(", "));
    let marks = vec!["?"; rows.columns.len()].join(", ");
    let mut statement = tx.prepare(&format!("INSERT INTO \"{}\" ({names}) VALUES ({marks})", table.name))?;
    for row in &rows.values {
        let columns = row.iter().map(|value| match value {
            toml::Value::String(text) if text.is_empty() => Column::Null,
            toml::Value::String(text) => Column::Text(text.clone()),
            toml::Value::Integer(number) => Column::Integer(*number),
            toml::Value::Float(number) => Column::Real(*number),
            other => Column::Text(other.to_string()),
        });
        statement.execute(params_from_iter(columns))?;
    }
    Ok(())
}

fn insert_months(tx: &Connection, table: &Table, months: &Months, zone: &TimeZone) -> rusqlite::Result<()> {
    let Months { year: is_year, name, start, end, .. } = months;
    let sql = format!(
        "INSERT INTO \"{}\" (id, \"{is_year}\", \"{name}\", \"{start}\", \"{end}\", parent) VALUES (?, ?, ?, ?, ?, ?)",
        table.name
    );
    let mut statement = tx.prepare(&sql)?;
    let mut id = 0;
    for year in months.from..=months.to {
        id += 1;
        let whole = id;
        let span = (day(year, 1, 1), day(year, 12, 31));
        let columns = |date: Date| Value::Date(date).to_column(zone);
        let title = format!("FY {year}");
        statement.execute(params![id, "T", title, columns(span.0), columns(span.1), Column::Null])?;
        for month in 1..=12 {
            id += 1;
            let first = day(year, month, 1);
            let title = first.strftime("%b %Y").to_string();
            statement.execute(params![id, "F", title, columns(first), columns(first.last_of_month()), whole])?;
        }
    }
    Ok(())
}

fn day(year: i16, month: i8, day: i8) -> Date {
    Date::constant(year, month, day)
}
