//! T1: what a side is owed becomes an intent that is stored before anything is sent. What a claim must know beside the
//! record is asked only where it matters, outside the transaction: ids of the records it refers to, whether deletions
//! may go on, whether our writes go on by themselves.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use merge::{Owed, each_reference, held_until, map_references, owed};
use model::limits::WriteLoop;
use model::record::{Entry, Existence, Intent, IntentStatus, Record, Release};
use model::spec::TypeSpec;
use model::{AccountId, NativeId, RecordRef, RecordType, Rid, Side, Timestamp, WriteKind, WriteRequest, write_id};
use store::records::{Patch, Pick, View};

use crate::core::{Core, StepError, after};
use crate::merging::Work;
use crate::settle::stop_loop;
use crate::write::Written;

/// Rids → the side's own ids.
type Natives = HashMap<(RecordType, Rid), NativeId>;

/// What a claim must know beside the record, asked only where it matters.
#[derive(Default)]
pub(crate) struct Known {
    /// The side's ids of records that values refer to.
    natives: Natives,
    /// Types whose deletions may be carried out.
    deletions: HashSet<(AccountId, RecordType)>,
    /// Records whose writes were counted, and whether they go on by themselves.
    loops: HashMap<RecordRef, bool>,
}

impl Known {
    fn may_delete(&self, key: &RecordRef) -> bool {
        self.deletions.contains(&(key.account.clone(), key.record_type.clone()))
    }
}

/// A record whose write needs more to be known.
pub(crate) struct Waiting {
    key: RecordRef,
    /// The records it refers to that the side may not have yet.
    parents: Vec<(RecordType, Rid)>,
    /// It is a deletion, and nobody has said yet that it may be carried out.
    deletion: bool,
    /// It is time to count the record's writes.
    count: bool,
}

/// A claimed write on its way.
pub(crate) struct Claim {
    pub(crate) key: RecordRef,
    pub(crate) request: WriteRequest,
}

/// Second attempt for records that refer to others, and for deletions: with those others' ids on the side, or parked
/// until they have some; with the brake asked, or held back by it.
pub(crate) async fn claim_knowing_more(
    core: &Core<'_>,
    side: Side,
    waiting: Vec<Waiting>,
    may_write: &(dyn Fn(&AccountId) -> bool + Sync),
    claims: &mut Vec<Claim>,
    done: &mut Written,
) -> Result<(), StepError> {
    let mut by_account: BTreeMap<AccountId, Vec<Waiting>> = BTreeMap::new();
    for wait in waiting {
        by_account.entry(wait.key.account.clone()).or_default().push(wait);
    }
    for (account, waits) in by_account {
        let known = ask(core, side, &account, &waits).await?;
        let mut keys: Vec<RecordRef> = waits.into_iter().map(|wait| wait.key).collect();
        keys.sort_unstable();
        let mut still = Vec::new();
        let mut plan = |views: &[View]| {
            let mut patches = claim_all(core, side, views, &known, may_write, claims, &mut still, done);
            let put_off = |view: &View| {
                let wait = still.iter().find(|wait| wait.key == view.record.key)?;
                let pause = if wait.deletion { core.settings.backoff_after(3) } else { core.settings.net };
                park(core, view, side, pause)
            };
            patches.extend(views.iter().filter_map(put_off));
            patches
        };
        core.records.transact(&Pick::These(keys), false, &mut plan).await?;
        done.braked += still.iter().filter(|wait| wait.deletion).count();
        done.parked += still.iter().filter(|wait| !wait.deletion).count();
    }
    Ok(())
}

