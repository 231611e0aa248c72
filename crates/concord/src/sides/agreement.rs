//! Do both sides hold the same? A comparison of its own, which shares no code with Concord's normalisation.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use anyhow::{Context, Result, bail};
use model::Side;
use rust_decimal::Decimal;
use serde_json::{Map, Value};

use super::Sides;

/// What a value is made of, for the comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Text,
    Number,
    Flag,
    Day,
    Set,
    Reference(&'static str),
}

/// NetSuite's field, the application's column, and the shape.
type Row = (&'static str, &'static str, Shape);

const CUSTOMER: &[Row] = &[
    ("companyname", "company_name", Shape::Text),
    ("email", "email", Shape::Text),
    ("phone", "phone", Shape::Text),
    ("creditlimit", "credit_limit", Shape::Number),
    ("comments", "comments", Shape::Text),
    ("custentity_tags", "tags", Shape::Set),
    ("custentity_loyalty_points", "loyalty_points", Shape::Number),
    ("isinactive", "is_inactive", Shape::Flag),
    ("terms", "terms", Shape::Text),
    ("currency", "currency", Shape::Text),
];

const ITEM: &[Row] = &[
    ("itemid", "item_id", Shape::Text),
    ("displayname", "display_name", Shape::Text),
    ("description", "description", Shape::Text),
    ("baseprice", "base_price", Shape::Number),
    ("isinactive", "is_inactive", Shape::Flag),
];

const ORDER: &[Row] = &[
    ("entity", "customer_id", Shape::Reference("customer")),
    ("tranid", "tran_id", Shape::Text),
    ("trandate", "order_date", Shape::Day),
    ("memo", "memo", Shape::Text),
    ("status", "status", Shape::Text),
];

const LINE: &[Row] = &[
    ("item", "item_id", Shape::Reference("item")),
    ("quantity", "quantity", Shape::Number),
    ("rate", "rate", Shape::Number),
];

/// Synced record types.
pub const TYPES: [&str; 3] = ["customer", "item", "salesorder"];

fn rows(record_type: &str) -> Result<&'static [Row]> {
    Ok(match record_type {
        "customer" => CUSTOMER,
        "item" => ITEM,
        "salesorder" => ORDER,
        other => bail!("{other} is no synced type"),
    })
}

/// The column of a field.
///
/// # Errors
/// When the type has no such field.
pub fn column(record_type: &str, field: &str) -> Result<&'static str> {
    let row = rows(record_type)?.iter().find(|row| row.0 == field);
    row.map(|row| row.1).with_context(|| format!("{record_type} has no field {field}"))
}

/// Selects rows as JSON, orders with `lines`: id → line. A condition on `t` may follow.
///
/// # Errors
/// When the type is not synced.
pub(super) fn suitex_query(record_type: &str) -> Result<&'static str> {
    Ok(match record_type {
        "customer" => "select to_jsonb(t) from app.customers t",
        "item" => "select to_jsonb(t) from app.items t",
        "salesorder" => {
            "select to_jsonb(t) || jsonb_build_object('lines', coalesce(
                (select jsonb_object_agg(l.id, to_jsonb(l)) from app.sales_order_lines l where l.sales_order_id = t.id),
                '{}')) from app.sales_orders t"
        }
        other => bail!("{other} is no synced type"),
    })
}

/// A value in the one form in which both sides are compared.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Plain {
    /// Nothing: null, empty text, an empty set.
    Empty,
    /// Text without surrounding space, composed.
    Text(String),
    /// A number without trailing zeros.
    Number(Decimal),
    /// A checkbox.
    Flag(bool),
    /// Elements in order.
    Set(BTreeSet<String>),
    /// Lines by content, counted.
    Lines(BTreeMap<Vec<Plain>, usize>),
}

impl fmt::Display for Plain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("–"),
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Flag(flag) => write!(f, "{flag}"),
            Self::Set(set) => write!(f, "{set:?}"),
            Self::Lines(lines) => {
                let line = |(values, count): (&Vec<Self>, &usize)| {
                    let values: Vec<String> = values.iter().map(ToString::to_string).collect();
                    format!("{count}×[{}]", values.join(", "))
                };
                f.write_str(&lines.iter().map(line).collect::<Vec<_>>().join(" "))
            }
        }
    }
}

/// Ids of the application as NetSuite's, per type.
pub type Ids = BTreeMap<&'static str, BTreeMap<String, String>>;

