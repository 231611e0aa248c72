//! What a sweep makes of the rows it found (semantics §2.2, §2.13): a row that says what the shadow knows is no news; a
//! row of a side that is dirty already bumps the bell in place; everything else is a hint to publish.
//!
//! Never deduplicated by `(id, lastModified)` nor by content: two edits share a second, and A→B→A repeats a hash.

use std::collections::{BTreeMap, HashMap, HashSet};

use merge::{key_lines, map_references};
use model::record::{Existence, Record, Shadow};
use model::spec::{Policy, TypeSpec};
use model::{AccountId, Fields, NativeId, RecordRef, RecordType, Rid, Side, Value};
use store::records::{Patch, Pick, View};

use crate::core::{Core, StepError};
use crate::observe::{References, references};

/// A row of a sweep.
#[derive(Debug, Clone, PartialEq)]
pub struct Swept {
    /// The side's id.
    pub native_id: NativeId,
    /// What it holds, in canonical form with the side's own ids; `None` when only the id is known.
    pub fields: Option<Fields>,
}

/// What to do about a swept row.
#[derive(Debug, Clone, PartialEq)]
pub enum News {
    /// The shadow holds just that, and nothing is in flight or unresolved there.
    Known,
    /// The side was dirty already: its bell was bumped, so that a read under way cannot clear it.
    Bumped,
    /// Publish a hint with these fields.
    Publish(Fields),
}

/// Compares one page of NetSuite rows of a type with what is known. One answer per row, in order.
///
/// # Errors
/// The database.
pub async fn news(
    core: &Core<'_>,
    account: &AccountId,
    spec: &TypeSpec,
    side: Side,
    rows: &[Swept],
) -> Result<Vec<News>, StepError> {
    let ids: Vec<(RecordType, NativeId)> = rows.iter().map(|row| (spec.name.clone(), row.native_id.clone())).collect();
    let known = core.records.lookup(account, side, &ids).await?;
    let key = |rid: &Rid| RecordRef { account: account.clone(), record_type: spec.name.clone(), rid: *rid };
    let mut keys: Vec<RecordRef> = known.values().map(key).collect();
    keys.sort_unstable();
    keys.dedup();
    let views = core.views_in_form(&keys, false).await?;
    let views: HashMap<Rid, &View> = views.iter().map(|view| (view.record.key.rid, view)).collect();
    let mut wanted = Vec::new();
    for fields in rows.iter().filter_map(|row| row.fields.as_ref()) {
        references(spec, fields, &mut wanted);
    }
    wanted.sort_unstable();
    wanted.dedup();
    let rids = core.records.links(account, side, &wanted).await?;
    let mut answers = Vec::with_capacity(rows.len());
    let mut bump = Vec::new();
    for (row, id) in rows.iter().zip(&ids) {
        let view = known.get(id).and_then(|rid| views.get(rid));
        let answer = judge(spec, side, row, view.map(|view| &view.record), &rids);
        if let (News::Bumped, Some(view)) = (&answer, view) {
            bump.push(view.record.key.clone());
        }
        answers.push(answer);
    }
    if !bump.is_empty() {
        let bumped = bump_bells(core, side, bump).await?;
        for ((answer, row), id) in answers.iter_mut().zip(rows).zip(&ids) {
            // Read meanwhile: the bell is answered, so this row is news again.
            if *answer == News::Bumped && !known.get(id).is_some_and(|rid| bumped.contains(rid)) {
                *answer = News::Publish(row.fields.clone().unwrap_or_default());
            }
        }
    }
    Ok(answers)
}

/// Does a deletion of each of these ids say anything new? Not of ids nobody knows, nor when the record is known not to be
/// there under it: the overlap repeats deletions for as long as nothing newer is seen. A bell that rings already is
/// news, so that [`news`] bumps it.
///
/// # Errors
/// The database.
pub async fn news_of_deletion(
    core: &Core<'_>,
    account: &AccountId,
    record_type: &RecordType,
    side: Side,
    ids: &[NativeId],
) -> Result<Vec<bool>, StepError> {
    let ids: Vec<(RecordType, NativeId)> = ids.iter().map(|id| (record_type.clone(), id.clone())).collect();
    let rids = core.records.lookup(account, side, &ids).await?;
    let key = |rid: &Rid| RecordRef { account: account.clone(), record_type: record_type.clone(), rid: *rid };
    let mut keys: Vec<RecordRef> = rids.values().map(key).collect();
    keys.sort_unstable();
    keys.dedup();
    let views = core.records.views(&keys, false).await?;
    let shadows: HashMap<Rid, &Shadow> =
        views.iter().map(|view| (view.record.key.rid, &view.record.shadows[side])).collect();
    let is_news = |id: &(RecordType, NativeId)| {
        let shadow = shadows.get(rids.get(id)?)?;
        let there = shadow.exists == Existence::Yes && shadow.native_id.as_ref() == Some(&id.1);
        Some(there || shadow.dirty())
    };
    Ok(ids.iter().map(|id| is_news(id).unwrap_or(false)).collect())
}

