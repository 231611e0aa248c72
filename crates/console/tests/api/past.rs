//! A record's past: what made its fields so, putting a value back, and a period under other policies.

use console::operations::replay::{Finding, Problem, Scope, rebuild, swap, verify};
use model::spec::World as Types;
use model::{Ids, RandomIds, RecordRef, Side, SystemClock};
use serde_json::{Value, json};
use steps::Swapped;

use crate::stage::ACCOUNT;
use crate::world::World;

fn path(record: &RecordRef, what: &str) -> String {
    format!("/api/v1/records/{ACCOUNT}/customer/{}/{what}", record.rid)
}

async fn state(world: &World, record: &RecordRef) -> Value {
    world.get("viewer", &format!("/api/v1/state/{ACCOUNT}/customer/{}", record.rid)).await.body
}

/// A customer on both sides whose phone both have changed: SuiteX's stands, NetSuite's `2` is lost at version 2.
async fn clash(world: &World) -> RecordRef {
    let core = &world.core;
    let record = core.customer(Side::Netsuite, "100", &[("companyname", "Acme"), ("phone", "0")]).await;
    core.write(&record, Side::Suitex).await;
    let views = core.engine.records.views(std::slice::from_ref(&record), false).await.unwrap();
    let suitex = views[0].record.shadows.suitex.native_id.clone().unwrap().to_string();
    core.edit(Side::Suitex, &suitex, &[("phone", "1")]);
    core.edit(Side::Netsuite, "100", &[("phone", "2")]);
    core.intake(&[core.hint(Side::Suitex, &suitex), core.hint(Side::Netsuite, "100")]).await;
    core.merge(&record).await;
    let state = state(world, &record).await;
    assert_eq!((&state["version"], &state["state"]["phone"]), (&json!(2), &json!("1")));
    record
}

/// Everything of the core, counted (but the outbox, which the console's relay empties meanwhile).
async fn everything(world: &World) -> i64 {
    let sql = "select (select count(*) + sum(version + record_seq + last_stamp) from sync.record_head)::bigint
        + (select count(*) from sync.event_log) + (select count(*) from sync.versions)
        + (select count(*) from sync.overrides)
        + (select count(*) from sync.idempotency_keys) + (select count(*) from sync.conflicts)";
    world.stage.one(sql).await
}

async fn field(world: &World, record: &RecordRef, name: &str) -> Value {
    let items = world.items(&path(record, "blame")).await;
    items.into_iter().find(|item| item["field"] == name).unwrap()
}

#[tokio::test]
async fn an_undo_publishes_the_lost_value_once_and_can_itself_be_undone() {
    let world = World::new().await;
    let record = clash(&world).await;
    let body = json!({ "field": "phone", "version": 2, "note": "the customer called" });
    let done = world.post("operator", &path(&record, "undo"), body.clone()).await;
    assert_eq!((done.status.as_u16(), &done.body["version"]), (200, &json!(3)), "{done:?}");
    assert_eq!(state(&world, &record).await["state"]["phone"], "2");
    let again = world.post("operator", &path(&record, "undo"), body.clone()).await;
    assert_eq!((again.status.as_u16(), &again.body), (200, &done.body), "the same request is the same event");
    let undone: i64 = world.stage.one("select count(*) from sync.event_log where entry ->> 'entry' = 'undo'").await;
    assert_eq!(undone, 1);
    let source: String =
        world.stage.one("select kind || ' ' || source from sync.events where entry ->> 'entry' = 'undo'").await;
    assert_eq!(source, "resolution resolution");

    let blame = field(&world, &record, "phone").await;
    let told = |name: &str| blame[name].as_str().unwrap().to_owned();
    assert_eq!(
        ["policy", "winner", "actor", "note"].map(told),
        ["undo", "person", "operator-jo", "the customer called"]
    );
    assert_eq!((&blame["version"], &blame["event_id"]), (&json!(3), &done.body["event_id"]));
    assert_eq!(blame["overrides"][0]["losing_value"], "1", "the latest value lost comes first");
    assert_eq!((blame["overrides"][1]["losing_value"].clone(), &blame["overrides_total"]), (json!("2"), &json!(2)));

    let back = world.post("operator", &path(&record, "undo"), json!({ "field": "phone", "version": 3 })).await;
    assert_eq!((back.status.as_u16(), &back.body["version"]), (200, &json!(4)), "{back:?}");
    assert_eq!(state(&world, &record).await["state"]["phone"], "1");
    let rows: Vec<(String, String, Option<String>, String)> =
        sqlx::query_as("select actor, action, outcome, note from console.audit order by id")
            .fetch_all(&world.stage.pool)
            .await
            .unwrap();
    let row = |note: &str| ("operator-jo".to_owned(), "undo".to_owned(), Some("done".to_owned()), note.to_owned());
    assert_eq!(rows, [row("the customer called"), row("the customer called"), row("")]);
}

