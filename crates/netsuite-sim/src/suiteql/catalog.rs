//! The tables and columns that SuiteQL shows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use rusqlite::Connection;

use super::QueryError;
use crate::world::{MOMENT_TYPE, Overlay, VISIBLE_TABLES};

/// Columns of every visible table, and what an administrator changed.
#[derive(Debug)]
pub(super) struct Catalog {
    overlay: Arc<Overlay>,
    tables: &'static Tables,
}

#[derive(Debug)]
struct Tables {
    columns: BTreeMap<&'static str, Vec<Column>>,
    moments: BTreeSet<String>,
}

/// Every account has the same tables: they are read once.
static TABLES: OnceLock<Tables> = OnceLock::new();

#[derive(Debug, Clone)]
struct Column {
    name: String,
    required: bool,
}

impl Tables {
    fn read(connection: &Connection) -> rusqlite::Result<Self> {
        let mut columns = BTreeMap::new();
        let mut moments = BTreeSet::new();
        for table in VISIBLE_TABLES {
            let mut statement =
                connection.prepare_cached(r#"SELECT name, type, "notnull" OR pk FROM pragma_table_info(?)"#)?;
            let mut rows = statement.query([table])?;
            let mut list = Vec::new();
            while let Some(row) = rows.next()? {
                let name: String = row.get(0)?;
                if row.get_ref(1)?.as_str() == Ok(MOMENT_TYPE) {
                    moments.insert(name.clone());
                }
                list.push(Column { name, required: row.get(2)? });
            }
            columns.insert(table, list);
        }
        Ok(Self { columns, moments })
    }
}

impl Catalog {
    /// The tables, as that overlay shows them.
    pub(super) fn read(connection: &Connection, overlay: Arc<Overlay>) -> rusqlite::Result<Self> {
        let tables = match TABLES.get() {
            Some(tables) => tables,
            None => {
                let tables = Tables::read(connection)?;
                TABLES.get_or_init(|| tables)
            }
        };
        Ok(Self { overlay, tables })
    }

    /// How to read that table in SQLite: its quoted name, or a selection that leaves out what was taken away.
    ///
    /// # Errors
    /// The table does not exist, or the role may not see it.
    pub(super) fn source(&self, typed: &str) -> Result<String, QueryError> {
        let table = typed.to_lowercase();
        let Some(columns) = self.tables.columns.get(table.as_str()) else {
            return Err(QueryError::UnknownTable(typed.to_owned()));
        };
        let Some(overlay) = self.overlay.of(&table) else { return Ok(format!("\"{table}\"")) };
        if overlay.forbidden {
            return Err(QueryError::NoPermission(table));
        }
        let shown = columns.iter().filter_map(|column| {
            let name = &column.name;
            if overlay.removed.contains(name) || overlay.unexposed.contains(name) {
                return None;
            }
            Some(match overlay.renamed.get(name) {
                Some(to) => format!("\"{name}\" AS \"{to}\""),
                None => format!("\"{name}\""),
            })
        });
        Ok(format!("(SELECT {} FROM \"{table}\")", shown.collect::<Vec<_>>().join(", ")))
    }

    /// Whether a column of that name holds moments.
    pub(super) fn is_moment(&self, column: &str) -> bool {
        self.tables.moments.contains(&column.to_lowercase())
    }

    /// Whether every one of those tables that has the column never leaves it empty.
    pub(super) fn is_required(&self, column: &str, tables: &[(String, String)]) -> bool {
        let column = column.to_lowercase();
        let mut holders = tables
            .iter()
            .filter_map(|(_, table)| self.tables.columns.get(table.as_str()))
            .filter_map(|columns| columns.iter().find(|own| own.name == column))
            .peekable();
        holders.peek().is_some() && holders.all(|own| own.required)
    }

    /// The table in which that column exists but is not exposed.
    pub(super) fn unexposed(&self, column: &str, tables: &[(String, String)]) -> Option<String> {
        let column = column.to_lowercase();
        tables
            .iter()
            .find(|(_, table)| self.overlay.of(table).is_some_and(|overlay| overlay.unexposed.contains(&column)))
            .map(|(_, table)| table.clone())
    }
}
