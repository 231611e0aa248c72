//! The fold of a log entry into a record: `(record, entry) → record, effects`. No clock, no chance, no remote: whatever
//! was read is in the entry, so the log replayed gives the same record byte for byte (I10).

use std::collections::BTreeMap;

use model::record::{
    Ack, Conflict, ConflictReason, Entry, Existence, Intent, IntentStatus, Observation, Override, Record, Release,
    Resolution, Version, WHOLE,
};
use model::spec::{Policy, TypeSpec};
use model::{EventId, Fields, Shared, Side, Timestamp, Value, WriteKind};

use crate::attribution::attribute;
use crate::existence::{Return, fold_absence, fold_return, forget};
use crate::field::{Context, fold_unit, push_conflict, set, value};
use crate::form::reform;
use crate::lines::fold_lines;
use crate::resolution::resolve;
use crate::undo::put_back;

/// Every so many versions the whole state is kept, so that no reading of the past folds far.
const FULL_EVERY: u64 = 20;

/// What a fold asks to be stored beside the record itself.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Effects {
    /// The new canonical version, if the state, existence or conflicts changed: exactly one per entry.
    pub version: Option<Version>,
    /// Values lost.
    pub overrides: Vec<Override>,
    /// Conflicts that ended.
    pub closed: Vec<(Conflict, Option<Resolution>)>,
    /// Writes that ended.
    pub resolved: Vec<Intent>,
    /// Field → (policy, winner) where a policy decided.
    pub decisions: BTreeMap<String, (String, String)>,
    /// Something folded changed: the entry must be in the log. False: the entry need not be kept.
    pub changed: bool,
    /// A conflict was opened, moved or closed.
    pub conflict_touched: bool,
}

impl Effects {
    pub(crate) fn decided(&mut self, field: &str, policy: &str, winner: &str) {
        self.decisions.insert(field.to_owned(), (policy.to_owned(), winner.to_owned()));
    }
}

/// An entry that cannot be folded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FoldError {
    /// The conflict is closed already, or was never open.
    #[error("conflict {0} is not open")]
    NoSuchConflict(uuid::Uuid),
    /// The values moved since the person saw them: the decision was about values that are no longer there (S13).
    #[error("the conflict has moved to revision {current}; the decision was about revision {seen}")]
    StaleResolution {
        /// What the person saw.
        seen: u32,
        /// What it is now.
        current: u32,
    },
    /// The record is deleted: its fields have no values.
    #[error("the record is deleted")]
    Dead,
    /// A person has to decide about the field first.
    #[error("the field is in conflict {0}")]
    InConflict(uuid::Uuid),
    /// The field's value is not people's to choose, or there is no such field.
    #[error("{field} cannot be put back: {reason}")]
    NotOpenToUndo {
        /// The field.
        field: String,
        /// What is in the way.
        reason: &'static str,
    },
    /// The values stand already.
    #[error("the values stand already")]
    StandsAlready,
}

/// Folds one entry. On error the record is unchanged.
///
/// # Errors
/// Only a person's decision (resolution, undo) can fail, see [`FoldError`].
pub fn fold(
    record: &mut Record,
    spec: &TypeSpec,
    entry: &Entry,
    event_id: EventId,
    at: Timestamp,
) -> Result<Effects, FoldError> {
    let before = record.clone();
    let mut fx = Effects::default();
    let side = match entry {
        Entry::Observation(obs) => obs.side,
        Entry::Claim(intent) => intent.side,
        Entry::Ack(ack) => ack.side,
        Entry::Release(release) => release.side,
        Entry::Resolution(_) | Entry::Undo(_) | Entry::Renormalisation(_) => Side::Suitex,
    };
    let cx = Context { spec, side, event_id, at, first_link: false, next_version: record.head.version + 1 };
    match entry {
        Entry::Observation(obs) => observation(record, &cx, obs, &mut fx),
        Entry::Claim(intent) => claim(record, intent),
        Entry::Ack(ack) => acknowledge(record, ack, cx.at, &mut fx),
        Entry::Release(release) => let_go(record, release, &mut fx),
        Entry::Resolution(resolution) => {
            if let Err(error) = resolve(record, &cx, resolution, &mut fx) {
                *record = before;
                return Err(error);
            }
        }
        Entry::Undo(undo) => put_back(record, &cx, undo, &mut fx)?,
        Entry::Renormalisation(other) => {
            reform(record, spec, other);
            return Ok(form_only(record, &before, spec));
        }
    }
    conclude(record, &before, &cx, &mut fx);
    Ok(fx)
}

