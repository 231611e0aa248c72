//! What a side is owed: the difference between its shadow and the canonical state. The only source of any write.

use model::record::{Existence, Record};
use model::spec::{FieldSpec, LinesSpec, TypeSpec};
use model::{Fields, Lines, Side, Value};

use crate::field::value;

/// What must be written to a side for it to hold the canonical state.
#[derive(Debug, Clone, PartialEq)]
pub enum Owed {
    /// Nothing (that may be written).
    Nothing,
    /// The record, with these values.
    Create {
        /// All non-empty writable values.
        changes: Fields,
    },
    /// These fields.
    Update {
        /// New values; null clears. Lines: changed lines with their changed fields; `None` = remove.
        changes: Fields,
        /// What the side must still hold for the write to be right, in the shape of `changes`; a changed member of
        /// an atomic group brings the whole group.
        pre: Fields,
    },
    /// The record's deletion.
    Delete {
        /// The whole shadow, empty fields as null.
        pre: Fields,
    },
}

/// What the side is owed and may be written now: locked fields are left out (semantics §1).
pub fn owed(record: &Record, spec: &TypeSpec, side: Side) -> Owed {
    if record.locked() {
        return Owed::Nothing;
    }
    owed_to(record, spec, side, &|field| record.field_locked(field))
}

/// Whether [`owed`] is anything, without saying what.
pub(crate) fn is_owed(record: &Record, spec: &TypeSpec, side: Side) -> bool {
    let shadow = &record.shadows[side];
    let same = record.head.alive && shadow.exists == Existence::Yes && record.head.state == shadow.state;
    !same && owed(record, spec, side) != Owed::Nothing
}

pub(crate) fn owed_to(record: &Record, spec: &TypeSpec, side: Side, locked: &dyn Fn(&str) -> bool) -> Owed {
    if record.head.version == 0 || record.head.merged_into.is_some() {
        return Owed::Nothing;
    }
    let shadow = &record.shadows[side];
    match (record.head.alive, shadow.exists) {
        (true, Existence::Yes) => update(record, spec, side, locked),
        (true, Existence::Never | Existence::Deleted) => {
            let changes = spec
                .fields
                .iter()
                .filter(|f| f.writable(side, true) && !group_locked(spec, f, locked))
                .filter_map(|f| Some((f.name.clone(), creation(f, record.head.state.get(&f.name)?, side))))
                .collect();
            Owed::Create { changes }
        }
        (false, Existence::Yes) => Owed::Delete { pre: whole(spec, &shadow.state) },
        (false, Existence::Never | Existence::Deleted) => Owed::Nothing,
    }
}

/// Everything that goes with a record, empty fields included: what a user typed into one of them since we looked must
/// stop the deletion as well.
fn whole(spec: &TypeSpec, state: &Fields) -> Fields {
    let synced = spec.fields.iter().filter(|f| f.policy != model::spec::Policy::Ignored);
    synced.map(|f| (f.name.clone(), value(state, &f.name))).collect()
}

fn group_locked(spec: &TypeSpec, field: &FieldSpec, locked: &dyn Fn(&str) -> bool) -> bool {
    spec.group_of(field).iter().any(|member| locked(&member.name))
}

fn creation(field: &FieldSpec, value: &Value, side: Side) -> Value {
    match (field.lines(), value) {
        (Some(spec), Value::Lines(lines)) => {
            let lines = lines.iter().map(|(key, line)| (key.clone(), line.as_ref().map(|l| new_line(spec, l, side))));
            Value::Lines(lines.collect())
        }
        _ => value.clone(),
    }
}

fn new_line(spec: &LinesSpec, line: &Fields, side: Side) -> Fields {
    let writable = |name: &str| spec.field(name).is_some_and(|f| f.writable(side, true));
    line.iter().filter(|(name, _)| writable(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn update(record: &Record, spec: &TypeSpec, side: Side, locked: &dyn Fn(&str) -> bool) -> Owed {
    let (state, shadow) = (&record.head.state, &record.shadows[side].state);
    let (mut changes, mut pre) = (Fields::new(), Fields::new());
    for field in spec.fields.iter().filter(|f| f.writable(side, false) && !group_locked(spec, f, locked)) {
        let (want, have) = (value(state, &field.name), value(shadow, &field.name));
        if want == have {
            continue;
        }
        if let Some(lines) = field.lines() {
            let (to_set, held) = line_changes(lines, &want, &have, side);
            if !to_set.is_empty() {
                changes.insert(field.name.clone(), Value::Lines(to_set));
                pre.insert(field.name.clone(), Value::Lines(held));
            }
            continue;
        }
        changes.insert(field.name.clone(), want);
        for member in spec.group_of(field) {
            pre.insert(member.name.clone(), value(shadow, &member.name));
        }
    }
    if changes.is_empty() { Owed::Nothing } else { Owed::Update { changes, pre } }
}

/// Changed lines with their changed fields, and what they are now.
fn line_changes(spec: &LinesSpec, want: &Value, have: &Value, side: Side) -> (Lines, Lines) {
    let empty = Lines::new();
    let (want, have) = (want.as_lines().unwrap_or(&empty), have.as_lines().unwrap_or(&empty));
    let (mut changes, mut pre) = (Lines::new(), Lines::new());
    for key in want.keys().chain(have.keys().filter(|key| !want.contains_key(*key))) {
        let (wanted, held) = (want.get(key).and_then(Option::as_ref), have.get(key).and_then(Option::as_ref));
        match (wanted, held) {
            (Some(wanted), Some(held)) => {
                let (mut to_set, mut guard) = (Fields::new(), Fields::new());
                for field in spec.line.iter().filter(|f| f.writable(side, false)) {
                    let (new, old) = (value(wanted, &field.name), value(held, &field.name));
                    if new != old {
                        to_set.insert(field.name.clone(), new);
                        guard.insert(field.name.clone(), old);
                    }
                }
                if !to_set.is_empty() {
                    changes.insert(key.clone(), Some(to_set));
                    pre.insert(key.clone(), Some(guard));
                }
            }
            (Some(wanted), None) => {
                changes.insert(key.clone(), Some(new_line(spec, wanted, side)));
                pre.insert(key.clone(), None);
            }
            (None, held) => {
                changes.insert(key.clone(), None);
                pre.insert(key.clone(), held.cloned());
            }
        }
    }
    (changes, pre)
}

#[cfg(test)]
mod tests;
