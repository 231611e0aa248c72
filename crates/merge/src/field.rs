//! One field or atomic group: shadow, observed, canonical, policy. Here a conflict is decided.

use model::record::{
    Conflict, ConflictReason, ConflictStatus, Existence, FieldMeta, Lock, LockReason, Override, Record,
};
use model::spec::{FieldSpec, LockScope, Policy, TypeSpec};
use model::{EventId, Fields, Side, Timestamp, Value};
use uuid::Uuid;

use crate::fold::Effects;
use crate::policy::{Clash, OSCILLATION_LIMIT, OSCILLATION_WINDOW, Verdict, decide};

/// Where and when a fold happens.
pub(crate) struct Context<'a> {
    pub(crate) spec: &'a TypeSpec,
    pub(crate) side: Side,
    pub(crate) event_id: EventId,
    pub(crate) at: Timestamp,
    pub(crate) first_link: bool,
    /// The version the fold leads to, if it changes anything.
    pub(crate) next_version: u64,
}

/// The value of a field in a state, where an empty field is absent.
pub(crate) fn value(state: &Fields, name: &str) -> Value {
    state.get(name).cloned().unwrap_or_default()
}

/// Sets a field of a state; empty fields are left out, so that equal states are identical.
pub(crate) fn set(state: &mut Fields, name: &str, value: Value) {
    if value.is_null() {
        state.remove(name);
    } else {
        state.insert(name.to_owned(), value);
    }
}

/// One value that a side holds, and what stands against it.
pub(crate) struct Unit<'a> {
    /// The field whose policy decides (the group's leader).
    pub(crate) field: &'a FieldSpec,
    /// Name in meta, conflicts and overrides: the field's, or `lines.<key>.<field>`.
    pub(crate) name: String,
    pub(crate) base: Value,
    pub(crate) observed: Value,
    pub(crate) canonical: Value,
    pub(crate) edited_at: Timestamp,
}

/// What becomes of the canonical value of a unit.
pub(crate) enum Outcome {
    Keep,
    Take(Value),
    Ask(ConflictReason),
}

/// The decision for one unit: who changed, who wins, what is recorded. The shadow takes the observed value whatever
/// is decided here; the caller sees to that.
pub(crate) fn judge(record: &Record, cx: &Context<'_>, unit: &Unit<'_>, fx: &mut Effects) -> Outcome {
    let (b, o, c) = (&unit.base, &unit.observed, &unit.canonical);
    let lost = |value: &Value, side: Side, winner: &Value, policy: &str| Override {
        field: unit.name.clone(),
        losing_value: value.clone(),
        losing_side: side,
        winning_value: winner.clone(),
        policy: policy.to_owned(),
        version: cx.next_version,
        event_id: cx.event_id,
    };
    let policy = unit.field.policy.as_str();
    match unit.field.authority() {
        Some(authority) if authority == cx.side => {
            if c != b && c != o && !c.is_null() {
                fx.overrides.push(lost(c, cx.side.other(), o, policy));
            }
            return take(c, o);
        }
        Some(authority) => {
            // Until the authority has spoken, the other side's value stands in.
            if record.shadows[authority].exists == Existence::Never {
                return take(c, o);
            }
            if o != c {
                fx.overrides.push(lost(o, cx.side, c, policy));
            }
            return Outcome::Keep;
        }
        None => {}
    }
    if unit.field.policy == Policy::Immutable && !c.is_null() {
        if o != c {
            fx.overrides.push(lost(o, cx.side, c, policy));
        }
        return Outcome::Keep;
    }
    if c == b {
        return take(c, o);
    }
    if c == o && !unit.field.policy.additive() {
        return Outcome::Keep;
    }
    let meta = record.head.meta.get(&unit.name);
    let clash = Clash {
        field: unit.field,
        side: cx.side,
        base: b,
        observed: o,
        canonical: c,
        observed_at: unit.edited_at,
        canonical_at: meta.map_or(cx.at, |meta| meta.edited_at),
        first_link: cx.first_link,
    };
    let other = cx.side.other();
    match decide(&clash) {
        Verdict::Observed => {
            fx.decided(&unit.name, policy, cx.side.as_str());
            fx.overrides.push(lost(c, meta.and_then(|m| m.side).unwrap_or(other), o, policy));
            Outcome::Take(o.clone())
        }
        Verdict::Canonical if c == o => Outcome::Keep,
        Verdict::Canonical => {
            fx.decided(&unit.name, policy, other.as_str());
            fx.overrides.push(lost(o, cx.side, c, policy));
            Outcome::Keep
        }
        Verdict::Merged { value, clamped } => {
            fx.decided(&unit.name, policy, "both");
            if let Some(cut) = clamped {
                fx.overrides.push(lost(&cut, cx.side, &value, policy));
            }
            take(c, &value)
        }
        Verdict::Ask => Outcome::Ask(ConflictReason::Manual),
    }
}

