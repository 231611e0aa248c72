//! Prepared inserts, and the days of a history as columns hold them.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use rusqlite::types::Value as Column;
use rusqlite::{CachedStatement, Connection, params_from_iter};

use super::super::value::Value;

/// A prepared insert into one table.
pub(super) struct Insert<'c> {
    statement: CachedStatement<'c>,
}

impl<'c> Insert<'c> {
    /// Prepares it; `columns` separated by commas.
    pub(super) fn new(connection: &'c Connection, table: &str, columns: &str) -> rusqlite::Result<Self> {
        let names: Vec<String> = columns.split(',').map(|name| format!("\"{}\"", name.trim())).collect();
        let marks = vec!["?"; names.len()].join(", ");
        let sql = format!("INSERT INTO \"{table}\" ({}) VALUES ({marks})", names.join(", "));
        Ok(Self { statement: connection.prepare_cached(&sql)? })
    }

    /// Inserts one row and counts it.
    pub(super) fn row<const N: usize>(&mut self, rows: &mut u64, values: [Column; N]) -> rusqlite::Result<()> {
        self.statement.execute(params_from_iter(values))?;
        *rows += 1;
        Ok(())
    }
}

pub(super) fn text(text: impl Into<String>) -> Column {
    Column::Text(text.into())
}

pub(super) fn int(number: impl Into<i64>) -> Column {
    Column::Integer(number.into())
}

/// An amount of cents, as columns hold amounts.
pub(super) fn cents(cents: i64) -> Column {
    if cents % 100 == 0 { Column::Integer(cents / 100) } else { Column::Real(cents as f64 / 100.0) }
}

pub(super) fn flag(flag: bool) -> Column {
    text(if flag { "T" } else { "F" })
}

/// Takes so many numbers of a sequence at once; returns the first.
pub(super) fn reserve(tx: &Connection, sequence: &str, count: u32) -> rusqlite::Result<i64> {
    tx.prepare_cached("UPDATE sim_seq SET next = next + ?2 WHERE name = ?1 RETURNING next - ?2")?
        .query_row(rusqlite::params![sequence, count], |row| row.get(0))
}

/// The days from the start of the history to today.
#[derive(Debug)]
pub(super) struct Days {
    now: Timestamp,
    /// Each day's start, as columns hold dates.
    starts: Vec<Column>,
}

impl Days {
    pub(super) fn new(now: Timestamp, history_days: u16, zone: &TimeZone) -> Self {
        let today = now.to_zoned(zone.clone()).date();
        let days = (0..=i32::from(history_days)).rev();
        let starts = days.map(|back| {
            let day = today.checked_sub(SignedDuration::from_hours(24 * i64::from(back))).unwrap_or(today);
            Value::Date(day).to_column(zone)
        });
        Self { now, starts: starts.collect() }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.now
    }

    pub(super) fn span_seconds(&self) -> i64 {
        (self.starts.len() as i64 - 1) * 86_400
    }

    /// The day of a moment of the history, counted back from today.
    pub(super) fn day(&self, at: Timestamp) -> Column {
        let back = usize::try_from(self.now.duration_since(at).as_secs() / 86_400).unwrap_or(0);
        self.starts[self.starts.len().saturating_sub(1 + back)].clone()
    }
}
