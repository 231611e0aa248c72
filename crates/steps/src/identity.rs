//! Whose record is it? Decided by the first observation, never by a hint (semantics §2.2, §2.8): our external id,
//! inbox row or stamp names the record; else the type's match rule; else the provisional record becomes real.

use std::collections::{BTreeMap, HashMap};

use model::record::{Disposition, Existence, Record};
use model::spec::TypeSpec;
use model::{AccountId, Fields, RecordRef, RecordType, Rid, Side, WriteKind};
use store::records::{Patch, Pick, View};

use crate::core::{Core, StepError};
use crate::gather::Gathered;
use crate::merging::Ticket;

/// Whose record an observation of a provisional one is about.
pub(crate) enum Identity {
    /// Nobody's but its own.
    Own,
    /// This record's.
    Other(Rid),
    /// Its own, it seems, but these records answer the same natural key: a person decides.
    Twin(Vec<Rid>),
    /// A create of ours is on its way to the side, or has landed beside what we know there: first its outcome (R5).
    Open,
}

/// Moves provisional records that turned out to be others'. Their tickets are dropped: the other record is dirty now
/// and will be read by a step of its own.
pub(crate) async fn adopt(
    core: &Core<'_>,
    tickets: &mut Vec<Ticket>,
    gathered: &mut Gathered,
) -> Result<(), StepError> {
    let mut moves: Vec<(RecordRef, Side, Rid)> = Vec::new();
    let mut wait: Vec<RecordRef> = Vec::new();
    let mut met = Met::new();
    for ticket in tickets.iter_mut().filter(|t| t.view.record.head.version == 0) {
        let key = &ticket.view.record.key;
        for cap in &ticket.caps {
            let Some(read) = gathered.get(key, cap.side).filter(|read| read.observed.exists) else { continue };
            match identify(core, &ticket.view.record, cap.side, read).await? {
                Identity::Own => {
                    let natural_key = core.spec(&key.record_type).and_then(|s| natural_key(s, &read.observed.fields));
                    if let Some(natural_key) = natural_key {
                        ticket.alone = Some(natural_key.clone());
                        let group = (key.account.clone(), key.record_type.clone(), natural_key);
                        met.entry(group).or_default().push((key.clone(), cap.side));
                    }
                }
                Identity::Other(rid) => moves.push((key.clone(), cap.side, rid)),
                Identity::Twin(rids) => ticket.twins = rids,
                Identity::Open => wait.push(key.clone()),
            }
        }
    }
    together(met, &mut moves, tickets);
    // They stay dirty, and are looked at again when the lease runs out.
    tickets.retain(|ticket| !wait.contains(&ticket.view.record.key));
    for (key, side, rid) in moves {
        let into = RecordRef { rid, ..key.clone() };
        let mut pair = vec![key.clone(), into.clone()];
        pair.sort_unstable();
        let mut moved = false;
        let mut plan = |views: &[View]| move_into(core, views, &key, &into, side, &mut moved);
        core.records.transact(&Pick::These(pair), true, &mut plan).await?;
        if moved {
            tickets.retain(|ticket| ticket.view.record.key != key);
        }
    }
    Ok(())
}

/// Records that were not alone any more when they were stored are still what they were: they become who was first, before
/// anything is made of that one on their side. Answers who they are.
pub(crate) async fn meet_again(
    core: &Core<'_>,
    mut tickets: Vec<Ticket>,
    gathered: &mut Gathered,
) -> Result<Vec<RecordRef>, StepError> {
    if tickets.is_empty() {
        return Ok(Vec::new());
    }
    let keys: Vec<RecordRef> = tickets.iter().map(|ticket| ticket.view.record.key.clone()).collect();
    let views = core.records.views(&keys, false).await?;
    let provisional = views.into_iter().map(|view| view.record).filter(|record| record.head.version == 0);
    let left_out: Vec<RecordRef> = provisional.map(|record| record.key).collect();
    tickets.retain(|ticket| left_out.contains(&ticket.view.record.key));
    adopt(core, &mut tickets, gathered).await?;
    Ok(left_out)
}

/// Provisional records that nobody else's key answers, by that key.
type Met = BTreeMap<(AccountId, RecordType, String), Vec<(RecordRef, Side)>>;

/// Provisional records met in one step with one natural key: the first becomes real, so the first of the other side is
/// adopted by it, as if it had come a moment later; any further one is a question (semantics §2.8).
fn together(met: Met, moves: &mut Vec<(RecordRef, Side, Rid)>, tickets: &mut [Ticket]) {
    for mut group in met.into_values().filter(|group| group.len() > 1) {
        group.sort_unstable();
        group.dedup_by(|a, b| a.0 == b.0);
        let mut others = group.into_iter();
        let Some((first, side)) = others.next() else { continue };
        let mut adopted = false;
        for (key, theirs) in others {
            if theirs != side && !adopted {
                adopted = true;
                moves.push((key, theirs, first.rid));
            } else if let Some(ticket) = tickets.iter_mut().find(|ticket| ticket.view.record.key == key) {
                ticket.twins = vec![first.rid];
            }
        }
    }
}

