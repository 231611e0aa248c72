//! The tables and columns that SuiteQL shows to a role of an account.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

use super::QueryError;
use crate::catalog::{Field, Kind, Table, catalog};
use crate::world::Overlay;

/// The catalogue as an account's features, its administrator and the role leave it.
#[derive(Debug)]
pub(super) struct Catalog {
    overlay: Arc<Overlay>,
}

/// Names of columns that hold moments; a name does so in every table or in none.
static MOMENTS: LazyLock<BTreeSet<&'static str>> = LazyLock::new(|| {
    let columns = catalog().tables.iter().flat_map(|table| &table.columns);
    columns.filter(|column| column.is_date()).map(|column| column.name).collect()
});

/// What a reference or a code is shown as.
pub(super) enum Shown {
    /// The title of a row of that table.
    Title { table: &'static str, key: &'static str, title: &'static str },
    /// The word for a code of that list; with the column that tells which of several lists in one, where it is.
    Code(&'static str),
}

impl Catalog {
    /// The tables, as that overlay shows them.
    pub(super) fn new(overlay: Arc<Overlay>) -> Self {
        Self { overlay }
    }

    /// How to read that table in SQLite: a selection of what is shown of it.
    ///
    /// # Errors
    /// The table does not exist, or the role may not see it.
    pub(super) fn source(&self, typed: &str) -> Result<String, QueryError> {
        let name = typed.to_lowercase();
        let Some(table) = catalog().table(&name) else {
            return Err(QueryError::UnknownTable(typed.to_owned()));
        };
        if !self.overlay.shows(table) {
            return Err(QueryError::NoPermission(name));
        }
        let key = table.key.map(|key| format!("\"{key}\""));
        let columns = table.columns.iter().filter(|column| self.overlay.shows_column(table, column)).map(|column| {
            match self.overlay.renamed(table.name, column.name) {
                Some(to) => format!("\"{}\" AS \"{to}\"", column.name),
                None => format!("\"{}\"", column.name),
            }
        });
        let shown: Vec<String> = key.into_iter().chain(columns).collect();
        let rows = self.overlay.rows(table).map(|filter| format!(" WHERE {filter}")).unwrap_or_default();
        Ok(format!("(SELECT {} FROM \"{name}\"{rows})", shown.join(", ")))
    }

    /// Whether a column of that name holds moments.
    pub(super) fn is_moment(&self, column: &str) -> bool {
        MOMENTS.contains(column.to_lowercase().as_str())
    }

    /// Whether one of those tables shows a column of that name.
    pub(super) fn knows(&self, column: &str, tables: &[(String, String)]) -> bool {
        tables.iter().filter_map(|(_, name)| catalog().table(name)).any(|table| {
            table.key == Some(column) || {
                let mut shown = table.columns.iter().filter(|own| self.overlay.shows_column(table, own));
                shown.any(|own| self.overlay.renamed(table.name, own.name).unwrap_or(own.name) == column)
            }
        })
    }

    /// Whether every one of those tables that has the column never leaves it empty.
    pub(super) fn is_required(&self, column: &str, tables: &[(String, String)]) -> bool {
        let column = column.to_lowercase();
        let mut holders = tables
            .iter()
            .filter_map(|(_, name)| catalog().table(name))
            .filter_map(|table| match table.key == Some(column.as_str()) {
                true => Some(true),
                false => table.column(&column).map(|own| own.not_null),
            })
            .peekable();
        holders.peek().is_some() && holders.all(|required| required)
    }

    /// What `BUILTIN.DF` shows for a column, looked for in the table of that alias or in all of them.
    pub(super) fn display(&self, alias: Option<&str>, column: &str, tables: &[(String, String)]) -> Option<Shown> {
        let own = tables.iter().filter(|(name, _)| alias.is_none_or(|alias| alias == name));
        let mut fields = own.filter_map(|(_, name)| catalog().table(name)?.column(column));
        // A table of that alias may be a subquery, whose column then is looked for by name alone.
        let field: &Field = fields.find(|field| field.codes.is_some() || matches!(field.kind, Kind::Reference(_)))?;
        match field.kind {
            Kind::Reference(target) => {
                let Table { name, key, title, .. } = catalog().table(target)?;
                Some(Shown::Title { table: name, key: (*key)?, title })
            }
            _ => field.codes.map(Shown::Code),
        }
    }

    /// The table in which that column exists but is not exposed.
    pub(super) fn unexposed(&self, column: &str, tables: &[(String, String)]) -> Option<String> {
        let column = column.to_lowercase();
        tables.iter().find(|(_, table)| self.overlay.hides(table, &column)).map(|(_, table)| table.clone())
    }
}
