//! What people decide: conflicts, locks, accounts.

use model::{RecordRef, Side};
use serde_json::json;

use crate::stage::ACCOUNT;
use crate::world::World;

/// A customer on both sides whose comments both sides have changed: a person must decide.
pub(crate) async fn conflict(world: &World) -> (RecordRef, String) {
    let core = &world.core;
    let record = core.customer(Side::Netsuite, "100", &[("companyname", "Acme"), ("comments", "base")]).await;
    core.write(&record, Side::Suitex).await;
    let views = core.engine.records.views(std::slice::from_ref(&record), false).await.unwrap();
    let suitex = views[0].record.shadows.suitex.native_id.clone().unwrap().to_string();
    core.edit(Side::Suitex, &suitex, &[("comments", "ours")]);
    core.edit(Side::Netsuite, "100", &[("comments", "theirs")]);
    core.intake(&[core.hint(Side::Suitex, &suitex), core.hint(Side::Netsuite, "100")]).await;
    core.merge(&record).await;
    let open = world.items(&format!("/api/v1/conflicts?account={ACCOUNT}&status=open")).await;
    assert_eq!(open.len(), 1, "{open:?}");
    (record, open[0]["conflict_id"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_conflict_is_shown_with_everything_its_decision_needs_and_decided_once() {
    let world = World::new().await;
    let (record, id) = conflict(&world).await;
    let path = format!("/api/v1/conflicts/{id}");
    let context = world.get("viewer", &path).await.body;
    assert_eq!((&context["field"], &context["base"]["comments"]), (&json!("comments"), &json!("base")));
    assert_eq!((&context["suitex"]["comments"], &context["netsuite"]["comments"]), (&json!("ours"), &json!("theirs")));
    assert_eq!(context["suggested"], context["netsuite"]);
    assert!(!context["timeline"].as_array().unwrap().is_empty());
    let rev = context["rev"].as_u64().unwrap();
    let resolve = format!("{path}/resolve");

    let decide = |rev: u64, action: &str| json!({ "rev": rev, "action": action, "note": "asked Jo" });
    let moved = world.post("operator", &resolve, decide(rev + 1, "accept_suitex")).await;
    moved.refuses(409, "conflict_moved");
    assert_eq!(moved.body["context"]["rev"], rev);
    for body in [json!({}), json!({ "rev": rev, "action": "maybe" }), json!({ "rev": rev, "action": "edit" })] {
        world.post("operator", &resolve, body).await.refuses(400, "bad_request");
    }
    let unknown = json!({ "rev": rev, "action": "edit", "changes": { "nothing": 1 } });
    world.post("operator", &resolve, unknown).await.refuses(400, "bad_request");
    for changes in [json!({ "email": "a@b.example" }), json!({ "comments": "R", "email": "a@b.example" })] {
        let beside = json!({ "rev": rev, "action": "edit", "changes": changes });
        world.post("operator", &resolve, beside).await.refuses(400, "bad_request");
    }
    assert_eq!(world.items("/api/v1/locks").await.len(), 1, "nothing was decided yet");

    let done = world.post("operator", &resolve, decide(rev, "accept_suitex")).await;
    assert_eq!((done.status.as_u16(), &done.body["status"]), (200, &json!("resolved")), "{done:?}");
    let again = world.post("operator", &resolve, decide(rev, "accept_suitex")).await;
    assert_eq!((again.status.as_u16(), &again.body["status"]), (200, &json!("resolved")));
    world.post("operator", &resolve, decide(rev, "accept_netsuite")).await.refuses(409, "conflict_closed");
    world.post("operator", &resolve, decide(rev + 1, "accept_suitex")).await.refuses(409, "conflict_closed");
    let state = world.get("viewer", &format!("/api/v1/state/{ACCOUNT}/customer/{}", record.rid)).await.body;
    assert_eq!((&state["state"]["comments"], &state["version"]), (&json!("ours"), &done.body["version"]));
    assert_eq!(world.items("/api/v1/locks").await.len(), 0);
    let note: String = world.stage.one("select resolution->>'actor' from sync.conflicts").await;
    assert_eq!(note, "operator-jo");
}

#[tokio::test]
async fn a_person_may_write_a_value_of_their_own() {
    let world = World::new().await;
    let (record, id) = conflict(&world).await;
    let rev = world.get("viewer", &format!("/api/v1/conflicts/{id}")).await.body["rev"].clone();
    let body = json!({ "rev": rev, "action": "edit", "changes": { "comments": "both" } });
    let done = world.post("operator", &format!("/api/v1/conflicts/{id}/resolve"), body).await;
    assert_eq!(done.status.as_u16(), 200, "{done:?}");
    let state = world.get("viewer", &format!("/api/v1/state/{ACCOUNT}/customer/{}", record.rid)).await.body;
    assert_eq!(state["state"]["comments"], "both");
    let lost: i64 = world.stage.one("select count(*) from sync.overrides where policy = 'resolved'").await;
    assert_eq!(lost, 2, "both sides' values are named");
}

#[tokio::test]
async fn locks_are_set_once_and_released_but_not_under_a_conflict() {
    let world = World::new().await;
    let (_, _) = conflict(&world).await;
    let held = world.items("/api/v1/locks").await[0]["lock_id"].as_str().unwrap().to_owned();
    world
        .call(Some("operator"), "DELETE", &format!("/api/v1/locks/{held}"), "")
        .await
        .refuses(409, "locked_by_conflict");

    let lock =
        json!({ "account": ACCOUNT, "type": "customer", "id": "netsuite:100", "field": "phone", "note": "wait" });
    let first = world.post("operator", "/api/v1/locks", lock.clone()).await;
    assert_eq!(first.status.as_u16(), 201, "{first:?}");
    assert_eq!(world.post("operator", "/api/v1/locks", lock).await.body, first.body);
    assert_eq!(world.items("/api/v1/locks").await.len(), 2);
    let wrong = |member: &str, value: &str| {
        let mut lock = json!({ "account": ACCOUNT, "type": "customer", "id": "netsuite:100" });
        lock[member] = json!(value);
        lock
    };
    world.post("operator", "/api/v1/locks", wrong("field", "nothing")).await.refuses(400, "bad_request");
    world.post("operator", "/api/v1/locks", wrong("id", "netsuite:7")).await.refuses(404, "not_found");

    let path = format!("/api/v1/locks/{}", first.body["lock_id"].as_str().unwrap());
    assert_eq!(world.call(Some("operator"), "DELETE", &path, "").await.status.as_u16(), 204);
    world.call(Some("operator"), "DELETE", &path, "").await.refuses(404, "not_found");
}

#[tokio::test]
async fn an_account_is_suspended_and_resumed_by_an_admin() {
    let world = World::new().await;
    let path = format!("/api/v1/accounts/{ACCOUNT}");
    for suspended in [true, false] {
        let body = json!({ "suspended": suspended }).to_string();
        let answer = world.call(Some("admin"), "PATCH", &path, &body).await;
        assert_eq!((answer.status.as_u16(), &answer.body["suspended"]), (200, &json!(suspended)));
        let listed = world.items("/api/v1/accounts").await;
        assert_eq!((listed.len(), &listed[0]["suspended"]), (1, &json!(suspended)));
        assert_eq!(listed[0]["open_conflicts"], 0);
    }
    world
        .call(Some("admin"), "PATCH", "/api/v1/accounts/NOBODY", "{\"suspended\":true}")
        .await
        .refuses(404, "not_found");
    world.call(Some("admin"), "PATCH", &path, "{\"suspended\":\"yes\"}").await.refuses(400, "bad_request");
}
