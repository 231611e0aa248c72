//! Reading the sides for a batch of tickets, outside any transaction; and finding the records their references name.

use std::collections::{BTreeMap, HashMap};

use model::record::Record;
use model::spec::TypeSpec;
use model::{
    AccountId, ErrorClass, NativeId, Observed, Operation, ReadRequest, RecordRef, RecordType, RemoteError, Rid, Side,
    Source, Timestamp, WriteKind,
};
use store::records::Hint;

use crate::core::{Core, StepError, in_passing};
use crate::merging::{Ticket, of_side};
use crate::observe::{References, other_names, references};

/// One side of one record as it was read.
#[derive(Debug, Clone)]
pub(crate) struct Read {
    pub(crate) observed: Observed,
    /// When the read began, by our clock.
    pub(crate) at: Timestamp,
}

/// Everything read for a batch.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    reads: HashMap<(RecordRef, Side), Read>,
    /// By account too: two tenants call different records by the same id (R12).
    references: HashMap<(AccountId, Side), References>,
    none: References,
    pub(crate) unreadable: usize,
    /// The last read that gave nothing.
    pub(crate) trouble: Option<RemoteError>,
}

impl Gathered {
    pub(crate) fn get(&self, key: &RecordRef, side: Side) -> Option<&Read> {
        self.reads.get(&(key.clone(), side))
    }

    /// The record, calling those it refers to as what was read of it does: for looks, which leave no trace.
    pub(crate) fn renamed(&self, spec: &TypeSpec, record: &Record) -> Record {
        let mut record = record.clone();
        for side in Side::BOTH {
            let Some(read) = self.get(&record.key, side) else { continue };
            let known = self.references(&record.key.account, side);
            if let Some(names) = other_names(&record, spec, &read.observed.fields, known) {
                in_passing(&mut record, spec, names, read.at);
            }
        }
        record
    }

    pub(crate) fn references(&self, account: &AccountId, side: Side) -> &References {
        self.references.get(&(account.clone(), side)).unwrap_or(&self.none)
    }
}

/// What is done about a reference to a record nobody has met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Strangers {
    /// It becomes a provisional record and dirty, so that it is read.
    Meet,
    /// Nothing: the field stays unknown. For a look that must leave no trace.
    LeaveOut,
}

/// What one call to a side is about.
type Call = (AccountId, RecordType, Side);

/// Reads every side the tickets ask for: one call per account, type and side.
pub(crate) async fn gather(core: &Core<'_>, tickets: &[Ticket], strangers: Strangers) -> Result<Gathered, StepError> {
    let mut groups: BTreeMap<Call, Vec<(&Ticket, ReadRequest)>> = BTreeMap::new();
    for ticket in tickets {
        for cap in &ticket.caps {
            let key = &ticket.view.record.key;
            let group = (key.account.clone(), key.record_type.clone(), cap.side);
            groups.entry(group).or_default().push((ticket, request(ticket, cap.side)));
        }
    }
    let mut gathered = Gathered::default();
    for ((_, record_type, side), wants) in groups {
        let Some(spec) = core.spec(&record_type) else { continue };
        let account = &wants[0].0.view.record.key.account;
        let requests: Vec<ReadRequest> = wants.iter().map(|(_, request)| request.clone()).collect();
        let at = core.clock.now();
        let answers = core.remotes[side].read(account, spec, &requests).await;
        let mut wanted = Vec::new();
        for ((ticket, _), answer) in wants.iter().zip(answers) {
            match answer {
                Ok(observed) => {
                    references(spec, &observed.fields, &mut wanted);
                    gathered.reads.insert((ticket.view.record.key.clone(), side), Read { observed, at });
                }
                Err(error) => {
                    gathered.unreadable += 1;
                    if strangers == Strangers::Meet {
                        report(&ticket.view.record.key, &error);
                    }
                    gathered.trouble = Some(error);
                }
            }
        }
        let found = resolve(core, &wants[0].0.view.record.key, side, wanted, strangers).await?;
        gathered.references.entry((account.clone(), side)).or_default().extend(found);
    }
    Ok(gathered)
}

/// What to ask of a side for a record. Where the shadow knows no id, the latest hint's is tried: a row that was
/// deleted and inserted again under its old id is the same record returned. But not while a create of ours may have
/// landed: hints of the row before it would have us look in the wrong place, and take what we made for deleted.
fn request(ticket: &Ticket, side: Side) -> ReadRequest {
    let record = &ticket.view.record;
    let shadow = &record.shadows[side];
    let creating =
        record.unresolved.iter().filter(|i| i.side == side && i.kind == WriteKind::Create).map(|i| i.generation).max();
    let hinted = || of_side(&ticket.view, side, u64::MAX).last().map(|hint| hint.native_id.clone());
    ReadRequest {
        rid: record.key.rid,
        native_id: shadow.native_id.clone().or_else(|| if creating.is_none() { hinted() } else { None }),
        generation: creating.unwrap_or(shadow.generation),
        unresolved: record.unresolved.iter().filter(|i| i.side == side).map(|i| i.write_id).collect(),
        note: shadow.note,
    }
}

fn report(key: &RecordRef, error: &RemoteError) {
    let class = match error {
        RemoteError::Unavailable { .. } => ErrorClass::Transient,
        RemoteError::Forbidden { .. } => ErrorClass::Operational,
        RemoteError::Unreadable { .. } => ErrorClass::Validation,
    };
    tracing::warn!(record = %key, class = class.as_str(), %error, "{key} could not be read: {error}; it stays dirty");
}

/// The records that references name.
async fn resolve(
    core: &Core<'_>,
    near: &RecordRef,
    side: Side,
    mut wanted: Vec<(RecordType, NativeId)>,
    strangers: Strangers,
) -> Result<References, StepError> {
    wanted.retain(|(to, _)| core.spec(to).is_some());
    wanted.sort_unstable();
    wanted.dedup();
    if wanted.is_empty() {
        return Ok(References::new());
    }
    let mut found = core.records.links(&near.account, side, &wanted).await?;
    let missing: Vec<_> = wanted.iter().filter(|want| !found.contains_key(*want)).collect();
    if !missing.is_empty() && strangers == Strangers::Meet {
        let now = core.clock.now();
        let hints: Vec<Hint> = missing.into_iter().map(|want| parent_hint(core, near, side, want, now)).collect();
        core.records.intake(&hints, now, &core.settings.windows).await?;
        found = core.records.links(&near.account, side, &wanted).await?;
    }
    Ok(found)
}

fn parent_hint(
    core: &Core<'_>,
    near: &RecordRef,
    side: Side,
    (to, id): &(RecordType, NativeId),
    now: Timestamp,
) -> Hint {
    Hint {
        event_id: core.ids.uuid(),
        new_rid: Rid(core.ids.uuid()),
        account: near.account.clone(),
        record_type: to.clone(),
        side,
        native_id: id.clone(),
        operation: Operation::Update,
        source: Source::Reconcile,
        occurred_at: now,
        base_version: None,
        changes: model::Fields::new(),
        remote_version: None,
        write_id: None,
        full_snapshot_ref: None,
        auth_context: None,
        correlation_id: Some(near.to_string()),
        urgent: true,
    }
}

#[cfg(test)]
mod tests;
