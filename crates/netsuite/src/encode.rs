//! NetSuite's encodings, both ways: SuiteQL text in, canonical values out; canonical values in, the write RESTlet's
//! JSON out. The field's own rules (lengths, who wins) are elsewhere.

use std::collections::BTreeSet;

use model::spec::{FieldSpec, Kind};
use model::wire::{ExactDecimal, calendar_date, instant, whole_second};
use model::{ErrorClass, Failure, Rid, Value};
use serde_json::json;
use unicode_normalization::UnicodeNormalization;
use uuid::Uuid;

/// What our external ids begin with; the rid follows.
pub(crate) const EXTERNAL_PREFIX: &str = "sx_";
/// What separates the ids of a multi-select: `U+0005` in scripts, a comma in SuiteQL.
const SET_SEPARATORS: [char; 2] = ['\u{5}', ','];

/// A SuiteQL text as the field's canonical value. `None` (null) and empty text are empty.
pub(crate) fn value(field: &FieldSpec, text: Option<&str>) -> Result<Value, Failure> {
    let text = text.filter(|text| !text.is_empty());
    match &field.kind {
        // A checkbox that was never touched is not ticked.
        Kind::Bool => match text {
            None | Some("F" | "f" | "false") => Ok(Value::Bool(false)),
            Some("T" | "t" | "true") => Ok(Value::Bool(true)),
            Some(_) => Err(bad(field, "is no checkbox value", "T or F")),
        },
        Kind::Integer => whole(text).map_err(|()| bad(field, "is no whole number", "digits")),
        Kind::Decimal { scale } => match text {
            None => Ok(Value::Null),
            Some(text) => decimal(field, text, *scale),
        },
        Kind::Text { keep_trailing, .. } => match text {
            None => Ok(Value::Null),
            Some(text) => canonical_text(field, text, *keep_trailing),
        },
        Kind::Date => dated(field, text, "YYYY-MM-DD", |t| calendar_date(t).map(|date| date.to_string())),
        Kind::DateTime => {
            dated(field, text, "a UTC instant to the second", |t| instant(t).map(|at| whole_second(at).to_string()))
        }
        Kind::Reference { .. } => Ok(text.map_or(Value::Null, |text| Value::text(text.trim()))),
        Kind::Set => Ok(set(text.unwrap_or_default())),
        Kind::Lines(_) => Err(bad(field, "is a sublist", "a query of its own")),
    }
}

/// The same number with the other sign, at the same scale: SuiteQL flips quantities of sales (fact sheet §4).
pub(crate) fn flipped(value: Value) -> Value {
    match value {
        Value::Text(text) => match text.strip_prefix('-') {
            Some(positive) => Value::Text(positive.to_owned()),
            None if text.bytes().any(|b| matches!(b, b'1'..=b'9')) => Value::Text(format!("-{text}")),
            None => Value::Text(text),
        },
        Value::Int(number) => Value::Int(-number),
        other @ (Value::Null | Value::Bool(_) | Value::Set(_) | Value::Lines(_)) => other,
    }
}

fn whole(text: Option<&str>) -> Result<Value, ()> {
    let Some(text) = text else { return Ok(Value::Null) };
    ExactDecimal::parse(text.trim()).and_then(ExactDecimal::integer).map(Value::Int).ok_or(())
}

/// Never rounded: a rounded shadow could not be what the guard finds on the record, and the write would be stale
/// for ever.
fn decimal(field: &FieldSpec, text: &str, scale: u32) -> Result<Value, Failure> {
    let accepted = || format!("a decimal within ±10^15 with at most {scale} digits after the point");
    let refuse = |what: &str| bad(field, what, &accepted());
    let number = ExactDecimal::parse(text.trim()).ok_or_else(|| refuse("is no decimal"))?;
    let spelled = number.at_scale(scale).ok_or_else(|| refuse("is too large"))?;
    if ExactDecimal::parse(&spelled) != Some(number) {
        return Err(refuse("has too many digits after the point"));
    }
    Ok(Value::Text(spelled))
}