fn plain(shape: Shape, value: &Value, ids: Option<&Ids>) -> Result<Plain> {
    let text = match value {
        Value::Null => return Ok(if shape == Shape::Flag { Plain::Flag(false) } else { Plain::Empty }),
        Value::Bool(flag) => return Ok(Plain::Flag(*flag)),
        Value::Array(elements) => return Ok(set(elements)),
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        Value::Object(_) => bail!("an object is no value of a field: {value}"),
    };
    Ok(match shape {
        Shape::Number => Plain::Number(number(&text)?),
        // A moment of NetSuite is compared as its day.
        Shape::Day => Plain::Text(text.chars().take(10).collect()),
        Shape::Reference(target) => match ids {
            None => Plain::Text(text),
            Some(ids) => {
                let there = ids.get(target).and_then(|ids| ids.get(&text));
                Plain::Text(there.cloned().unwrap_or_else(|| format!("unlinked {target} {text}")))
            }
        },
        Shape::Text | Shape::Flag | Shape::Set => {
            use unicode_normalization::UnicodeNormalization;
            let composed: String = text.replace("\r\n", "\n").nfc().collect();
            let trimmed = composed.trim();
            if trimmed.is_empty() { Plain::Empty } else { Plain::Text(trimmed.to_owned()) }
        }
    })
}

fn set(elements: &[Value]) -> Plain {
    let elements: BTreeSet<String> =
        elements.iter().map(|e| e.as_str().map_or_else(|| e.to_string(), str::to_owned)).collect();
    if elements.is_empty() { Plain::Empty } else { Plain::Set(elements) }
}

fn number(text: &str) -> Result<Decimal> {
    let parsed = Decimal::from_str(text).or_else(|_| Decimal::from_scientific(text));
    Ok(parsed.with_context(|| format!("{text} is no number"))?.normalize())
}

/// A record as both sides are compared: NetSuite's field names, NetSuite's ids.
pub type Record = BTreeMap<&'static str, Plain>;

/// NetSuite's record in plain form.
///
/// # Errors
/// When a value is not of its field's shape.
pub fn from_netsuite(record_type: &str, fields: &Map<String, Value>) -> Result<Record> {
    read(record_type, fields, |row| row.0, None)
}

/// The application's record in plain form; references become NetSuite's ids.
///
/// # Errors
/// When a value is not of its column's shape.
pub fn from_suitex(record_type: &str, fields: &Map<String, Value>, ids: &Ids) -> Result<Record> {
    read(record_type, fields, |row| row.1, Some(ids))
}

fn read(
    record_type: &str,
    fields: &Map<String, Value>,
    name: fn(&Row) -> &'static str,
    ids: Option<&Ids>,
) -> Result<Record> {
    let mut record = Record::new();
    for row in rows(record_type)? {
        let value = fields.get(name(row)).unwrap_or(&Value::Null);
        record.insert(row.0, plain(row.2, value, ids).with_context(|| row.0)?);
    }
    if record_type == "salesorder" {
        let mut lines = BTreeMap::new();
        for line in fields.get("lines").and_then(Value::as_object).into_iter().flat_map(Map::values) {
            let values = LINE.iter().map(|row| plain(row.2, &line[name(row)], ids)).collect::<Result<Vec<_>>>()?;
            *lines.entry(values).or_insert(0) += 1;
        }
        record.insert("lines", Plain::Lines(lines));
    }
    Ok(record)
}

