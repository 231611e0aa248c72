//! The files' form, and the tables and record types made of it.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::Catalog;
use super::column::{Field, Kind, leaked};

/// A table as SuiteQL shows it and SQLite stores it.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) name: &'static str,
    /// The key column; nothing for tables without one.
    pub(crate) key: Option<&'static str>,
    /// Whether the key is text.
    pub(crate) text_key: bool,
    pub(crate) autoincrement: bool,
    /// What the table's ids are numbered by.
    pub(crate) sequence: Option<&'static str>,
    /// The column shown where a row is referred to.
    pub(crate) title: &'static str,
    /// The feature without which the table is not there.
    pub(crate) feature: Option<&'static str>,
    /// The query it shows, for a table that stores nothing of its own.
    pub(crate) view: Option<String>,
    pub(crate) unique: Vec<String>,
    pub(crate) indexes: Vec<String>,
    /// Every column but the key.
    pub(crate) columns: Vec<Field>,
    /// Fields of the item sublist of its record types.
    pub(crate) lines: Vec<Field>,
    /// Rows that every account has.
    pub(crate) rows: Option<Rows>,
    pub(crate) months: Option<Months>,
}

/// Rows that are there from the start.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rows {
    pub(crate) columns: Vec<String>,
    pub(crate) values: Vec<Vec<toml::Value>>,
}

/// Calendar years and their months as rows.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Months {
    pub(crate) from: i16,
    pub(crate) to: i16,
    pub(crate) year: String,
    pub(crate) name: String,
    pub(crate) start: String,
    pub(crate) end: String,
}

/// Governance units of a record type (fact sheet §6.3).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Units {
    pub(crate) load: u32,
    pub(crate) save: u32,
}

/// The field that NetSuite numbers when nobody names it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Numbering {
    pub(crate) field: String,
    pub(crate) prefix: String,
}

/// A field that no two records share.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Duplicate {
    pub(crate) field: String,
    pub(crate) code: String,
    pub(crate) message: String,
}

/// What makes a record type one with item lines.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Lined {
    /// Table of the customer or vendor it is with.
    pub(crate) party: String,
    /// -1 where SuiteQL shows quantities and amounts with the sign turned.
    pub(crate) sign: i64,
}

/// A record type.
#[derive(Debug)]
pub(crate) struct RecordType {
    /// Name in the control API, the write RESTlet and event envelopes.
    pub(crate) name: &'static str,
    /// SuiteQL table.
    pub(crate) table: &'static str,
    /// Name in record URLs.
    pub(crate) rest: &'static str,
    /// `type` of a deletedrecord row.
    pub(crate) deleted_type: &'static str,
    /// `recordtypeid` of system notes and deleted records.
    pub(crate) type_id: i64,
    /// Field shown where the record is referred to.
    pub(crate) title: &'static str,
    pub(crate) units: Units,
    pub(crate) fields: &'static [Field],
    /// Fields of the item sublist; empty for types without lines.
    pub(crate) line_fields: &'static [Field],
    /// Numbering of its ids.
    pub(crate) sequence: &'static str,
    /// The feature without which the type is not there.
    pub(crate) feature: Option<&'static str>,
    /// Columns that tell its rows from those of other types in the table.
    pub(crate) is: Vec<(String, String)>,
    /// The condition that picks its rows, to stand behind another one.
    pub(crate) filter: String,
    /// What new records have unless told otherwise.
    pub(crate) defaults: Vec<(String, String)>,
    /// Fields that always hold what another holds.
    pub(crate) copies: Vec<(String, String)>,
    pub(crate) number: Option<Numbering>,
    pub(crate) duplicate: Option<Duplicate>,
    /// Table and column of references that keep a record from being deleted.
    pub(crate) used_by: Vec<(&'static str, &'static str)>,
    /// Name in record JSON and table of its sublists, the item sublist apart.
    pub(crate) sublists: Vec<(&'static str, &'static str)>,
    pub(crate) lined: Option<Lined>,
    /// Field of the modification stamp.
    pub(crate) modified: &'static str,
    /// Field of the creation stamp.
    pub(crate) created: &'static str,
    /// REST names that `q` refuses although the field exists.
    pub(crate) unfilterable: Vec<String>,
}

impl Table {
    /// Whether it has that column, the key included.
    #[cfg(test)]
    pub(crate) fn has_column(&self, name: &str) -> bool {
        self.key == Some(name) || self.column(name).is_some()
    }

    /// The column of that lower-case name; the key is none.
    pub(crate) fn column(&self, name: &str) -> Option<&Field> {
        self.columns.iter().find(|column| column.name == name)
    }
}

impl RecordType {
    /// Position of a field in [`RecordType::fields`].
    pub(crate) fn position(&self, name: &str) -> Option<usize> {
        self.fields.iter().position(|field| field.name == name)
    }

    /// Whether the type has an item sublist.
    pub(crate) fn has_lines(&self) -> bool {
        !self.line_fields.is_empty()
    }

