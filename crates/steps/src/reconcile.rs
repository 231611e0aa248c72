//! The reconciler's look at both sides (semantics §2.14): all ids of a side by keyset, all records with what both sides
//! hold of them. It writes no values: what is not as it should be gets a hint of source `reconcile`, and the merge step
//! reads it like any other.
//!
//! A look is no transaction. A record counts as drift only when nothing moved on it from before the reading until after
//! it, nothing was under way, and the change is old enough for its own hint to have come. A hint too many costs a read.

use std::collections::HashMap;
use std::time::Duration;

use merge::{agreed_part, differs};
use model::record::{Existence, Record};
use model::spec::TypeSpec;
use model::{
    AccountId, Fields, NativeId, Observed, Operation, ReadRequest, RecordRef, RecordType, RemoteError, Rid, Side,
    Source,
};
use store::records::{Hint, View};

use crate::core::{Core, StepError};
use crate::gather::{Gathered, Strangers, gather};
use crate::intake::intake;
use crate::merging::{Cap, Ticket};
use crate::observe::{Seen, observation};
use crate::tally::{Tally, Why};

/// Why a look was broken off. Nothing of it is half done; it may be repeated.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    /// Our own database.
    #[error(transparent)]
    Step(#[from] StepError),
    /// A side gave nothing at all.
    #[error(transparent)]
    Remote(#[from] RemoteError),
}

impl From<store::StoreError> for LookError {
    fn from(error: store::StoreError) -> Self {
        Self::Step(error.into())
    }
}

/// What is being looked at.
#[derive(Clone, Copy)]
pub struct Look<'a> {
    /// The ports.
    pub core: Core<'a>,
    /// The tenant.
    pub account: &'a AccountId,
    /// The type.
    pub spec: &'a TypeSpec,
    /// A difference younger than this is not drift yet: its own hint may be on its way.
    pub grace: Duration,
}

