//! How the wide part of a record is kept short.
//!
//! A side's state is kept as its difference from the canonical state: in the steady state all three are equal, so two
//! thirds of what would be written and read is nothing. Causes are kept once each, with the fields they brought.

use std::collections::BTreeMap;

use model::record::FieldMeta;
use model::{Fields, Shared, Value};
use serde::{Deserialize, Serialize};

/// What stands in `record_body.sx_state` and `ns_state`; no value at all means "as canonical".
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kept {
    Full(Fields),
    /// Field → `[value]`, or `[]` for a field the side does not have.
    Diff(BTreeMap<String, Vec<Value>>),
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum KeptRef<'a> {
    Full(&'a Fields),
    Diff(BTreeMap<&'a str, Vec<&'a Value>>),
}

/// The JSON to keep for a side, `None` when it equals the canonical state. `Some(None)` when it holds a NUL.
pub(super) fn keep(canonical: &Shared<Fields>, side: &Shared<Fields>) -> Option<Option<String>> {
    if canonical == side {
        return None;
    }
    let changed = side.iter().filter(|(field, value)| canonical.get(*field) != Some(value));
    let mut diff: BTreeMap<&str, Vec<&Value>> = changed.map(|(field, value)| (field.as_str(), vec![value])).collect();
    diff.extend(canonical.keys().filter(|field| !side.contains_key(*field)).map(|field| (field.as_str(), Vec::new())));
    // Where little is shared the difference is the longer of the two.
    let kept = if diff.len() > side.len() { KeptRef::Full(side) } else { KeptRef::Diff(diff) };
    Some(crate::json_text::write_clean(&kept))
}

/// The side's state from what was kept.
pub(super) fn restore(canonical: &Shared<Fields>, kept: Option<&[u8]>) -> Result<Shared<Fields>, serde_json::Error> {
    let Some(kept) = kept else { return Ok(canonical.clone()) };
    Ok(match serde_json::from_slice(kept)? {
        Kept::Full(state) => state.into(),
        Kept::Diff(diff) => {
            let mut state = Fields::clone(canonical);
            for (field, mut value) in diff {
                match value.pop() {
                    Some(value) => state.insert(field, value),
                    None => state.remove(&field),
                };
            }
            state.into()
        }
    })
}

/// The JSON to keep for the causes of fields: `[[cause, [fields]], …]`. `None` when it holds a NUL.
pub(super) fn keep_meta(meta: &BTreeMap<String, FieldMeta>) -> Option<String> {
    let mut causes: Vec<(&FieldMeta, Vec<&str>)> = Vec::new();
    for (field, cause) in meta {
        match causes.iter_mut().find(|(known, _)| *known == cause) {
            Some((_, fields)) => fields.push(field),
            None => causes.push((cause, vec![field])),
        }
    }
    crate::json_text::write_clean(&causes)
}

/// The causes of fields from what was kept.
pub(super) fn restore_meta(kept: Vec<(FieldMeta, Vec<String>)>) -> BTreeMap<String, FieldMeta> {
    kept.into_iter().flat_map(|(cause, fields)| fields.into_iter().map(move |field| (field, cause.clone()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(pairs: &[(&str, Value)]) -> Fields {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
    }

    #[test]
    fn what_is_kept_comes_back() {
        let states = [
            fields(&[]),
            fields(&[("a", Value::Int(1)), ("b", Value::text("x")), ("c", Value::Bool(true))]),
            fields(&[("a", Value::Int(1)), ("b", Value::text("y")), ("c", Value::Bool(true))]),
            fields(&[("a", Value::Int(1)), ("c", Value::Null)]),
            fields(&[("z", Value::Set(["1".to_owned()].into()))]),
        ];
        let states = states.map(Shared::from);
        for canonical in &states {
            for side in &states {
                let kept = keep(canonical, side).map(|json| json.unwrap());
                assert_eq!(kept.is_none(), canonical == side);
                assert_eq!(&restore(canonical, kept.as_deref().map(str::as_bytes)).unwrap(), side);
            }
        }
    }

    #[test]
    fn a_cause_is_kept_once() {
        let cause = |n: u128| FieldMeta {
            side: None,
            event_id: uuid::Uuid::from_u128(n),
            edited_at: model::Timestamp::UNIX_EPOCH,
            written_to: None,
            rewrites: 0,
            rewriting_since: None,
        };
        let meta: BTreeMap<String, FieldMeta> =
            [("a", 1), ("b", 2), ("c", 1)].map(|(field, n)| (field.to_owned(), cause(n))).into();
        let kept = keep_meta(&meta).unwrap();
        assert_eq!(kept.matches("event_id").count(), 2);
        assert_eq!(restore_meta(serde_json::from_str(&kept).unwrap()), meta);
        assert_eq!(keep_meta(&BTreeMap::new()).unwrap(), "[]");
    }
}
