//! The invariants (semantics §3), checked when a run has come to rest.

use std::collections::{BTreeMap, BTreeSet};

use model::record::{ConflictStatus, Existence, Record};
use model::spec::TypeSpec;
use model::{Fields, Lines, PerSide, RecordRef, Side, Value};

use crate::memory::{Book, Kept};
use crate::world::ledger::Place;
use crate::world::stage::Stage;

mod lost;
mod replay;

/// Every breach found, each with the invariant's number.
pub fn check(book: &Book, stage: &Stage) -> Vec<String> {
    let mut breaches = book.breaches.clone();
    let world = &stage.world;
    for kept in book.records.values() {
        at_rest(kept, &mut breaches);
        breaches.extend(replay::check(kept, world));
        if kept.record.head.version > 0 && kept.record.head.merged_into.is_none() {
            agreed(book, stage, &kept.record, &mut breaches);
        }
    }
    linked(book, stage, &mut breaches);
    accounted(book, stage, &mut breaches);
    let left = book.relayed + book.outbox.len() as u64;
    if left != book.stored_out {
        breaches
            .push(format!("R11: of {} messages stored in the outbox {left} are published or wait", book.stored_out));
    }
    bounded(book, stage, &mut breaches);
    lost::check(book, stage, &mut breaches);
    breaches
}

/// I1: nothing owed, dirty or in flight, no lock, no conflict.
fn at_rest(kept: &Kept, breaches: &mut Vec<String>) {
    let record = &kept.record;
    let key = &record.key;
    for side in Side::BOTH {
        let shadow = &record.shadows[side];
        if shadow.dirty() {
            breaches.push(format!("I1: {key} is still dirty on {side}"));
        }
        if shadow.inflight.is_some() {
            breaches.push(format!("I1: {key} still has a write in flight to {side}"));
        }
        if shadow.owed {
            breaches.push(format!("I1: {key} still owes {side}"));
        }
    }
    if !record.conflicts.is_empty() || !record.locks.is_empty() {
        breaches.push(format!("I1: {key} is still in conflict or locked"));
    }
    for (conflict, _) in &kept.closed {
        if conflict.status == ConflictStatus::Open {
            breaches.push(format!("a conflict of {key} ended without saying how"));
        }
    }
}

/// The row a record has on a side.
pub fn row_of(record: &Record, side: Side) -> Option<Place> {
    let native = record.shadows[side].native_id.as_ref()?;
    let (account, record_type) = (record.key.account.clone(), record.key.record_type.clone());
    Some(Place { side, account, record_type, id: native.as_str().parse().ok()? })
}

/// I1: both sides hold the canonical state, or neither holds the record.
fn agreed(book: &Book, stage: &Stage, record: &Record, breaches: &mut Vec<String>) {
    let key = &record.key;
    let Some(spec) = stage.world.get(&key.record_type) else { return };
    for side in Side::BOTH {
        let place = row_of(record, side);
        let row = place.as_ref().and_then(|place| stage.rows.get(place));
        let shadow = &record.shadows[side];
        if record.head.alive != row.is_some() {
            let alive = if record.head.alive { "alive" } else { "deleted" };
            let there = if row.is_some() { "has it" } else { "has it not" };
            breaches.push(format!("I1: {key} is {alive} and {side} {there}"));
            continue;
        }
        if record.head.alive != (shadow.exists == Existence::Yes) {
            breaches.push(format!("I1: the shadow of {key} on {side} says {:?}", shadow.exists));
        }
        let Some(row) = row else { continue };
        match canonical(book, spec, record, side, &row.fields) {
            Ok(held) if record.head.state == held => {}
            Ok(held) => {
                breaches.push(format!("I1: {key} is {:?}, but {side} holds {held:?}", record.head.state));
            }
            Err(reason) => breaches.push(format!("I1: {key} on {side}: {reason}")),
        }
    }
}

/// A row in canonical form: references as rids, lines by key.
fn canonical(book: &Book, spec: &TypeSpec, record: &Record, side: Side, fields: &Fields) -> Result<Fields, String> {
    let mut out = Fields::new();
    for (name, value) in fields {
        let field = spec.field(name).ok_or_else(|| format!("it holds a field {name} nobody knows"))?;
        let value = match (field.references(), field.lines(), value) {
            (Some(to), _, Value::Text(id)) => {
                let id = model::NativeId::parse(id).map_err(|e| e.to_string())?;
                let rid = book.rid_of(&record.key.account, to, side, &id);
                Value::text(rid.ok_or_else(|| format!("{name} leads to a record nobody knows"))?.to_string())
            }
            (_, Some(_), Value::Lines(lines)) => {
                let none = BTreeMap::new();
                let ids = record.shadows[side].line_ids.get(name).unwrap_or(&none);
                let keys: BTreeMap<&String, &String> = ids.iter().map(|(key, id)| (id, key)).collect();
                let mut keyed = Lines::new();
                for (id, line) in lines {
                    let key = keys.get(id).ok_or_else(|| format!("line {id} of {name} has no key"))?;
                    keyed.insert((*key).clone(), line.clone());
                }
                Value::Lines(keyed)
            }
            (_, _, value) => value.clone(),
        };
        out.insert(name.clone(), value);
    }
    Ok(out)
}

/// I1, I9: every row is the present row of exactly one record of its own account.
fn linked(book: &Book, stage: &Stage, breaches: &mut Vec<String>) {
    let mut seen: PerSide<BTreeSet<RecordRef>> = PerSide::default();
    for place in stage.rows.keys() {
        let rid = book.rid_of(&place.account, &place.record_type, place.side, &place.native());
        let Some(rid) = rid else {
            breaches.push(format!("I1: nobody met {place}"));
            continue;
        };
        let key = RecordRef { account: place.account.clone(), record_type: place.record_type.clone(), rid };
        let present = book.records.get(&key).and_then(|kept| row_of(&kept.record, place.side));
        if present.as_ref() != Some(place) {
            breaches.push(format!("I1: {place} belongs to {key}, whose present row there is {present:?}"));
        }
        if !seen[place.side].insert(key.clone()) {
            breaches.push(format!("I1: {key} exists twice on {}", place.side));
        }
    }
}

/// I8: every event has one row under its own id, and ended, once (twice is noticed while storing).
fn accounted(book: &Book, stage: &Stage, breaches: &mut Vec<String>) {
    for event in stage.bus.raw.ever.iter().map(|published| &published.body) {
        if !book.heard.contains_key(&(event.account.clone(), event.event_id)) {
            breaches.push(format!("I8: event {} about {} left no row", event.event_id, event.record_id));
        }
    }
    for ((account, event_id), heard) in &book.heard {
        if heard.disposition.is_none() {
            breaches.push(format!("I8: event {event_id} of {account} about {} is not settled", heard.record));
        }
    }
}

/// I3: no more versions than somebody's doing, no more writes than two for each.
fn bounded(book: &Book, stage: &Stage, breaches: &mut Vec<String>) {
    let decided: u64 = book.records.values().map(|kept| kept.closed.len() as u64).sum();
    let doings = stage.ledger.operations + decided;
    let versions: u64 = book.records.values().map(|kept| kept.record.head.version).sum();
    if versions > doings {
        breaches.push(format!("I3: {versions} versions of {doings} operations and decisions"));
    }
    if stage.ledger.sync_writes > 2 * doings + 2 {
        breaches.push(format!("I3: {} writes for {doings} operations and decisions", stage.ledger.sync_writes));
    }
}
