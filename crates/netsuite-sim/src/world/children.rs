//! Sublists that are tables of their own: a record's address book, each line with its address behind it.

use jiff::tz::TimeZone;
use rusqlite::types::Value as Column;
use rusqlite::{Connection, params, params_from_iter};
use serde_json::{Map, Value as Json};

use super::refusal::{Refusal, WorldError};
use super::save::{Saving, next_id};
use super::value::Value;
use crate::catalog::{Field, Kind, RecordType, Table, catalog};

const MAX_CHILDREN: usize = 1_000;

/// A sublist's table, and how it hangs on its record and on what is behind its lines.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) table: &'static Table,
    /// Column with the record's id.
    parent: &'static str,
    /// Field with the key of what is behind a line, and its table.
    pub(crate) behind: Option<(&'static Field, &'static Table)>,
}

/// A line as asked for.
#[derive(Debug, Clone)]
pub(crate) struct ChildDraft {
    key: Option<i64>,
    values: Vec<(&'static Field, Value)>,
    behind: Vec<(&'static Field, Value)>,
}

/// The lines of one sublist as asked for.
#[derive(Debug, Clone)]
pub(crate) struct ChildrenDraft {
    pub(crate) table: &'static str,
    pub(crate) lines: Vec<ChildDraft>,
    /// Whether lines that are not named go.
    pub(crate) replace: bool,
}

/// A line as stored.
#[derive(Debug, Clone)]
pub(crate) struct Child {
    pub(crate) key: i64,
    pub(crate) values: Vec<(&'static Field, Value)>,
    pub(crate) behind: Vec<(&'static Field, Value)>,
}

impl Shape {
    /// How a sublist of that table hangs on records of that type.
    pub(crate) fn of(kind: &RecordType, table: &str) -> Option<Self> {
        let table = catalog().table(table)?;
        let refers = |field: &&Field, to: &str| field.kind == Kind::Reference(leak_free(to));
        let parent = table.columns.iter().find(|field| refers(field, kind.table))?.name;
        let behind = table.columns.iter().find_map(|field| match field.kind {
            Kind::Reference(target) if target.ends_with("entityaddress") => Some((field, catalog().table(target)?)),
            _ => None,
        });
        Some(Self { table, parent, behind })
    }

    /// Fields of a line that callers see.
    pub(crate) fn fields(&self) -> impl Iterator<Item = &'static Field> {
        self.table.columns.iter().filter(|field| field.in_rest)
    }
}

/// The catalogue's own copy of a table name.
fn leak_free(name: &str) -> &'static str {
    catalog().table(name).map_or("", |table| table.name)
}

impl ChildrenDraft {
    /// Reads a list of lines; members may be spelled as in record JSON or in lower case.
    ///
    /// # Errors
    /// Names the line and the member that is not accepted.
    pub(crate) fn from_json(shape: Shape, json: &Json) -> Result<Self, Refusal> {
        let list = json.as_array().or_else(|| json.get("items").and_then(Json::as_array));
        let list = list.ok_or_else(|| Refusal::new("INVALID_CONTENT", "A sublist is a list of lines."))?;
        if list.len() > MAX_CHILDREN {
            return Err(Refusal::new("USER_ERROR", format!("At most {MAX_CHILDREN} lines per request.")));
        }
        let lines = list.iter().enumerate().map(|(index, line)| {
            let members = line.as_object().ok_or_else(|| Refusal::new("INVALID_CONTENT", "A line is an object."));
            members.and_then(|members| read_line(shape, members)).map_err(|refusal| refusal.on_line(&index.to_string()))
        });
        Ok(Self { table: shape.table.name, lines: lines.collect::<Result<_, _>>()?, replace: false })
    }
}

fn read_line(shape: Shape, members: &Map<String, Json>) -> Result<ChildDraft, Refusal> {
    let mut draft = ChildDraft { key: None, values: Vec::new(), behind: Vec::new() };
    for (name, json) in members {
        let lower = name.to_lowercase();
        match shape.behind {
            Some((field, table)) if field.name == lower => {
                for (name, json) in json.as_object().into_iter().flatten() {
                    draft.behind.extend(read_field(&table.columns, name, json)?);
                }
            }
            _ if ["id", "internalid", "addressid"].contains(&lower.as_str()) => {
                draft.key = json.as_i64().or_else(|| json.as_str().and_then(|text| text.parse().ok()));
            }
            _ => draft.values.extend(read_field(&shape.table.columns, name, json)?),
        }
    }
    Ok(draft)
}

fn read_field(fields: &'static [Field], name: &str, json: &Json) -> Result<Option<(&'static Field, Value)>, Refusal> {
    if ["links", "refName"].contains(&name) {
        return Ok(None);
    }
    let lower = name.to_lowercase();
    let field = fields.iter().find(|field| field.name == lower && field.in_rest);
    let field = field.ok_or_else(|| Refusal::unknown_field(name))?;
    // Records shown are sent back whole; what NetSuite derives is not taken from them.
    if field.read_only {
        return Ok(None);
    }
    // A country is an object with an id in record JSON.
    let plain = json.get("id").filter(|_| matches!(field.kind, Kind::Text(_))).unwrap_or(json);
    Ok(Some((field, Value::from_json(field, plain)?)))
}

/// The lines of a record's sublist, by key.
pub(crate) fn read(
    connection: &Connection,
    shape: Shape,
    parent: i64,
    zone: &TimeZone,
) -> rusqlite::Result<Vec<Child>> {
    let fields: Vec<&Field> = shape.table.columns.iter().collect();
    let key = shape.table.key.unwrap_or("rowid");
    let names: Vec<String> = fields.iter().map(|field| format!("\"{}\"", field.name)).collect();
    let sql = format!(
        "SELECT \"{key}\", {} FROM \"{}\" WHERE \"{}\" = ? ORDER BY 1",
        names.join(", "),
        shape.table.name,
        shape.parent
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query([parent])?;
    let mut children = Vec::new();
    while let Some(row) = rows.next()? {
        let mut child = Child { key: row.get(0)?, values: Vec::new(), behind: Vec::new() };
        for (index, field) in shape.table.columns.iter().enumerate() {
            child.values.push((field, Value::from_column(field.kind, row.get_ref(index + 1)?, zone)));
        }
        if let Some((field, table)) = shape.behind
            && let Some((_, Value::Reference(key))) = child.values.iter().find(|(own, _)| own.name == field.name)
        {
            child.behind = row_of(connection, table, *key, zone)?;
        }
        children.push(child);
    }
    Ok(children)
}

fn row_of(
    connection: &Connection,
    table: &'static Table,
    key: i64,
    zone: &TimeZone,
) -> rusqlite::Result<Vec<(&'static Field, Value)>> {
    let names: Vec<String> = table.columns.iter().map(|field| format!("\"{}\"", field.name)).collect();
    let key_column = table.key.unwrap_or("rowid");
    let sql = format!("SELECT {} FROM \"{}\" WHERE \"{key_column}\" = ?", names.join(", "), table.name);
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query([key])?;
    let Some(row) = rows.next()? else { return Ok(Vec::new()) };
    let values = table.columns.iter().enumerate();
    values.map(|(index, field)| Ok((field, Value::from_column(field.kind, row.get_ref(index)?, zone)))).collect()
}

/// Carries out what a save asks of its sublists.
pub(crate) fn store(
    saving: &Saving<'_>,
    kind: &RecordType,
    id: i64,
    drafts: &[ChildrenDraft],
) -> Result<(), WorldError> {
    for draft in drafts {
        let Some(shape) = Shape::of(kind, draft.table) else { continue };
        let before = read(saving.tx, shape, id, saving.zone)?;
        if draft.replace {
            let kept: Vec<i64> = draft.lines.iter().filter_map(|line| line.key).collect();
            for child in before.iter().filter(|child| !kept.contains(&child.key)) {
                remove(saving.tx, shape, child)?;
            }
        }
        for line in &draft.lines {
            store_line(saving, shape, id, line, &before)?;
        }
        if kind.position("defaultbillingaddress").is_some() {
            point_to_defaults(saving.tx, kind, shape, id)?;
        }
    }
    Ok(())
}

fn store_line(
    saving: &Saving<'_>,
    shape: Shape,
    id: i64,
    line: &ChildDraft,
    before: &[Child],
) -> Result<(), WorldError> {
    let existing = match line.key {
        None => None,
        Some(key) => Some(before.iter().find(|child| child.key == key).ok_or_else(|| {
            Refusal::new("INVALID_KEY_OR_REF", format!("The line {key} does not exist on this record."))
        })?),
    };
    let key = match existing {
        Some(child) => child.key,
        None => next_id(saving.tx, shape.table.sequence.unwrap_or(shape.table.name))?,
    };
    let mut values = line.values.clone();
    if let Some((field, table)) = shape.behind {
        let behind = existing.and_then(|child| reference(child, field.name));
        let address = match behind {
            Some(address) => address,
            None => next_id(saving.tx, table.sequence.unwrap_or(table.name))?,
        };
        write(saving, table, address, behind.is_none(), &line.behind, &[("recordowner", id)])?;
        describe_address(saving.tx, table, address)?;
        values.push((field, Value::Reference(address)));
    }
    write(saving, shape.table, key, existing.is_none(), &values, &[(shape.parent, id)])
}

fn reference(child: &Child, name: &str) -> Option<i64> {
    child.values.iter().find_map(|(field, value)| match value {
        Value::Reference(key) if field.name == name => Some(*key),
        _ => None,
    })
}

fn write(
    saving: &Saving<'_>,
    table: &Table,
    key: i64,
    is_new: bool,
    values: &[(&'static Field, Value)],
    fixed: &[(&str, i64)],
) -> Result<(), WorldError> {
    let key_column = table.key.unwrap_or("rowid");
    if is_new {
        let names: Vec<String> = fixed.iter().map(|(name, _)| format!(", \"{name}\"")).collect();
        let marks = ", ?".repeat(fixed.len());
        let sql = format!("INSERT INTO \"{}\" (\"{key_column}\"{}) VALUES (?{marks})", table.name, names.concat());
        let columns = std::iter::once(key).chain(fixed.iter().map(|(_, value)| *value));
        saving.tx.prepare_cached(&sql)?.execute(params_from_iter(columns))?;
    }
    for (field, value) in values {
        let sql = format!("UPDATE \"{}\" SET \"{}\" = ? WHERE \"{key_column}\" = ?", table.name, field.name);
        let column: Column = value.to_column(saving.zone);
        saving.tx.prepare_cached(&sql)?.execute(params![column, key])?;
    }
    Ok(())
}

/// The address as one prints it on a parcel.
fn describe_address(tx: &Connection, table: &Table, key: i64) -> rusqlite::Result<()> {
    let sql = format!(
        "UPDATE \"{}\" SET dropdownstate = state, addrtext = trim(IFNULL(addressee || char(10), '')
           || IFNULL(addr1 || char(10), '') || IFNULL(city || ' ', '') || IFNULL(state || ' ', '') || IFNULL(zip, '')
           || IFNULL(char(10) || country, '')) WHERE nkey = ?",
        table.name
    );
    tx.prepare_cached(&sql)?.execute([key])?;
    Ok(())
}

fn point_to_defaults(tx: &Connection, kind: &RecordType, shape: Shape, id: i64) -> rusqlite::Result<()> {
    let newest = |flag: &str| {
        let (table, parent) = (shape.table.name, shape.parent);
        format!("(SELECT max(addressbookaddress) FROM \"{table}\" WHERE \"{parent}\" = ?1 AND {flag} = 'T')")
    };
    let sql = format!(
        "UPDATE \"{}\" SET defaultbillingaddress = {}, defaultshippingaddress = {} WHERE id = ?1",
        kind.table,
        newest("defaultbilling"),
        newest("defaultshipping")
    );
    tx.prepare_cached(&sql)?.execute([id])?;
    Ok(())
}

fn remove(tx: &Connection, shape: Shape, child: &Child) -> rusqlite::Result<()> {
    if let Some((field, table)) = shape.behind
        && let Some(key) = reference(child, field.name)
    {
        tx.execute(&format!("DELETE FROM \"{}\" WHERE nkey = ?", table.name), [key])?;
    }
    let key = shape.table.key.unwrap_or("rowid");
    tx.execute(&format!("DELETE FROM \"{}\" WHERE \"{key}\" = ?", shape.table.name), [child.key])?;
    Ok(())
}

/// Removes every sublist line of a record that goes.
pub(crate) fn remove_all(saving: &Saving<'_>, kind: &RecordType, id: i64) -> Result<(), WorldError> {
    for (_, table) in &kind.sublists {
        let Some(shape) = Shape::of(kind, table) else { continue };
        for child in read(saving.tx, shape, id, saving.zone)? {
            remove(saving.tx, shape, &child)?;
        }
    }
    Ok(())
}