/// All records of an account on both sides, and how they are linked.
#[derive(Debug)]
pub struct World {
    /// By type and NetSuite id.
    pub netsuite: BTreeMap<(&'static str, String), Record>,
    /// By type and the application's id.
    pub suitex: BTreeMap<(&'static str, String), Record>,
    /// The application's ids as NetSuite's.
    pub ids: Ids,
}

impl World {
    /// Reads everything.
    ///
    /// # Errors
    /// When a side does not answer, or holds what is not of its shape.
    pub async fn read(sides: &Sides) -> Result<Self> {
        let mut world = Self { netsuite: BTreeMap::new(), suitex: BTreeMap::new(), ids: Ids::new() };
        for record_type in TYPES {
            world.ids.insert(record_type, links(sides, record_type).await?);
        }
        for record_type in TYPES {
            for (id, fields) in sides.netsuite.dump(record_type).await? {
                world.netsuite.insert((record_type, id), from_netsuite(record_type, &fields)?);
            }
            let rows: Vec<(Value,)> =
                sqlx::query_as(suitex_query(record_type)?).fetch_all(&sides.suitex).await.context(record_type)?;
            for (row,) in rows {
                let fields = row.as_object().context("a row is an object")?;
                let id = fields["id"].to_string();
                world.suitex.insert((record_type, id), from_suitex(record_type, fields, &world.ids)?);
            }
        }
        Ok(world)
    }

    /// Every difference in words; empty when both sides hold the same records with the same values.
    pub fn differences(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut seen = BTreeSet::new();
        for ((record_type, id), ours) in &self.suitex {
            let there = self.ids.get(record_type).and_then(|ids| ids.get(id));
            let Some(there) = there else {
                found.push(format!("{record_type} suitex:{id} is linked to nothing in NetSuite"));
                continue;
            };
            if !seen.insert((*record_type, there.clone())) {
                found.push(format!("{record_type} netsuite:{there} is linked to two rows, one is suitex:{id}"));
            }
            match self.netsuite.get(&(*record_type, there.clone())) {
                None => found.push(format!("{record_type} suitex:{id} is there, its netsuite:{there} is not")),
                Some(theirs) => found.extend(
                    fields_that_differ(ours, theirs).map(|d| format!("{record_type} suitex:{id} netsuite:{there} {d}")),
                ),
            }
        }
        for key in self.netsuite.keys().filter(|key| !seen.contains(*key)) {
            found.push(format!("{} netsuite:{} is there and in SuiteX it is not", key.0, key.1));
        }
        found
    }
}

fn fields_that_differ<'a>(suitex: &'a Record, netsuite: &'a Record) -> impl Iterator<Item = String> + 'a {
    suitex.iter().filter_map(|(field, ours)| {
        let theirs = netsuite.get(field)?;
        (ours != theirs).then(|| format!("{field}: SuiteX {ours}, NetSuite {theirs}"))
    })
}

/// The application's ids as NetSuite's.
///
/// # Errors
/// When Concord's database does not answer.
pub async fn links(sides: &Sides, record_type: &str) -> Result<BTreeMap<String, String>> {
    let pairs: Vec<(String, String)> = sqlx::query_as(
        "select s.native_id, n.native_id from sync.links s
         join sync.links n on n.account_id = s.account_id and n.record_type = s.record_type and n.rid = s.rid
                          and n.side = 'netsuite' and n.current
         where s.account_id = $1 and s.record_type = $2 and s.side = $3 and s.current",
    )
    .bind(&sides.account)
    .bind(record_type)
    .bind(Side::Suitex.as_str())
    .fetch_all(&sides.concord)
    .await?;
    Ok(pairs.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap()
    }

    #[test]
    fn the_same_values_in_each_sides_own_writing_are_equal() {
        let theirs = from_netsuite(
            "customer",
            &object(
                json!({"companyname": "Café ", "creditlimit": 10, "custentity_tags": ["2", "1"], "isinactive": false}),
            ),
        );
        let ours = from_suitex(
            "customer",
            &object(
                json!({"company_name": "Cafe\u{301}", "credit_limit": 10.00, "tags": ["1", "2"], "is_inactive": null}),
            ),
            &Ids::new(),
        );
        assert_eq!(ours.unwrap(), theirs.unwrap());
    }

    #[test]
    fn lines_are_compared_by_content_and_count() {
        let ids =
            Ids::from([("item", BTreeMap::from([("7".to_owned(), "70".to_owned())])), ("customer", BTreeMap::new())]);
        let ours = |lines: Value| from_suitex("salesorder", &object(json!({"lines": lines})), &ids).unwrap();
        let theirs =
            from_netsuite("salesorder", &object(json!({"lines": {"1": {"item": "70", "quantity": 2, "rate": 1.5}}})));
        let same = ours(json!({"90": {"item_id": 7, "quantity": 2.0000, "rate": 1.50}}));
        assert_eq!(same["lines"], theirs.unwrap()["lines"]);
        let twice = ours(
            json!({"90": {"item_id": 7, "quantity": 2, "rate": 1.5}, "91": {"item_id": 7, "quantity": 2, "rate": 1.5}}),
        );
        assert_ne!(twice["lines"], same["lines"]);
    }

    #[test]
    fn a_missing_record_and_a_different_value_are_named() {
        let record = |email: &str| Record::from([("email", Plain::Text(email.to_owned()))]);
        let world = World {
            netsuite: BTreeMap::from([
                (("customer", "5".to_owned()), record("a")),
                (("customer", "6".to_owned()), record("x")),
            ]),
            suitex: BTreeMap::from([(("customer", "1".to_owned()), record("b"))]),
            ids: Ids::from([("customer", BTreeMap::from([("1".to_owned(), "5".to_owned())]))]),
        };
        let found = world.differences();
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].contains("email: SuiteX \"b\", NetSuite \"a\""), "{found:?}");
        assert!(found[1].contains("netsuite:6"), "{found:?}");
    }
}
