//! How an account's catalogue differs from the full one: columns removed, renamed or forbidden, tables forbidden,
//! features switched off, rows a role does not see.

use std::collections::{BTreeMap, BTreeSet};

use super::refusal::{Refusal, WorldError};
use crate::catalog::{FEATURES, Field, Table, catalog};

/// A change of the catalogue.
#[derive(Debug, Clone, serde::Deserialize, utoipa::ToSchema)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, utoipa::ToSchema)]
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
    /// Features that differ from what a new account has.
    #[serde(default)]
    features: BTreeMap<String, bool>,
    /// Subsidiaries whose records the role sees; nothing means all.
    #[serde(default)]
    subsidiaries: Option<BTreeSet<i64>>,
}

/// Changes in force for one table.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
struct TableOverlay {
    /// The role has no permission on the table.
    forbidden: bool,
    removed: BTreeSet<String>,
    /// Old name → new name.
    renamed: BTreeMap<String, String>,
    /// Columns that exist but are not exposed to the role.
    unexposed: BTreeSet<String>,
}

impl Overlay {
    /// Whether the account has a feature.
    pub(crate) fn has(&self, feature: &str) -> bool {
        let usual = FEATURES.iter().any(|(name, on)| *name == feature && *on);
        self.features.get(feature).copied().unwrap_or(usual)
    }

    /// Switches features on or off.
    ///
    /// # Errors
    /// The name that is no feature.
    pub(crate) fn switch(&mut self, features: &BTreeMap<String, bool>) -> Result<(), String> {
        for (name, on) in features {
            if !FEATURES.iter().any(|(own, _)| own == name) {
                return Err(name.clone());
            }
            self.features.insert(name.clone(), *on);
        }
        Ok(())
    }

    /// Every feature and whether the account has it.
    pub(crate) fn features(&self) -> BTreeMap<&'static str, bool> {
        FEATURES.iter().map(|(name, _)| (*name, self.has(name))).collect()
    }

    /// Limits the role to those subsidiaries; nothing lets it see all.
    pub(crate) fn restrict(&mut self, subsidiaries: Option<BTreeSet<i64>>) {
        self.subsidiaries = subsidiaries;
    }

    /// The subsidiaries the role is limited to.
    pub(crate) fn restricted_to(&self) -> Option<&BTreeSet<i64>> {
        self.subsidiaries.as_ref()
    }

    /// Whether the account has the table and the role may see it.
    pub(crate) fn shows(&self, table: &Table) -> bool {
        let forbidden = self.tables.get(table.name).is_some_and(|own| own.forbidden);
        !forbidden && table.feature.is_none_or(|feature| self.has(feature))
    }

    /// Whether SuiteQL shows the column, under whatever name.
    pub(crate) fn shows_column(&self, table: &Table, column: &Field) -> bool {
        let taken = self
            .tables
            .get(table.name)
            .is_some_and(|own| own.removed.contains(column.name) || own.unexposed.contains(column.name));
        column.in_suiteql && !taken && column.feature.is_none_or(|feature| self.has(feature))
    }

    /// The new name of a renamed column.
    pub(crate) fn renamed(&self, table: &str, column: &str) -> Option<&str> {
        self.tables.get(table)?.renamed.get(column).map(String::as_str)
    }

    /// Whether the column is there but not exposed.
    pub(crate) fn hides(&self, table: &str, column: &str) -> bool {
        self.tables.get(table).is_some_and(|own| own.unexposed.contains(column))
    }

    /// Which rows of a table the role sees, when not all: fewer rows, and no error.
    pub(crate) fn rows(&self, table: &Table) -> Option<String> {
        let ids = self.subsidiaries.as_ref().filter(|_| self.has("oneworld"))?;
        let list = ids.iter().map(i64::to_string).collect::<Vec<_>>().join(", ");
        let column = match table.name {
            "subsidiary" => "id",
            "item" => return None,
            _ => table.column("subsidiary")?.name,
        };
        Some(format!("\"{column}\" IN ({list})"))
    }
}

/// The overlay after one more change.
pub(super) fn changed(overlay: &Overlay, change: &SchemaChange) -> Result<Overlay, WorldError> {
    let name = change.table.to_lowercase();
    let Some(table) = catalog().table(&name) else {
        return Err(Refusal::new("INVALID_TABLE", format!("There is no table {name}.")).at("table").into());
    };
    let mut next = overlay.clone();
    let entry = next.tables.entry(name.clone()).or_default();
    match (&change.column, change.change) {
        (None, ChangeKind::Forbid) => entry.forbidden = true,
        (None, ChangeKind::Restore) => *entry = TableOverlay::default(),
        (None, ChangeKind::Remove | ChangeKind::Rename) => {
            return Err(Refusal::new("MISSING_REQD_ARGUMENT", "column is required").at("column").into());
        }
        (Some(column), kind) => {
            let column = column.to_lowercase();
            if table.column(&column).is_none_or(|own| !own.in_suiteql) {
                let message = format!("The table {name} has no column {column}.");
                return Err(Refusal::new("INVALID_COLUMN", message).at("column").into());
            }
            change_column(entry, column, kind, change.to.as_deref())?;
        }
    }
    next.tables.retain(|_, entry| *entry != TableOverlay::default());
    Ok(next)
}

fn change_column(entry: &mut TableOverlay, column: String, kind: ChangeKind, to: Option<&str>) -> Result<(), Refusal> {
    let new_name =
        match kind {
            ChangeKind::Rename => Some(to.map(str::to_lowercase).filter(|to| is_name(to)).ok_or_else(|| {
                Refusal::new("MISSING_REQD_ARGUMENT", "to is required: the column's new name").at("to")
            })?),
            ChangeKind::Remove | ChangeKind::Forbid | ChangeKind::Restore => None,
        };
    entry.removed.remove(&column);
    entry.renamed.remove(&column);
    entry.unexposed.remove(&column);
    match (kind, new_name) {
        (ChangeKind::Remove, _) => {
            entry.removed.insert(column);
        }
        (ChangeKind::Forbid, _) => {
            entry.unexposed.insert(column);
        }
        (ChangeKind::Rename, Some(to)) => {
            entry.renamed.insert(column, to);
        }
        (ChangeKind::Rename, None) | (ChangeKind::Restore, _) => {}
    }
    Ok(())
}

fn is_name(word: &str) -> bool {
    !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}