fn canonical_text(field: &FieldSpec, text: &str, keep_trailing: bool) -> Result<Value, Failure> {
    if text.contains('\0') {
        return Err(bad(field, "holds the character NUL", "text without it"));
    }
    let text: String = text.replace("\r\n", "\n").replace('\r', "\n").nfc().collect();
    Ok(Value::text(if keep_trailing { text.as_str() } else { text.trim_end_matches(' ') }))
}

fn dated(
    field: &FieldSpec,
    text: Option<&str>,
    accepted: &str,
    parse: impl Fn(&str) -> Option<String>,
) -> Result<Value, Failure> {
    match text {
        None => Ok(Value::Null),
        Some(text) => parse(text).map(Value::Text).ok_or_else(|| bad(field, "is not in the form asked for", accepted)),
    }
}

fn set(text: &str) -> Value {
    let ids: BTreeSet<String> =
        text.split(SET_SEPARATORS).map(str::trim).filter(|id| !id.is_empty()).map(str::to_owned).collect();
    if ids.is_empty() { Value::Null } else { Value::Set(ids) }
}

fn bad(field: &FieldSpec, what: &str, accepted: &str) -> Failure {
    let reason = format!("NetSuite's value of {} {what}; accepted is {accepted}", field.name);
    Failure::new(ErrorClass::Validation, "bad_value", reason)
}

/// A value as the write RESTlet takes it. Sublists do not come here: they have a member of their own.
pub(crate) fn wire(value: &Value) -> serde_json::Value {
    match value {
        Value::Null => json!(null),
        Value::Bool(value) => json!(value),
        Value::Int(value) => json!(value),
        Value::Text(value) => json!(value),
        Value::Set(ids) => json!(ids),
        Value::Lines(_) => unreachable!("sublists are written beside the fields, not among them"),
    }
}

/// Our external id of a record.
pub(crate) fn external_id(rid: Rid) -> String {
    format!("{EXTERNAL_PREFIX}{rid}")
}

/// The rid in an external id, if it is one of ours.
pub(crate) fn external_rid(text: Option<&str>) -> Option<Rid> {
    Uuid::try_parse(text?.strip_prefix(EXTERNAL_PREFIX)?).ok().map(Rid)
}

