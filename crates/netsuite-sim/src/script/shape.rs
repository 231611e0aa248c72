//! Records as scripts know them: their types, their fields' names and types, and their values.

use serde_json::{Map, Value as Json, json};

use crate::catalog::catalog;
use crate::world::{CustomType, Field, Kind, RecordType, Saved, Stored};

/// A record type by the name scripts use.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shape {
    Standard(&'static RecordType),
    Custom(&'static CustomType),
}

/// Name in record JSON, script record type, where the two differ in more than case.
const RECORDS: [(&str, &str); 2] = [("nonInventorySaleItem", "noninventoryitem"), ("serviceSaleItem", "serviceitem")];

/// Table, SuiteQL name, script field id, where the script's is not the name in record JSON.
const NAMES: [(&str, &str, &str); 2] =
    [("item", "description", "salesdescription"), ("transaction", "status", "orderstatus")];

/// A field that scripts find in the price matrix instead of among the fields.
const PRICE: (&str, &str) = ("item", "baseprice");
/// The matrix of the base currency, in an account with several.
const MATRIX: &str = "price1";
const SUBLIST: &str = "item";

impl Shape {
    /// The type of that name: scripts use the names of record JSON, in lower case.
    pub(super) fn named(name: &str) -> Option<Self> {
        let name = match name.to_lowercase().as_str() {
            "lead" | "prospect" => "customer".to_owned(),
            other => other.to_owned(),
        };
        let standard = catalog().records().iter().find(|kind| record_type(kind) == name);
        standard.map(|kind| Self::Standard(kind)).or_else(|| CustomType::named(&name).map(Self::Custom))
    }

    /// What `load` and `save` of the type cost (fact sheet §6.3).
    pub(super) fn units(self) -> (u32, u32) {
        match self {
            Self::Standard(kind) => (kind.units.load, kind.units.save),
            Self::Custom(_) => (2, 4),
        }
    }

    /// Fields and sublists, for the platform.
    pub(super) fn to_json(self) -> Json {
        let none = json!({ "id": null, "fields": {} });
        match self {
            Self::Custom(kind) => {
                let fields = kind.fields.iter().map(|field| (field.name.to_owned(), described(field)));
                json!({ "fields": fields.collect::<Map<_, _>>(), "sublist": none, "matrix": null })
            }
            Self::Standard(kind) => {
                let fields = shown(kind).map(|(_, field)| (field_id(kind, field), described(field)));
                let mut fields: Map<String, Json> = fields.collect();
                let has_price = kind.table == PRICE.0;
                if has_price {
                    fields.remove(PRICE.1);
                }
                let columns = kind.line_fields.iter().map(|field| (field.name.to_owned(), described(field)));
                let mut columns: Map<String, Json> = columns.collect();
                columns.insert("line".to_owned(), json!({ "type": "integer", "label": "Line", "readOnly": true }));
                let sublist = if kind.has_lines() { json!({ "id": SUBLIST, "fields": columns }) } else { none };
                json!({
                    "fields": fields, "sublist": sublist, "price": PRICE.1,
                    "matrix": if has_price { Json::from(MATRIX) } else { Json::Null },
                })
            }
        }
    }
}

fn described(field: &Field) -> Json {
    json!({ "type": type_of(field.kind), "label": field.label, "required": field.required, "readOnly": field.read_only })
}

/// N/record's word for a kind of field.
fn type_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Text(chars) if chars > 1_000 => "textarea",
        Kind::Text(_) => "text",
        Kind::Bool => "checkbox",
        Kind::Integer => "integer",
        Kind::Decimal(2) => "currency",
        Kind::Decimal(_) => "float",
        Kind::Date => "date",
        Kind::Moment => "datetimetz",
        Kind::Reference(_) => "select",
        Kind::MultiSelect => "multiselect",
    }
}

/// The fields that scripts see, with their positions.
fn shown(kind: &RecordType) -> impl Iterator<Item = (usize, &Field)> {
    kind.fields.iter().enumerate().filter(|(_, field)| field.in_rest)
}

/// The script's id of a field.
fn field_id(kind: &RecordType, field: &Field) -> String {
    let own = NAMES.iter().find(|(table, name, _)| *table == kind.table && *name == field.name);
    own.map_or_else(|| field.rest.to_lowercase(), |(.., id)| (*id).to_owned())
}

/// SuiteQL's name of a script's field.
pub(super) fn field_name<'a>(kind: &RecordType, id: &'a str) -> &'a str {
    shown(kind).find(|(_, field)| field_id(kind, field) == id).map_or(id, |(_, field)| field.name)
}

/// The fields of a script under SuiteQL's names.
pub(super) fn named(kind: &RecordType, set: &Map<String, Json>) -> Map<String, Json> {
    set.iter().map(|(id, value)| (field_name(kind, id).to_owned(), value.clone())).collect()
}

/// The record that scripts know a type as.
pub(super) fn record_type(kind: &RecordType) -> String {
    let own = RECORDS.iter().find(|(rest, _)| *rest == kind.rest);
    own.map_or_else(|| kind.rest.to_lowercase(), |(_, record)| (*record).to_owned())
}

/// Fields and lines of a stored record as the platform takes them.
pub(super) fn contents(kind: &RecordType, stored: &Stored) -> Map<String, Json> {
    let fields = shown(kind).map(|(position, field)| (field_id(kind, field), stored.values[position].to_json()));
    let lines = stored.lines.iter().map(|(id, values)| {
        let columns = kind.line_fields.iter().zip(values);
        let mut line: Map<String, Json> =
            columns.map(|(field, value)| (field.name.to_owned(), value.to_json())).collect();
        line.insert("line".to_owned(), Json::from(*id));
        Json::Object(line)
    });
    let mut contents = Map::new();
    contents.insert("lines".to_owned(), lines.collect());
    contents.insert("fields".to_owned(), Json::Object(fields.collect()));
    contents
}

/// What a user event is told of a save: `{type, newRecord, oldRecord}`.
pub(super) fn event(saved: &Saved, event_type: &str) -> Json {
    let kind = saved.kind;
    let record = |stored: &Stored| {
        let mut record = contents(kind, stored);
        record.insert("type".to_owned(), Json::from(record_type(kind)));
        record.insert("id".to_owned(), Json::from(saved.id));
        record
    };
    let old = saved.before.as_ref().map(&record);
    let mut new = match (&saved.after, &old) {
        (Some(after), _) => record(after),
        // Of a record that is being deleted the new one says only which it is.
        (None, Some(old)) => {
            let mut bare = Map::new();
            bare.insert("partial".to_owned(), Json::from(true));
            bare.extend(["type", "id"].map(|member| (member.to_owned(), old[member].clone())));
            bare
        }
        (None, None) => Map::new(),
    };
    if let (Some(inline), Some(Json::Object(fields))) = (&saved.inline, new.get_mut("fields")) {
        fields.retain(|id, _| inline.iter().any(|name| field_name(kind, id) == *name));
        new.insert("partial".to_owned(), Json::from(true));
        new.insert("lines".to_owned(), json!([]));
    }
    json!({ "type": event_type, "newRecord": new, "oldRecord": old })
}
