//! What people may do and ask, once: the JSON API and the pages to come are two mouths over this.

use model::spec::World;
use model::{RecordRef, Timestamp};
use serde_json::{Map, Value, json};
use sqlx::PgPool;
use store::{StoreError, listing};
use uuid::Uuid;

pub mod replay;
pub mod rulebook;
pub mod undo;
pub mod what_if;

/// Most items of the timeline shown beside a conflict.
const CONTEXT_TIMELINE: i64 = 100;

/// A record as it stood at a version or an instant; `None` when it did not exist then.
///
/// # Errors
/// The database.
pub async fn state_at(
    pool: &PgPool,
    record: &RecordRef,
    version: Option<i64>,
    at: Option<Timestamp>,
) -> Result<Option<Value>, StoreError> {
    let version = match (version, at) {
        (Some(version), _) => Some(version),
        (None, Some(at)) => listing::version_at(pool, record, at).await?,
        (None, None) => None,
    };
    let Some(version) = version else { return Ok(None) };
    let versions = listing::versions_up_to(pool, record, version).await?;
    let Some(last) = versions.last().filter(|last| last["version"].as_i64() == Some(version)) else { return Ok(None) };
    Ok(Some(json!({
        "account_id": record.account.as_str(),
        "record_type": record.record_type.as_str(),
        "record_id": record.rid.to_string(),
        "version": version,
        "state": fold(&versions),
        "last_modified": last["created_at"],
        "alive": last["alive"],
    })))
}

/// Folds deltas over the whole state they begin with.
fn fold(versions: &[Value]) -> Map<String, Value> {
    let mut state = Map::new();
    for version in versions {
        if let Some(full) = version["full"].as_object() {
            state.clone_from(full);
            continue;
        }
        for (field, value) in version["delta"].as_object().into_iter().flatten() {
            if value.is_null() {
                state.remove(field);
            } else {
                state.insert(field.clone(), value.clone());
            }
        }
    }
    state
}

/// Every field of a record with what made it so; empty when there is no such record.
///
/// # Errors
/// The database.
pub async fn blame(pool: &PgPool, world: &World, record: &RecordRef) -> Result<Vec<Value>, StoreError> {
    let grouped = world.get(&record.record_type).into_iter().flat_map(|spec| {
        let leader = |field| spec.group_of(field).first().map(|leader| leader.name.clone());
        spec.fields.iter().filter(|f| f.group.is_some()).filter_map(move |f| Some((f.name.clone(), leader(f)?)))
    });
    listing::blame(pool, record, &grouped.collect()).await
}

/// A conflict as a person decides it (contracts §11): base, both sides, a suggestion, what led here, and the revision the
/// decision must name.
///
/// # Errors
/// The database.
pub async fn conflict_context(pool: &PgPool, conflict_id: Uuid) -> Result<Option<Value>, StoreError> {
    let Some((record, row)) = listing::conflict(pool, conflict_id).await? else { return Ok(None) };
    let timeline = listing::timeline(pool, &record, CONTEXT_TIMELINE).await?;
    let (suitex, netsuite) = (row["our_changes"].clone(), row["remote_snapshot"].clone());
    Ok(Some(json!({
        "conflict_id": conflict_id,
        "account_id": record.account.as_str(),
        "record_type": record.record_type.as_str(),
        "record_id": record.rid.to_string(),
        "rev": row["rev"],
        "field": row["field"],
        "reason": row["reason"],
        "status": row["status"],
        "base": row["base"],
        "suitex": suitex,
        "netsuite": netsuite,
        "suggested": suggest(&suitex, &netsuite),
        "created_ts": row["created_ts"],
        "timeline": timeline,
    })))
}

/// What a person would most likely choose: the side that still has the record; of two values NetSuite's, which has the
/// books. Text both sides wrote is offered whole.
pub fn suggest(suitex: &Value, netsuite: &Value) -> Value {
    match (suitex, netsuite) {
        (Value::Null, other) | (other, Value::Null) => other.clone(),
        _ => netsuite.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_past_is_the_last_whole_state_and_the_deltas_since() {
        let versions = [
            json!({ "full": { "a": "1", "b": "2" }, "delta": {} }),
            json!({ "full": null, "delta": { "a": null, "c": "3" } }),
        ];
        assert_eq!(Value::Object(fold(&versions)), json!({ "b": "2", "c": "3" }));
    }

    #[test]
    fn a_deleted_side_suggests_the_one_that_is_left() {
        assert_eq!(suggest(&Value::Null, &json!({ "a": "1" })), json!({ "a": "1" }));
        assert_eq!(suggest(&json!({ "a": "1" }), &Value::Null), json!({ "a": "1" }));
        assert_eq!(suggest(&json!({ "a": "1" }), &json!({ "a": "2" })), json!({ "a": "2" }));
    }
}
