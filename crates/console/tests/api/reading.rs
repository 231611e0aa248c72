//! What people may look at.

use std::collections::BTreeSet;

use model::{ChangeEvent, Side, TypedValue};
use serde_json::{Value, json};

use crate::stage::ACCOUNT;
use crate::world::World;

fn state(id: &str) -> String {
    format!("/api/v1/state/{ACCOUNT}/customer/{id}")
}

#[tokio::test]
async fn a_state_is_read_by_any_id_with_its_version_as_etag_now_and_in_the_past() {
    let world = World::new().await;
    let record = world.core.customer(Side::Suitex, "7", &[("companyname", "Acme")]).await;
    let between = model::Clock::now(&model::SystemClock).to_string();
    world.core.customer(Side::Suitex, "7", &[("companyname", "Acme Ltd"), ("phone", "1")]).await;

    let by_rid = world.get("viewer", &state(&record.rid.to_string())).await;
    let by_side = world.get("viewer", &state("suitex:7")).await;
    assert_eq!((by_rid.etag.as_deref(), &by_rid.body), (Some("\"2\""), &by_side.body));
    assert_eq!((&by_rid.body["version"], &by_rid.body["state"]["companyname"]), (&json!(2), &json!("Acme Ltd")));
    assert_eq!(by_rid.body["record_id"], record.rid.to_string());

    for query in ["version=1".to_owned(), format!("at={between}")] {
        let past = world.get("viewer", &format!("{}?{query}", state("suitex:7"))).await;
        assert_eq!(
            (past.etag.as_deref(), &past.body["state"]["companyname"]),
            (Some("\"1\""), &json!("Acme")),
            "{query}"
        );
        assert_eq!(past.body["state"]["phone"], json!(null), "{query}");
    }
    world.get("viewer", &format!("{}?version=3", state("suitex:7"))).await.refuses(404, "not_found");
    world.get("viewer", &format!("{}?at=2020-01-01T00:00:00Z", state("suitex:7"))).await.refuses(404, "not_found");
    world.get("viewer", &format!("{}?at=yesterday", state("suitex:7"))).await.refuses(400, "bad_request");
    world.get("viewer", &state("netsuite:7")).await.refuses(404, "not_found");
    world.get("viewer", &state("7")).await.refuses(400, "bad_request");
    let other_type = format!("/api/v1/state/{ACCOUNT}/item/{}?version=1", record.rid);
    world.get("viewer", &other_type).await.refuses(404, "not_found");
}

#[tokio::test]
async fn timeline_and_blame_name_what_happened() {
    let world = World::new().await;
    world.core.customer(Side::Suitex, "7", &[("companyname", "Acme")]).await;
    let timeline = world.items(&format!("/api/v1/records/{ACCOUNT}/customer/suitex:7/timeline")).await;
    let what: BTreeSet<&str> = timeline.iter().map(|item| item["what"].as_str().unwrap()).collect();
    assert_eq!(what, BTreeSet::from(["event", "version"]));
    let blame = world.items(&format!("/api/v1/records/{ACCOUNT}/customer/suitex:7/blame")).await;
    let name = blame.iter().find(|item| item["field"] == "companyname").unwrap();
    assert_eq!((&name["value"], &name["side"]), (&json!("Acme"), &json!("suitex")));
    let nobody = "/api/v1/records/NOBODY/customer/01900000-0000-7000-8000-000000000000/blame";
    world.get("viewer", nobody).await.refuses(404, "not_found");
}