/// Ids of parents, and the brake on deletions: one question each per account, and per type.
async fn ask(core: &Core<'_>, side: Side, account: &AccountId, waits: &[Waiting]) -> Result<Known, StepError> {
    let mut known = Known::default();
    let mut wanted: Vec<_> = waits.iter().flat_map(|wait| wait.parents.iter().cloned()).collect();
    wanted.sort_unstable();
    wanted.dedup();
    if !wanted.is_empty() {
        known.natives = core.records.native_ids(account, side, &wanted).await?;
    }
    let types: BTreeSet<&RecordType> = waits.iter().filter(|w| w.deletion).map(|w| &w.key.record_type).collect();
    for record_type in types {
        let brake = &core.settings.delete_brake;
        if core.records.may_delete(account, record_type, brake, core.clock.now()).await? {
            known.deletions.insert((account.clone(), record_type.clone()));
        } else {
            tracing::warn!(%account, %record_type, "too many records of type {record_type} vanished: deletions wait for a person");
        }
    }
    for wait in waits.iter().filter(|wait| wait.count) {
        let writes = core.records.writes_by_themselves(&wait.key, WriteLoop::since(core.clock.now())).await?;
        known.loops.insert(wait.key.clone(), writes.is_some_and(|writes| writes >= WriteLoop::WRITES));
    }
    Ok(known)
}

/// The parent is not on the side yet, or the deletion may not be carried out yet: look again later.
fn park(core: &Core<'_>, view: &View, side: Side, pause: std::time::Duration) -> Option<Patch> {
    let spec = core.spec(&view.record.key.record_type)?;
    let now = core.clock.now();
    let mut record = view.record.clone();
    core.settle(&mut record, spec, now);
    record.shadows[side].retry_at = Some(after(now, pause));
    Some(Patch::of(record))
}

#[allow(clippy::too_many_arguments)] // the parts of one transaction, each borrowed differently
pub(crate) fn claim_all(
    core: &Core<'_>,
    side: Side,
    views: &[View],
    known: &Known,
    may_write: &(dyn Fn(&AccountId) -> bool + Sync),
    claims: &mut Vec<Claim>,
    waiting: &mut Vec<Waiting>,
    done: &mut Written,
) -> Vec<Patch> {
    let now = core.clock.now();
    let mut patches = Vec::new();
    for view in views {
        let Some(spec) = core.spec(&view.record.key.record_type) else {
            patches.push(held_back(view, side, core.far(now)));
            done.passed += 1;
            continue;
        };
        if !may_claim(core, &view.record, side, now) {
            patches.extend(still_held(core, view, side, now));
            done.passed += 1;
            continue;
        }
        if !may_write(&view.record.key.account) {
            // Suspended or out of budget: found again later, nothing is lost.
            patches.push(held_back(view, side, after(now, core.settings.backoff_after(0))));
            continue;
        }
        match claim_one(core, spec, view, side, known, now) {
            Claimed::Nothing => {
                done.passed += 1;
                let mut record = view.record.clone();
                core.settle(&mut record, spec, now);
                patches.push(Patch::of(record));
            }
            Claimed::Waits(wait) => waiting.push(wait),
            Claimed::Endless => {
                done.endless += 1;
                patches.push(stop_loop(core, spec, view, side, now));
            }
            Claimed::Write(claim, patch) => {
                claims.push(*claim);
                patches.push(*patch);
            }
        }
    }
    patches
}

/// A sweep found the record due, but a burst of changes goes on.
fn still_held(core: &Core<'_>, view: &View, side: Side, now: Timestamp) -> Option<Patch> {
    let end = held_until(&view.record, side, &core.settings.windows)?;
    let due = view.record.shadows[side].retry_at.is_none_or(|at| at <= now);
    (due && end > now).then(|| held_back(view, side, end))
}

/// The write is tried no earlier.
fn held_back(view: &View, side: Side, until: Timestamp) -> Patch {
    let mut record = view.record.clone();
    record.shadows[side].retry_at = Some(until);
    Patch::of(record)
}

fn may_claim(core: &Core<'_>, record: &Record, side: Side, now: Timestamp) -> bool {
    let shadow = &record.shadows[side];
    let waits = match shadow.attempts {
        0 => held_until(record, side, &core.settings.windows),
        _ => shadow.retry_at,
    };
    shadow.inflight.is_none() && !shadow.dirty() && !record.locked() && waits.is_none_or(|at| at <= now)
}

enum Claimed {
    Nothing,
    Waits(Waiting),
    /// Our writes to the record go on by themselves: a person looks first.
    Endless,
    Write(Box<Claim>, Box<Patch>),
}

