//! A person puts an earlier value of a field back (semantics R10: whoever's value gave way is named).

use merge::FoldError;
use merge::undo::Unit;
use model::record::{Entry, Lock, Undo};
use model::{EventId, RecordRef};
use store::records::{Patch, Pick, View};

use crate::core::{Core, StepError};
use crate::merging::Work;

/// What shall stand again.
#[derive(Debug, Clone, PartialEq)]
pub struct UndoRequest {
    /// The record.
    pub record: RecordRef,
    /// What is put back, by whom and why.
    pub undo: Undo,
    /// The id of the event to be. One of this id is not in the record's log as it stands at `record_seq`.
    pub event_id: EventId,
    /// The last entry of the log that was looked at: the undo was chosen from what led there.
    pub record_seq: u64,
}

/// Why nothing was put back.
#[derive(Debug, thiserror::Error)]
pub enum UndoError {
    /// There is no such record, or its type is not synced.
    #[error("there is no such record")]
    NoRecord,
    /// The record has moved on since the request was made: look again.
    #[error("the record has moved on")]
    Moved,
    /// The record, or the field, is locked.
    #[error("the record or the field is locked ({})", .0.reason.as_str())]
    Locked(Box<Lock>),
    /// The field's value cannot be put back.
    #[error(transparent)]
    Refused(#[from] FoldError),
    /// The database.
    #[error(transparent)]
    Step(#[from] StepError),
}

/// Publishes the earlier value as an event of the record: it goes to both sides as any other value does. Answers the new
/// canonical version.
///
/// # Errors
/// See [`UndoError`]; the record is unchanged then.
pub async fn undo(core: &Core<'_>, request: &UndoRequest) -> Result<u64, UndoError> {
    let mut answer = Err(UndoError::NoRecord);
    let mut plan = |views: &[View]| -> Vec<Patch> {
        let decided = views.first().map(|view| put_back(core, request, view));
        let (told, patch) = match decided {
            Some(Ok((version, patch))) => (Ok(version), Some(patch)),
            Some(Err(error)) => (Err(error), None),
            None => (Err(UndoError::NoRecord), None),
        };
        answer = told;
        patch.into_iter().collect()
    };
    core.records
        .transact(&Pick::These(vec![request.record.clone()]), false, &mut plan)
        .await
        .map_err(StepError::from)?;
    answer
}

fn put_back(core: &Core<'_>, request: &UndoRequest, view: &View) -> Result<(u64, Patch), UndoError> {
    let record = &view.record;
    let spec = core.spec(&record.key.record_type).ok_or(UndoError::NoRecord)?;
    if record.head.version == 0 || record.head.merged_into.is_some() {
        return Err(UndoError::NoRecord);
    }
    if record.head.record_seq != request.record_seq {
        return Err(UndoError::Moved);
    }
    let unit = Unit::find(spec, &request.undo.field)?;
    let now = core.clock.now();
    let mut work = Work::new(core, spec, view);
    // Asked first: an open conflict is told as such, with or without its lock.
    let folded = work.fold_as(request.event_id, Entry::Undo(request.undo.clone()), now);
    if let Err(error @ FoldError::InConflict(_)) = folded {
        return Err(error.into());
    }
    let holds = |lock: &&Lock| lock.field.as_deref().is_none_or(|field| unit.locked_by(field));
    if let Some(lock) = record.locks.iter().find(holds) {
        return Err(UndoError::Locked(Box::new(lock.clone())));
    }
    folded?;
    let version = work.record.head.version;
    Ok((version, work.finish(now)))
}
