//! SuiteX's counted deltas, folded by the transaction that stores them (semantics §2.4: a fast delta needs no read).
//!
//! What coalescing is for stays: the burst these deltas belong to goes on, and the other side is written to when it has
//! come to rest ([`merge::held_until`]). So a burst is one write, as it is when it waits before it is folded.

use model::Side;
use store::records::{Patch, View};

use crate::core::Core;
use crate::merging::{Cap, Merged, Work, of_side};
use crate::observe::fast_delta;

/// The plan of intake: folds what follows from the deltas alone. The rest stays dirty.
pub(crate) fn fold_straight(core: &Core<'_>, views: &[View], done: &mut Merged) -> Vec<Patch> {
    if !core.settings.fast_delta {
        return Vec::new();
    }
    views.iter().filter_map(|view| fold_one(core, view, done)).collect()
}

fn fold_one(core: &Core<'_>, view: &View, done: &mut Merged) -> Option<Patch> {
    let spec = core.spec(&view.record.key.record_type)?;
    let hints = of_side(view, Side::Suitex, u64::MAX);
    // The moment they were stored: it stands in their rows, and may be the entry's.
    let now = hints.last()?.received_at;
    let observation = fast_delta(&view.record, spec, &hints)?;
    let shadow = &view.record.shadows.suitex;
    let cap = Cap { side: Side::Suitex, dirty_seq: shadow.dirty_seq, epoch: shadow.epoch };
    let event_id = match hints.as_slice() {
        [hint] if hint.says(&observation) => hint.event_id,
        _ => core.ids.uuid(),
    };
    let mut work = Work::new(core, spec, view);
    work.observe_as(event_id, observation, cap, now, done);
    let after = &mut work.record.shadows.suitex;
    (after.dirty_since, after.last_hint_at, after.hints) = (shadow.dirty_since, shadow.last_hint_at, shadow.hints);
    done.records += 1;
    done.fast += 1;
    Some(work.finish(now))
}