/// T1 of one record: what is owed, as an intent that is stored before anything is sent.
fn claim_one(core: &Core<'_>, spec: &TypeSpec, view: &View, side: Side, known: &Known, now: Timestamp) -> Claimed {
    let record = &view.record;
    let shadow = &record.shadows[side];
    let quarantine = core.remotes[side].quarantine(&record.key.account, spec);
    let (kind, mut changes, pre) = match owed(record, spec, side) {
        Owed::Nothing => return Claimed::Nothing,
        Owed::Create { changes } => (WriteKind::Create, changes, model::Fields::new()),
        Owed::Update { changes, pre } => (WriteKind::Update, changes, pre),
        Owed::Delete { pre } => (WriteKind::Delete, model::Fields::new(), pre),
    };
    if kind == WriteKind::Update && !quarantine.is_zero() {
        // Nothing refuses this write when the rest of an atomic group has moved meanwhile: it is written whole, or the side
        // would hold a group nobody wrote.
        pre.iter().for_each(|(name, held)| _ = changes.entry(name.clone()).or_insert_with(|| held.clone()));
    }
    let map = |to: &RecordType, rid: &str| {
        let rid = Rid(rid.parse().ok()?);
        known.natives.get(&(to.clone(), rid)).map(ToString::to_string)
    };
    let mapped = |fields| map_references(&spec.fields, fields, &map);
    let deletion = kind == WriteKind::Delete && !known.may_delete(&record.key);
    let stamp = record.head.last_stamp + 1;
    let count = stamp.is_multiple_of(WriteLoop::EVERY) && !known.loops.contains_key(&record.key);
    let (Ok(wire_changes), Ok(wire_pre), false) = (mapped(&changes), mapped(&pre), deletion || count) else {
        let parents = referred(spec, &[&changes, &pre]);
        return Claimed::Waits(Waiting { key: record.key.clone(), parents, deletion, count });
    };
    if known.loops.get(&record.key).copied().unwrap_or(false) {
        return Claimed::Endless;
    }
    let id = write_id(&record.key, side, stamp);
    let generation = shadow.generation + u32::from(kind == WriteKind::Create);
    // What nothing would refuse when it comes late keeps the side closed as long as it may still come.
    let send_by = after(now, core.settings.write_deadline);
    let deadline = after(send_by, quarantine);
    let request = WriteRequest {
        write_id: id,
        rid: record.key.rid,
        kind,
        native_id: shadow.native_id.clone().filter(|_| shadow.exists == Existence::Yes),
        generation,
        stamp,
        expect: shadow.stamp,
        token: shadow.token,
        changes: wire_changes,
        pre: wire_pre,
        line_ids: shadow.line_ids.clone(),
        note: shadow.note,
        deadline: send_by.checked_sub(core.settings.send_margin).unwrap_or(send_by),
    };
    let occurred_at = changes.keys().filter_map(|name| record.head.meta.get(name)).map(|meta| meta.edited_at).max();
    let intent = Intent {
        write_id: id,
        side,
        kind,
        stamp,
        expect: shadow.stamp,
        changes,
        pre,
        version: record.head.version,
        status: IntentStatus::InFlight,
        deadline,
        native_id: request.native_id.clone(),
        generation,
        occurred_at,
    };
    let mut work = Work::new(core, spec, view);
    if work.fold(Entry::Claim(intent), now).is_err() {
        return Claimed::Nothing;
    }
    Claimed::Write(Box::new(Claim { key: record.key.clone(), request }), Box::new(work.finish(now)))
}

/// The records that these values refer to.
fn referred(spec: &TypeSpec, values: &[&model::Fields]) -> Vec<(RecordType, Rid)> {
    let mut parents = Vec::new();
    for fields in values {
        each_reference(&spec.fields, fields, &mut |to, rid| {
            if let Ok(rid) = rid.parse() {
                parents.push((to.clone(), Rid(rid)));
            }
        });
    }
    parents
}

pub(crate) fn release(claim: &Claim, side: Side, outcome: IntentStatus) -> Entry {
    Entry::Release(Release { write_id: claim.request.write_id, side, outcome })
}
