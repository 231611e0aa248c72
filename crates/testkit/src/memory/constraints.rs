//! What the database's constraints refuse, and what the invariants forbid (I6, I7, R5, R7, R9).

use std::collections::BTreeSet;

use model::Side;
use model::record::{Entry, IntentStatus, Record};
use store::records::{Outgoing, Patch};

/// Contradictions that no store could hold. The sentence says which.
pub(super) fn check(before: &Record, patch: &Patch) -> Result<(), String> {
    let after = &patch.record;
    let versions = patch.versions.len() as u64;
    if after.head.version != before.head.version + versions {
        let (from, to) = (before.head.version, after.head.version);
        return Err(format!("I6: the version goes from {from} to {to} with {versions} version rows"));
    }
    for (row, number) in patch.versions.iter().zip(before.head.version + 1..) {
        if row.version != number {
            return Err(format!("I6: version row {} where {number} is next", row.version));
        }
    }
    if after.head.record_seq != before.head.record_seq + patch.log.len() as u64 {
        return Err("record_seq does not move with the log".to_owned());
    }
    for (row, number) in patch.log.iter().zip(before.head.record_seq + 1..) {
        if row.record_seq != number {
            return Err(format!("log row {} where {number} is next", row.record_seq));
        }
    }
    let mut last = before.head.last_stamp;
    for row in &patch.log {
        if let Entry::Claim(intent) = &row.entry {
            if intent.stamp <= last {
                return Err(format!("I6: stamp {} after {last}", intent.stamp));
            }
            last = intent.stamp;
        }
    }
    if after.head.last_stamp != last {
        return Err("last_stamp is not the stamp of the last claim".to_owned());
    }
    if after.head.lease_token < before.head.lease_token {
        return Err("a lease token was given out again".to_owned());
    }
    in_flight(after)?;
    bells(before, after)?;
    let mut fields = BTreeSet::new();
    match after.conflicts.iter().find(|conflict| !fields.insert(&conflict.field)) {
        Some(conflict) => Err(format!("two open conflicts on {}", conflict.field)),
        None => Ok(()),
    }
}

/// At most one write in flight per side, and the shadow names it.
fn in_flight(after: &Record) -> Result<(), String> {
    for side in Side::BOTH {
        let mut flying = after
            .unresolved
            .iter()
            .filter(|i| i.side == side && i.status == IntentStatus::InFlight)
            .map(|i| i.write_id);
        if flying.next() != after.shadows[side].inflight || flying.next().is_some() {
            return Err(format!("the writes in flight to {side} are not the one its shadow names"));
        }
    }
    match after.unresolved.iter().find(|intent| !intent.status.unresolved()) {
        Some(intent) => Err(format!("a {} write among the unresolved", intent.status.as_str())),
        None => Ok(()),
    }
}

fn bells(before: &Record, after: &Record) -> Result<(), String> {
    for side in Side::BOTH {
        let (old, new) = (&before.shadows[side], &after.shadows[side]);
        if new.hint_seq < old.hint_seq || new.dirty_seq > new.hint_seq {
            return Err(format!("the bells of {side} run backwards"));
        }
        if new.epoch < old.epoch {
            return Err(format!("the epoch of {side} runs backwards"));
        }
    }
    Ok(())
}

/// Storable, but forbidden: a claim of what is locked, or of a side that is dirty; a side left owed without a bell.
pub(super) fn breaches(before: &Record, patch: &Patch) -> Vec<String> {
    let key = &before.key;
    let mut breaches = Vec::new();
    for row in &patch.log {
        let Entry::Claim(intent) = &row.entry else { continue };
        let side = intent.side;
        if before.locked() {
            breaches.push(format!("I7: {key} was claimed for {side} while it is locked"));
        }
        for field in intent.changes.keys().filter(|field| before.field_locked(field)) {
            breaches.push(format!("I7: field {field} of {key} was claimed for {side} while it is locked"));
        }
        if before.shadows[side].dirty() {
            breaches.push(format!("R7: {key} was claimed for {side} while that side is dirty"));
        }
        if before.shadows[side].inflight.is_some() {
            breaches.push(format!("R5: {key} was claimed for {side} while a write is in flight"));
        }
    }
    for side in Side::BOTH.into_iter().filter(|side| owes_a_bell(before, &patch.record, *side)) {
        let rings = |row: &Outgoing| {
            row.topic == "events.merged" && row.attributes.get("target").is_some_and(|target| target == side.as_str())
        };
        if !patch.outbox.iter().any(rings) {
            breaches.push(format!("R9: {key} owes {side} something, and its writer was not rung for"));
        }
    }
    breaches
}

/// The side may be written to, and it became so in this transaction, or an answered bell or an ended write leaves it so
/// (R9, R11): the bell belongs into the same transaction. The sweep of what is owed would come round too, but later.
fn owes_a_bell(before: &Record, after: &Record, side: Side) -> bool {
    let callable = |record: &Record| {
        let shadow = &record.shadows[side];
        shadow.owed && shadow.inflight.is_none() && !shadow.dirty() && shadow.attempts == 0 && !record.locked()
    };
    let ended = Side::BOTH.into_iter().any(|side| {
        let (old, new) = (&before.shadows[side], &after.shadows[side]);
        (old.dirty() && !new.dirty()) || (old.inflight.is_some() && new.inflight.is_none())
    });
    callable(after) && (ended || !callable(before))
}
