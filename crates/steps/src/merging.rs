//! The merge step (semantics §2.4): take what is due, read it outside any transaction, fold, ring.

use std::collections::{BTreeMap, HashMap};

use merge::{Effects, fold};
use model::record::{Disposition, Entry, Observation, Record};
use model::spec::TypeSpec;
use model::{EventId, RecordRef, Rid, Side, Timestamp};
use store::records::{LogRow, Patch, Pending, Pick, View};

use crate::core::{Core, StepError, after};
use crate::fast_delta::fast_delta;
use crate::gather::{Gathered, Strangers, gather};
use crate::identity::{adopt, meet_again, unlink};
use crate::merged::{Merged, clashes};
use crate::observe::{Seen, observation, other_names};
use crate::ring::ring;

/// What tx A learned of one record: the lease's token, and for each side to read where its bell stood.
#[derive(Debug, Clone)]
pub(crate) struct Ticket {
    pub(crate) view: View,
    pub(crate) token: i64,
    pub(crate) caps: Vec<Cap>,
    /// Records that answer the natural key of this one, which nobody has met before.
    pub(crate) twins: Vec<Rid>,
    /// The natural key that nobody else answered.
    pub(crate) alone: Option<String>,
}

/// A dirty side as tx A saw it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cap {
    pub(crate) side: Side,
    pub(crate) dirty_seq: u64,
    pub(crate) epoch: u64,
}

/// One merge step over a batch.
///
/// # Errors
/// The database. Leases taken run out by themselves.
pub async fn merge_step(core: &Core<'_>, pick: &Pick) -> Result<Merged, StepError> {
    let mut done = Merged::default();
    let mut tickets = Vec::new();
    let taken = core.records.transact(pick, true, &mut |views| take(core, views, &mut tickets, &mut done)).await?;
    done.records = taken;
    if tickets.is_empty() {
        return Ok(done);
    }
    let mut gathered = gather(core, &tickets, Strangers::Meet).await?;
    done.unreadable = gathered.unreadable;
    adopt(core, &mut tickets, &mut gathered).await?;
    let by_key: HashMap<RecordRef, &Ticket> = tickets.iter().map(|t| (t.view.record.key.clone(), t)).collect();
    let mut keys: Vec<RecordRef> = by_key.keys().cloned().collect();
    keys.sort_unstable();
    if !keys.is_empty() {
        let mut counted: HashMap<RecordRef, Merged> = HashMap::new();
        let mut plan = |views: &[View]| -> Vec<Patch> {
            let mut finish = |view: &View| {
                let done = counted.entry(view.record.key.clone()).or_default();
                finish(core, view, by_key.get(&view.record.key)?, &gathered, done)
            };
            views.iter().filter_map(&mut finish).collect()
        };
        core.records.transact(&Pick::These(keys), true, &mut plan).await?;
        tickets.retain(|ticket| ticket.alone.is_some());
        for left_out in meet_again(core, tickets, &mut gathered).await? {
            counted.remove(&left_out); // nothing of it was stored
        }
        counted.into_values().for_each(|of_one| done.add(of_one));
    }
    Ok(done)
}

/// Tx A: a lease for what must be read; what its deltas cover is folded at once.
fn take(core: &Core<'_>, views: &[View], tickets: &mut Vec<Ticket>, done: &mut Merged) -> Vec<Patch> {
    let now = core.clock.now();
    views.iter().filter_map(|view| take_one(core, view, now, tickets, done)).collect()
}

fn take_one(
    core: &Core<'_>,
    view: &View,
    now: Timestamp,
    tickets: &mut Vec<Ticket>,
    done: &mut Merged,
) -> Option<Patch> {
    let record = &view.record;
    let Some(spec) = core.spec(&record.key.record_type) else { return Some(put_off(core, record, now)) };
    let leased = record.head.lease.as_ref().is_some_and(|lease| lease.until > now);
    if leased || record.locked() || record.head.merged_into.is_some() {
        return None;
    }
    let caps: Vec<Cap> = Side::BOTH
        .into_iter()
        .filter(|side| record.shadows[*side].dirty() && record.shadows[*side].inflight.is_none())
        .map(|side| Cap { side, dirty_seq: record.shadows[side].dirty_seq, epoch: record.shadows[side].epoch })
        .collect();
    let hints = of_side(view, Side::Suitex, u64::MAX);
    match caps.as_slice() {
        [] => None,
        [cap] if cap.side == Side::Suitex && core.settings.fast_delta => match fast_delta(record, spec, &hints) {
            Some(observation) => {
                done.fast += 1;
                let mut work = Work::new(core, spec, view);
                work.observe(observation, *cap, now, done);
                Some(work.finish(now))
            }
            None => Some(lease(core, spec, view, caps, now, tickets)),
        },
        _ => Some(lease(core, spec, view, caps, now, tickets)),
    }
}

