//! The error queue: another attempt, or knowingly none.

use model::record::LockReason;
use model::{ErrorClass, RecordRef, Side};
use serde_json::json;
use store::errors::NewError;

use crate::stage::{ACCOUNT, attributes};
use crate::world::World;

async fn queued(world: &World, row: NewError) -> i64 {
    let mut connection = world.stage.pool.acquire().await.unwrap();
    store::errors::insert(&mut connection, &[row]).await.unwrap();
    world.items("/api/v1/errors?status=open").await[0]["id"].as_i64().unwrap()
}

fn row(message_id: &str, record: Option<&RecordRef>) -> NewError {
    NewError {
        account_id: ACCOUNT.to_owned(),
        record_type: Some("customer".to_owned()),
        record_id: Some("7".to_owned()),
        rid: record.map(|record| record.rid),
        topic: "events.error".to_owned(),
        message_id: message_id.to_owned(),
        class: ErrorClass::Validation,
        code: "bad_value".to_owned(),
        reason: "email is too long".to_owned(),
        payload: Some(b"\x00the message".to_vec()),
        attributes: attributes([
            ("record_key", "TSTDRV100001|customer|7"),
            ("content-type", "application/protobuf"),
            ("error_class", "validation"),
            ("reason", "email is too long"),
            ("reason_code", "bad_value"),
            ("attempts", "5"),
            ("first_failed_at", "2026-11-14T13:12:05Z"),
        ]),
        ..NewError::default()
    }
}

#[tokio::test]
async fn a_message_is_published_again_as_it_first_came_and_only_once() {
    let world = World::new().await;
    let id = queued(&world, row("m1", None)).await;
    let listed = &world.items(&format!("/api/v1/errors?account={ACCOUNT}")).await[0];
    assert_eq!((&listed["payload"], &listed["payload_bytes"]), (&json!(null), &json!(12)), "no content in a listing");
    let path = format!("/api/v1/errors/{id}/retry");
    let done = world.post("operator", &path, json!({})).await;
    assert_eq!((done.status.as_u16(), &done.body["status"]), (200, &json!("retried")), "{done:?}");
    let came = world.stage.take(world.stage.topics.merge_service(), 1).await;
    assert_eq!(came[0].data.as_ref(), b"\x00the message");
    assert_eq!(
        came[0].attributes,
        attributes([("record_key", "TSTDRV100001|customer|7"), ("content-type", "application/protobuf"),])
    );
    world.post("operator", &path, json!({})).await.refuses(409, "not_open");
    world.post("operator", &format!("/api/v1/errors/{id}/discard"), json!({})).await.refuses(409, "not_open");
    world.post("operator", "/api/v1/errors/999/retry", json!({})).await.refuses(404, "not_found");
    assert_eq!(world.stage.bus.backlog(&world.stage.topics.merge_service().name), 0);
}

#[tokio::test]
async fn while_the_broker_is_away_an_error_stays_open() {
    let world = World::new().await;
    let id = queued(&world, row("m1", None)).await;
    world.stage.bus.set_broken(true);
    let path = format!("/api/v1/errors/{id}/retry");
    world.post("operator", &path, json!({})).await.refuses(503, "unavailable");
    assert_eq!(world.items("/api/v1/errors?status=open").await.len(), 1);
    world.stage.bus.set_broken(false);
    assert_eq!(world.post("operator", &path, json!({})).await.status.as_u16(), 200);
}

#[tokio::test]
async fn ending_an_error_releases_the_lock_it_set_and_no_other() {
    for verb in ["retry", "discard"] {
        let world = World::new().await;
        let record = world.core.customer(Side::Suitex, "7", &[("companyname", "Acme")]).await;
        let core = world.core.engine.core();
        for reason in [LockReason::Error, LockReason::Admin] {
            steps::lock_record(&core, &record, None, reason, "").await.unwrap();
        }
        let mut refused = row("m1", Some(&record));
        refused.attributes.insert("target".to_owned(), "netsuite".to_owned());
        let id = queued(&world, refused).await;
        let done = world.post("operator", &format!("/api/v1/errors/{id}/{verb}"), json!({})).await;
        assert_eq!(done.status.as_u16(), 200, "{verb}: {done:?}");
        let left = world.items("/api/v1/locks").await;
        assert_eq!((left.len(), &left[0]["reason"]), (1, &json!("admin")), "{verb}");
        let queue = world.stage.topics.merge_service().name;
        assert_eq!(world.stage.bus.backlog(&queue), 0, "{verb}: a write is owed still, it is no message of events.raw");
        let by: String = world.stage.one("select settled_by from sync.sync_error_queue").await;
        assert_eq!(by, "operator-jo");
    }
}
