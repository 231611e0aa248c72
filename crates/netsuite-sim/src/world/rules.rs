//! NetSuite's own rules about a record: what is required, unique, derived, filled in or in use.

use rusqlite::{Connection, OptionalExtension, params};
use serde_json::Value as Json;

use super::lines;
use super::read::Stored;
use super::refusal::{Refusal, WorldError};
use super::save::Saving;
use super::value::Value;
use crate::catalog::{Field, RecordType};

/// Internal id of the base currency.
const BASE_CURRENCY: i64 = 1;

/// What NetSuite fills in by itself when a record is created.
pub(crate) fn set_defaults(saving: &Saving<'_>, kind: &RecordType, after: &mut Stored) {
    for (name, text) in kind.is.iter().chain(&kind.defaults) {
        set_if_empty(kind, after, name, |field| built_in(field, text));
    }
    for (index, field) in kind.fields.iter().enumerate() {
        if let Some(text) = field.default
            && after.values[index].is_empty()
        {
            after.values[index] = built_in(field, text);
        }
    }
    let today = saving.at.to_zoned(saving.zone.clone()).date();
    set_if_empty(kind, after, kind.created, |_| Value::Moment(saving.at));
    if kind.has_lines() {
        set_if_empty(kind, after, "trandate", |_| Value::Date(today));
    }
    number(kind, after);
}

fn set_if_empty(kind: &RecordType, after: &mut Stored, name: &str, value: impl FnOnce(&Field) -> Value) {
    if let Some(position) = kind.position(name)
        && (after.values[position].is_empty() || after.values[position] == Value::Bool(false))
    {
        after.values[position] = value(&kind.fields[position]);
    }
}

/// A value of the catalogue, which is right by its own tests.
fn built_in(field: &Field, text: &str) -> Value {
    Value::from_json(field, &Json::from(text)).unwrap_or_default()
}

/// Gives the record its number when nobody named it.
fn number(kind: &RecordType, after: &mut Stored) {
    if let Some(numbering) = &kind.number {
        let text = format!("{}{}", numbering.prefix, after.id);
        set_if_empty(kind, after, &numbering.field, |_| Value::Text(text));
    }
}

/// Refuses an empty required field.
pub(crate) fn refuse_missing(kind: &RecordType, after: &Stored) -> Result<(), Refusal> {
    let empty = kind.fields.iter().zip(&after.values).find(|(field, value)| field.required && value.is_empty());
    match empty {
        Some((field, _)) => Err(Refusal::missing(field)),
        None => Ok(()),
    }
}

/// Refuses a name or external id that another record of the table has.
pub(crate) fn refuse_duplicates(
    tx: &Connection,
    kind: &'static RecordType,
    before: &Stored,
    after: &Stored,
) -> Result<(), WorldError> {
    let external = ("externalid", "DUP_RCRD", "This record already exists");
    let own = kind.duplicate.as_ref();
    let own = own.map(|rule| (rule.field.as_str(), rule.code.as_str(), rule.message.as_str()));
    for (name, code, message) in std::iter::once(external).chain(own) {
        let value = after.value(kind, name);
        let Value::Text(text) = value else { continue };
        if before.value(kind, name).same(value) {
            continue;
        }
        let sql = format!(r#"SELECT 1 FROM "{}" WHERE "{name}" = ? AND id <> ?"#, kind.table);
        let taken = tx.prepare_cached(&sql)?.query_row(params![text, after.id], |_| Ok(())).optional()?;
        if taken.is_some() {
            return Err(Refusal::new(code, message).at(name).into());
        }
    }
    Ok(())
}

/// Sets the fields that follow from others.
pub(crate) fn derive(tx: &Connection, kind: &RecordType, after: &mut Stored) -> Result<(), WorldError> {
    for (name, source) in &kind.copies {
        let value = after.value(kind, source).clone();
        after.set(kind, name, value);
    }
    // An emptied name goes back to what NetSuite would have numbered; a transaction's may stay empty.
    if kind.number.as_ref().is_some_and(|own| kind.fields.iter().any(|f| f.name == own.field && f.not_null)) {
        number(kind, after);
    }
    let Some(lined) = &kind.lined else { return Ok(()) };
    let currency = match after.value(kind, "entity") {
        Value::Reference(party) => tx
            .prepare_cached(&format!("SELECT currency FROM \"{}\" WHERE id = ?", lined.party))?
            .query_row([party], |row| row.get::<_, Option<i64>>(0))
            .optional()?
            .flatten(),
        _ => None,
    };
    let is_order = kind.name == "salesorder" && lines::is_open(&after.lines);
    after.set(kind, "currency", Value::Reference(currency.unwrap_or(BASE_CURRENCY)));
    after.set(kind, "foreigntotal", Value::Decimal(lines::total(&after.lines)));
    after.set(kind, "status", Value::Text(if is_order { "B" } else { "A" }.to_owned()));
    after.set(kind, "transactionnumber", Value::Text(format!("{}{}", kind.name.to_uppercase(), after.id)));
    Ok(())
}

/// Refuses to delete what other records point to.
pub(crate) fn refuse_dependents(tx: &Connection, kind: &RecordType, id: i64) -> Result<(), WorldError> {
    for (table, column) in &kind.used_by {
        let sql = format!(r#"SELECT 1 FROM "{table}" WHERE "{column}" = ? LIMIT 1"#);
        if tx.prepare_cached(&sql)?.query_row([id], |_| Ok(())).optional()?.is_some() {
            return Err(Refusal::new(
                "THIS_RECORD_CANNOT_BE_DELETED_BECAUSE_IT_HAS_DEPENDENT_RECORDS",
                "This record cannot be deleted because it has dependent records.",
            )
            .into());
        }
    }
    Ok(())
}