fn put_off(core: &Core<'_>, record: &Record, now: Timestamp) -> Patch {
    let mut record = record.clone();
    for side in Side::BOTH {
        let shadow = &mut record.shadows[side];
        shadow.ready_at = shadow.dirty().then(|| core.far(now));
    }
    Patch::of(record)
}

fn lease(
    core: &Core<'_>,
    spec: &TypeSpec,
    view: &View,
    caps: Vec<Cap>,
    now: Timestamp,
    tickets: &mut Vec<Ticket>,
) -> Patch {
    let mut record = view.record.clone();
    record.head.lease_token += 1;
    record.head.lease =
        Some(model::record::Lease { owner: core.settings.owner.clone(), until: after(now, core.settings.lease) });
    core.settle(&mut record, spec, now);
    tickets.push(Ticket { view: view.clone(), token: record.head.lease_token, caps, twins: Vec::new(), alone: None });
    Patch::of(record)
}

/// Hints of one side up to a sequence, in order.
pub(crate) fn of_side(view: &View, side: Side, up_to: u64) -> Vec<&Pending> {
    view.pending.iter().filter(|hint| hint.side == side && hint.seq <= up_to).collect()
}

/// Tx B of one record.
fn finish(core: &Core<'_>, view: &View, ticket: &Ticket, gathered: &Gathered, done: &mut Merged) -> Option<Patch> {
    let spec = core.spec(&view.record.key.record_type)?;
    if view.record.head.lease_token != ticket.token || view.record.head.lease.is_none() {
        return None; // the lease ran out and another step has the record: its token is the newer one
    }
    let now = core.clock.now();
    let mut work = Work::new(core, spec, view);
    let mut unreadable = false;
    for cap in &ticket.caps {
        let Some(read) = gathered.get(&view.record.key, cap.side) else {
            unreadable = true;
            continue;
        };
        let shadow = &work.record.shadows[cap.side];
        if shadow.epoch != cap.epoch || shadow.inflight.is_some() || work.record.locked() {
            continue; // stays dirty (R5, R6)
        }
        let hints = of_side(view, cap.side, cap.dirty_seq);
        let seen = Seen {
            side: cap.side,
            observed: &read.observed,
            read_at: read.at,
            references: gathered.references(&view.record.key.account, cap.side),
            hints: &hints,
        };
        let mut observation = work.observed(&seen, now);
        if observation.exists && work.record.head.version == 0 {
            observation.twins.clone_from(&ticket.twins);
        }
        work.observe(observation, *cap, now, done);
        if !read.observed.exists {
            unlink(&mut work.record, cap.side, &ticket.view.record);
        }
    }
    // A side that did not answer is left alone for a while: the lease stands until then.
    work.record.head.lease = work.record.head.lease.take().filter(|_| unreadable).map(|mut lease| {
        lease.until = after(now, core.settings.read_backoff);
        lease
    });
    let mut patch = work.finish(now);
    patch.alone = ticket.alone.is_some() && patch.record.head.natural_key == ticket.alone && ticket.twins.is_empty();
    Some(patch)
}

/// A record on its way through a transaction.
pub(crate) struct Work<'a> {
    core: &'a Core<'a>,
    spec: &'a TypeSpec,
    view: &'a View,
    pub(crate) record: Record,
    pub(crate) patch: Patch,
    causes: Vec<EventId>,
    decisions: BTreeMap<String, (String, String)>,
    occurred_at: Option<Timestamp>,
}

impl<'a> Work<'a> {
    /// Begins with what is known in the form of today's rules: nothing is folded against values in another (semantics §2.1).
    pub(crate) fn new(core: &'a Core<'a>, spec: &'a TypeSpec, view: &'a View) -> Self {
        let mut work = Self::as_it_is(core, spec, view);
        if let Some(other) = core.other_form(&view.record, spec) {
            let _ = work.fold(Entry::Renormalisation(other), core.clock.now()); // a form cannot be refused
        }
        work
    }

    /// Begins with what is known, in whatever form.
    pub(crate) fn as_it_is(core: &'a Core<'a>, spec: &'a TypeSpec, view: &'a View) -> Self {
        Self {
            core,
            spec,
            view,
            record: view.record.clone(),
            patch: Patch::of(Record::new(view.record.key.clone())),
            causes: Vec::new(),
            decisions: BTreeMap::new(),
            occurred_at: None,
        }
    }

    /// Folds an entry and puts what it causes into the patch. Answers the effects and the entry's event id.
    pub(crate) fn fold(&mut self, entry: Entry, now: Timestamp) -> Result<(Effects, EventId), merge::FoldError> {
        let event_id = self.core.ids.uuid();
        self.fold_as(event_id, entry, now)
    }

