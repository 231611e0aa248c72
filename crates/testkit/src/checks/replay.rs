//! I10: the log folded anew gives the record as it is stored.

use model::record::{Entry, Record};
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
    let mut replayed = Record::new(key.clone());
    for row in &kept.log {
        if let Err(error) = merge::fold(&mut replayed, spec, &row.entry, row.event_id, row.at) {
            breaches.push(format!("I10: log row {} of {key} cannot be folded: {error}", row.record_seq));
        }
        if let Entry::Claim(intent) = &row.entry
            && intent.stamp != replayed.head.last_stamp
        {
            breaches.push(format!("I10: stamp {} of {key} is not where the log has it", intent.stamp));
        }
    }
    let (head, again) = (&stored.head, &replayed.head);
    let mut compare = |what: &str, same: bool| {
        if !same {
            breaches.push(format!("I10: {what} of {key} is not what its log folds to"));
        }
    };
    compare("version", head.version == again.version);
    compare("state", head.state == again.state);
    compare("existence", head.alive == again.alive);
    compare("provenance", head.meta == again.meta);
    compare("record_seq", head.record_seq == again.record_seq);
    compare("last_stamp", head.last_stamp == again.last_stamp);
    for side in model::Side::BOTH {
        let (shadow, again) = (&stored.shadows[side], &replayed.shadows[side]);
        compare(&format!("{side} existence"), shadow.exists == again.exists);
        compare(&format!("{side} state"), shadow.state == again.state);
        compare(&format!("{side} completeness"), shadow.complete == again.complete);
        compare(&format!("{side} token"), shadow.token == again.token);
        compare(&format!("{side} stamp"), shadow.stamp == again.stamp);
        compare(&format!("{side} generation"), shadow.generation == again.generation);
        compare(&format!("{side} line ids"), shadow.line_ids == again.line_ids);
        compare(&format!("{side} flight"), shadow.inflight == again.inflight);
    }
    let ids = |record: &Record| record.unresolved.iter().map(|i| (i.write_id, i.status)).collect::<Vec<_>>();
    compare("unresolved writes", ids(stored) == ids(&replayed));
    compare("conflicts", stored.conflicts == replayed.conflicts);
    breaches
}
