//! Column text ↔ canonical values (semantics §2.1). The rules themselves (scale, instants, calendar) are `model::wire`'s,
//! so that both sides spell a value alike.

use std::collections::{BTreeMap, BTreeSet};

use model::spec::{FieldSpec, Kind, LinesSpec, Policy, TypeSpec};
use model::wire::{ExactDecimal, calendar_date, instant, whole_second};
use model::{ErrorClass, Failure, Fields, Lines, NativeId, TypedValue, Value};
use serde_json::value::RawValue;
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

/// A JSON object whose members are kept as text, so that no decimal passes through a float.
pub(crate) type RawObject = BTreeMap<String, Box<RawValue>>;

/// Brings a column's text (`column::text`, arrays as JSON) into canonical form.
///
/// # Errors
/// Class validation, naming field and column; never the value.
pub(crate) fn canonical(field: &FieldSpec, column: Option<&str>) -> Result<Value, Failure> {
    let Some(text) = column else {
        return Ok(if field.kind == Kind::Bool { Value::Bool(false) } else { Value::Null });
    };
    let normal = match &field.kind {
        Kind::Bool => match text {
            "true" | "t" => Some(Value::Bool(true)),
            "false" | "f" => Some(Value::Bool(false)),
            _ => None,
        },
        Kind::Integer => ExactDecimal::parse(text).and_then(ExactDecimal::integer).map(Value::Int),
        Kind::Decimal { scale } => ExactDecimal::parse(text).and_then(|n| n.at_scale(*scale)).map(Value::Text),
        Kind::Text { max, keep_trailing } => normal_text(text, *max, *keep_trailing),
        Kind::Date => calendar_date(text).map(|date| Value::Text(date.to_string())),
        // Whole seconds, as NetSuite keeps them: cut before comparing, or every value differs from its own echo.
        Kind::DateTime => instant(text).map(|at| Value::Text(whole_second(at).to_string())),
        Kind::Reference { .. } => NativeId::parse(text).ok().map(|id| Value::text(id.as_str())),
        Kind::Set => set(text),
        Kind::Lines(_) => None,
    };
    normal.ok_or_else(|| refusal(field))
}

fn refusal(field: &FieldSpec) -> Failure {
    let accepted = match &field.kind {
        Kind::Bool => "true or false".to_owned(),
        Kind::Integer => "a whole number within ±10^15".to_owned(),
        Kind::Decimal { .. } => "a decimal within ±10^15 of at most 28 digits, 60 after the point".to_owned(),
        Kind::Text { max, .. } => format!("text of at most {max} characters"),
        Kind::Date => "a day from 0001-01-01 to 9999-12-31".to_owned(),
        Kind::DateTime => "an instant of the years 0001 to 9999".to_owned(),
        Kind::Reference { to } => format!("the id of one {to}"),
        Kind::Set => "a list of ids".to_owned(),
        Kind::Lines(_) => "lines by their id".to_owned(),
    };
    let reason =
        format!("field {}: column {} holds what is not accepted; accepted: {accepted}", field.name, field.column);
    Failure::new(ErrorClass::Validation, "bad_value", reason)
}

fn normal_text(text: &str, max: usize, keep_trailing: bool) -> Option<Value> {
    let mut text = composed(text);
    if text.contains('\r') {
        text = text.replace("\r\n", "\n").replace('\r', "\n");
    }
    if !keep_trailing {
        text.truncate(text.trim_end_matches(' ').len());
    }
    (text.chars().count() <= max).then(|| Value::text(text))
}

fn composed(text: &str) -> String {
    if is_nfc_quick(text.chars()) == IsNormalized::Yes { text.to_owned() } else { text.nfc().collect() }
}

