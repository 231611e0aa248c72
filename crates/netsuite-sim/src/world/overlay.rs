//! What an administrator took away from SuiteQL: columns removed, renamed or forbidden, whole tables forbidden.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, OptionalExtension};

use super::refusal::{Refusal, WorldError};
use super::schema::VISIBLE;

/// A change of the catalogue.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SchemaChange {
    pub(crate) table: String,
    /// Absent for the table itself (`forbid`, `restore`).
    #[serde(default)]
    pub(crate) column: Option<String>,
    pub(crate) change: ChangeKind,
    /// New name of a renamed column.
    #[serde(default)]
    pub(crate) to: Option<String>,
}

/// What happens to a column or table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ChangeKind {
    Remove,
    Rename,
    Forbid,
    Restore,
}

/// All changes in force.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Overlay {
    tables: BTreeMap<String, TableOverlay>,
}

/// Changes in force for one table.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct TableOverlay {
    /// The role has no permission on the table.
    pub(crate) forbidden: bool,
    pub(crate) removed: BTreeSet<String>,
    /// Old name → new name.
    pub(crate) renamed: BTreeMap<String, String>,
    /// Columns that exist but are not exposed to the role.
    pub(crate) unexposed: BTreeSet<String>,
}

impl Overlay {
    /// The changes of a table, if there are any.
    pub(crate) fn of(&self, table: &str) -> Option<&TableOverlay> {
        self.tables.get(table)
    }
}

/// The overlay after one more change.
pub(super) fn changed(
    connection: &Connection,
    overlay: &Overlay,
    change: &SchemaChange,
) -> Result<Overlay, WorldError> {
    let table = change.table.to_lowercase();
    if !VISIBLE.contains(&table.as_str()) {
        return Err(Refusal::new("INVALID_TABLE", format!("There is no table {table}.")).at("table").into());
    }
    let mut next = overlay.clone();
    let entry = next.tables.entry(table.clone()).or_default();
    match (&change.column, change.change) {
        (None, ChangeKind::Forbid) => entry.forbidden = true,
        (None, ChangeKind::Restore) => *entry = TableOverlay::default(),
        (None, ChangeKind::Remove | ChangeKind::Rename) => {
            return Err(Refusal::new("MISSING_REQD_ARGUMENT", "column is required").at("column").into());
        }
        (Some(column), kind) => {
            let column = column.to_lowercase();
            let known: Option<i64> = connection
                .query_row(
                    "SELECT 1 FROM pragma_table_info(?) WHERE name = ?",
                    [table.as_str(), column.as_str()],
                    |row| row.get(0),
                )
                .optional()?;
            if known.is_none() {
                let message = format!("The table {table} has no column {column}.");
                return Err(Refusal::new("INVALID_COLUMN", message).at("column").into());
            }
            entry.removed.remove(&column);
            entry.renamed.remove(&column);
            entry.unexposed.remove(&column);
            match kind {
                ChangeKind::Remove => {
                    entry.removed.insert(column);
                }
                ChangeKind::Forbid => {
                    entry.unexposed.insert(column);
                }
                ChangeKind::Rename => {
                    let to = change.to.as_deref().map(str::to_lowercase).filter(|to| is_name(to));
                    let to = to.ok_or_else(|| {
                        Refusal::new("MISSING_REQD_ARGUMENT", "to is required: the column's new name").at("to")
                    })?;
                    entry.renamed.insert(column, to);
                }
                ChangeKind::Restore => {}
            }
        }
    }
    next.tables.retain(|_, entry| *entry != TableOverlay::default());
    Ok(next)
}

/// The stored overlay; none is stored in a new world.
pub(super) fn load(connection: &Connection) -> Result<Overlay, WorldError> {
    let text: Option<String> =
        connection.query_row("SELECT value FROM sim_meta WHERE key = 'overlay'", [], |row| row.get(0)).optional()?;
    text.map_or_else(|| Ok(Overlay::default()), |text| Ok(serde_json::from_str(&text)?))
}

/// Stores the overlay.
pub(super) fn store(connection: &Connection, overlay: &Overlay) -> Result<(), WorldError> {
    connection.execute(
        "INSERT INTO sim_meta (key, value) VALUES ('overlay', ?)
         ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        [serde_json::to_string(overlay)?],
    )?;
    Ok(())
}

fn is_name(word: &str) -> bool {
    !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}
