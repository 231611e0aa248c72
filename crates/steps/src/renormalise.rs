//! A change of normalisation rules, rolled out (semantics §2.1): what is known of each record is brought into the new form in
//! a transaction of its own, with an entry in the log. Whoever folds first does it for the record at hand; this does it
//! for those that rest.

use model::RecordRef;
use model::record::Entry;
use store::records::{Patch, Pick, View};

use crate::core::{Core, StepError};
use crate::merging::Work;

/// What was done of a batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Renormalised {
    /// Records looked at.
    pub records: u64,
    /// Those of them whose form changed.
    pub changed: u64,
}

/// Brings these records into the form of today's rules. Nothing else of them moves, and nothing is stored of those that
/// are in it.
///
/// # Errors
/// The database; nothing of the batch is stored then.
pub async fn renormalise(core: &Core<'_>, keys: &[RecordRef]) -> Result<Renormalised, StepError> {
    let mut done = Renormalised::default();
    let mut plan = |views: &[View]| -> Vec<Patch> {
        done = Renormalised { records: views.len() as u64, changed: 0 };
        let patch = |view: &View| {
            let spec = core.spec(&view.record.key.record_type)?;
            let work = Work::new(core, spec, view);
            let changed = work.patch.log.iter().any(|row| matches!(row.entry, Entry::Renormalisation(_)));
            changed.then(|| work.finish(core.clock.now()))
        };
        let patches: Vec<Patch> = views.iter().filter_map(patch).collect();
        done.changed = patches.len() as u64;
        patches
    };
    core.records.transact(&Pick::These(keys.to_vec()), false, &mut plan).await?;
    Ok(done)
}
