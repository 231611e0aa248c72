//! I10: the log folded anew gives the record as it is stored.

use merge::replay::{Projection, Replay};
use model::record::Entry;
use model::spec::World;

use crate::memory::Kept;

/// What differs between the stored record and the fold of its log.
pub(super) fn check(kept: &Kept, world: &World) -> Vec<String> {
    let stored = &kept.record;
    let key = &stored.key;
    let Some(spec) = world.get(&key.record_type) else { return Vec::new() };
    if stored.head.merged_into.is_some() {
        return Vec::new(); // it was never more than a link and a bell
    }
    let mut breaches = Vec::new();
    let mut replay = Replay::new(key.clone(), spec);
    for row in &kept.log {
        if let Err(broken) = replay.take(row.record_seq, &row.entry, row.event_id, row.at) {
            breaches.push(format!("I10: the log of {key}: {broken}"));
            return breaches;
        }
        if let Entry::Claim(intent) = &row.entry
            && intent.stamp != replay.record().head.last_stamp
        {
            breaches.push(format!("I10: stamp {} of {key} is not where the log has it", intent.stamp));
        }
    }
    let differences = Projection::of(stored).differences(&Projection::of(replay.record()));
    breaches.extend(differences.into_iter().map(|part| format!("I10: {part} of {key} is not what its log folds to")));
    breaches
}