#[tokio::test]
async fn pages_of_events_stored_in_one_instant_miss_none_and_repeat_none() {
    let world = World::new().await;
    let hints: Vec<_> = (0..7).map(|n| world.core.hint(Side::Suitex, &n.to_string())).collect();
    world.core.intake(&hints).await;
    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/api/v1/events?account={ACCOUNT}&type=customer&disposition=pending&limit=3{cursor}");
        let answer = world.get("viewer", &path).await;
        seen.extend(
            answer.body["items"].as_array().unwrap().iter().map(|item| item["event_id"].as_str().unwrap().to_owned()),
        );
        match answer.body["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let mut wanted: Vec<String> = hints.iter().map(|hint| hint.event_id.to_string()).collect();
    wanted.sort_unstable();
    seen.sort_unstable();
    assert_eq!(seen, wanted);
    assert_eq!(world.items("/api/v1/events?record=3").await.len(), 1);
    assert_eq!(world.items("/api/v1/events?account=OTHER").await.len(), 0);
}

/// A console with a storage for snapshots, and an event of SuiteX's customer 7 that has left its values there.
async fn lightened(folder: &tempfile::TempDir) -> (World, ChangeEvent) {
    let url = format!("file://{}", folder.path().display());
    let world = World::with(&[("SNAPSHOT_URL", &url), ("SNAPSHOT_THRESHOLD_BYTES", "1")]).await;
    let snapshots = chassis::snapshots::Snapshots::from_settings(&world.stage.settings).unwrap().unwrap();
    world.core.edit(Side::Suitex, "7", &[("companyname", "Acme")]);
    let mut event = world.core.event(Side::Suitex, "7");
    event.changes = [("companyname".to_owned(), TypedValue::Text("Acme".to_owned()))].into();
    assert!(snapshots.lighten(&mut event).await.unwrap());
    take_in(&world, &event).await;
    (world, event)
}

async fn take_in(world: &World, event: &ChangeEvent) {
    let hint = steps::to_hint(&world.core.engine.core(), event).unwrap();
    assert!(hint.must_read(), "its values are not in it");
    world.core.intake(&[hint]).await;
}

fn snapshot_of(event: &ChangeEvent) -> String {
    format!("/api/v1/events/{ACCOUNT}/{}/snapshot", event.event_id)
}

#[tokio::test]
async fn the_timeline_shows_what_a_producer_saw_where_the_event_only_says_where_that_lies() {
    let folder = tempfile::tempdir().unwrap();
    let (world, event) = lightened(&folder).await;
    let reference = event.full_snapshot_ref.clone().unwrap();
    let nothing = reference.replace(&event.event_id.to_string(), "nothing");
    for elsewhere in ["file:///etc/passwd".to_owned(), nothing, reference] {
        let lost = ChangeEvent { full_snapshot_ref: Some(elsewhere), ..world.core.event(Side::Suitex, "7") };
        take_in(&world, &lost).await;
    }
    let timeline = world.items(&format!("/api/v1/records/{ACCOUNT}/customer/suitex:7/timeline")).await;
    let shown: Vec<&Value> = timeline.iter().map(|item| &item["snapshot"]).collect();
    assert_eq!(*shown[0], json!({ "changes": { "companyname": "Acme" } }));
    assert_eq!(*shown[1], json!({ "unavailable": "its address is no snapshot of this tenant here" }));
    assert_eq!(*shown[2], json!({ "unavailable": "there is nothing at its address any more" }));
    assert_eq!(*shown[3], json!({ "unavailable": "it is another event's" }));
}

#[tokio::test]
async fn an_events_snapshot_is_read_back_as_long_as_it_is_what_was_put_there() {
    let folder = tempfile::tempdir().unwrap();
    let (world, event) = lightened(&folder).await;
    let answer = world.get("viewer", &snapshot_of(&event)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.body["changes"], json!({ "companyname": "Acme" }));
    assert_eq!((&answer.body["record_id"], &answer.body["event_id"]), (&json!("7"), &json!(event.event_id)));
    assert_eq!(answer.body["full_snapshot_ref"], json!(event.full_snapshot_ref));

    let whole = world.core.event(Side::Suitex, "7");
    world.core.intake(&[world.core.hint(Side::Suitex, "7")]).await;
    world.get("viewer", &snapshot_of(&whole)).await.refuses(404, "not_found");
    let hint = steps::to_hint(&world.core.engine.core(), &whole).unwrap();
    world.core.intake(&[hint]).await;
    world.get("viewer", &snapshot_of(&whole)).await.refuses(404, "no_snapshot");
    let other_tenant = format!("/api/v1/events/OTHER/{}/snapshot", event.event_id);
    world.get("viewer", &other_tenant).await.refuses(404, "not_found");

    let file = std::path::PathBuf::from(event.full_snapshot_ref.as_deref().unwrap().strip_prefix("file://").unwrap());
    std::fs::write(&file, "something else").unwrap();
    let refused = world.get("viewer", &snapshot_of(&event)).await;
    refused.refuses(409, "snapshot_unusable");
    assert_eq!(refused.body["detail"], "it is not what was put there");
    std::fs::remove_file(&file).unwrap();
    world.get("viewer", &snapshot_of(&event)).await.refuses(410, "snapshot_gone");
}