/// The stamp `rid:n`, if the field holds one. Whatever else stands there is no stamp of ours.
pub(crate) fn stamp(text: Option<&str>) -> Option<(Rid, u64)> {
    let (rid, n) = text?.trim().split_once(':')?;
    Some((Rid(Uuid::try_parse(rid).ok()?), n.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use model::RecordType;

    use super::*;

    fn field(kind: Kind) -> FieldSpec {
        FieldSpec {
            name: "f".into(),
            column: "f".into(),
            kind,
            policy: model::spec::Policy::NewestWins,
            group: None,
            read_only: None,
            create_only: None,
            rest: None,
            note: None,
        }
    }

    fn read(kind: Kind, text: &str) -> Result<Value, &'static str> {
        value(&field(kind), Some(text)).map_err(|failure| failure.code)
    }

    #[test]
    fn checkboxes_are_t_and_f_and_missing_is_false() {
        assert_eq!(read(Kind::Bool, "T"), Ok(Value::Bool(true)));
        assert_eq!(read(Kind::Bool, "F"), Ok(Value::Bool(false)));
        assert_eq!(value(&field(Kind::Bool), None).unwrap(), Value::Bool(false));
        assert_eq!(read(Kind::Bool, "yes"), Err("bad_value"));
    }

    #[test]
    fn decimals_have_one_spelling_at_the_fields_scale_and_are_never_rounded() {
        let at = |scale, text: &str| read(Kind::Decimal { scale }, text);
        for spelling in ["10", "10.00", "10.0000", "1e1", "+10", " 10 "] {
            assert_eq!(at(2, spelling), Ok(Value::text("10.00")), "{spelling}");
        }
        for (text, canonical) in [(".5", "0.50"), ("-.5", "-0.50"), ("0", "0.00"), ("-0", "0.00"), ("0.10", "0.10")] {
            assert_eq!(at(2, text), Ok(Value::text(canonical)), "{text}");
        }
        assert_eq!(at(4, "1.25"), Ok(Value::text("1.2500")));
        for bad in ["10.005", "ten", "5.0%", "79228162514264337593543950335", "NaN", "1,000.00"] {
            assert_eq!(at(2, bad), Err("bad_value"), "{bad}");
        }
    }

    #[test]
    fn whole_numbers_are_whole() {
        assert_eq!(read(Kind::Integer, "5.0"), Ok(Value::Int(5)));
        assert_eq!(read(Kind::Integer, "-1000000000000000"), Ok(Value::Int(-1_000_000_000_000_000)));
        assert_eq!(read(Kind::Integer, ""), Ok(Value::Null));
        for bad in ["5.5", "9223372036854775808", "x"] {
            assert_eq!(read(Kind::Integer, bad), Err("bad_value"), "{bad}");
        }
    }

    #[test]
    fn text_is_nfc_with_lf_and_without_trailing_space() {
        let text = |keep_trailing, text: &str| read(Kind::Text { max: 10, keep_trailing }, text);
        assert_eq!(text(false, "e\u{301}\r\nb \r"), Ok(Value::text("é\nb \n")));
        assert_eq!(text(true, "a  "), Ok(Value::text("a  ")));
        assert_eq!(text(false, "   "), Ok(Value::Null));
        assert_eq!(text(false, "a\0"), Err("bad_value"));
    }

    #[test]
    fn dates_are_only_taken_in_the_form_asked_for() {
        assert_eq!(read(Kind::Date, "2026-02-28"), Ok(Value::text("2026-02-28")));
        assert_eq!(read(Kind::DateTime, "2026-02-28T01:02:03Z"), Ok(Value::text("2026-02-28T01:02:03Z")));
        for (kind, bad) in [(Kind::Date, "3/2/2026"), (Kind::Date, "2026-02-30"), (Kind::DateTime, "2026-02-28")] {
            assert_eq!(read(kind, bad), Err("bad_value"), "{bad}");
        }
    }

    #[test]
    fn sets_lose_order_and_separators() {
        let ids = |ids: &[&str]| Ok(Value::Set(ids.iter().map(|id| (*id).to_owned()).collect()));
        for text in ["2, 10", "10,2", "2\u{5}10", " 10 , 2 , 2"] {
            assert_eq!(read(Kind::Set, text), ids(&["10", "2"]), "{text}");
        }
        assert_eq!(read(Kind::Set, " "), Ok(Value::Null));
    }

    #[test]
    fn references_are_ids() {
        let kind = || Kind::Reference { to: RecordType::parse("customer").unwrap() };
        assert_eq!(read(kind(), "42"), Ok(Value::text("42")));
        assert_eq!(read(kind(), ""), Ok(Value::Null));
    }

    #[test]
    fn a_flipped_quantity_keeps_its_scale_and_zero_has_no_sign() {
        for (from, to) in [("-2.0000", "2.0000"), ("1.5000", "-1.5000"), ("0.0000", "0.0000")] {
            assert_eq!(flipped(Value::text(from)), Value::text(to));
        }
    }

    #[test]
    fn stamps_and_external_ids_of_others_are_not_ours() {
        let rid = Rid(Uuid::from_u128(7));
        assert_eq!(stamp(Some(&format!("{rid}:12"))), Some((rid, 12)));
        assert_eq!(external_rid(Some(&external_id(rid))), Some(rid));
        for foreign in ["", "x", "12", "sx_", ":1", "a:b", "sx_12"] {
            assert_eq!((stamp(Some(foreign)), external_rid(Some(foreign))), (None, None), "{foreign}");
        }
    }
}