#[tokio::test]
async fn without_a_lost_value_the_one_before_the_version_is_put_back_and_a_key_names_one_event() {
    let world = World::new().await;
    let record = clash(&world).await;
    world.core.edit(Side::Netsuite, "100", &[("companyname", "Acme Ltd")]);
    world.core.intake(&[world.core.hint(Side::Netsuite, "100")]).await;
    world.core.merge(&record).await;
    let undo = path(&record, "undo");
    let body = json!({ "field": "companyname", "version": 3 });
    let done = world.keyed("operator", &undo, "k1", body.clone()).await;
    assert_eq!((done.status.as_u16(), &done.body["version"]), (200, &json!(4)), "{done:?}");
    assert_eq!(state(&world, &record).await["state"]["companyname"], "Acme");
    let phone = json!({ "field": "phone", "version": 2 });
    assert_eq!(world.post("operator", &undo, phone.clone()).await.body["version"], 5);
    assert_eq!(world.keyed("operator", &undo, "k1", body).await.body, done.body, "whatever happened since");
    world.keyed("operator", &undo, "k1", phone.clone()).await.refuses(409, "key_reused");
    world.keyed("operator", &undo, &"k".repeat(256), phone).await.refuses(400, "bad_request");
    assert_eq!(state(&world, &record).await["version"], 5);
}

#[tokio::test]
async fn what_cannot_be_undone_is_told_and_nothing_moves() {
    let world = World::new().await;
    let record = clash(&world).await;
    let undo = path(&record, "undo");
    let before = everything(&world).await;
    for (body, status, code) in [
        (json!({ "field": "nothing", "version": 2 }), 400, "bad_request"),
        (json!({ "field": "datecreated", "version": 2 }), 400, "bad_request"),
        (json!({ "field": "*", "version": 2 }), 400, "bad_request"),
        (json!({ "field": "phone", "version": 2, "side": "left" }), 400, "bad_request"),
        (json!({ "field": "phone" }), 400, "bad_request"),
        (json!({ "field": "phone", "version": 99 }), 404, "not_found"),
        (json!({ "field": "phone", "version": 0 }), 404, "not_found"),
        (json!({ "field": "email", "version": 2 }), 409, "nothing_to_undo"),
        (json!({ "field": "companyname", "version": 2 }), 409, "nothing_to_undo"),
    ] {
        world.post("operator", &undo, body).await.refuses(status, code);
    }
    let stranger = format!("/api/v1/records/{ACCOUNT}/customer/01900000-0000-7000-8000-000000000000/undo");
    world.post("operator", &stranger, json!({ "field": "phone", "version": 1 })).await.refuses(404, "not_found");
    assert_eq!(everything(&world).await, before);

    let lock = json!({ "account": ACCOUNT, "type": "customer", "id": record.rid.to_string(), "field": "phone" });
    assert_eq!(world.post("operator", "/api/v1/locks", lock).await.status.as_u16(), 201);
    world.post("operator", &undo, json!({ "field": "phone", "version": 2 })).await.refuses(409, "locked");
    assert_eq!(everything(&world).await, before);
}

