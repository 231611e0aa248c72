//! From what a side answered to what the fold understands: references become rids, lines get their keys, edit times
//! come into our clock.

use std::collections::{BTreeMap, HashMap};

use merge::{each_reference, key_lines, map_references, renamed};
use model::record::{Observation, Record, Renormalisation};
use model::spec::{FieldSpec, TypeSpec};
use model::{Fields, LineIds, NativeId, Observed, RecordType, Side, Timestamp, Value};
use store::records::{Link, Pending};

/// A side's ids of referenced records → whose they are.
pub(crate) type References = HashMap<(RecordType, NativeId), Link>;

/// Every reference among these values, by the side's own ids.
pub(crate) fn references(spec: &TypeSpec, fields: &Fields, found: &mut Vec<(RecordType, NativeId)>) {
    each_reference(&spec.fields, fields, &mut |to, id| {
        if let Ok(id) = NativeId::parse(id) {
            found.push((to.clone(), id));
        }
    });
}

/// What was seen, beside what it answers.
pub(crate) struct Seen<'a> {
    pub(crate) side: Side,
    pub(crate) observed: &'a Observed,
    /// When the read began, by our clock.
    pub(crate) read_at: Timestamp,
    pub(crate) references: &'a References,
    /// The hints this observation answers.
    pub(crate) hints: &'a [&'a Pending],
}

/// What the record calls otherwise than these values of a side do: provisional records that turned out to be others
/// (semantics §2.8). It is renamed before they are folded, or a name would look like an edit.
pub(crate) fn other_names(
    record: &Record,
    spec: &TypeSpec,
    seen: &Fields,
    known: &References,
) -> Option<Renormalisation> {
    let mut heirs = BTreeMap::new();
    each_reference(&spec.fields, seen, &mut |to, id| {
        let link = NativeId::parse(id).ok().and_then(|id| known.get(&(to.clone(), id)));
        if let Some(link) = link {
            heirs.extend(link.formerly.iter().map(|rid| (*rid, link.rid)));
        }
    });
    renamed(record, spec, &heirs)
}

/// The observation as the fold takes it. A reference nobody could resolve stays unknown: the field is left out.
pub(crate) fn observation(record: &Record, spec: &TypeSpec, seen: &Seen<'_>) -> Observation {
    let observed = seen.observed;
    let mut fields = Fields::new();
    let mut line_ids = LineIds::new();
    let map = |to: &RecordType, id: &str| {
        let id = NativeId::parse(id).ok()?;
        seen.references.get(&(to.clone(), id)).map(|link| link.rid.to_string())
    };
    for (name, value) in &observed.fields {
        let single: Fields = [(name.clone(), value.clone())].into();
        let Ok(mut mapped) = map_references(&spec.fields, &single, &map) else { continue };
        let value = mapped.remove(name).unwrap_or_default();
        let value = match (spec.field(name).and_then(FieldSpec::lines), value) {
            (Some(lines), value) => {
                let known = record.shadows[seen.side].line_ids.get(name).cloned().unwrap_or_default();
                let by_id = value.as_lines().cloned().unwrap_or_default();
                let (lines, ids) = key_lines(lines, seen.side, &known, &expected(record, seen, name), &by_id);
                line_ids.insert(name.clone(), ids);
                // No lines is the empty value, as in every state: else an empty sublist would look edited.
                if lines.is_empty() { Value::Null } else { Value::Lines(lines) }
            }
            (None, value) => value,
        };
        fields.insert(name.clone(), value);
    }
    let own_stamp = observed.stamp.filter(|(rid, _)| *rid == record.key.rid).map(|(_, stamp)| stamp);
    Observation {
        side: seen.side,
        exists: observed.exists,
        fields,
        complete: observed.exists,
        token: observed.token,
        stamp: own_stamp,
        note: observed.note,
        landed: observed.landed.clone(),
        native_id: observed.native_id.clone(),
        line_ids,
        edited: edit_times(seen),
        causes: seen.hints.iter().map(|hint| hint.event_id).collect(),
        occurred_at: seen.hints.iter().map(|hint| hint.occurred_at).min(),
        twins: Vec::new(),
    }
}

/// A sublist as it may stand on the side: what we know of it, what our writes that landed made of it, what it should be.
fn expected<'a>(record: &'a Record, seen: &Seen<'_>, name: &str) -> Vec<&'a Value> {
    let shadow = record.shadows[seen.side].state.get(name);
    let landed = record.unresolved.iter().filter(|intent| seen.observed.landed.contains(&intent.write_id));
    let written = landed.filter_map(|intent| intent.changes.get(name));
    shadow.into_iter().chain(written).chain(record.head.state.get(name)).collect()
}

/// Edit times in our clock (semantics §2.5): a hint naming the field, else the record's last modification — unless
/// our own write is what modified it. The side's clock read together with the record cancels a constant skew.
fn edit_times(seen: &Seen<'_>) -> BTreeMap<String, Timestamp> {
    let observed = seen.observed;
    let ours = |theirs: Timestamp| match observed.clock {
        Some(clock) => seen.read_at.checked_add(theirs.duration_since(clock)).unwrap_or(theirs),
        None => theirs,
    };
    let mut edited = BTreeMap::new();
    let age = observed.age.filter(|_| observed.landed.is_empty());
    if let Some(at) = age.and_then(|age| seen.read_at.checked_sub(age).ok()) {
        edited.insert(String::new(), at);
    }
    for hint in seen.hints.iter().filter(|hint| hint.write_id.is_none()) {
        for name in hint.changes.keys() {
            edited.insert(name.clone(), ours(hint.occurred_at));
        }
    }
    edited
}