/// A JSON list of strings, numbers and nulls; no members is the empty value.
fn set(json: &str) -> Option<Value> {
    let members: Vec<Option<Box<RawValue>>> = serde_json::from_str(json).ok()?;
    let mut normal = BTreeSet::new();
    for member in members.into_iter().flatten() {
        let text = match scalar(&member) {
            Ok(Some(text)) => composed(text.trim()),
            Ok(None) => continue,
            Err(()) => return None,
        };
        if !text.is_empty() {
            normal.insert(text);
        }
    }
    Some(if normal.is_empty() { Value::Null } else { Value::Set(normal) })
}

/// A JSON value as the column's text would be: strings unquoted, numbers and booleans to the letter, null as `None`.
fn scalar(raw: &RawValue) -> Result<Option<String>, ()> {
    let text = raw.get();
    match text.as_bytes().first() {
        Some(b'n') => Ok(None),
        Some(b'"') => serde_json::from_str(text).map(Some).map_err(|_| ()),
        Some(b'{' | b'[') | None => Err(()),
        Some(_) => Ok(Some(text.to_owned())),
    }
}

/// Reads the changed columns of an outbox row: columns (or canonical names) → typed values under canonical names.
/// Columns the type does not map, and ignored ones, are left out.
///
/// # Errors
/// The first field whose value cannot be represented.
pub(crate) fn typed_changes(spec: &TypeSpec, changes: &RawObject) -> Result<BTreeMap<String, TypedValue>, Failure> {
    let mut typed = BTreeMap::new();
    for (name, raw) in changes {
        let Some(field) = spec.field_or_column(name).filter(|field| field.policy != Policy::Ignored) else { continue };
        let value = match field.lines() {
            Some(lines) => typed_lines(field, lines, raw)?,
            None => typed_value(field, raw)?,
        };
        typed.insert(field.name.clone(), value);
    }
    Ok(typed)
}

fn typed_value(field: &FieldSpec, raw: &RawValue) -> Result<TypedValue, Failure> {
    let value = match (&field.kind, raw.get().as_bytes().first()) {
        (Kind::Set, Some(b'[')) => canonical(field, Some(raw.get()))?,
        _ => canonical(field, scalar(raw).map_err(|()| refusal(field))?.as_deref())?,
    };
    Ok(to_typed(&field.kind, value))
}

/// Lines by id. A line that is gone stands there without fields: sublists are read, deltas of them only tell what
/// happened.
fn typed_lines(field: &FieldSpec, spec: &LinesSpec, raw: &RawValue) -> Result<TypedValue, Failure> {
    let lines: BTreeMap<String, Option<RawObject>> = serde_json::from_str(raw.get()).map_err(|_| refusal(field))?;
    let mut typed = BTreeMap::new();
    for (id, line) in lines {
        let mut values = BTreeMap::new();
        for (name, raw) in line.unwrap_or_default() {
            let found = spec.field(&name).or_else(|| spec.line.iter().find(|line| line.column == name));
            if let Some(line_field) = found.filter(|line_field| line_field.policy != Policy::Ignored) {
                values.insert(line_field.name.clone(), typed_value(line_field, &raw)?);
            }
        }
        typed.insert(id, values);
    }
    Ok(TypedValue::Lines(typed))
}

fn to_typed(kind: &Kind, value: Value) -> TypedValue {
    match value {
        Value::Null => TypedValue::Null,
        Value::Bool(on) => TypedValue::Bool(on),
        Value::Int(number) => TypedValue::Integer(number),
        Value::Set(members) => TypedValue::Set(members.into_iter().collect()),
        Value::Lines(lines) => TypedValue::Lines(lines.into_keys().map(|id| (id, BTreeMap::new())).collect()),
        Value::Text(text) => match kind {
            Kind::Decimal { .. } => TypedValue::Decimal(text),
            Kind::Date => TypedValue::Date(text),
            Kind::DateTime => TypedValue::DateTime(text),
            Kind::Reference { .. } => TypedValue::Reference { id: text, name: String::new() },
            Kind::Text { .. } | Kind::Bool | Kind::Integer | Kind::Set | Kind::Lines(_) => TypedValue::Text(text),
        },
    }
}

