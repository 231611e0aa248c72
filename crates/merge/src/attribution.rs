//! Our own writes in what was read (R4): told by identity, before anything is compared.

use model::record::{Ack, Existence, Intent, IntentStatus, Observation, Record};
use model::{Fields, LineIds, Side, Value, WriteKind};

use crate::field::{Context, set, value};
use crate::fold::{Effects, acknowledge, observation};

/// Own writes first (R4): those the read found landed, in stamp order; and an absent record lands a delete of ours.
pub(crate) fn attribute(record: &mut Record, cx: &Context<'_>, obs: &Observation, fx: &mut Effects) {
    let landed = |intent: &Intent| {
        intent.side == obs.side
            && (obs.landed.contains(&intent.write_id) || (!obs.exists && intent.kind == WriteKind::Delete))
    };
    let mut ids: Vec<_> = record.unresolved.iter().filter(|i| landed(i)).map(|i| (i.stamp, i.write_id)).collect();
    ids.sort_unstable();
    for (_, write_id) in ids {
        fold_guard(record, cx, obs, write_id, fx);
        let ack =
            Ack { write_id, side: obs.side, token: None, native_id: obs.native_id.clone(), line_ids: LineIds::new() };
        acknowledge(record, &ack, cx.at, fx);
    }
    if !obs.exists && obs.side == Side::Netsuite {
        fence_updates(record, fx);
    }
}

/// The guard let the write through, so just before it the side held `pre`. Where the shadow says otherwise, a user has
/// put the old value back since we looked, and our late write replaced that edit: it is folded first, as the
/// observation nobody could make, or nobody would ever know of it (I2).
fn fold_guard(record: &mut Record, cx: &Context<'_>, obs: &Observation, write_id: model::WriteId, fx: &mut Effects) {
    let Some(intent) = record.unresolved.iter().find(|intent| intent.write_id == write_id) else { return };
    let shadow = &record.shadows[obs.side];
    if intent.kind != WriteKind::Update || shadow.exists != Existence::Yes {
        return;
    }
    let mut held = Fields::new();
    for (name, expected) in &intent.pre {
        let seen = value(&shadow.state, name);
        let proven = proven(&seen, expected);
        if proven != seen {
            held.insert(name.clone(), proven);
        }
    }
    if held.is_empty() {
        return;
    }
    // Ids and versions are of the row as it was read; the read that is being folded brings the very same.
    let before = Observation { exists: true, fields: held, landed: Vec::new(), ..obs.clone() };
    observation(record, cx, &before, fx);
}

/// What the guard proves of a field: its value; of a sublist the values of the lines it names, and no more.
fn proven(seen: &Value, expected: &Value) -> Value {
    let (Some(guarded), Some(lines)) = (expected.as_lines(), seen.as_lines()) else {
        return if expected.as_lines().is_some() { seen.clone() } else { expected.clone() };
    };
    let mut lines = lines.clone();
    for (key, guard) in guarded {
        if let (Some(Some(line)), Some(guard)) = (lines.get_mut(key), guard) {
            for (name, value) in guard {
                set(line, name, value.clone());
            }
        }
    }
    Value::Lines(lines)
}

/// NetSuite never gives an id to another record: what was sent to one that is gone can land no more. (A SuiteX row may
/// be inserted again under its old id, so there unknown writes stay attributable.)
fn fence_updates(record: &mut Record, fx: &mut Effects) {
    let (gone, rest): (Vec<_>, Vec<_>) = record.unresolved.drain(..).partition(|intent| {
        intent.side == Side::Netsuite && intent.kind == WriteKind::Update && intent.status == IntentStatus::Unknown
    });
    record.unresolved = rest;
    fx.resolved.extend(gone.into_iter().map(|intent| Intent { status: IntentStatus::Fenced, ..intent }));
}