/// The values are what they were, in another form: no version says otherwise, and nobody caused it.
fn form_only(record: &mut Record, before: &Record, spec: &TypeSpec) -> Effects {
    let changed = *record != *before;
    if changed {
        record.head.natural_key = natural_key(spec, &record.head.state);
        record.head.record_seq += 1;
    }
    Effects { changed, ..Effects::default() }
}

/// Version, natural key, and whether anything folded moved.
fn conclude(record: &mut Record, before: &Record, cx: &Context<'_>, fx: &mut Effects) {
    let moved = record.head.state != before.head.state
        || record.head.alive != before.head.alive
        || fx.conflict_touched
        || !fx.closed.is_empty();
    if moved {
        record.head.version = cx.next_version;
        record.head.natural_key = natural_key(cx.spec, &record.head.state);
        let full = record.head.version % FULL_EVERY == 1 || record.head.alive != before.head.alive;
        fx.version = Some(Version {
            version: record.head.version,
            delta: delta(&before.head.state, &record.head.state),
            full: full.then(|| Fields::clone(&record.head.state)),
            alive: record.head.alive,
            event_id: cx.event_id,
            decisions: fx.decisions.clone(),
            created_at: cx.at,
        });
    }
    for over in &mut fx.overrides {
        // An override that moved nothing stands against the version that was there already.
        over.version = record.head.version;
    }
    // What moved has a version of its own, so the head says that too.
    fx.changed = !fx.overrides.is_empty()
        || record.shadows != before.shadows
        || record.unresolved != before.unresolved
        || record.head != before.head;
    if fx.changed {
        record.head.record_seq += 1;
    }
}

/// What changed: new values, null for what was cleared.
pub(crate) fn delta(before: &Fields, after: &Fields) -> Fields {
    let changed = after.iter().filter(|(name, new)| before.get(*name) != Some(*new));
    let cleared = before.keys().filter(|name| !after.contains_key(*name)).map(|name| (name.clone(), Value::Null));
    changed.map(|(name, new)| (name.clone(), new.clone())).chain(cleared).collect()
}

/// The match fields in one text; `None` while one of them is empty.
fn natural_key(spec: &TypeSpec, state: &Fields) -> Option<String> {
    if spec.match_on.is_empty() {
        return None;
    }
    let parts: Option<Vec<&str>> = spec.match_on.iter().map(|name| state.get(name)?.as_text()).collect();
    parts.map(|parts| parts.join("\u{1f}"))
}

