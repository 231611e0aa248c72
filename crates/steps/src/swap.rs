//! A record is made what its log folds to (semantics §2.14): under the head's lock, and only where nothing was appended
//! to the log since it was folded.

use merge::replay::Projection;
use model::RecordRef;
use store::records::{Patch, Pick, View};

use crate::core::{Core, StepError};
use crate::merging::Work;

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Swapped {
    /// The record is what its log folds to now; what it owes its sides is announced.
    Done,
    /// It was that already.
    Same,
    /// Its log has grown since it was folded.
    Moved,
    /// This part differs and is not one to be put: it would move back, or has rows of its own.
    Refused(&'static str),
    /// There is no such record any more.
    Gone,
}

/// Puts a projection in the place of a record's folded part.
///
/// # Errors
/// The database.
pub async fn swap(core: &Core<'_>, key: &RecordRef, folded: &Projection) -> Result<Swapped, StepError> {
    let mut outcome = Swapped::Gone;
    let mut plan = |views: &[View]| -> Vec<Patch> {
        let Some(view) = views.first() else { return Vec::new() };
        let Some(spec) = core.spec(&key.record_type) else { return Vec::new() };
        outcome = Swapped::Moved;
        if view.record.head.record_seq != folded.record_seq {
            return Vec::new();
        }
        outcome = Swapped::Same;
        if Projection::of(&view.record) == *folded {
            return Vec::new();
        }
        let mut work = Work::as_it_is(core, spec, view);
        if let Err(part) = folded.put(&mut work.record) {
            outcome = Swapped::Refused(part);
            return Vec::new();
        }
        outcome = Swapped::Done;
        vec![work.finish(core.clock.now())]
    };
    core.records.transact(&Pick::These(vec![key.clone()]), false, &mut plan).await?;
    Ok(outcome)
}