#[tokio::test]
async fn a_field_in_conflict_is_decided_there_and_not_undone() {
    let world = World::new().await;
    let (record, conflict) = crate::decisions::conflict(&world).await;
    let version = state(&world, &record).await["version"].clone();
    let undo = json!({ "field": "comments", "version": version });
    let before = everything(&world).await;
    let refused = world.post("operator", &path(&record, "undo"), json!({ "field": "comments", "version": 1 })).await;
    refused.refuses(409, "in_conflict");
    assert_eq!(refused.body["context"]["conflict_id"], conflict.as_str(), "{undo}");
    assert_eq!(everything(&world).await, before);
}

#[tokio::test]
async fn a_period_under_other_policies_shows_what_would_have_come_out_and_writes_nothing() {
    let world = World::new().await;
    let record = clash(&world).await;
    let before = everything(&world).await;
    let asked = json!({ "account": ACCOUNT, "from": "2020-01-01T00:00:00Z", "to": "2100-01-01T00:00:00Z" });
    let same = world.post("admin", "/api/v1/replay", asked.clone()).await;
    assert_eq!((same.status.as_u16(), &same.body["differing"], &same.body["records"]), (200, &json!(0), &json!(1)));
    assert!(same.body["events"].as_u64().unwrap() >= 5, "{same:?}");

    let mut other = asked.clone();
    other["policies"] = json!({ "customer": { "phone": "netsuite_wins" } });
    let found = world.post("admin", "/api/v1/replay", other).await.body;
    assert_eq!((&found["differing"], &found["overrides"]), (&json!(1), &json!({ "avoided": 1, "created": 1 })));
    let item = &found["items"][0];
    assert_eq!((&item["record_id"], item["record_type"].as_str()), (&json!(record.rid.to_string()), Some("customer")));
    assert_eq!(item["fields"], json!([{ "field": "phone", "then": "1", "now": "2" }]));

    let mut manual = asked.clone();
    manual["policies"] = json!({ "customer": { "phone": "manual" } });
    let found = world.post("admin", "/api/v1/replay", manual).await.body;
    assert_eq!(found["conflicts"], json!({ "avoided": 0, "created": 1 }));
    assert_eq!(found["items"][0]["conflicts"]["created"], json!(["phone"]));

    let mut nothing = asked;
    nothing["to"] = nothing["from"].clone();
    let found = world.post("admin", "/api/v1/replay", nothing).await.body;
    assert_eq!((&found["records"], &found["items"]), (&json!(0), &json!([])));
    assert_eq!(everything(&world).await, before);
}

#[tokio::test]
async fn a_period_that_cannot_be_replayed_is_told_and_nothing_moves() {
    let world = World::new().await;
    let record = clash(&world).await;
    let asked = |member: &str, value: Value| {
        let mut body = json!({ "account": ACCOUNT, "from": "2020-01-01T00:00:00Z", "to": "2100-01-01T00:00:00Z" });
        body[member] = value;
        body
    };
    for (body, status, code, named) in [
        (asked("from", json!("yesterday")), 400, "bad_request", "from"),
        (asked("to", json!("2019-01-01T00:00:00Z")), 400, "bad_request", "from must not be after to"),
        (asked("account", json!("NOBODY")), 404, "not_found", "account"),
        (asked("policies", json!({ "vendor": { "phone": "manual" } })), 400, "bad_request", "policies.vendor"),
        (asked("policies", json!({ "customer": { "fax": "manual" } })), 400, "bad_request", "policies.customer.fax"),
        (asked("policies", json!({ "customer": { "phone": "best" } })), 400, "bad_request", "policies.customer.phone"),
        (asked("policies", json!({ "customer": { "phone": "union" } })), 400, "bad_request", "union"),
    ] {
        let refused = world.post("admin", "/api/v1/replay", body).await;
        refused.refuses(status, code);
        assert!(refused.body["detail"].as_str().unwrap().contains(named), "{refused:?}");
    }
    sqlx::query("delete from sync.event_log where record_seq = 2").execute(&world.stage.pool).await.unwrap();
    let before = everything(&world).await;
    let gap = world.post("admin", "/api/v1/replay", asked("policies", json!({}))).await;
    gap.refuses(409, "log_broken");
    assert!(gap.body["detail"].as_str().unwrap().contains("entry 2 is missing"), "{gap:?}");
    assert_eq!(gap.body["record_id"], record.rid.to_string());
    assert_eq!(everything(&world).await, before);
}

