//! What the intake and the merge promise of a message.
#![allow(clippy::unwrap_used, unreachable_pub)] // a test that cannot go on has failed

#[path = "../../../tests/support/given.rs"]
#[allow(dead_code)]
mod given;
#[path = "../../../tests/support/stage.rs"]
#[allow(dead_code)] // every service's tests use a part of it
mod stage;
#[path = "../../../tests/support/tenant.rs"]
#[allow(dead_code)]
mod tenant;

use std::time::Duration;

use given::{account_id, customer_type, native};
use merge_service::{Config, start};
use model::{Side, wire};
use serde_json::json;
use stage::{ACCOUNT, NOBODY, Running, Stage, account, attributes, until};
use tenant::Tenant;

fn run(stage: &Stage) -> Running {
    let config = Config::from_settings(&stage.settings).unwrap();
    stage.run("merge-service", |parts| start(parts, config))
}

/// An envelope as another team publishes it.
fn envelope(event_id: &str, record_id: &str) -> serde_json::Value {
    json!({
        "eventId": event_id, "accountId": ACCOUNT, "recordType": "customer", "recordId": record_id, "eventType": "update",
        "source": "SuiteX", "timestamp": "2026-11-14T13:12:05Z", "changes": {},
    })
}

fn id(n: u128) -> String {
    uuid::Uuid::from_u128(n).to_string()
}

async fn publish(stage: &Stage, envelope: &serde_json::Value) {
    let told = attributes([("content-type", "application/json")]);
    stage.publish(&stage.topics.raw, envelope.to_string(), told).await;
}

async fn acknowledged(stage: &Stage) {
    let queue = stage.topics.merge_service().name;
    until("every message is acknowledged", async || stage.bus.backlog(&queue) == 0).await;
}

#[tokio::test]
async fn an_event_that_comes_twice_is_stored_once() {
    let stage = Stage::new([account(ACCOUNT, NOBODY, None)]).await;
    publish(&stage, &envelope(&id(1), "7")).await;
    publish(&stage, &envelope(&id(1), "7")).await;
    let service = run(&stage);
    acknowledged(&stage).await;
    publish(&stage, &envelope(&id(1), "7")).await;
    publish(&stage, &envelope(&id(2), "7")).await;
    acknowledged(&stage).await;
    let stored: Vec<uuid::Uuid> = stage.one("select array_agg(event_id order by event_id) from sync.events").await;
    assert_eq!(stored, [uuid::Uuid::from_u128(1), uuid::Uuid::from_u128(2)]);
    service.end().await;
}

#[tokio::test]
async fn what_cannot_be_taken_goes_where_it_belongs_and_the_next_good_event_is_stored() {
    let stage = Stage::new([account(ACCOUNT, NOBODY, None)]).await;
    let with = |n: u128, member: &str, value: serde_json::Value| {
        let mut envelope = envelope(&id(n), "7");
        envelope[member] = value;
        envelope
    };
    publish(&stage, &with(1, "accountId", json!("STRANGER"))).await;
    publish(&stage, &with(2, "recordType", json!("spaceship"))).await;
    publish(&stage, &with(3, "changes", json!({ "creditlimit": "much" }))).await;
    stage.publish(&stage.topics.raw, vec![0xff; 40], Default::default()).await;
    publish(&stage, &envelope(&id(5), "7")).await;
    let service = run(&stage);
    let mut errors: Vec<_> = stage
        .take(stage.topics.dlq_handler_errors(), 2)
        .await
        .into_iter()
        .map(|m| m.attributes["reason_code"].clone())
        .collect();
    errors.sort_unstable();
    assert_eq!(errors[1], "unknown_record_type", "{errors:?}");
    let dead = stage.take(stage.topics.dlq_handler_dead_letters(), 2).await;
    let mut reasons: Vec<_> = dead.iter().map(|m| m.attributes["reason_code"].as_str()).collect();
    reasons.sort_unstable();
    assert_eq!(reasons, ["unknown_account", "unreadable_payload"]);
    let poison = dead.iter().find(|m| m.attributes["reason_code"] == "unreadable_payload").unwrap();
    assert_eq!(poison.data.as_ref(), vec![0xff; 40], "it is kept as it came");
    stage.until("select count(*) = 1 from sync.events").await;
    assert_eq!(stage.one::<uuid::Uuid>("select event_id from sync.events").await, uuid::Uuid::from_u128(5));
    acknowledged(&stage).await;
    service.end().await;
}

#[tokio::test]
async fn an_edit_in_suitex_becomes_state_and_rings_for_netsuite() {
    let tenant = Tenant::new().await;
    let stage = Stage::new([account(ACCOUNT, NOBODY, Some(tenant.url()))]).await;
    tenant.sql("insert into app.customers (company_name, credit_limit) values ('Acme', 10)").await;
    let service = run(&stage);
    publish(&stage, &envelope(&id(1), "1")).await;
    let bells = stage.take(stage.topics.netsuite_writer(), 1).await;
    let bell = wire::decode_merged(&bells[0].data).unwrap();
    assert_eq!((bell.target, bell.version, bell.source_event_ids), (Side::Netsuite, 1, vec![uuid::Uuid::from_u128(1)]));
    let state: serde_json::Value = stage.one("select state from sync.current_state").await;
    assert_eq!((&state["companyname"], &state["creditlimit"]), (&json!("Acme"), &json!("10.00")));
    let outcome: String = stage.one("select disposition from sync.events where kind = 'hint'").await;
    assert_eq!(outcome, "applied");
    service.end().await;
}

