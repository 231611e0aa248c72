//! What people do to records: decide conflicts, lock, unlock, ring again (semantics §2.12).

use model::record::{Conflict, Entry, Lock, LockReason, Record, Resolution, WHOLE};
use model::{Fields, RecordRef, Side, Value};
use store::records::{Patch, Pick, View};
use uuid::Uuid;

use crate::core::{Core, StepError};
use crate::merging::Work;

/// A decision about one conflict.
#[derive(Debug, Clone, PartialEq)]
pub struct ResolveRequest {
    /// The record.
    pub record: RecordRef,
    /// The conflict.
    pub conflict_id: Uuid,
    /// The revision the person saw.
    pub rev: u32,
    /// What shall stand.
    pub choice: Choice,
    /// Who.
    pub actor: String,
    /// Why.
    pub note: String,
}

/// What shall stand.
#[derive(Debug, Clone, PartialEq)]
pub enum Choice {
    /// The values seen on this side; where it was deleted there, the deletion.
    Accept(Side),
    /// These values.
    Values(Fields),
}

/// Why a decision was not taken.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// No such open conflict on that record.
    #[error("the conflict is not open")]
    NotOpen,
    /// The values moved since the person saw them; here is the conflict as it stands.
    #[error("the conflict has moved to revision {}", .0.rev)]
    Moved(Box<Conflict>),
    /// The database.
    #[error(transparent)]
    Step(#[from] StepError),
}

/// Decides a conflict: the value goes to both sides, losing values are recorded, the lock goes. Idempotent by
/// `(conflict_id, rev)`. Answers the new canonical version.
///
/// # Errors
/// See [`ResolveError`]; the record is unchanged then.
pub async fn resolve(core: &Core<'_>, request: &ResolveRequest) -> Result<u64, ResolveError> {
    let mut answer = Err(ResolveError::NotOpen);
    let mut plan = |views: &[View]| -> Vec<Patch> {
        let Some(view) = views.first() else { return Vec::new() };
        let Some(spec) = core.spec(&request.record.record_type) else { return Vec::new() };
        let Some(conflict) = view.record.conflicts.iter().find(|c| c.conflict_id == request.conflict_id) else {
            return Vec::new();
        };
        if conflict.rev != request.rev {
            answer = Err(ResolveError::Moved(Box::new(conflict.clone())));
            return Vec::new();
        }
        let now = core.clock.now();
        let mut work = Work::new(core, spec, view);
        let resolution = Resolution {
            conflict_id: request.conflict_id,
            rev: request.rev,
            values: chosen(&view.record, conflict, &request.choice),
            actor: request.actor.clone(),
            note: request.note.clone(),
        };
        if work.fold(Entry::Resolution(resolution), now).is_err() {
            return Vec::new();
        }
        answer = Ok(work.record.head.version);
        wake(&mut work, now);
        vec![work.finish(now)]
    };
    core.records
        .transact(&Pick::These(vec![request.record.clone()]), false, &mut plan)
        .await
        .map_err(StepError::from)?;
    answer
}

/// The values that shall stand. A record taken as a side has it is taken whole: what is empty there is empty from now on.
fn chosen(record: &Record, conflict: &Conflict, choice: &Choice) -> Option<Fields> {
    let seen = match choice {
        Choice::Accept(Side::Suitex) => conflict.suitex.clone(),
        Choice::Accept(Side::Netsuite) => conflict.netsuite.clone(),
        Choice::Values(values) => return Some(values.clone()),
    };
    let mut values = seen?;
    if conflict.field == WHOLE {
        for name in record.head.state.keys() {
            values.entry(name.clone()).or_insert(Value::Null);
        }
    }
    Some(values)
}

/// What queued up behind a lock is looked at again: both sides, also one where the record is yet to be made. Nothing is
/// written to a side that is dirty (R7), so what was mended on the other side is seen before another attempt.
fn wake(work: &mut Work<'_>, now: model::Timestamp) {
    for side in Side::BOTH {
        work.record.shadows[side].ring(now, true, true);
    }
}

/// Locks a record (or one field) for a person or for dlq-handler. A lock of the same reason and field is kept as it is.
///
/// # Errors
/// The database.
pub async fn lock_record(
    core: &Core<'_>,
    record: &RecordRef,
    field: Option<&str>,
    reason: LockReason,
    note: &str,
) -> Result<Option<Uuid>, StepError> {
    let field = field.filter(|field| *field != WHOLE);
    let mut set = None;
    let mut plan = |views: &[View]| -> Vec<Patch> {
        let Some(view) = views.first() else { return Vec::new() };
        let Some(spec) = core.spec(&record.record_type) else { return Vec::new() };
        let same = |lock: &&Lock| lock.reason == reason && lock.field.as_deref() == field && lock.conflict_id.is_none();
        if let Some(held) = view.record.locks.iter().find(same) {
            set = Some(held.lock_id);
            return Vec::new();
        }
        let now = core.clock.now();
        let lock_id = core.ids.uuid();
        set = Some(lock_id);
        let mut work = Work::new(core, spec, view);
        work.record.locks.push(Lock {
            lock_id,
            field: field.map(str::to_owned),
            reason,
            conflict_id: None,
            locked_at: now,
            note: note.to_owned(),
        });
        vec![work.finish(now)]
    };
    core.records.transact(&Pick::These(vec![record.clone()]), false, &mut plan).await?;
    Ok(set)
}

/// Releases locks of a record that no open conflict holds: the one named, or all of this reason. Everything is looked
/// at again. Answers how many were released.
///
/// # Errors
/// The database.
pub async fn unlock(
    core: &Core<'_>,
    record: &RecordRef,
    which: &(dyn Fn(&Lock) -> bool + Sync),
) -> Result<usize, StepError> {
    let mut released = 0;
    let mut plan = |views: &[View]| -> Vec<Patch> {
        let Some(view) = views.first() else { return Vec::new() };
        let Some(spec) = core.spec(&record.record_type) else { return Vec::new() };
        let now = core.clock.now();
        let mut work = Work::new(core, spec, view);
        work.record.locks.retain(|lock| lock.conflict_id.is_some() || !which(lock));
        released = view.record.locks.len() - work.record.locks.len();
        if released == 0 {
            return Vec::new();
        }
        wake(&mut work, now);
        vec![work.finish(now)]
    };
    core.records.transact(&Pick::These(vec![record.clone()]), false, &mut plan).await?;
    Ok(released)
}

/// Rings records again: both sides are read (`look`), and what is owed is announced. Used by resync and the reconciler.
///
/// # Errors
/// The database.
pub async fn ring_records(core: &Core<'_>, records: &[RecordRef], look: bool) -> Result<usize, StepError> {
    let mut keys = records.to_vec();
    keys.sort_unstable();
    keys.dedup();
    let mut plan = |views: &[View]| -> Vec<Patch> {
        let now = core.clock.now();
        let ring_one = |view: &View| {
            let spec = core.spec(&view.record.key.record_type)?;
            let mut work = Work::new(core, spec, view);
            if look {
                wake(&mut work, now);
            }
            Some(work.finish(now))
        };
        views.iter().filter_map(ring_one).collect()
    };
    Ok(core.records.transact(&Pick::These(keys), false, &mut plan).await?)
}