async fn findings(world: &World) -> Vec<Finding> {
    let mut found = Vec::new();
    let types = Types::sample();
    verify(&world.stage.pool, &types, &Scope::default(), None, &mut |finding| found.push(finding)).await.unwrap();
    found
}

#[tokio::test]
async fn every_record_is_what_its_log_folds_to_and_what_is_not_is_named_and_put_right() {
    let world = World::new().await;
    let record = clash(&world).await;
    world.core.customer(Side::Suitex, "8", &[("companyname", "Other")]).await;
    world.post("operator", &path(&record, "undo"), json!({ "field": "phone", "version": 2 })).await;
    assert_eq!(findings(&world).await, []);

    let pool = &world.stage.pool;
    sqlx::query("update sync.record_head set ns_token = 77 where rid = $1")
        .bind(record.rid.0)
        .execute(pool)
        .await
        .unwrap();
    let differs = Finding { record: record.clone(), problem: Problem::Differs(vec!["netsuite.token"]) };
    assert_eq!(findings(&world).await, [differs]);

    let run_id = RandomIds.uuid();
    let types = Types::sample();
    let run = rebuild(pool, &types, &Scope::default(), run_id, &SystemClock, &mut |_| {}).await.unwrap();
    assert_eq!((run.records, run.differing), (2, 1));
    let kept: i64 =
        world.stage.one("select count(*) from sync.replay_record where folded ->> 'version' is not null").await;
    assert_eq!(kept, 2);
    let mut swapped = Vec::new();
    let core = world.core.engine.core();
    swap(pool, &core, run_id, &mut |record, outcome| swapped.push((record.clone(), outcome))).await.unwrap();
    assert_eq!(swapped, [(record.clone(), Swapped::Done)]);
    assert_eq!(findings(&world).await, []);
}

#[tokio::test]
async fn a_record_that_has_moved_on_since_it_was_folded_is_not_swapped() {
    let world = World::new().await;
    let record = clash(&world).await;
    let pool = &world.stage.pool;
    sqlx::query("update sync.record_head set ns_token = 77").execute(pool).await.unwrap();
    let run_id = RandomIds.uuid();
    rebuild(pool, &Types::sample(), &Scope::default(), run_id, &SystemClock, &mut |_| {}).await.unwrap();
    world.post("operator", &path(&record, "undo"), json!({ "field": "phone", "version": 2 })).await;
    let mut swapped = Vec::new();
    let core = world.core.engine.core();
    swap(pool, &core, run_id, &mut |_, outcome| swapped.push(outcome)).await.unwrap();
    assert_eq!(swapped, [Swapped::Moved]);
    let token: i64 = world.stage.one("select ns_token from sync.record_head").await;
    assert_eq!(token, 77);
}

#[tokio::test]
async fn missing_entries_are_found_wherever_they_were() {
    for (sql, told) in [
        ("delete from sync.event_log where record_seq = 2", "entry 2 is missing"),
        ("delete from sync.event_log where record_seq = (select max(record_seq) from sync.event_log)", "is missing"),
        ("delete from sync.event_log where record_seq is not null", "its log is missing"),
    ] {
        let world = World::new().await;
        let record = clash(&world).await;
        sqlx::query(sql).execute(&world.stage.pool).await.unwrap();
        let found = findings(&world).await;
        let [finding] = found.as_slice() else { panic!("{sql}: {found:?}") };
        assert_eq!(finding.record, record);
        assert!(finding.problem.to_string().contains(told), "{sql}: {}", finding.problem);
    }
}

