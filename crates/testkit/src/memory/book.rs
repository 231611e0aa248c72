//! What the store holds, and how a transaction changes it.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use model::limits::DeleteBrake;
use model::record::{
    Conflict, Disposition, Entry, Intent, IntentStatus, Override, Record, Resolution, Version, Windows,
};
use model::{AccountId, EventId, NativeId, RecordRef, RecordType, Rid, Side, Source, Timestamp};
use store::StoreError;
use store::records::{AuditRow, Hint, Intake, LogRow, Outgoing, Patch, Pending, Pick, View};

use super::constraints;

/// One record and everything ever stored beside it.
#[derive(Debug, Clone)]
pub struct Kept {
    /// The record as it stands.
    pub record: Record,
    /// Unsettled hints, in `seq` order.
    pub pending: Vec<Pending>,
    /// The log, in `record_seq` order.
    pub log: Vec<LogRow>,
    /// Every version.
    pub versions: Vec<Version>,
    /// Every lost value.
    pub overrides: Vec<Override>,
    /// Conflicts that ended.
    pub closed: Vec<(Conflict, Option<Resolution>)>,
    /// Writes that ended.
    pub resolved: Vec<Intent>,
    /// Remote writes.
    pub audit: Vec<AuditRow>,
    /// When somebody's edit was heard of: not a poll's finding, nor the echo of a write of ours.
    pub(crate) heard_of: Vec<Timestamp>,
}

/// A side's id: whose it is, and whether it is the record's present one there.
#[derive(Debug, Clone, Copy)]
struct Link {
    rid: Rid,
    current: bool,
}

/// An event of the log of hints.
#[derive(Debug, Clone)]
pub(crate) struct Heard {
    pub(crate) record: RecordRef,
    pub(crate) disposition: Option<Disposition>,
}

/// The content of the store.
#[derive(Debug, Default)]
pub struct Book {
    /// Records in lock order.
    pub records: BTreeMap<RecordRef, Kept>,
    /// Outbox rows the relay has not published yet, oldest first.
    pub outbox: VecDeque<Outgoing>,
    /// Outbox rows ever stored.
    pub stored_out: u64,
    /// Outbox rows the relay has published and marked.
    pub relayed: u64,
    /// Breaches of an invariant that were seen while storing.
    pub breaches: Vec<String>,
    links: HashMap<(AccountId, RecordType, Side, NativeId), Link>,
    /// Provisional records that turned out to be this one.
    formerly: HashMap<RecordRef, BTreeSet<Rid>>,
    pub(crate) heard: HashMap<(AccountId, EventId), Heard>,
    /// Types whose deletions wait for a person; and since when deaths are counted anew after a person let them go on.
    pub(crate) brakes: BTreeSet<(AccountId, RecordType)>,
    counted_from: BTreeMap<(AccountId, RecordType), Timestamp>,
}

/// When the merge step may take a record, leases apart.
pub(super) fn merge_at(record: &Record) -> Option<Timestamp> {
    let ready = Side::BOTH.into_iter().filter_map(|side| record.shadows[side].ready_at).min()?;
    Some(record.head.lease.as_ref().map_or(ready, |lease| ready.max(lease.until)))
}

/// When a sweep may take a record for this side's writer.
pub(super) fn write_at(record: &Record, side: Side) -> Option<Timestamp> {
    let shadow = &record.shadows[side];
    let free = shadow.owed && !shadow.dirty() && shadow.inflight.is_none() && !record.locked();
    shadow.retry_at.filter(|_| free)
}

/// When the write in flight to this side may be looked for.
pub(super) fn overdue_at(record: &Record, side: Side) -> Option<Timestamp> {
    record.inflight(side).map(|intent| intent.deadline)
}

impl Book {
    /// The record a side's id belongs to, retired ids included; adopted records followed to what they became.
    pub fn rid_of(&self, account: &AccountId, record_type: &RecordType, side: Side, id: &NativeId) -> Option<Rid> {
        self.link(account, record_type, side, id).map(|link| link.rid)
    }

