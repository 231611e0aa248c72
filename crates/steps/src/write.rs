//! The write step (semantics §2.9): claim in one transaction, send outside any, settle in another.
//!
//! A writer writes what the side is owed at that moment, never what a doorbell carried. It claims nothing while the
//! side is dirty (R7) or a write is in flight (R5), and a time-out is neither success nor failure (R8).

use std::collections::{BTreeMap, HashMap};

use merge::{Owed, held_until, owed};
use model::record::{Entry, Existence, Intent, IntentStatus, Record, Release};
use model::spec::TypeSpec;
use model::{
    AccountId, NativeId, RecordRef, RecordType, Rid, Side, Timestamp, WriteKind, WriteOutcome, WriteRequest, write_id,
};
use store::records::{Patch, Pick, View};

use crate::core::{Core, StepError, after};
use crate::merging::Work;
use crate::observe::{References, each_reference, map_references, references};
use crate::settle::settle_one;

/// What a write step did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Written {
    /// Records looked at.
    pub records: usize,
    /// Writes claimed and sent.
    pub claimed: usize,
    /// Outcomes by word.
    pub outcomes: BTreeMap<&'static str, usize>,
    /// Records whose write waits for a record they refer to.
    pub parked: usize,
    /// Records left alone: clean, dirty, in flight, locked or backing off.
    pub passed: usize,
    /// For every landed write, how long after the edit it landed, in microseconds.
    pub latencies_micros: Vec<i64>,
}

/// Rids → the side's own ids.
type Natives = HashMap<(RecordType, Rid), NativeId>;

/// A record, and the records it refers to that the side may not have yet.
type Waiting = (RecordRef, Vec<(RecordType, Rid)>);

/// A claimed write on its way.
pub(crate) struct Claim {
    pub(crate) key: RecordRef,
    pub(crate) request: WriteRequest,
}

/// One write step over a batch. `may_write` says which accounts may be written to now.
///
/// # Errors
/// The database. Writes claimed before stay in flight and are recovered after their deadline.
pub async fn write_step(
    core: &Core<'_>,
    side: Side,
    pick: &Pick,
    may_write: &(dyn Fn(&AccountId) -> bool + Sync),
) -> Result<Written, StepError> {
    let mut done = Written::default();
    let (mut claims, mut waiting) = (Vec::new(), Vec::new());
    let none = Natives::new();
    let mut plan =
        |views: &[View]| claim_all(core, side, views, &none, may_write, &mut claims, &mut waiting, &mut done);
    done.records = core.records.transact(pick, false, &mut plan).await?;
    if !waiting.is_empty() {
        claim_with_parents(core, side, waiting, may_write, &mut claims, &mut done).await?;
    }
    if claims.is_empty() {
        return Ok(done);
    }
    done.claimed = claims.len();
    let outcomes = send(core, side, &claims).await;
    finish(core, side, claims, outcomes, &mut done).await?;
    Ok(done)
}

/// Second attempt for records that refer to others: with those others' ids on the side, or parked until they have some.
async fn claim_with_parents(
    core: &Core<'_>,
    side: Side,
    waiting: Vec<Waiting>,
    may_write: &(dyn Fn(&AccountId) -> bool + Sync),
    claims: &mut Vec<Claim>,
    done: &mut Written,
) -> Result<(), StepError> {
    let mut by_account: BTreeMap<AccountId, Vec<Waiting>> = BTreeMap::new();
    for wait in waiting {
        by_account.entry(wait.0.account.clone()).or_default().push(wait);
    }
    for (account, waits) in by_account {
        let mut wanted: Vec<_> = waits.iter().flat_map(|(_, parents)| parents.iter().cloned()).collect();
        wanted.sort_unstable();
        wanted.dedup();
        let natives = core.records.native_ids(&account, side, &wanted).await?;
        let mut keys: Vec<RecordRef> = waits.into_iter().map(|(key, _)| key).collect();
        keys.sort_unstable();
        let mut still = Vec::new();
        let mut plan = |views: &[View]| {
            let mut patches = claim_all(core, side, views, &natives, may_write, claims, &mut still, done);
            patches.extend(
                views
                    .iter()
                    .filter(|view| still.iter().any(|(key, _)| *key == view.record.key))
                    .filter_map(|v| park(core, v, side)),
            );
            patches
        };
        core.records.transact(&Pick::These(keys), false, &mut plan).await?;
        done.parked += still.len();
    }
    Ok(())
}

/// The parent is not on the side yet: look again a little later.
fn park(core: &Core<'_>, view: &View, side: Side) -> Option<Patch> {
    let spec = core.spec(&view.record.key.record_type)?;
    let now = core.clock.now();
    let mut record = view.record.clone();
    core.settle(&mut record, spec, now);
    record.shadows[side].retry_at = Some(after(now, core.settings.net));
    Some(Patch::of(record))
}

