//! What a producer saw, where the event only says where that lies. Evidence for people: the merge read the record itself.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::IntoResponse;
use chassis::problem::Problem;
use chassis::snapshots::{Expected, SnapshotError, Snapshots};
use futures::future::join_all;
use http::StatusCode;
use merge::normal::normalise_changes;
use model::{AccountId, ChangeEvent, Fields, NativeId, RecordType};
use serde_json::{Value, json};
use store::listing;
use uuid::Uuid;

use crate::Console;
use crate::answer::{Answer, Viewer, bad, problem, store_failed};

/// Most snapshots read for one answer, the newest ones.
const MOST: usize = 20;
/// Of those, under way at once: each may be as large as a snapshot can be.
const AT_ONCE: usize = 4;

/// Why a snapshot cannot be shown.
enum Unavailable {
    /// The storage has nothing there.
    Gone,
    /// The storage does not answer.
    Storage,
    /// What is there, or where it is said to be, is not the event's.
    Unusable(&'static str),
}

impl Unavailable {
    fn told(&self) -> &'static str {
        match self {
            Self::Gone => "there is nothing at its address any more",
            Self::Storage => "the storage does not answer",
            Self::Unusable(why) => why,
        }
    }
}

/// Gives the newest events of a timeline that came with a snapshot a member `snapshot`: the changes the producer saw, or
/// why they cannot be shown.
pub(crate) async fn show(console: &Console, items: &mut [Value]) {
    let Some(snapshots) = &console.snapshots else { return };
    let with_reference = items.iter_mut().rev().filter(|item| item["full_snapshot_ref"].is_string()).take(MOST);
    let mut with_reference: Vec<&mut Value> = with_reference.collect();
    for some in with_reference.chunks_mut(AT_ONCE) {
        let fill = async |item: &mut &mut Value| {
            item["snapshot"] = match read(console, snapshots, item).await {
                Ok((_, changes)) => json!({ "changes": changes }),
                Err(why) => json!({ "unavailable": why.told() }),
            };
        };
        join_all(some.iter_mut().map(fill)).await;
    }
}

/// `GET /api/v1/events/{account}/{id}/snapshot`: the event as its producer wrote it.
pub(crate) async fn snapshot(
    _: Viewer,
    State(console): State<Arc<Console>>,
    Path((account, event_id)): Path<(String, Uuid)>,
) -> Answer {
    let account = AccountId::parse(&account).map_err(|error| bad(error.to_string()))?;
    let found = listing::event(&console.pool, &account, event_id).await.map_err(|error| store_failed(&error))?;
    let Some(row) = found else { return Err(problem(StatusCode::NOT_FOUND, "not_found")) };
    let Some(reference) = row["full_snapshot_ref"].as_str() else {
        return Err(
            problem(StatusCode::NOT_FOUND, "no_snapshot").detail("the event came whole: its changes stand in the log")
        );
    };
    let Some(snapshots) = &console.snapshots else {
        return Err(unusable("no storage is configured here (SNAPSHOT_URL)"));
    };
    match read(&console, snapshots, &row).await {
        Ok((event, changes)) => Ok(Json(json!({
            "event_id": event.event_id,
            "account_id": event.account.as_str(),
            "record_type": event.record_type.as_str(),
            "record_id": event.record_id.as_str(),
            "operation": event.operation.as_str(),
            "source": event.source.as_str(),
            "occurred_at": event.occurred_at.to_string(),
            "remote_version": event.remote_version,
            "full_snapshot_ref": reference,
            "changes": changes,
        }))
        .into_response()),
        Err(why @ Unavailable::Gone) => Err(problem(StatusCode::GONE, "snapshot_gone").detail(why.told())),
        Err(why @ Unavailable::Storage) => {
            Err(problem(StatusCode::SERVICE_UNAVAILABLE, "unavailable").detail(why.told()).retry_after(2))
        }
        Err(Unavailable::Unusable(why)) => Err(unusable(why)),
    }
}

fn unusable(why: &'static str) -> Problem {
    problem(StatusCode::CONFLICT, "snapshot_unusable").detail(why)
}

/// What lies at the address an event of the log carries, if it is that event's; its values in canonical form.
async fn read(console: &Console, snapshots: &Snapshots, row: &Value) -> Result<(ChangeEvent, Fields), Unavailable> {
    let text = |name: &str| row[name].as_str().unwrap_or_default();
    let ids = (AccountId::parse(text("account_id")), RecordType::parse(text("record_type")));
    let (Ok(account), Ok(record_type), Ok(record_id), Ok(event_id)) =
        (ids.0, ids.1, NativeId::parse(text("record_id")), text("event_id").parse())
    else {
        return Err(Unavailable::Unusable("the event names no record"));
    };
    let of = Expected { account: &account, record_type: &record_type, record_id: &record_id, event_id };
    let event = match snapshots.read(text("full_snapshot_ref"), &of).await {
        Ok(Some(event)) => event,
        Ok(None) => return Err(Unavailable::Gone),
        Err(error) => {
            tracing::warn!(%account, %event_id, error = format!("{error:#}"), "the snapshot of event {event_id} of {account} is not shown: {error}");
            return Err(why(&error));
        }
    };
    let spec = console.engine.world.get(&event.record_type);
    let changes = spec.and_then(|spec| normalise_changes(spec, &event.changes).ok());
    changes.map(|changes| (event, changes)).ok_or(Unavailable::Unusable("its values break the rules of their fields"))
}

fn why(error: &SnapshotError) -> Unavailable {
    match error {
        SnapshotError::Storage(_) => Unavailable::Storage,
        SnapshotError::Elsewhere { .. } => Unavailable::Unusable("its address is no snapshot of this tenant here"),
        SnapshotError::TooLarge { .. } => Unavailable::Unusable("it is too large to be read"),
        SnapshotError::Altered => Unavailable::Unusable("it is not what was put there"),
        SnapshotError::AnothersEvent => Unavailable::Unusable("it is another event's"),
        SnapshotError::Unreadable(_) => Unavailable::Unusable("it cannot be read"),
    }
}
