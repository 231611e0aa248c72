//! Values in another form (semantics §2.1): when the rules of a field change, what is known of a record is brought into the
//! new form before anything is folded against it, or every record would look edited. A reference to a provisional record
//! that turned out to be another (§2.8) is such a value too: it names the same record by another name. Nothing but the form
//! changes: no version, no cause, nothing owed.

use std::collections::BTreeMap;

use model::record::{Record, Reformed, Renormalisation};
use model::spec::{FieldSpec, Kind, Policy, TypeSpec};
use model::{Fields, Line, RecordType, Rid, Shared, Side, TypedValue, Value};

use crate::field::{set, value};
use crate::normal::{VERSION, normalise};
use crate::references::{each_reference, map_references};

/// The rules of form of a type in one text: of two types with the same, values have the same form.
pub fn form(spec: &TypeSpec) -> String {
    let mut form = format!("normalisation {VERSION}");
    for field in spec.fields.iter().filter(|field| field.policy != Policy::Ignored) {
        form.push_str(&format!("; {} {:?}", field.name, field.kind));
    }
    form
}

/// What of a record is not in the form its type asks for, and what it is in it; `None` when all of it is. A value that has
/// no form under the rules (longer than the text may be now, no number) stays as it is: the next read of it is refused, and
/// tells whom to ask.
pub fn renormalisation(record: &Record, spec: &TypeSpec) -> Option<Renormalisation> {
    let of = |state: &Fields| -> BTreeMap<String, Reformed> {
        let other = state.iter().filter_map(|(name, from)| {
            let field = spec.field(name).filter(|field| field.policy != Policy::Ignored)?;
            let to = again(field, from)?;
            Some((name.clone(), Reformed { from: from.clone(), to }))
        });
        other.collect()
    };
    let found = Renormalisation {
        state: of(&record.head.state),
        suitex: of(&record.shadows.suitex.state),
        netsuite: of(&record.shadows.netsuite.state),
        heirs: BTreeMap::new(),
    };
    (found != Renormalisation::default()).then_some(found)
}

/// References a record holds to provisional ones of which it is known by now who they are: in what is known of it, and in
/// writes whose end nobody knows. `None` where there is none, which is nearly always.
pub fn renamed(record: &Record, spec: &TypeSpec, heirs: &BTreeMap<Rid, Rid>) -> Option<Renormalisation> {
    if heirs.is_empty() {
        return None;
    }
    let mut found = Renormalisation::default();
    let shadows = Side::BOTH.into_iter().map(|side| &*record.shadows[side].state);
    let writes = record.unresolved.iter().flat_map(|intent| [&intent.changes, &intent.pre]);
    for fields in shadows.chain([&*record.head.state]).chain(writes) {
        each_reference(&spec.fields, fields, &mut |_, id| {
            found.heirs.extend(id.parse().ok().and_then(|id| heirs.get_key_value(&Rid(id))));
        });
    }
    (!found.heirs.is_empty()).then_some(found)
}

/// Puts the values in their new form where they are as they were then.
pub(crate) fn reform(record: &mut Record, spec: &TypeSpec, entry: &Renormalisation) {
    put(&mut record.head.state, &entry.state);
    for side in Side::BOTH {
        let of_side = match side {
            Side::Suitex => &entry.suitex,
            Side::Netsuite => &entry.netsuite,
        };
        put(&mut record.shadows[side].state, of_side);
    }
    if entry.heirs.is_empty() {
        return;
    }
    rename(&mut record.head.state, spec, &entry.heirs);
    for side in Side::BOTH {
        rename(&mut record.shadows[side].state, spec, &entry.heirs);
    }
    for intent in &mut record.unresolved {
        rename(&mut intent.changes, spec, &entry.heirs);
        rename(&mut intent.pre, spec, &entry.heirs);
    }
}

fn rename(fields: &mut Fields, spec: &TypeSpec, heirs: &BTreeMap<Rid, Rid>) {
    let heir = |_: &RecordType, id: &str| {
        let heir = id.parse().ok().and_then(|id| heirs.get(&Rid(id)));
        Some(heir.map_or_else(|| id.to_owned(), ToString::to_string))
    };
    if let Ok(renamed) = map_references(&spec.fields, fields, &heir)
        && renamed != *fields
    {
        *fields = renamed;
    }
}

fn put(state: &mut Shared<Fields>, reformed: &BTreeMap<String, Reformed>) {
    for (name, Reformed { from, to }) in reformed {
        // Under other policies than those of its time (what-if) another value may stand here.
        if value(state, name) == *from {
            set(state, name, to.clone());
        }
    }
}

/// The value in its field's form; `None` when it is that already, or has none.
fn again(field: &FieldSpec, value: &Value) -> Option<Value> {
    let other = match (&field.kind, value) {
        (_, Value::Null) | (Kind::Bool, Value::Bool(_)) | (Kind::Integer, Value::Int(_)) => return None,
        // By far the most, seen without a copy.
        (Kind::Text { max, keep_trailing }, Value::Text(text)) if plain(text, *max, *keep_trailing) => return None,
        (Kind::Lines(spec), Value::Lines(lines)) => {
            let line = |line: &Line| -> Line {
                let fields = line.as_ref()?;
                let again = |(name, held): (&String, &Value)| {
                    let other = spec.field(name).and_then(|field| again(field, held));
                    (name.clone(), other.unwrap_or_else(|| held.clone()))
                };
                Some(fields.iter().map(again).collect())
            };
            Value::Lines(lines.iter().map(|(key, held)| (key.clone(), line(held))).collect())
        }
        (_, value) => normalise(field, &typed(value)?).ok()?,
    };
    (other != *value).then_some(other)
}

/// Text that the rules of [`crate::normal`] leave as it is.
fn plain(text: &str, max: usize, keep_trailing: bool) -> bool {
    // Byte by byte without a way out: this is done to all that is known of a record in every step, and many at once are fast.
    let printable = text.bytes().fold(true, |all, byte| all & matches!(byte, b'\n' | b'\t' | b' '..=b'~'));
    printable && !text.is_empty() && text.len() <= max && (keep_trailing || !text.ends_with(' '))
}

fn typed(value: &Value) -> Option<TypedValue> {
    Some(match value {
        Value::Null => TypedValue::Null,
        Value::Bool(flag) => TypedValue::Bool(*flag),
        Value::Int(number) => TypedValue::Integer(*number),
        Value::Text(text) => TypedValue::Text(text.clone()),
        Value::Set(set) => TypedValue::Set(set.iter().cloned().collect()),
        Value::Lines(_) => return None,
    })
}

#[cfg(test)]
mod tests;