    /// The record a side's id belongs to, and the provisional ones it belonged to before.
    pub(super) fn link(
        &self,
        account: &AccountId,
        record_type: &RecordType,
        side: Side,
        id: &NativeId,
    ) -> Option<store::records::Link> {
        let link = self.links.get(&(account.clone(), record_type.clone(), side, id.clone()))?;
        let key = RecordRef { account: account.clone(), record_type: record_type.clone(), rid: link.rid };
        let heir = self.heir(key);
        let formerly = self.formerly.get(&heir).map(|before| before.iter().copied().collect()).unwrap_or_default();
        Some(store::records::Link { rid: heir.rid, formerly })
    }

    /// What a record became, itself if nothing.
    pub(super) fn heir(&self, mut key: RecordRef) -> RecordRef {
        while let Some(into) = self.records.get(&key).and_then(|kept| kept.record.head.merged_into) {
            key.rid = into;
        }
        key
    }

    /// As the row of the error queue does it in the database.
    pub(super) fn may_delete(
        &mut self,
        account: &AccountId,
        record_type: &RecordType,
        brake: &DeleteBrake,
        now: Timestamp,
    ) -> bool {
        let kind = (account.clone(), record_type.clone());
        if self.brakes.contains(&kind) {
            return false;
        }
        let since = self.counted_from.get(&kind).copied().into_iter().chain([brake.since(now)]).max();
        let of_type = |kept: &&Kept| kept.record.key.account == *account && kept.record.key.record_type == *record_type;
        let died = |kept: &&Kept| kept.versions.iter().any(|v| !v.alive && Some(v.created_at) > since);
        let gone = self.records.values().filter(of_type).filter(died).count() as u64;
        let living = self.records.values().filter(of_type).filter(|kept| kept.record.head.alive).count() as u64;
        if brake.trips(gone, living) {
            self.brakes.insert(kind);
            return false;
        }
        true
    }

    pub(super) fn writes_by_themselves(&self, record: &RecordRef, since: Timestamp) -> Option<u64> {
        let kept = self.records.get(record)?;
        let heard = kept.heard_of.iter().any(|at| *at > since);
        let claims = kept.log.iter().filter(|row| matches!(row.entry, Entry::Claim(_)) && row.at > since);
        (!heard).then(|| claims.count() as u64)
    }

    /// A person lets the deletions of a type go on.
    pub fn release_brake(&mut self, account: &AccountId, record_type: &RecordType, now: Timestamp) {
        let kind = (account.clone(), record_type.clone());
        self.brakes.remove(&kind);
        self.counted_from.insert(kind, now);
    }

    pub(super) fn take_in(&mut self, hint: &Hint, now: Timestamp, windows: &Windows) -> Intake {
        let id = (hint.account.clone(), hint.event_id);
        if self.heard.contains_key(&id) {
            return Intake::Known;
        }
        let known = self.rid_of(&hint.account, &hint.record_type, hint.side, &hint.native_id);
        let rid = known.unwrap_or(hint.new_rid);
        let key = RecordRef { account: hint.account.clone(), record_type: hint.record_type.clone(), rid };
        if known.is_none() {
            let mut record = Record::new(key.clone());
            record.shadows[hint.side].native_id = Some(hint.native_id.clone());
            self.records.insert(key.clone(), Kept::of(record));
            let link = Link { rid, current: true };
            let id = (hint.account.clone(), hint.record_type.clone(), hint.side, hint.native_id.clone());
            self.links.insert(id, link);
        }
        self.heard.insert(id, Heard { record: key.clone(), disposition: None });
        let kept = self.records.get_mut(&key).expect("the record of every link is stored");
        let locked = kept.record.locked();
        let shadow = &mut kept.record.shadows[hint.side];
        let seq = shadow.hear(now, windows, hint.urgent, hint.must_read());
        shadow.ready_at = if locked || shadow.inflight.is_some() { None } else { shadow.due_at(windows) };
        kept.pending.push(Pending::of(hint, seq, now));
        let context = hint.auth_context.as_ref().and_then(|context| context["executionContext"].as_str());
        if hint.write_id.is_none()
            && (hint.source == Source::Suitex || hint.source == Source::NetsuiteUe && context != Some("RESTLET"))
        {
            kept.heard_of.push(now);
        }
        Intake::Stored(key)
    }