pub(crate) fn observation(record: &mut Record, cx: &Context<'_>, obs: &Observation, fx: &mut Effects) {
    attribute(record, cx, obs, fx);
    if !obs.exists {
        fold_absence(record, cx, fx);
        return;
    }
    // Asked only now: a create of ours that this read found landed gives the side a base.
    let first_link = record.shadows[cx.side].exists != Existence::Yes;
    let cx = &Context { first_link, ..*cx };
    let born = record.head.version == 0;
    let returned = record.shadows[cx.side].exists == Existence::Deleted && !record.head.alive && !born;
    let shadow = &mut record.shadows[cx.side];
    shadow.exists = Existence::Yes;
    shadow.token = obs.token.or(shadow.token);
    shadow.stamp = shadow.stamp.max(obs.stamp.unwrap_or(0));
    shadow.note = shadow.note.max(obs.note.unwrap_or(0));
    shadow.complete |= obs.complete;
    if obs.native_id.is_some() {
        shadow.native_id.clone_from(&obs.native_id);
    }
    for (field, ids) in &obs.line_ids {
        shadow.line_ids.insert(field.clone(), ids.clone());
    }
    if born || returned {
        record.head.alive = true;
    }
    let edits = edits(cx.spec, &record.shadows[cx.side].state, &obs.fields);
    if !record.head.alive && !edits.is_empty() {
        match fold_return(record, cx, &edits, fx) {
            Return::Alive => {}
            Return::OnlyShadow => {
                for (name, seen) in edits {
                    set(&mut record.shadows[cx.side].state, &name, seen);
                }
                return;
            }
        }
    }
    fold_fields(record, cx, obs, fx);
    if born && !obs.twins.is_empty() {
        ask_about_twins(record, cx, obs, fx);
    }
}

/// Two records for one thing, and no telling which is which: nothing is made on the other side until a person says that
/// this one is a record of its own (its side's values stand) or one too many (it goes).
fn ask_about_twins(record: &mut Record, cx: &Context<'_>, obs: &Observation, fx: &mut Effects) {
    let twins = obs.twins.iter().map(ToString::to_string).collect();
    let here = Some(Fields::clone(&record.head.state));
    let (suitex, netsuite) = match cx.side {
        Side::Suitex => (here, None),
        Side::Netsuite => (None, here),
    };
    let base = [(WHOLE.to_owned(), Value::Set(twins))].into();
    push_conflict(record, cx, WHOLE, ConflictReason::Duplicate, None, (base, suitex, netsuite));
    fx.conflict_touched = true;
}

/// Fields in which the side differs from its own shadow: what was edited there.
fn edits(spec: &TypeSpec, base: &Fields, seen: &Fields) -> Fields {
    seen.iter()
        .filter(|(name, _)| spec.field(name).is_some_and(|f| f.policy != Policy::Ignored))
        .filter(|(name, seen)| value(base, name) != **seen)
        .map(|(name, seen)| (name.clone(), seen.clone()))
        .collect()
}

fn fold_fields(record: &mut Record, cx: &Context<'_>, obs: &Observation, fx: &mut Effects) {
    for field in cx.spec.fields.iter().filter(|f| f.policy != Policy::Ignored) {
        let edited_at = obs.edited_at(&field.name).unwrap_or(cx.at);
        match (field.lines(), obs.fields.get(&field.name)) {
            (Some(spec), Some(seen)) => {
                let empty = model::Lines::new();
                fold_lines(record, cx, field, spec, seen.as_lines().unwrap_or(&empty), edited_at, fx);
            }
            (Some(_), None) => {}
            (None, _) => {
                let members = cx.spec.group_of(field);
                let leads = members.first().is_some_and(|first| first.name == field.name);
                if leads && members.iter().any(|f| obs.fields.contains_key(&f.name)) {
                    fold_unit(record, cx, &members, &obs.fields, edited_at, fx);
                }
            }
        }
    }
}

fn claim(record: &mut Record, intent: &Intent) {
    record.head.last_stamp = intent.stamp;
    let shadow = &mut record.shadows[intent.side];
    shadow.inflight = Some(intent.write_id);
    shadow.epoch += 1;
    record.unresolved.push(intent.clone());
}

/// How long after its deadline a create may still land where the record it was overtaken by is gone again.
const LATE_CREATE: std::time::Duration = std::time::Duration::from_secs(900);

/// The stamp on NetSuite's row fences late updates; a late create it fences only while that row is there. Deleted by a
/// user, it leaves the external id to whoever comes first: what such a create makes must be known for ours.
fn may_land_again(intent: &Intent, at: Timestamp) -> bool {
    let lost = intent.status == IntentStatus::Unknown && intent.kind == WriteKind::Create;
    let over = intent.deadline.checked_add(LATE_CREATE).is_ok_and(|end| end < at);
    lost && intent.side == Side::Netsuite && !over
}

