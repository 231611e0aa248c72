//! Doorbells to the writers (semantics R9): rung whenever a transaction leaves a side owed something, even when that
//! transaction changed nothing.

use std::collections::BTreeMap;

use merge::{Owed, owed};
use model::record::Record;
use model::spec::TypeSpec;
use model::{EventId, MergedEvent, Side, Timestamp, record_key};
use store::records::Outgoing;

use crate::core::Core;

/// Logical topic of doorbells.
pub(crate) const MERGED: &str = "events.merged";
/// Logical topic of what a person may mend.
pub(crate) const ERROR: &str = "events.error";

/// One doorbell for each side that is owed something and may be written.
pub(crate) fn ring(
    core: &Core<'_>,
    record: &Record,
    spec: &TypeSpec,
    causes: &[EventId],
    decisions: &BTreeMap<String, (String, String)>,
    occurred_at: Option<Timestamp>,
) -> Vec<Outgoing> {
    let bell = |side: Side| {
        let changes = match owed(record, spec, side) {
            Owed::Nothing => return None,
            Owed::Create { changes } | Owed::Update { changes, .. } => changes,
            Owed::Delete { .. } => model::Fields::new(),
        };
        let event = MergedEvent {
            event_id: core.ids.uuid(),
            account: record.key.account.clone(),
            record_type: record.key.record_type.clone(),
            rid: record.key.rid,
            target: side,
            version: record.head.version,
            changes,
            source_event_ids: causes.to_vec(),
            decisions: decisions.clone(),
            occurred_at,
        };
        Some(doorbell(&event))
    };
    // A side in flight or dirty is rung again when that ends, one that backs off is found by the sweep; a bell now
    // would only be turned away.
    Side::BOTH
        .into_iter()
        .filter(|side| {
            let shadow = &record.shadows[*side];
            shadow.inflight.is_none() && !shadow.dirty() && shadow.attempts == 0
        })
        .filter_map(bell)
        .collect()
}

fn doorbell(event: &MergedEvent) -> Outgoing {
    Outgoing {
        topic: MERGED,
        record_key: record_key(&event.account, &event.record_type, &event.rid.to_string()),
        payload: model::wire::encode_merged(event),
        attributes: model::wire::merged_attributes(event).into(),
    }
}