fn take(canonical: &Value, value: &Value) -> Outcome {
    if canonical == value { Outcome::Keep } else { Outcome::Take(value.clone()) }
}

/// Folds one body field or atomic group of an observation. `members`: the group, leader first.
pub(crate) fn fold_unit(
    record: &mut Record,
    cx: &Context<'_>,
    members: &[&FieldSpec],
    observed: &Fields,
    edited_at: Timestamp,
    fx: &mut Effects,
) {
    let leader = members[0];
    let pick = |state: &Fields| -> Fields {
        members.iter().map(|f| (f.name.clone(), value(state, &f.name))).filter(|(_, v)| !v.is_null()).collect()
    };
    let base = pick(&record.shadows[cx.side].state);
    let mut seen = base.clone();
    for field in members {
        if let Some(value) = observed.get(&field.name) {
            set(&mut seen, &field.name, value.clone());
        }
    }
    if seen == base {
        clear_written(record, cx.side, members);
        return;
    }
    if fold_into_conflict(record, cx, leader, &base, &seen, fx) {
        was_read(record, cx.side, members, &seen);
        return;
    }
    let canonical = pick(&record.head.state);
    let unit = Unit {
        field: leader,
        name: leader.name.clone(),
        base: as_value(members, &base),
        observed: as_value(members, &seen),
        canonical: as_value(members, &canonical),
        edited_at,
    };
    let outcome = match judge(record, cx, &unit, fx) {
        Outcome::Take(_) if oscillates(record, cx, leader) => Outcome::Ask(ConflictReason::Oscillation),
        outcome => outcome,
    };
    match outcome {
        Outcome::Keep => {}
        Outcome::Take(value) => take_unit(record, cx, members, &from_value(members, value), edited_at),
        Outcome::Ask(reason) => open_conflict(record, cx, leader, reason, base, seen.clone(), fx),
    }
    was_read(record, cx.side, members, &seen);
}

/// A group is one value: its members in one map. A single field is itself.
pub(crate) fn as_value(members: &[&FieldSpec], state: &Fields) -> Value {
    match members {
        [single] => value(state, &single.name),
        _ if state.is_empty() => Value::Null,
        _ => Value::Lines([("group".to_owned(), Some(state.clone()))].into()),
    }
}

pub(crate) fn from_value(members: &[&FieldSpec], value: Value) -> Fields {
    match (members, value) {
        ([single], value) => [(single.name.clone(), value)].into(),
        (_, Value::Lines(mut lines)) => lines.remove("group").flatten().unwrap_or_default(),
        _ => Fields::new(),
    }
}

fn take_unit(record: &mut Record, cx: &Context<'_>, members: &[&FieldSpec], values: &Fields, edited_at: Timestamp) {
    for field in members {
        let taken = value(values, &field.name);
        if value(&record.head.state, &field.name) != taken {
            set(&mut record.head.state, &field.name, taken);
        }
        let before = record.head.meta.get(&field.name);
        let rewritten = before.is_some_and(|meta| meta.written_to == Some(cx.side));
        let meta = FieldMeta {
            side: Some(cx.side),
            event_id: cx.event_id,
            edited_at,
            written_to: None,
            rewrites: if rewritten { before.map_or(0, |meta| meta.rewrites) + 1 } else { 0 },
            rewriting_since: if rewritten { before.and_then(|m| m.rewriting_since).or(Some(cx.at)) } else { None },
        };
        record.head.meta.insert(field.name.clone(), meta);
    }
}

/// Both sides keep rewriting what we write, with no person between them (S22).
fn oscillates(record: &Record, cx: &Context<'_>, field: &FieldSpec) -> bool {
    record.head.meta.get(&field.name).is_some_and(|meta| {
        meta.written_to == Some(cx.side)
            && meta.rewrites + 1 >= OSCILLATION_LIMIT
            && meta
                .rewriting_since
                .is_some_and(|since| cx.at.duration_since(since).unsigned_abs() <= OSCILLATION_WINDOW)
    })
}

/// What we wrote to the side was read there: who changes it from now on changes what stood there.
fn clear_written(record: &mut Record, side: Side, members: &[&FieldSpec]) {
    for field in members {
        let ours = record.head.meta.get(&field.name).is_some_and(|meta| meta.written_to == Some(side));
        if ours && let Some(meta) = record.head.meta.get_mut(&field.name) {
            meta.written_to = None;
        }
    }
}