#[tokio::test]
async fn a_deleted_record_is_shown_as_it_was_and_as_gone() {
    let world = World::new().await;
    let record = world.core.customer(Side::Netsuite, "100", &[("companyname", "Acme")]).await;
    world.core.write(&record, Side::Suitex).await;
    world.core.remove(Side::Netsuite, "100");
    world.core.intake(&[world.core.hint(Side::Netsuite, "100")]).await;
    let before = model::Clock::now(&SystemClock);
    world.core.merge(&record).await;
    let now = state(&world, &record).await;
    assert_eq!((&now["alive"], &now["version"]), (&json!(false), &json!(2)), "gone is a state, not an absence");
    let address = format!("/api/v1/state/{ACCOUNT}/customer/{}", record.rid);
    for (query, alive) in
        [("version=1".to_owned(), true), ("version=2".to_owned(), false), (format!("at={before}"), true)]
    {
        let past = world.get("viewer", &format!("{address}?{query}")).await.body;
        assert_eq!((&past["alive"], &past["state"]["companyname"]), (&json!(alive), &json!("Acme")), "{query}");
    }
    world.get("viewer", &format!("{address}?version=3")).await.refuses(404, "not_found");
    let undo = json!({ "field": "companyname", "version": 1 });
    world.post("operator", &path(&record, "undo"), undo).await.refuses(409, "deleted");
}

#[tokio::test]
async fn every_human_action_leaves_a_row_with_names_and_no_values() {
    let world = World::new().await;
    let (_, conflict) = crate::decisions::conflict(&world).await;
    let rev = world.get("viewer", &format!("/api/v1/conflicts/{conflict}")).await.body["rev"].clone();
    let resolve = format!("/api/v1/conflicts/{conflict}/resolve");
    let stale = json!({ "rev": 99, "action": "accept_suitex" });
    world.post("operator", &resolve, stale).await.refuses(409, "conflict_moved");
    let edit = json!({ "rev": rev, "action": "edit", "changes": { "comments": "secret words" }, "note": "agreed" });
    assert_eq!(world.post("operator", &resolve, edit).await.status.as_u16(), 200);
    let lock = json!({ "account": ACCOUNT, "type": "customer", "id": "netsuite:100" });
    let lock_id = world.post("operator", "/api/v1/locks", lock).await.body["lock_id"].as_str().unwrap().to_owned();
    world.call(Some("operator"), "DELETE", &format!("/api/v1/locks/{lock_id}"), "").await;
    let suspend = json!({ "suspended": true }).to_string();
    world.call(Some("admin"), "PATCH", &format!("/api/v1/accounts/{ACCOUNT}"), &suspend).await;
    let rows: Vec<(String, String, Option<String>)> =
        sqlx::query_as("select actor, action, outcome from console.audit order by id")
            .fetch_all(&world.stage.pool)
            .await
            .unwrap();
    let row =
        |actor: &str, action: &str, outcome: &str| (actor.to_owned(), action.to_owned(), Some(outcome.to_owned()));
    assert_eq!(
        rows,
        [
            row("operator-jo", "resolve", "conflict_moved"),
            row("operator-jo", "resolve", "done"),
            row("operator-jo", "lock", "done"),
            row("operator-jo", "unlock", "done"),
            row("admin-jo", "account", "done"),
        ]
    );
    let told: bool = world.stage.one("select bool_or(a::text like '%secret words%') from console.audit a").await;
    assert!(!told);
    let timeline = world.items(&format!("/api/v1/records/{ACCOUNT}/customer/netsuite:100/timeline")).await;
    assert_eq!(timeline.iter().filter(|item| item["what"] == "action").count(), 4);
}