/// What is bound to a statement for a value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Bound {
    /// Everything but sets, as the column's text.
    Scalar(Option<String>),
    /// A set.
    List(Option<Vec<String>>),
}

impl Bound {
    /// Is null bound?
    pub(crate) fn is_null(&self) -> bool {
        matches!(self, Self::Scalar(None) | Self::List(None))
    }
}

/// The parameter for a value, if it has the field's shape. `required` = the column refuses null: then the empty text
/// and the empty set stand for "empty", which they equal.
pub(crate) fn bound(kind: &Kind, value: &Value, required: bool) -> Option<Bound> {
    match (kind, value) {
        (Kind::Lines(_), _) => None,
        (Kind::Set, Value::Set(members)) => Some(Bound::List(Some(members.iter().cloned().collect()))),
        (Kind::Set, Value::Null) => Some(Bound::List(required.then(Vec::new))),
        (Kind::Set, _) => None,
        (Kind::Bool, Value::Null) => Some(Bound::Scalar(Some("false".to_owned()))),
        (Kind::Text { .. }, Value::Null) => Some(Bound::Scalar(required.then(String::new))),
        (_, Value::Null) => Some(Bound::Scalar(None)),
        (Kind::Bool, Value::Bool(on)) => Some(Bound::Scalar(Some(on.to_string()))),
        (Kind::Integer, Value::Int(number)) => Some(Bound::Scalar(Some(number.to_string()))),
        (
            Kind::Decimal { .. } | Kind::Text { .. } | Kind::Date | Kind::DateTime | Kind::Reference { .. },
            Value::Text(text),
        ) => Some(Bound::Scalar(Some(text.clone()))),
        (_, Value::Bool(_) | Value::Int(_) | Value::Text(_) | Value::Set(_) | Value::Lines(_)) => None,
    }
}

