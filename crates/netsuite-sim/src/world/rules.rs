//! NetSuite's own rules about a record: what is required, unique, derived, filled in or in use.

use rusqlite::{Connection, OptionalExtension, params};

use super::kind::RecordType;
use super::lines;
use super::read::Stored;
use super::refusal::{Refusal, WorldError};
use super::save::Saving;
use super::value::Value;

/// Internal id of the base currency.
const BASE_CURRENCY: i64 = 1;

/// What NetSuite fills in by itself when a record is created.
pub(crate) fn set_defaults(saving: &Saving<'_>, kind: &RecordType, after: &mut Stored) {
    let today = saving.at.to_zoned(saving.zone.clone()).date();
    let id = after.id;
    let defaults = match kind.name {
        "customer" => vec![
            ("currency", Value::Reference(BASE_CURRENCY)),
            ("entityid", Value::Text(format!("CUST{id}"))),
            ("datecreated", Value::Moment(saving.at)),
        ],
        "item" => {
            vec![("itemtype", Value::Text("InvtPart".to_owned())), ("createddate", Value::Moment(saving.at))]
        }
        _ => vec![
            ("trandate", Value::Date(today)),
            ("tranid", Value::Text(format!("SO{id}"))),
            ("createddate", Value::Moment(saving.at)),
        ],
    };
    for (name, value) in defaults {
        if after.value(kind, name).is_empty() {
            after.set(kind, name, value);
        }
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

/// Refuses a name or external id that another record of the type has.
pub(crate) fn refuse_duplicates(
    tx: &Connection,
    kind: &RecordType,
    before: &Stored,
    after: &Stored,
) -> Result<(), WorldError> {
    let unique = [
        ("externalid", "DUP_RCRD", "This record already exists"),
        ("entityid", "DUP_ENTITY", "This entity already exists."),
        ("itemid", "DUP_ITEM", "Uniqueness error: an item with this name or number already exists."),
    ];
    for (name, code, message) in unique {
        let value = after.value(kind, name);
        let Value::Text(text) = value else { continue };
        if before.value(kind, name).same(value) {
            continue;
        }
        let sql = format!(r#"SELECT 1 FROM "{}" WHERE {name} = ? AND id <> ?"#, kind.table);
        let taken = tx.prepare_cached(&sql)?.query_row(params![text, after.id], |_| Ok(())).optional()?;
        if taken.is_some() {
            return Err(Refusal::new(code, message).at(name).into());
        }
    }
    Ok(())
}

/// Sets the fields that follow from others.
pub(crate) fn derive(tx: &Connection, kind: &RecordType, after: &mut Stored) -> Result<(), WorldError> {
    match kind.name {
        "customer" => {
            let name = after.value(kind, "companyname").clone();
            after.set(kind, "altname", name);
            // An emptied name or currency goes back to what NetSuite would have numbered or assumed.
            if after.value(kind, "entityid").is_empty() {
                after.set(kind, "entityid", Value::Text(format!("CUST{}", after.id)));
            }
        }
        "item" => {
            let name = after.value(kind, "itemid").clone();
            after.set(kind, "fullname", name);
        }
        _ => {
            let currency = match after.value(kind, "entity") {
                Value::Reference(customer) => tx
                    .prepare_cached("SELECT currency FROM customer WHERE id = ?")?
                    .query_row([customer], |row| row.get::<_, Option<i64>>(0))
                    .optional()?
                    .flatten(),
                _ => None,
            };
            let status = if lines::is_open(&after.lines) { "B" } else { "A" };
            after.set(kind, "currency", Value::Reference(currency.unwrap_or(BASE_CURRENCY)));
            after.set(kind, "foreigntotal", Value::Decimal(lines::total(&after.lines)));
            after.set(kind, "status", Value::Text(status.to_owned()));
        }
    }
    Ok(())
}

/// Refuses to delete what other records point to.
pub(crate) fn refuse_dependents(tx: &Connection, kind: &RecordType, id: i64) -> Result<(), WorldError> {
    let sql = match kind.name {
        "customer" => r#"SELECT 1 FROM "transaction" WHERE entity = ? LIMIT 1"#,
        "item" => "SELECT 1 FROM transactionline WHERE item = ? LIMIT 1",
        _ => return Ok(()),
    };
    let used = tx.prepare_cached(sql)?.query_row([id], |_| Ok(())).optional()?;
    match used {
        Some(()) => Err(Refusal::new(
            "THIS_RECORD_CANNOT_BE_DELETED_BECAUSE_IT_HAS_DEPENDENT_RECORDS",
            "This record cannot be deleted because it has dependent records.",
        )
        .into()),
        None => Ok(()),
    }
}