#[allow(clippy::too_many_arguments)] // the parts of one transaction, each borrowed differently
fn claim_all(
    core: &Core<'_>,
    side: Side,
    views: &[View],
    natives: &Natives,
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
        match claim_one(core, spec, view, side, natives, now) {
            Claimed::Nothing => {
                done.passed += 1;
                let mut record = view.record.clone();
                core.settle(&mut record, spec, now);
                patches.push(Patch::of(record));
            }
            Claimed::Waits(parents) => waiting.push((view.record.key.clone(), parents)),
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
    Waits(Vec<(RecordType, Rid)>),
    Write(Box<Claim>, Box<Patch>),
}

/// T1 of one record: what is owed, as an intent that is stored before anything is sent.
fn claim_one(core: &Core<'_>, spec: &TypeSpec, view: &View, side: Side, natives: &Natives, now: Timestamp) -> Claimed {
    let record = &view.record;
    let shadow = &record.shadows[side];
    let (kind, changes, pre) = match owed(record, spec, side) {
        Owed::Nothing => return Claimed::Nothing,
        Owed::Create { changes } => (WriteKind::Create, changes, model::Fields::new()),
        Owed::Update { changes, pre } => (WriteKind::Update, changes, pre),
        Owed::Delete { pre } => (WriteKind::Delete, model::Fields::new(), pre),
    };
    let map = |to: &RecordType, rid: &str| {
        let rid = Rid(rid.parse().ok()?);
        natives.get(&(to.clone(), rid)).map(ToString::to_string)
    };
    let mapped = |fields| map_references(&spec.fields, fields, &map);
    let (Ok(wire_changes), Ok(wire_pre)) = (mapped(&changes), mapped(&pre)) else {
        let mut parents = Vec::new();
        for fields in [&changes, &pre] {
            each_reference(&spec.fields, fields, &mut |to, rid| {
                if let Ok(rid) = rid.parse() {
                    parents.push((to.clone(), Rid(rid)));
                }
            });
        }
        return Claimed::Waits(parents);
    };
    let stamp = record.head.last_stamp + 1;
    let id = write_id(&record.key, side, stamp);
    let generation = shadow.generation + u32::from(kind == WriteKind::Create);
    let deadline = after(now, core.settings.write_deadline);
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
        deadline: deadline.checked_sub(core.settings.send_margin).unwrap_or(deadline),
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

/// One call per account and type; the remote splits further as it must.
async fn send(core: &Core<'_>, side: Side, claims: &[Claim]) -> HashMap<RecordRef, WriteOutcome> {
    let mut groups: BTreeMap<(&AccountId, &RecordType), Vec<&Claim>> = BTreeMap::new();
    for claim in claims {
        groups.entry((&claim.key.account, &claim.key.record_type)).or_default().push(claim);
    }
    let mut outcomes = HashMap::new();
    for ((account, record_type), group) in groups {
        let Some(spec) = core.spec(record_type) else { continue };
        let requests: Vec<WriteRequest> = group.iter().map(|claim| claim.request.clone()).collect();
        let answers = core.remotes[side].write(account, spec, &requests).await;
        outcomes.extend(group.iter().map(|claim| claim.key.clone()).zip(answers));
    }
    outcomes
}

/// T2 of the batch.
async fn finish(
    core: &Core<'_>,
    side: Side,
    claims: Vec<Claim>,
    outcomes: HashMap<RecordRef, WriteOutcome>,
    done: &mut Written,
) -> Result<(), StepError> {
    let found = known_references(core, side, &claims, &outcomes).await?;
    let by_key: HashMap<RecordRef, Claim> = claims.into_iter().map(|claim| (claim.key.clone(), claim)).collect();
    let mut keys: Vec<RecordRef> = by_key.keys().cloned().collect();
    keys.sort_unstable();
    let mut plan = |views: &[View]| -> Vec<Patch> {
        views
            .iter()
            .filter_map(|view| {
                let (claim, outcome) = (by_key.get(&view.record.key)?, outcomes.get(&view.record.key)?);
                settle_one(core, side, view, claim, outcome, &found, done)
            })
            .collect()
    };
    core.records.transact(&Pick::These(keys), false, &mut plan).await?;
    Ok(())
}

/// Rids of what the rows read back refer to; unknown ones are left for the verify read.
async fn known_references(
    core: &Core<'_>,
    side: Side,
    claims: &[Claim],
    outcomes: &HashMap<RecordRef, WriteOutcome>,
) -> Result<HashMap<AccountId, References>, StepError> {
    let mut wanted: BTreeMap<AccountId, Vec<(RecordType, NativeId)>> = BTreeMap::new();
    for claim in claims {
        if let Some(WriteOutcome::Ok { observed: Some(observed), .. }) = outcomes.get(&claim.key)
            && let Some(spec) = core.spec(&claim.key.record_type)
        {
            references(spec, &observed.fields, wanted.entry(claim.key.account.clone()).or_default());
        }
    }
    let mut found = HashMap::new();
    for (account, mut ids) in wanted {
        ids.sort_unstable();
        ids.dedup();
        if !ids.is_empty() {
            let rids = core.records.lookup(&account, side, &ids).await?;
            found.insert(account, rids);
        }
    }
    Ok(found)
}

pub(crate) fn release(claim: &Claim, side: Side, outcome: IntentStatus) -> Entry {
    Entry::Release(Release { write_id: claim.request.write_id, side, outcome })
}