/// Whose the record is: our mark on it says so, else its natural key.
pub(crate) async fn identify(
    core: &Core<'_>,
    record: &Record,
    side: Side,
    read: &crate::gather::Read,
) -> Result<Identity, StepError> {
    let observed = &read.observed;
    let marked = observed.external_rid.or(observed.stamp.map(|(rid, _)| rid)).filter(|rid| *rid != record.key.rid);
    if let Some(rid) = marked {
        let other = RecordRef { rid, ..record.key.clone() };
        let views = core.records.views(std::slice::from_ref(&other), false).await?;
        // Make Copy carries the stamp of a record that lives under another id: not ours to follow (S21).
        let fits = |view: &View| {
            let theirs = &view.record.shadows[side].native_id;
            theirs.is_none() || *theirs == observed.native_id
        };
        // An external id is never copied, and nobody else has it: the row we know of that record is gone, which is yet to be
        // seen, and a create of ours has landed late.
        let certain = observed.external_rid == Some(rid);
        match views.first() {
            Some(view) if fits(view) => return Ok(Identity::Other(rid)),
            Some(_) if certain => return Ok(Identity::Open),
            Some(_) | None => {}
        }
    }
    by_natural_key(core, record, side, &observed.fields).await
}

/// Exactly one record that is not on this side is this one; while one is being made there nobody can say; of several,
/// and of those that are there already, a person must choose (semantics §2.8).
async fn by_natural_key(core: &Core<'_>, record: &Record, side: Side, fields: &Fields) -> Result<Identity, StepError> {
    let Some(spec) = core.spec(&record.key.record_type).filter(|spec| !spec.match_on.is_empty()) else {
        return Ok(Identity::Own);
    };
    let Some(natural_key) = natural_key(spec, fields) else { return Ok(Identity::Own) };
    let candidates = core.records.candidates(&record.key.account, &record.key.record_type, &natural_key).await?;
    let keys: Vec<RecordRef> = candidates
        .into_iter()
        .filter(|rid| *rid != record.key.rid)
        .map(|rid| RecordRef { rid, ..record.key.clone() })
        .collect();
    let mut views = core.records.views(&keys, false).await?;
    views.retain(|view| view.record.head.alive && view.record.head.merged_into.is_none());
    let making = |view: &View| view.record.inflight(side).is_some_and(|intent| intent.kind == WriteKind::Create);
    let here = |view: &View| view.record.shadows[side].native_id.is_some();
    if views.iter().any(|view| !here(view) && making(view)) {
        return Ok(Identity::Open);
    }
    let free: Vec<Rid> = views.iter().filter(|view| !here(view)).map(|view| view.record.key.rid).collect();
    Ok(match free.as_slice() {
        [only] => Identity::Other(*only),
        [] if views.is_empty() => Identity::Own,
        _ => Identity::Twin(views.iter().map(|view| view.record.key.rid).collect()),
    })
}

/// The type's match fields in one text; `None` where it has none, or one of them is empty.
pub(crate) fn natural_key(spec: &TypeSpec, fields: &Fields) -> Option<String> {
    let parts: Option<Vec<&str>> = spec.match_on.iter().map(|name| fields.get(name)?.as_text()).collect();
    parts.filter(|parts| !parts.is_empty()).map(|parts| parts.join("\u{1f}"))
}

/// The link, the hints and the dirty mark of a provisional record move to the real one; both heads are locked.
fn move_into(
    core: &Core<'_>,
    views: &[View],
    from: &RecordRef,
    into: &RecordRef,
    side: Side,
    moved: &mut bool,
) -> Vec<Patch> {
    let by_key: HashMap<&RecordRef, &View> = views.iter().map(|view| (&view.record.key, view)).collect();
    let (Some(source), Some(target)) = (by_key.get(from), by_key.get(into)) else { return Vec::new() };
    let Some(spec) = core.spec(&from.record_type) else { return Vec::new() };
    if source.record.head.version != 0 || source.record.head.merged_into.is_some() {
        return Vec::new();
    }
    let native = source.record.shadows[side].native_id.clone();
    let taken = &target.record.shadows[side].native_id;
    if taken.is_some() && *taken != native {
        return Vec::new();
    }
    let now = core.clock.now();
    let mut gone = Patch::of(source.record.clone());
    gone.record.head.merged_into = Some(into.rid);
    gone.record.head.lease = None;
    for shadow in [&mut gone.record.shadows.suitex, &mut gone.record.shadows.netsuite] {
        shadow.native_id = None;
        shadow.dirty_seq = 0;
        shadow.dirty_since = None;
    }
    gone.settled = source.pending.iter().map(|hint| (hint.event_id, Disposition::Superseded)).collect();
    core.settle(&mut gone.record, spec, now);
    let mut real = Patch::of(target.record.clone());
    let shadow = &mut real.record.shadows[side];
    shadow.native_id = native;
    shadow.ring(now, true, true);
    core.settle(&mut real.record, spec, now);
    *moved = true;
    vec![gone, real]
}

/// A row that was linked to a record of the other side, and was gone before anybody read it, has nothing more to say: its
/// id must not keep out what a create of ours makes, or the row that takes its place. Whose a row is, is outside the log.
pub(crate) fn unlink(record: &mut Record, side: Side, asked: &Record) {
    let shadow = &mut record.shadows[side];
    if record.head.version > 0 && shadow.exists != Existence::Yes && shadow.native_id == asked.shadows[side].native_id {
        shadow.native_id = None;
    }
}