/// A write landed: the shadow takes its values, older writes to the side can land no more.
pub(crate) fn acknowledge(record: &mut Record, ack: &Ack, at: Timestamp, fx: &mut Effects) {
    let Some(place) = record.unresolved.iter().position(|intent| intent.write_id == ack.write_id) else { return };
    let mut intent = record.unresolved.remove(place);
    let shadow = &mut record.shadows[intent.side];
    match intent.kind {
        WriteKind::Create => {
            shadow.exists = Existence::Yes;
            shadow.complete = false;
            shadow.generation = intent.generation;
            shadow.state = Shared::default();
            shadow.line_ids = model::LineIds::new();
            apply_changes(&mut shadow.state, &intent.changes);
        }
        WriteKind::Update => apply_changes(&mut shadow.state, &intent.changes),
        WriteKind::Delete => forget(record, intent.side),
    }
    let shadow = &mut record.shadows[intent.side];
    if intent.kind != WriteKind::Delete {
        shadow.native_id = ack.native_id.clone().or(shadow.native_id.take());
        shadow.token = ack.token.or(shadow.token);
        shadow.stamp = shadow.stamp.max(intent.stamp);
        for (field, ids) in &ack.line_ids {
            shadow.line_ids.entry(field.clone()).or_default().extend(ids.clone());
        }
    }
    if shadow.inflight == Some(intent.write_id) {
        shadow.inflight = None;
    }
    shadow.epoch += 1;
    for name in intent.changes.keys() {
        if let Some(meta) = record.head.meta.get_mut(name) {
            meta.written_to = Some(intent.side);
        }
    }
    let (older, rest): (Vec<_>, Vec<_>) = record
        .unresolved
        .drain(..)
        .partition(|other| other.side == intent.side && other.stamp < intent.stamp && !may_land_again(other, at));
    record.unresolved = rest;
    for mut other in older {
        other.status = IntentStatus::Fenced;
        if record.shadows[intent.side].inflight == Some(other.write_id) {
            record.shadows[intent.side].inflight = None;
        }
        fx.resolved.push(other);
    }
    intent.status = IntentStatus::Acked;
    fx.resolved.push(intent);
}

/// Writes changes over a shadow; changed lines are merged line by line.
fn apply_changes(state: &mut Fields, changes: &Fields) {
    for (name, change) in changes {
        match (change, state.get(name)) {
            (Value::Lines(changed), held) => {
                let mut lines = held.and_then(Value::as_lines).cloned().unwrap_or_default();
                for (key, line) in changed {
                    match line {
                        None => {
                            lines.remove(key);
                        }
                        Some(fields) => {
                            let mut line = lines.remove(key).flatten().unwrap_or_default();
                            for (field, value) in fields {
                                set(&mut line, field, value.clone());
                            }
                            lines.insert(key.clone(), Some(line));
                        }
                    }
                }
                set(state, name, if lines.is_empty() { Value::Null } else { Value::Lines(lines) });
            }
            (value, _) => set(state, name, value.clone()),
        }
    }
}

/// A write ended without landing, or nobody knows: an unknown one stays attributable until fenced (C10).
fn let_go(record: &mut Record, release: &Release, fx: &mut Effects) {
    let Some(at) = record.unresolved.iter().position(|intent| intent.write_id == release.write_id) else { return };
    if release.outcome == IntentStatus::Unknown {
        record.unresolved[at].status = IntentStatus::Unknown;
    } else {
        let mut intent = record.unresolved.remove(at);
        intent.status = release.outcome;
        fx.resolved.push(intent);
    }
    let shadow = &mut record.shadows[release.side];
    if shadow.inflight == Some(release.write_id) {
        shadow.inflight = None;
    }
    shadow.epoch += 1;
}

#[cfg(test)]
mod tests;