/// The side holds this, whatever came of it: the next read of the same says nothing new.
fn was_read(record: &mut Record, side: Side, members: &[&FieldSpec], seen: &Fields) {
    clear_written(record, side, members);
    for field in members {
        let seen = value(seen, &field.name);
        let state = &mut record.shadows[side].state;
        if value(state, &field.name) != seen {
            set(state, &field.name, seen);
        }
    }
}

/// An open conflict on the field takes the new value; equal values on both sides close it (S14).
fn fold_into_conflict(
    record: &mut Record,
    cx: &Context<'_>,
    leader: &FieldSpec,
    base: &Fields,
    seen: &Fields,
    fx: &mut Effects,
) -> bool {
    let Some(at) = record.conflicts.iter().position(|conflict| conflict.field == leader.name) else { return false };
    let conflict = &mut record.conflicts[at];
    let at_stake = match cx.side {
        Side::Suitex => &mut conflict.suitex,
        Side::Netsuite => &mut conflict.netsuite,
    };
    let before = at_stake.replace(seen.clone()).filter(|before| before != base && before != seen);
    if let Some(before) = before {
        // Whoever typed this had something else on screen: a decision not yet written there, or an edit that a write of ours
        // had replaced.
        let members = cx.spec.group_of(leader);
        fx.overrides.push(Override {
            field: leader.name.clone(),
            losing_value: as_value(&members, &before),
            losing_side: cx.side,
            winning_value: as_value(&members, seen),
            policy: leader.policy.as_str().to_owned(),
            version: cx.next_version,
            event_id: cx.event_id,
        });
    }
    conflict.rev += 1;
    fx.conflict_touched = true;
    if conflict.suitex == conflict.netsuite {
        let mut conflict = record.conflicts.remove(at);
        conflict.status = ConflictStatus::Converged;
        record.locks.retain(|lock| lock.conflict_id != Some(conflict.conflict_id));
        let members = cx.spec.group_of(leader);
        take_unit(record, cx, &members, seen, cx.at);
        fx.closed.push((conflict, None));
    }
    true
}

/// Opens a conflict and its lock under the head's lock, so that no claim can follow it.
pub(crate) fn open_conflict(
    record: &mut Record,
    cx: &Context<'_>,
    leader: &FieldSpec,
    reason: ConflictReason,
    base: Fields,
    seen: Fields,
    fx: &mut Effects,
) {
    let members = cx.spec.group_of(leader);
    // What is at stake on the other side is what it holds or shall hold: a person's decision may not be written there yet,
    // and must not vanish behind the value it replaces.
    let theirs = &record.head.state;
    let theirs: Fields =
        members.iter().filter_map(|f| theirs.get(&f.name).map(|v| (f.name.clone(), v.clone()))).collect();
    let (suitex, netsuite) = match cx.side {
        Side::Suitex => (seen, theirs),
        Side::Netsuite => (theirs, seen),
    };
    let scope = match cx.spec.lock {
        LockScope::Record => None,
        LockScope::Field => Some(leader.name.clone()),
    };
    push_conflict(record, cx, &leader.name, reason, scope, (base, Some(suitex), Some(netsuite)));
    fx.conflict_touched = true;
}

/// Adds a conflict with its lock; both ids follow from the observation and the field, so a replay makes the same.
pub(crate) fn push_conflict(
    record: &mut Record,
    cx: &Context<'_>,
    field: &str,
    reason: ConflictReason,
    scope: Option<String>,
    (base, suitex, netsuite): (Fields, Option<Fields>, Option<Fields>),
) {
    let conflict_id = derived(cx.event_id, field, "conflict");
    record.conflicts.push(Conflict {
        conflict_id,
        field: field.to_owned(),
        reason,
        base,
        suitex,
        netsuite,
        rev: 1,
        status: ConflictStatus::Open,
        event_id: cx.event_id,
        base_version: record.head.version,
        created_at: cx.at,
    });
    record.locks.push(Lock {
        lock_id: derived(cx.event_id, field, "lock"),
        field: scope,
        reason: LockReason::Conflict,
        conflict_id: Some(conflict_id),
        locked_at: cx.at,
        note: format!("conflict on {field} ({})", reason.as_str()),
    });
}

fn derived(event_id: EventId, field: &str, what: &str) -> Uuid {
    Uuid::new_v5(&event_id, format!("{what}:{field}").as_bytes())
}