    /// The records a transaction takes, in lock order.
    pub fn due(&self, pick: &Pick) -> Vec<RecordRef> {
        type DueAt<'a> = &'a dyn Fn(&Record) -> Option<Timestamp>;
        let (accounts, per_account, now, due): (_, _, _, DueAt<'_>) = match pick {
            Pick::These(records) => {
                let mut keys: Vec<_> = records.iter().filter(|key| self.records.contains_key(*key)).cloned().collect();
                keys.sort_unstable();
                keys.dedup();
                return keys;
            }
            Pick::DueMerge { accounts, per_account, now } => (accounts, *per_account, *now, &merge_at),
            Pick::DueWrite { accounts, side, per_account, now } => {
                (accounts, *per_account, *now, &|record: &Record| write_at(record, *side))
            }
            Pick::Overdue { accounts, side, per_account, now } => {
                (accounts, *per_account, *now, &|record: &Record| overdue_at(record, *side))
            }
        };
        let mut keys = Vec::new();
        for account in accounts {
            let of_account = self.records.values().map(|kept| &kept.record).filter(|r| r.key.account == *account);
            let mut found: Vec<(Timestamp, &RecordRef)> =
                of_account.filter_map(|record| Some((due(record).filter(|at| *at <= now)?, &record.key))).collect();
            found.sort_unstable();
            keys.extend(found.into_iter().take(per_account).map(|(_, key)| key.clone()));
        }
        keys.sort_unstable();
        keys
    }

    /// The earliest instant at which any step finds work.
    pub fn next_due_any(&self) -> Option<Timestamp> {
        let of = |record: &Record| {
            let writers =
                Side::BOTH.map(|side| write_at(record, side).into_iter().chain(overdue_at(record, side)).min());
            writers.into_iter().flatten().chain(merge_at(record)).min()
        };
        self.records.values().filter_map(|kept| of(&kept.record)).min()
    }

