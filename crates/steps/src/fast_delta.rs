//! A gap-free run of SuiteX's counted deltas needs no read (semantics §2.4): the merge step folds it where it finds it, and
//! intake in the transaction that stores it.
//!
//! What coalescing is for stays: the burst these deltas belong to goes on, and the other side is written to when it has
//! come to rest ([`merge::held_until`]). So a burst is one write, as it is when it waits before it is folded.

use std::collections::BTreeMap;

use model::record::{Observation, Record};
use model::spec::TypeSpec;
use model::{EventId, Fields, Side};
use store::records::{Patch, Pending, View};

use crate::core::Core;
use crate::merged::Merged;
use crate::merging::{Cap, Work, of_side};

/// The plan of intake: folds what follows from the deltas alone. The rest stays dirty.
pub(crate) fn fold_fast_deltas(core: &Core<'_>, views: &[View], done: &mut Merged) -> Vec<Patch> {
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

/// A gap-free run of SuiteX deltas stands for a read (semantics §2.4, `fast_delta`). `None`: only a read will do.
pub(crate) fn fast_delta(record: &Record, spec: &TypeSpec, hints: &[&Pending]) -> Option<Observation> {
    let shadow = &record.shadows.suitex;
    let known = shadow.token.filter(|_| shadow.complete && !shadow.must_read)?;
    let unresolved = record.unresolved.iter().any(|intent| intent.side == Side::Suitex);
    if unresolved || shadow.exists != model::record::Existence::Yes || hints.is_empty() {
        return None;
    }
    let mut hints = hints.to_vec();
    hints.sort_by_key(|hint| hint.remote_version);
    let (mut token, mut fields, mut edited) = (known, Fields::new(), BTreeMap::new());
    let mut causes: Vec<EventId> = Vec::new();
    for hint in &hints {
        let version = hint.remote_version?;
        if hint.source != model::Source::Suitex || hint.operation == model::Operation::Delete {
            return None;
        }
        causes.push(hint.event_id);
        if version <= token {
            continue; // superseded: the shadow has it already
        }
        // Our own write's echo beyond the token is one whose acknowledgement we never had: read.
        if version != token + 1 || hint.write_id.is_some() || hint.changes.keys().any(|name| spec.needs_read(name)) {
            return None;
        }
        token = version;
        for (name, value) in &hint.changes {
            fields.insert(name.clone(), value.clone());
            edited.insert(name.clone(), hint.occurred_at);
        }
    }
    Some(Observation {
        complete: false,
        token: Some(token),
        edited,
        causes,
        occurred_at: hints.iter().map(|hint| hint.occurred_at).min(),
        ..Observation::read(Side::Suitex, fields)
    })
}

#[cfg(test)]
mod tests;