    /// 1, or -1 where SuiteQL turns the sign of quantities and amounts.
    pub(crate) fn sign(&self) -> i64 {
        self.lined.as_ref().map_or(1, |lined| lined.sign)
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    table: Vec<TableSpec>,
    #[serde(default)]
    codes: BTreeMap<String, BTreeMap<String, String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TableSpec {
    name: String,
    key: Option<String>,
    #[serde(default)]
    rowid: bool,
    #[serde(default)]
    text_key: bool,
    #[serde(default)]
    autoincrement: bool,
    sequence: Option<String>,
    title: Option<String>,
    feature: Option<String>,
    view: Option<String>,
    modified: Option<String>,
    created: Option<String>,
    #[serde(default)]
    unique: Vec<String>,
    #[serde(default)]
    indexes: Vec<String>,
    columns: Vec<String>,
    #[serde(default)]
    lines: Vec<String>,
    rows: Option<Rows>,
    months: Option<Months>,
    #[serde(default)]
    record: Vec<RecordSpec>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordSpec {
    name: String,
    rest: String,
    deleted: String,
    type_id: i64,
    #[serde(default)]
    units: String,
    #[serde(default)]
    is: BTreeMap<String, String>,
    #[serde(default)]
    defaults: BTreeMap<String, String>,
    #[serde(default)]
    copies: BTreeMap<String, String>,
    number: Option<Numbering>,
    duplicate: Option<Duplicate>,
    #[serde(default)]
    used_by: Vec<String>,
    #[serde(default)]
    sublists: Vec<String>,
    lined: Option<Lined>,
    #[serde(default)]
    unfilterable: Vec<String>,
}

/// Reads all files; record types stay for the life of the process.
pub(super) fn read(files: &[(&str, &str)]) -> Result<Catalog, String> {
    let mut catalog =
        Catalog { tables: Vec::new(), by_name: BTreeMap::new(), records: Vec::new(), codes: BTreeMap::new() };
    for (name, text) in files {
        let file: File = toml::from_str(text).map_err(|error| format!("{name}: {error}"))?;
        catalog.codes.extend(file.codes);
        for spec in file.table {
            let (table, records) = table(spec).map_err(|error| format!("{name}: {error}"))?;
            catalog.by_name.insert(table.name, catalog.tables.len());
            catalog.tables.push(table);
            catalog.records.extend(records);
        }
    }
    Ok(catalog)
}

fn table(spec: TableSpec) -> Result<(Table, Vec<&'static RecordType>), String> {
    let fields = |lines: &[String]| lines.iter().map(|line| Field::parse(line)).collect::<Result<Vec<_>, _>>();
    let columns = fields(&spec.columns)?;
    let lines = fields(&spec.lines)?;
    let holds = |name: &str| columns.iter().any(|column| column.name == name);
    let titles = [spec.title.as_deref(), Some("name").filter(|name| holds(name))];
    let title = titles.into_iter().flatten().next().unwrap_or_default().to_owned();
    let key = if spec.rowid { None } else { Some(leaked(spec.key.unwrap_or_else(|| "id".to_owned()))) };
    let table = Table {
        name: leaked(spec.name),
        key,
        text_key: spec.text_key,
        autoincrement: spec.autoincrement,
        sequence: spec.sequence.map(leaked),
        title: leaked(title),
        feature: spec.feature.map(leaked),
        view: spec.view,
        unique: spec.unique,
        indexes: spec.indexes,
        columns,
        lines,
        rows: spec.rows,
        months: spec.months,
    };
    let modified = leaked(spec.modified.unwrap_or_else(|| "lastmodifieddate".to_owned()));
    let created = spec.created.map(leaked);
    let records = spec.record.into_iter().map(|record| self::record(&table, record, modified, created));
    let records = records.collect::<Result<Vec<_>, _>>()?;
    Ok((table, records))
}

/// Rows are told apart by their type; the other columns of `is` only follow from it.
fn filter(is: &BTreeMap<String, String>) -> String {
    let telling = is.iter().filter(|(name, _)| ["type", "itemtype"].contains(&name.as_str()));
    telling.map(|(name, value)| format!(" AND \"{name}\" = '{value}'")).collect()
}

fn record(
    table: &Table,
    spec: RecordSpec,
    modified: &'static str,
    created: Option<&'static str>,
) -> Result<&'static RecordType, String> {
    if table.key != Some("id") {
        return Err(format!("{} has records but no id", table.name));
    }
    let units = match spec.units.as_str() {
        "transaction" => Units { load: 10, save: 20 },
        "standard" => Units { load: 5, save: 10 },
        "custom" => Units { load: 2, save: 4 },
        other => return Err(format!("{}: `{other}` are no units", spec.name)),
    };
    let mut fields = table.columns.clone();
    if let Some(lined) = &spec.lined {
        let party = leaked(lined.party.clone());
        for field in fields.iter_mut().filter(|field| field.name == "entity") {
            field.kind = Kind::Reference(party);
        }
    }
    let pair = |text: &String, mark| {
        let halves = text.split_once(mark).map(|(a, b)| (leaked(a.to_owned()), leaked(b.to_owned())));
        halves.ok_or_else(|| format!("`{text}` has no {mark}"))
    };
    let used_by = spec.used_by.iter().map(|text| pair(text, '.')).collect::<Result<_, _>>()?;
    let sublists = spec.sublists.iter().map(|text| pair(text, ':')).collect::<Result<_, _>>()?;
    let dated = fields.iter().map(|field| field.name).find(|name| ["datecreated", "createddate"].contains(name));
    let line_fields: Vec<Field> = if spec.lined.is_some() { table.lines.clone() } else { Vec::new() };
    Ok(Box::leak(Box::new(RecordType {
        name: leaked(spec.name),
        table: table.name,
        rest: leaked(spec.rest),
        deleted_type: leaked(spec.deleted),
        type_id: spec.type_id,
        title: table.title,
        units,
        fields: fields.leak(),
        line_fields: line_fields.leak(),
        sequence: table.sequence.ok_or_else(|| format!("{} has no sequence", table.name))?,
        feature: table.feature,
        filter: filter(&spec.is),
        is: spec.is.into_iter().collect(),
        defaults: spec.defaults.into_iter().collect(),
        copies: spec.copies.into_iter().collect(),
        number: spec.number,
        duplicate: spec.duplicate,
        used_by,
        sublists,
        lined: spec.lined,
        modified,
        created: created.or(dated).unwrap_or_default(),
        unfilterable: spec.unfilterable,
    })))
}