    /// The living records with a natural key, by rid.
    pub(super) fn with_natural_key<'a>(
        &'a self,
        account: &'a AccountId,
        record_type: &'a RecordType,
        natural_key: &'a str,
    ) -> impl Iterator<Item = Rid> + 'a {
        let fits = move |record: &&Record| {
            let (key, head) = (&record.key, &record.head);
            key.account == *account
                && key.record_type == *record_type
                && head.alive
                && head.merged_into.is_none()
                && head.natural_key.as_deref() == Some(natural_key)
        };
        self.records.values().map(|kept| &kept.record).filter(fits).map(|record| record.key.rid)
    }

    /// Nobody else alive has the record's natural key.
    pub(super) fn is_alone(&self, record: &Record) -> bool {
        let RecordRef { account, record_type, rid } = &record.key;
        let Some(natural_key) = &record.head.natural_key else { return true };
        self.with_natural_key(account, record_type, natural_key).all(|other| other == *rid)
    }

    /// Stores what a plan asked for, whole or not at all.
    pub(super) fn store(&mut self, views: &[View], patches: Vec<Patch>) -> Result<(), StoreError> {
        for patch in &patches {
            let Some(view) = views.iter().find(|view| view.record.key == patch.record.key) else {
                return Err(refused(&patch.record, "it was not given to the plan"));
            };
            constraints::check(&view.record, patch).map_err(|reason| refused(&patch.record, &reason))?;
            self.breaches.extend(constraints::breaches(&view.record, patch));
        }
        self.relink(views, &patches)?;
        for patch in patches {
            self.apply(patch);
        }
        Ok(())
    }

    /// Links follow the native ids: first every id given up, then every id taken.
    fn relink(&mut self, views: &[View], patches: &[Patch]) -> Result<(), StoreError> {
        let mut taken = Vec::new();
        for patch in patches {
            let key = &patch.record.key;
            let Some(view) = views.iter().find(|view| view.record.key == *key) else { continue };
            for side in Side::BOTH {
                let (old, new) = (&view.record.shadows[side].native_id, &patch.record.shadows[side].native_id);
                if old == new {
                    continue;
                }
                let id = |native: &NativeId| (key.account.clone(), key.record_type.clone(), side, native.clone());
                let held = old.as_ref().and_then(|old| self.links.get_mut(&id(old)));
                if let Some(link) = held.filter(|link| link.rid == key.rid) {
                    link.current = false;
                }
                taken.extend(new.as_ref().map(|new| (id(new), key)));
            }
        }
        for (id, key) in taken {
            let link = self.links.entry(id).or_insert(Link { rid: key.rid, current: false });
            let theirs = RecordRef { rid: link.rid, ..key.clone() };
            let given_up = patches.iter().any(|p| p.record.key == theirs && p.record.head.merged_into == Some(key.rid));
            // A hint may have come before the answer to our own create, and with it a provisional record. It has no
            // claim to the id: its first observation names ours, and what it holds moves there.
            let head = self.records.get(&theirs).map(|kept| &kept.record.head);
            let provisional = head.is_some_and(|head| head.version == 0 && head.merged_into.is_none());
            if link.rid != key.rid && !given_up && !provisional {
                return Err(refused_key(key, &format!("the side's id belongs to {theirs}")));
            }
            *link = Link { rid: key.rid, current: true };
            if theirs.rid != key.rid {
                self.told_formerly(&theirs, key.rid);
            }
        }
        Ok(())
    }

    /// A provisional record is another from now on, and so are those it was.
    fn told_formerly(&mut self, provisional: &RecordRef, heir: Rid) {
        let before = self.formerly.get(provisional).cloned().unwrap_or_default();
        let heir = RecordRef { rid: heir, ..provisional.clone() };
        self.formerly.entry(heir).or_default().extend(before.into_iter().chain([provisional.rid]));
    }

    fn apply(&mut self, patch: Patch) {
        let key = patch.record.key.clone();
        for (event_id, disposition) in patch.settled {
            match self.heard.get_mut(&(key.account.clone(), event_id)) {
                Some(heard) if heard.disposition.is_none() => heard.disposition = Some(disposition),
                Some(_) => self.breaches.push(format!("I8: event {event_id} of {key} was settled twice")),
                None => self.breaches.push(format!("I8: {key} settled event {event_id}, which was never stored")),
            }
            if let Some(kept) = self.records.get_mut(&key) {
                kept.pending.retain(|hint| hint.event_id != event_id);
            }
        }
        self.stored_out += patch.outbox.len() as u64;
        self.outbox.extend(patch.outbox);
        if let Some(heir) = patch.record.head.merged_into {
            self.told_formerly(&key, heir);
        }
        let Some(kept) = self.records.get_mut(&key) else { return };
        kept.record = patch.record;
        for side in Side::BOTH {
            // As a database keeps instants: to the microsecond.
            let at = &mut kept.record.shadows[side].retry_at;
            *at = at.map(|at| Timestamp::from_microsecond(at.as_microsecond()).unwrap_or(at));
        }
        kept.record.unresolved.sort_by_key(|intent| intent.stamp);
        kept.log.extend(patch.log);
        kept.versions.extend(patch.versions);
        kept.overrides.extend(patch.overrides);
        kept.closed.extend(patch.closed);
        kept.resolved.extend(patch.resolved);
        kept.audit.extend(patch.audit);
    }

    /// What became of every event that has a row here.
    pub fn dispositions(&self) -> impl Iterator<Item = (&AccountId, &EventId, Option<Disposition>)> + '_ {
        self.heard.iter().map(|((account, event_id), heard)| (account, event_id, heard.disposition))
    }

    /// Writes whose fate is settled, by how they ended.
    pub fn ended(&self, status: IntentStatus) -> usize {
        self.records.values().flat_map(|kept| &kept.resolved).filter(|intent| intent.status == status).count()
    }
}

impl Kept {
    fn of(record: Record) -> Self {
        Self {
            record,
            pending: Vec::new(),
            log: Vec::new(),
            versions: Vec::new(),
            overrides: Vec::new(),
            closed: Vec::new(),
            resolved: Vec::new(),
            audit: Vec::new(),
            heard_of: Vec::new(),
        }
    }
}

fn refused(record: &Record, reason: &str) -> StoreError {
    refused_key(&record.key, reason)
}

fn refused_key(key: &RecordRef, reason: &str) -> StoreError {
    StoreError::Refused { record: key.to_string(), reason: reason.to_owned() }
}