/// Lines as a value; none is the empty value.
pub(crate) fn lines_value(lines: BTreeMap<String, Fields>) -> Value {
    if lines.is_empty() {
        return Value::Null;
    }
    Value::Lines(lines.into_iter().map(|(id, fields)| (id, Some(fields))).collect::<Lines>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::spec::World;

    fn field(kind: Kind) -> FieldSpec {
        FieldSpec {
            name: "f".to_owned(),
            column: "c".to_owned(),
            kind,
            policy: Policy::default(),
            group: None,
            read_only: None,
            create_only: None,
            rest: None,
            note: None,
        }
    }

    #[test]
    fn column_text_becomes_one_spelling() {
        let text = Kind::Text { max: 10, keep_trailing: false };
        for (kind, column, expected) in [
            (Kind::Bool, None, Value::Bool(false)),
            (Kind::Bool, Some("true"), Value::Bool(true)),
            (Kind::Integer, Some("-7"), Value::Int(-7)),
            (Kind::Decimal { scale: 2 }, Some("10"), Value::text("10.00")),
            (Kind::Decimal { scale: 2 }, Some("12345678901234.565"), Value::text("12345678901234.56")),
            (Kind::Decimal { scale: 2 }, None, Value::Null),
            (text.clone(), Some("a\r\nb  "), Value::text("a\nb")),
            (text.clone(), Some("e\u{301}"), Value::text("\u{e9}")),
            (text.clone(), Some("   "), Value::Null),
            (text, Some(""), Value::Null),
            (Kind::Text { max: 10, keep_trailing: true }, Some("a "), Value::text("a ")),
            (Kind::Date, Some("2026-02-28"), Value::text("2026-02-28")),
            (Kind::DateTime, Some("2026-11-14 13:12:05.987654+00"), Value::text("2026-11-14T13:12:05Z")),
            (Kind::DateTime, Some("1969-12-31 23:59:59.5+00"), Value::text("1969-12-31T23:59:59Z")),
            (Kind::Set, Some(r#"["b","a",null,"","b",7]"#), Value::Set(["7", "a", "b"].map(str::to_owned).into())),
            (Kind::Set, Some("[]"), Value::Null),
        ] {
            assert_eq!(canonical(&field(kind.clone()), column), Ok(expected), "{kind:?} {column:?}");
        }
    }

    #[test]
    fn what_cannot_be_represented_names_field_and_column_and_no_value() {
        for (kind, column) in [
            (Kind::Date, "infinity"),
            (Kind::Date, "0044-03-15 BC"),
            (Kind::DateTime, "infinity"),
            (Kind::Decimal { scale: 2 }, "NaN"),
            (Kind::Decimal { scale: 2 }, "99999999999999999999"),
            (Kind::Integer, "9223372036854775807"),
            (Kind::Text { max: 3, keep_trailing: false }, "secret"),
            (Kind::Set, "{}"),
        ] {
            let failure = canonical(&field(kind.clone()), Some(column)).unwrap_err();
            assert_eq!(failure.class, ErrorClass::Validation);
            assert!(failure.reason.contains("field f: column c"), "{kind:?}: {failure}");
            assert!(!failure.reason.contains(column), "{kind:?}: {failure}");
        }
    }

    #[test]
    fn outbox_columns_become_typed_fields_and_decimals_stay_exact() {
        let world = World::sample();
        let raw = r#"{"credit_limit": 9007199254740993.10, "company_name": "A", "tags": ["x"], "is_inactive": null,
                      "created_on": "2026-01-02", "row_version": 7, "unmapped": {"a": 1}}"#;
        let too_large = typed_changes(&world.types[0], &serde_json::from_str(raw).unwrap()).unwrap_err();
        assert!(too_large.reason.contains("creditlimit"), "{too_large}");
        let raw = raw.replace("9007199254740993.10", "900719925474099.31");
        let typed = typed_changes(&world.types[0], &serde_json::from_str(&raw).unwrap()).unwrap();
        let expected = [
            ("companyname", TypedValue::Text("A".to_owned())),
            ("creditlimit", TypedValue::Decimal("900719925474099.31".to_owned())),
            ("custentity_tags", TypedValue::Set(vec!["x".to_owned()])),
            ("datecreated", TypedValue::Date("2026-01-02".to_owned())),
            ("isinactive", TypedValue::Bool(false)),
        ];
        assert_eq!(typed, expected.map(|(name, value)| (name.to_owned(), value)).into());
    }

    #[test]
    fn outbox_lines_are_typed_under_their_field() {
        let world = World::sample();
        let raw = r#"{"app.sales_order_lines": {"5": {"item_id": 3, "quantity": 2.5}, "6": null}, "customer_id": 12}"#;
        let typed = typed_changes(&world.types[2], &serde_json::from_str(raw).unwrap()).unwrap();
        let line = BTreeMap::from([
            ("item".to_owned(), TypedValue::Reference { id: "3".to_owned(), name: String::new() }),
            ("quantity".to_owned(), TypedValue::Decimal("2.5000".to_owned())),
        ]);
        let lines = BTreeMap::from([("5".to_owned(), line), ("6".to_owned(), BTreeMap::new())]);
        assert_eq!(typed["lines"], TypedValue::Lines(lines));
        assert_eq!(typed["entity"], TypedValue::Reference { id: "12".to_owned(), name: String::new() });
    }

    #[test]
    fn parameters_have_the_fields_shape() {
        let text = Kind::Text { max: 10, keep_trailing: false };
        assert_eq!(bound(&text, &Value::Null, false), Some(Bound::Scalar(None)));
        assert_eq!(bound(&text, &Value::Null, true), Some(Bound::Scalar(Some(String::new()))));
        assert_eq!(bound(&Kind::Set, &Value::Null, true), Some(Bound::List(Some(Vec::new()))));
        assert_eq!(bound(&Kind::Bool, &Value::Null, true), Some(Bound::Scalar(Some("false".to_owned()))));
        assert_eq!(bound(&Kind::Integer, &Value::text("7"), false), None);
        assert_eq!(bound(&text, &Value::Int(7), false), None);
    }
}