fn judge(spec: &TypeSpec, side: Side, row: &Swept, record: Option<&Record>, rids: &References) -> News {
    let publish = |fields: &Fields| News::Publish(fields.clone());
    let none = Fields::new();
    let fields = row.fields.as_ref().unwrap_or(&none);
    let Some(record) = record else { return publish(fields) };
    let shadow = &record.shadows[side];
    if shadow.dirty() {
        return News::Bumped;
    }
    let unresolved = record.unresolved.iter().any(|intent| intent.side == side);
    if row.fields.is_none()
        || unresolved
        || shadow.exists != Existence::Yes
        || shadow.native_id.as_ref() != Some(&row.native_id)
    {
        return publish(fields);
    }
    let changed = changes(spec, side, record, fields, rids);
    match changed {
        Some(changed) if changed.is_empty() => News::Known,
        // Values are evidence for people and for edit times; references and lines stay out of the hint.
        Some(changed) => News::Publish(changed.into_iter().filter(|(name, _)| !spec.needs_read(name)).collect()),
        None => {
            publish(&fields.iter().filter(|(n, _)| !spec.needs_read(n)).map(|(n, v)| (n.clone(), v.clone())).collect())
        }
    }
}

/// Fields in which the row differs from the shadow; `None` when a reference leads to a record nobody knows.
fn changes(spec: &TypeSpec, side: Side, record: &Record, fields: &Fields, rids: &References) -> Option<Fields> {
    let map = |to: &RecordType, id: &str| {
        let id = NativeId::parse(id).ok()?;
        rids.get(&(to.clone(), id)).map(|link| link.rid.to_string())
    };
    let mapped = map_references(&spec.fields, fields, &map).ok()?;
    let shadow = &record.shadows[side];
    let empty = BTreeMap::new();
    let mut changed = Fields::new();
    for (name, value) in mapped {
        let Some(field) = spec.field(&name).filter(|f| f.policy != Policy::Ignored) else { continue };
        let value = match (field.lines(), &value) {
            (Some(lines), Value::Lines(seen)) => {
                let ids = shadow.line_ids.get(&name).unwrap_or(&empty);
                let held = shadow.state.get(&name).cloned().unwrap_or_default();
                let (lines, _) = key_lines(lines, side, ids, &[&held], seen);
                if lines.is_empty() { Value::Null } else { Value::Lines(lines) }
            }
            _ => value,
        };
        if shadow.state.get(&name).cloned().unwrap_or_default() != value {
            changed.insert(name, value);
        }
    }
    Some(changed)
}

/// Bumps the bells of sides that are still dirty. Answers whose.
async fn bump_bells(core: &Core<'_>, side: Side, mut keys: Vec<RecordRef>) -> Result<HashSet<Rid>, StepError> {
    keys.sort_unstable();
    keys.dedup();
    let mut bumped = HashSet::new();
    let mut plan = |views: &[View]| -> Vec<Patch> {
        let now = core.clock.now();
        let dirty = |view: &&View| view.record.shadows[side].dirty();
        let bump = |view: &View| {
            let spec = core.spec(&view.record.key.record_type)?;
            let mut patch = Patch::of(view.record.clone());
            let shadow = &mut patch.record.shadows[side];
            let (since, last) = (shadow.dirty_since, shadow.last_hint_at);
            shadow.ring(now, false, true);
            // The sweep repeats what is known: it must not push the reading further away.
            shadow.dirty_since = since;
            shadow.last_hint_at = last;
            core.settle(&mut patch.record, spec, now);
            bumped.insert(view.record.key.rid);
            Some(patch)
        };
        views.iter().filter(dirty).filter_map(bump).collect()
    };
    core.records.transact(&Pick::These(keys), false, &mut plan).await?;
    Ok(bumped)
}

#[cfg(test)]
mod tests;