#[tokio::test]
async fn a_side_that_does_not_answer_leaves_the_event_waiting_and_the_gauges_tell() {
    let stage = Stage::new([account(ACCOUNT, NOBODY, None)]).await;
    let mut hint = envelope(&id(1), "7");
    hint["source"] = json!("UE");
    publish(&stage, &hint).await;
    chassis::telemetry::ensure_recorder();
    let service = run(&stage);
    acknowledged(&stage).await;
    until("the gauges tell", async || {
        let text = chassis::telemetry::metrics_text("merge-service");
        text.contains(&format!("concord_backlog_events{{account=\"{ACCOUNT}\"}} 1\n"))
            && text.contains(&format!("concord_conflicts_open{{account=\"{ACCOUNT}\"}} 0\n"))
    })
    .await;
    assert_eq!(stage.one::<i64>("select count(*) from sync.events where disposition is null").await, 1);
    service.end().await;
}

#[tokio::test]
async fn what_waits_is_counted_also_behind_a_lock_and_a_write_in_flight() {
    let stage = Stage::new([account(ACCOUNT, NOBODY, None)]).await;
    let core = given::Core::on(&stage);
    let later = model::Clock::now(&model::SystemClock) + Duration::from_secs(90);
    let waiting = async || store::waiting::waiting(&stage.pool, &[account_id()], later).await.unwrap().remove(0);
    let nothing = waiting().await;
    assert_eq!((nothing.events, nothing.oldest_seconds, nothing.open_conflicts), (0, 0.0, 0));
    let record = core.customer(Side::Suitex, "7", &[("companyname", "Acme")]).await;
    assert_eq!(waiting().await.events, 0, "it is folded");
    core.intake(&[core.hint(Side::Suitex, "7"), core.hint(Side::Suitex, "7")]).await;
    assert_eq!(waiting().await.events, 2, "it is due");
    let oldest = waiting().await.oldest_seconds;
    assert!((60.0..=90.0).contains(&oldest), "{oldest}");
    let reason = model::record::LockReason::Admin;
    steps::lock_record(&core.engine.core(), &record, None, reason, "").await.unwrap();
    assert_eq!(waiting().await.events, 2, "it is locked");
    assert_eq!((record.record_type, native("7").as_str()), (customer_type(), "7"));
}

#[test]
fn a_wrong_setting_names_itself() {
    let settings = chassis::settings::Settings::from_pairs([("MERGE_LOOPS", "0")]);
    assert!(Config::from_settings(&settings).unwrap_err().to_string().contains("MERGE_LOOPS"));
}

#[tokio::test]
async fn a_type_that_is_no_longer_synced_stands_in_nobodys_way_and_waits() {
    let stage = Stage::new([account(ACCOUNT, NOBODY, None)]).await;
    let core = given::Core::on(&stage);
    core.customer(Side::Suitex, "1", &[("companyname", "Acme")]).await;
    core.edit(Side::Suitex, "2", &[("companyname", "Bolt")]);
    core.intake(&[core.hint(Side::Suitex, "2")]).await;
    let other = r#"
        [[type]]
        name = "thing"
        netsuite = { table = "thing", stamp_field = "custrecord_stamp", rest = "thing", deleted_type = "Thing" }
        suitex = { table = "app.things" }
        delete_policy = "manual"
        lock = "field"
        field = [{ name = "a", column = "a", kind = "text", policy = "suitex_wins" }]
    "#;
    let other = model::spec::World::parse(other).unwrap();
    let without = steps::Engine { world: std::sync::Arc::new(other), ..core.engine.clone() };
    let accounts = || vec![account_id()];
    let now = || model::Clock::now(&model::SystemClock);

    let due = || store::records::Pick::DueMerge { accounts: accounts(), per_account: 1, now: now() };
    assert_eq!(steps::merge_step(&without.core(), &due()).await.unwrap().records, 1);
    assert_eq!(steps::merge_step(&without.core(), &due()).await.unwrap().records, 0, "it makes room for others");
    let soon = now() + Duration::from_secs(60);
    let owed =
        || store::records::Pick::DueWrite { accounts: accounts(), side: Side::Netsuite, per_account: 1, now: soon };
    assert_eq!(steps::write_step(&without.core(), Side::Netsuite, &owed(), &|_| true).await.unwrap().passed, 1);
    assert_eq!(steps::write_step(&without.core(), Side::Netsuite, &owed(), &|_| true).await.unwrap().records, 0);
    let waiting: (i64, i64) = sqlx::query_as(
        "select count(*) filter (where dirty_seq > 0 and ready_at > now() + interval '4 min'),
                count(*) filter (where owed and retry_at > now() + interval '4 min') from sync.shadow",
    )
    .fetch_one(&stage.pool)
    .await
    .unwrap();
    assert_eq!(waiting, (1, 1), "nothing is forgotten");
}
