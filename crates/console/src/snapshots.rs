//! What a producer saw, where the event only says where that lies.

use chassis::snapshots::Snapshots;
use futures::future::join_all;
use merge::normal::normalise_changes;
use model::RecordRef;
use serde_json::{Value, json};

use crate::Console;

/// Most snapshots read for one answer, the newest ones.
const MOST: usize = 20;

/// Gives the newest events of a timeline that came with a snapshot a member `snapshot`: the changes the producer saw, or
/// why they cannot be shown.
pub(crate) async fn show(console: &Console, record: &RecordRef, items: &mut [Value]) {
    let Some(snapshots) = &console.snapshots else { return };
    let with_reference = items.iter_mut().rev().filter(|item| item["full_snapshot_ref"].is_string()).take(MOST);
    let fill = async |item: &mut Value| {
        let reference = item["full_snapshot_ref"].as_str().unwrap_or_default().to_owned();
        item["snapshot"] = read(console, snapshots, record, &reference).await;
    };
    join_all(with_reference.map(fill)).await;
}

async fn read(console: &Console, snapshots: &Snapshots, record: &RecordRef, reference: &str) -> Value {
    let told = |why: &str| json!({ "unavailable": why });
    let event = match snapshots.read(reference).await {
        Ok(Some(event)) => event,
        Ok(None) => return told("there is nothing at its address any more"),
        Err(error) => {
            tracing::warn!(%record, error = format!("{error:#}"), "a snapshot of {record} cannot be read: {error}");
            return told("it cannot be read");
        }
    };
    // A reference is a producer's word: what it leads to must be about this record's tenant and type.
    if event.account != record.account || event.record_type != record.record_type {
        return told("it is another record's");
    }
    let spec = console.engine.world.get(&event.record_type);
    let changes = spec.and_then(|spec| normalise_changes(spec, &event.changes).ok());
    changes.map_or_else(|| told("its values break the rules of their fields"), |changes| json!({ "changes": changes }))
}
