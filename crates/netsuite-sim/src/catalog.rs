//! What an account consists of: tables, columns, record types and lists, read once from the files in `catalog/`.
//!
//! Everything that knows a table or a field reads it here: storage, SuiteQL, record REST, the control API and the
//! generator. Adding a table or a column is adding a line to those files.

mod column;
mod spec;

use std::collections::BTreeMap;
use std::sync::LazyLock;

pub(crate) use column::{Field, Kind};
pub(crate) use spec::{Months, RecordType, Rows, Table};

const FILES: [(&str, &str); 4] = [
    ("entities.toml", include_str!("../catalog/entities.toml")),
    ("items.toml", include_str!("../catalog/items.toml")),
    ("transactions.toml", include_str!("../catalog/transactions.toml")),
    ("lists.toml", include_str!("../catalog/lists.toml")),
];

/// Features of an account that decide which tables and columns it has, and whether a new account has them.
pub(crate) const FEATURES: [(&str, bool); 11] = [
    ("advancedbom", true),
    ("bins", true),
    ("classes", true),
    ("departments", true),
    ("legacytax", true),
    ("locations", true),
    ("multibook", true),
    ("multicurrency", true),
    ("oneworld", true),
    ("suitetax", false),
    ("unitsofmeasure", true),
];

/// Everything the files say.
#[derive(Debug)]
pub(crate) struct Catalog {
    /// In the order of the files.
    pub(crate) tables: Vec<Table>,
    /// Position of each table by name.
    by_name: BTreeMap<&'static str, usize>,
    records: Vec<&'static RecordType>,
    codes: BTreeMap<String, BTreeMap<String, String>>,
}

static CATALOG: LazyLock<Catalog> = LazyLock::new(|| match spec::read(&FILES) {
    Ok(catalog) => catalog,
    Err(fault) => panic!("the built-in catalogue is damaged: {fault}"),
});

/// The catalogue of this build.
pub(crate) fn catalog() -> &'static Catalog {
    &CATALOG
}

impl Catalog {
    /// The table of that name, in lower case.
    pub(crate) fn table(&self, name: &str) -> Option<&Table> {
        self.by_name.get(name).map(|at| &self.tables[*at])
    }

    /// Every record type.
    pub(crate) fn records(&self) -> &[&'static RecordType] {
        &self.records
    }

    /// What users see for the codes of a list.
    pub(crate) fn codes(&self, list: &str) -> Option<&BTreeMap<String, String>> {
        self.codes.get(list)
    }
}

impl RecordType {
    /// The type of that name in any of its spellings.
    pub(crate) fn named(name: &str) -> Option<&'static Self> {
        let mut all = catalog().records().iter().copied();
        all.find(|kind| kind.name.eq_ignore_ascii_case(name) || kind.rest.eq_ignore_ascii_case(name))
    }

    /// The type a record URL names; URLs are case-sensitive.
    pub(crate) fn of_url(name: &str) -> Option<&'static Self> {
        catalog().records().iter().copied().find(|kind| kind.rest == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_agree_with_each_other() {
        let catalog = catalog();
        assert!(catalog.tables.len() > 45, "{}", catalog.tables.len());
        assert!(catalog.records().len() > 25, "{}", catalog.records().len());
        for table in &catalog.tables {
            for column in table.columns.iter().chain(&table.lines) {
                if let Kind::Reference(target) = column.kind {
                    assert!(catalog.table(target).is_some(), "{}.{} refers to {target}", table.name, column.name);
                }
                if let Some(list) = column.codes {
                    assert!(catalog.codes(list).is_some(), "{}.{} has codes {list}", table.name, column.name);
                }
                if let Some(feature) = column.feature {
                    assert!(FEATURES.iter().any(|(own, _)| *own == feature), "{}.{}", table.name, column.name);
                }
            }
            for index in &table.indexes {
                for column in index.split(',').map(str::trim) {
                    assert!(table.has_column(column), "{} is indexed by {column}", table.name);
                }
            }
            if let Some(rows) = &table.rows {
                assert!(rows.columns.iter().all(|name| table.has_column(name)), "{}", table.name);
                assert!(rows.values.iter().all(|row| row.len() == rows.columns.len()), "{}", table.name);
            }
        }
    }

    #[test]
    fn a_column_name_holds_moments_in_every_table_or_in_none() {
        let mut seen: BTreeMap<&str, (bool, &str)> = BTreeMap::new();
        for table in &catalog().tables {
            for column in &table.columns {
                let (moment, first) = *seen.entry(column.name).or_insert((column.is_date(), table.name));
                assert_eq!(moment, column.is_date(), "{} of {first} and {}", column.name, table.name);
            }
        }
    }

    #[test]
    fn a_record_type_names_only_what_is_there() {
        let catalog = catalog();
        for kind in catalog.records() {
            let names = kind.is.iter().chain(&kind.defaults).chain(&kind.copies).map(|(name, _)| name);
            for name in names.chain(kind.number.iter().map(|number| &number.field)) {
                assert!(kind.position(name).is_some(), "{} has no {name}", kind.name);
            }
            for (name, source) in &kind.copies {
                assert!(kind.position(source).is_some(), "{}.{name} copies {source}", kind.name);
            }
            for (table, column) in &kind.used_by {
                assert!(catalog.table(table).is_some_and(|table| table.has_column(column)), "{table}.{column}");
            }
            for (_, table) in &kind.sublists {
                assert!(catalog.table(table).is_some(), "{} has a sublist {table}", kind.name);
            }
        }
    }
}