    /// [`Work::fold`] under an id that is given.
    pub(crate) fn fold_as(
        &mut self,
        event_id: EventId,
        entry: Entry,
        now: Timestamp,
    ) -> Result<(Effects, EventId), merge::FoldError> {
        let effects = fold(&mut self.record, self.spec, &entry, event_id, now)?;
        if effects.changed {
            self.patch.log.push(LogRow {
                event_id,
                record_seq: self.record.head.record_seq,
                entry,
                at: now,
                rules: self.core.settings.rules,
            });
        }
        self.patch.versions.extend(effects.version.clone());
        self.patch.overrides.extend(effects.overrides.iter().cloned());
        self.patch.closed.extend(effects.closed.iter().cloned());
        self.patch.resolved.extend(effects.resolved.iter().cloned());
        self.decisions.extend(effects.decisions.clone());
        Ok((effects, event_id))
    }

    /// What was seen, as the fold takes it; the record calls by the same names what both refer to.
    pub(crate) fn observed(&mut self, seen: &Seen<'_>, now: Timestamp) -> Observation {
        if let Some(names) = other_names(&self.record, self.spec, &seen.observed.fields, seen.references) {
            let _ = self.fold(Entry::Renormalisation(names), now); // names cannot be refused
        }
        observation(&self.record, self.spec, seen)
    }

    /// Folds an observation and settles the hints it answers.
    fn observe(&mut self, observation: Observation, cap: Cap, now: Timestamp, done: &mut Merged) {
        let event_id = self.core.ids.uuid();
        self.observe_as(event_id, observation, cap, now, done);
    }

    /// [`Work::observe`] under an id that is there already.
    pub(crate) fn observe_as(
        &mut self,
        event_id: EventId,
        observation: Observation,
        cap: Cap,
        now: Timestamp,
        done: &mut Merged,
    ) {
        let token_before = self.record.shadows[cap.side].token;
        let open_before: Vec<_> = self.record.conflicts.iter().map(|conflict| conflict.conflict_id).collect();
        self.causes.extend(&observation.causes);
        self.occurred_at = self.occurred_at.into_iter().chain(observation.occurred_at).min();
        let Ok((effects, _)) = self.fold_as(event_id, Entry::Observation(observation), now) else { return };
        let conflict = effects.conflict_touched && effects.version.as_ref().is_some_and(|v| v.delta.is_empty());
        for hint in of_side(self.view, cap.side, cap.dirty_seq) {
            let known =
                cap.side == Side::Suitex && hint.remote_version <= token_before && hint.remote_version.is_some();
            let disposition = match &effects.version {
                _ if hint.write_id.is_some() => Disposition::NoopEcho,
                _ if known => Disposition::Superseded,
                Some(_) if conflict => Disposition::Conflict,
                Some(version) => Disposition::Applied(version.version),
                // It was typed, and lost: the override row names it, the version that stands is the answer.
                None if !effects.overrides.is_empty() => Disposition::Applied(self.record.head.version),
                None => Disposition::NoopEcho,
            };
            done.settled += 1;
            done.applied += usize::from(matches!(disposition, Disposition::Applied(_)));
            self.patch.settled.push((hint.event_id, disposition));
        }
        done.versions += usize::from(effects.version.is_some());
        done.conflicts += usize::from(effects.conflict_touched);
        done.overrides += effects.overrides.len();
        for word in clashes(&effects) {
            *done.clashes.entry(word).or_default() += 1;
        }
        for conflict in self.record.conflicts.iter().filter(|c| !open_before.contains(&c.conflict_id)) {
            *done.clashes.entry(conflict.reason.as_str().to_owned()).or_default() += 1;
        }
        self.answer(cap);
    }

    /// The bell is answered — unless a newer one rang meanwhile.
    fn answer(&mut self, cap: Cap) {
        let shadow = &mut self.record.shadows[cap.side];
        if shadow.dirty_seq != cap.dirty_seq {
            return;
        }
        shadow.dirty_seq = 0;
        shadow.dirty_since = None;
        shadow.last_hint_at = None;
        shadow.hints = 0;
        shadow.urgent = false;
        shadow.must_read = false;
    }

    /// Working columns, doorbells, patch.
    pub(crate) fn finish(mut self, now: Timestamp) -> Patch {
        self.core.settle(&mut self.record, self.spec, now);
        let bells = ring(self.core, &self.record, self.spec, &self.causes, &self.decisions, self.occurred_at);
        self.patch.outbox.extend(bells);
        self.patch.record = self.record;
        self.patch
    }
}