impl Look<'_> {
    pub(crate) fn key(&self, rid: Rid) -> RecordRef {
        RecordRef { account: self.account.clone(), record_type: self.spec.name.clone(), rid }
    }

    /// One page of a side's ids, in its order from `after`. Ids that nobody knows to be there get a hint. Answers the
    /// page's last id, or `None` after the last page.
    ///
    /// # Errors
    /// The side does not list, or our database fails.
    pub async fn ids(
        &self,
        side: Side,
        after: Option<&NativeId>,
        limit: usize,
        tally: &mut Tally,
    ) -> Result<Option<NativeId>, LookError> {
        let ids = self.core.remotes[side].list(self.account, self.spec, after, limit).await?;
        tally.listed[side] += ids.len() as u64;
        let last = ids.last().filter(|last| ids.len() >= limit && Some(*last) != after).cloned();
        let strange = self.strange(side, ids).await?;
        if strange.is_empty() {
            return Ok(last);
        }
        let wants: Vec<ReadRequest> = strange.iter().map(|(_, id)| by_id(id)).collect();
        let answers = self.core.remotes[side].read(self.account, self.spec, &wants).await;
        let mut hints = Vec::new();
        for ((rid, id), answer) in strange.iter().zip(answers) {
            let why = match &answer {
                Ok(seen) if !seen.exists => continue, // it went meanwhile
                Ok(seen) if self.young(seen) => Why::Pending,
                Ok(_) => Why::Unknown,
                Err(_) => Why::Unreadable,
            };
            tally.note(*rid, Some(side), Some(id), why);
            hints.push(self.hint(side, id));
        }
        self.ring(&hints).await?;
        Ok(last)
    }

    /// Those of the ids that no record is known to have there, and nobody is looking into. With the record the id once
    /// belonged to, if any.
    pub(crate) async fn strange(
        &self,
        side: Side,
        ids: Vec<NativeId>,
    ) -> Result<Vec<(Option<Rid>, NativeId)>, LookError> {
        let wanted: Vec<(RecordType, NativeId)> = ids.into_iter().map(|id| (self.spec.name.clone(), id)).collect();
        let known = self.core.records.lookup(self.account, side, &wanted).await?;
        let mut keys: Vec<RecordRef> = known.values().map(|rid| self.key(*rid)).collect();
        keys.sort_unstable();
        keys.dedup();
        let views = self.core.records.views(&keys, false).await?;
        let views: HashMap<Rid, &Record> = views.iter().map(|view| (view.record.key.rid, &view.record)).collect();
        let strange = wanted.into_iter().filter_map(|want| {
            let rid = known.get(&want).copied();
            let expected = rid.and_then(|rid| views.get(&rid)).is_some_and(|record| {
                let shadow = &record.shadows[side];
                let there = shadow.exists == Existence::Yes && shadow.native_id.as_ref() == Some(&want.1);
                there || shadow.dirty() || shadow.inflight.is_some()
            });
            (!expected).then_some((rid, want.1))
        });
        Ok(strange.collect())
    }

    /// One page of records: what each side holds of them is read and compared with what is known. Differences get a hint.
    ///
    /// # Errors
    /// A side gives nothing at all, or our database fails.
    pub async fn records(&self, rids: &[Rid], tally: &mut Tally) -> Result<(), LookError> {
        let keys: Vec<RecordRef> = rids.iter().map(|rid| self.key(*rid)).collect();
        let before = self.core.views_in_form(&keys, false).await?;
        let there = |view: &View, side: Side| view.record.shadows[side].exists == Existence::Yes;
        let gathered = self.read(&before, &there).await?;
        let after = self.core.records.views(&keys, false).await?;
        let after: HashMap<Rid, &Record> = after.iter().map(|view| (view.record.key.rid, &view.record)).collect();
        let mut hints = Vec::new();
        for view in &before {
            let rests = after.get(&view.record.key.rid).is_some_and(|now| !moved(&view.record, now));
            self.judge(&gathered.renamed(self.spec, &view.record), rests, &gathered, tally, &mut hints);
        }
        self.ring(&hints).await
    }

    /// Reads the wanted sides of records, leaving no trace.
    pub(crate) async fn read(
        &self,
        views: &[View],
        wanted: &(dyn Fn(&View, Side) -> bool + Sync),
    ) -> Result<Gathered, LookError> {
        let ticket = |view: &View| {
            let cap = |side: Side| {
                let shadow = &view.record.shadows[side];
                Cap { side, dirty_seq: shadow.hint_seq, epoch: shadow.epoch }
            };
            let caps = Side::BOTH.into_iter().filter(|side| wanted(view, *side)).map(cap).collect();
            Ticket { view: view.clone(), token: 0, caps, twins: Vec::new(), alone: None }
        };
        let tickets: Vec<Ticket> = views.iter().map(ticket).collect();
        let gathered = gather(&self.core, &tickets, Strangers::LeaveOut).await?;
        for side in Side::BOTH {
            let asked = tickets.iter().filter(|t| t.caps.iter().any(|cap| cap.side == side));
            let answered = |t: &&Ticket| gathered.get(&t.view.record.key, side).is_some();
            let (answers, failures): (Vec<&Ticket>, Vec<&Ticket>) = asked.partition(answered);
            if let (true, false, Some(error)) = (answers.is_empty(), failures.is_empty(), &gathered.trouble)
                && !matches!(error, RemoteError::Unreadable { .. })
            {
                return Err(error.clone().into());
            }
        }
        Ok(gathered)
    }

    fn judge(&self, record: &Record, rests: bool, gathered: &Gathered, tally: &mut Tally, hints: &mut Vec<Hint>) {
        let (rid, head) = (record.key.rid, &record.head);
        if head.merged_into.is_some() {
            return;
        }
        let pending = !rests || self.busy(record);
        if pending {
            tally.note(Some(rid), None, None, Why::Pending);
        }
        if head.version > 0 && head.alive {
            tally.canonical.add(rid, &head.state);
        }
        for side in Side::BOTH.into_iter().filter(|side| record.shadows[*side].exists == Existence::Yes) {
            let native_id = record.shadows[side].native_id.as_ref();
            let Some(read) = gathered.get(&record.key, side) else {
                tally.note(Some(rid), Some(side), native_id, Why::Unreadable);
                continue;
            };
            let references = gathered.references(self.account, side);
            let seen = Seen { side, observed: &read.observed, read_at: read.at, references, hints: &[] };
            let held = observation(record, self.spec, &seen);
            let found = self.compare(record, side, &held.fields, &read.observed, tally);
            if pending || found == Found::AsKnown {
                continue;
            }
            let why = match found {
                Found::Disagrees => Why::Disagrees,
                // A reference nobody knows yet is read when the merge step meets it.
                _ if self.young(&read.observed) || found == Found::Stranger => Why::Pending,
                _ => Why::Drift,
            };
            tally.note(Some(rid), Some(side), native_id, why);
            if let (true, Some(id)) = (found != Found::Disagrees, native_id) {
                hints.push(self.hint(side, id));
            }
        }
    }

    /// Counts what a side holds, and compares it with what is known of it.
    fn compare(&self, record: &Record, side: Side, held: &Fields, read: &Observed, tally: &mut Tally) -> Found {
        if !read.exists {
            return Found::Differs;
        }
        let part = agreed_part(record, self.spec, side, held);
        tally.sides[side].add(record.key.rid, &part);
        if differs(record, self.spec, side, held) {
            return Found::Differs;
        }
        if read.fields.keys().any(|name| !held.contains_key(name)) {
            return Found::Stranger;
        }
        if record.head.alive && part != *record.head.state {
            return Found::Disagrees;
        }
        Found::AsKnown
    }

    fn busy(&self, record: &Record) -> bool {
        let now = self.core.clock.now();
        let leased = record.head.lease.as_ref().is_some_and(|lease| lease.until > now);
        let side = |side: &Side| {
            let shadow = &record.shadows[*side];
            shadow.dirty() || shadow.inflight.is_some() || shadow.owed
        };
        leased || !record.locks.is_empty() || !record.conflicts.is_empty() || Side::BOTH.iter().any(side)
    }

    fn young(&self, seen: &Observed) -> bool {
        seen.age.is_some_and(|age| age < self.grace)
    }

    pub(crate) fn hint(&self, side: Side, id: &NativeId) -> Hint {
        Hint {
            event_id: self.core.ids.uuid(),
            new_rid: Rid(self.core.ids.uuid()),
            account: self.account.clone(),
            record_type: self.spec.name.clone(),
            side,
            native_id: id.clone(),
            operation: Operation::Update,
            source: Source::Reconcile,
            occurred_at: self.core.clock.now(),
            base_version: None,
            changes: Fields::new(),
            remote_version: None,
            write_id: None,
            full_snapshot_ref: None,
            auth_context: None,
            correlation_id: None,
            urgent: true,
        }
    }

    pub(crate) async fn ring(&self, hints: &[Hint]) -> Result<(), LookError> {
        if !hints.is_empty() {
            intake(&self.core, &hints.iter().collect::<Vec<_>>()).await?;
        }
        Ok(())
    }
}

/// What a side was found to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    AsKnown,
    /// Not what its shadow says.
    Differs,
    /// It refers to a record nobody has met.
    Stranger,
    /// What its shadow says, and that is not the canonical state although nothing is owed.
    Disagrees,
}

fn by_id(id: &NativeId) -> ReadRequest {
    ReadRequest {
        rid: Rid(uuid::Uuid::nil()),
        native_id: Some(id.clone()),
        generation: 0,
        unresolved: Vec::new(),
        note: 0,
    }
}

/// Has anything of the record moved that a hint, a merge step or a writer moves?
fn moved(before: &Record, after: &Record) -> bool {
    let head = |record: &Record| (record.head.version, record.head.record_seq, record.head.lease_token);
    let side = |record: &Record, side: Side| {
        let shadow = &record.shadows[side];
        (shadow.epoch, shadow.hint_seq, shadow.dirty_seq, shadow.native_id.clone())
    };
    head(before) != head(after) || Side::BOTH.iter().any(|s| side(before, *s) != side(after, *s))
}

#[cfg(test)]
mod tests;
