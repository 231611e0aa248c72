//! What the relay promises of a tenant's outbox.
#![allow(clippy::unwrap_used, unreachable_pub)] // a test that cannot go on has failed

#[path = "../../../tests/support/stage.rs"]
#[allow(dead_code)] // every service's tests use a part of it
mod stage;
#[path = "../../../tests/support/tenant.rs"]
#[allow(dead_code)]
mod tenant;

use std::time::Duration;

use model::wire::{decode_change, decode_change_message};
use model::{Operation, Source};
use outbox_relay::{Config, start};
use stage::{ACCOUNT, NOBODY, Running, Stage, account, until};
use tenant::Tenant;

async fn world() -> (Stage, Tenant) {
    let tenant = Tenant::new().await;
    let stage = Stage::new([account(ACCOUNT, NOBODY, Some(tenant.url()))]).await;
    (stage, tenant)
}

fn run(stage: &Stage) -> Running {
    run_with(stage, |_| {})
}

fn run_with(stage: &Stage, change: impl FnOnce(&mut Config)) -> Running {
    let mut config = Config::from_settings(&stage.settings).unwrap();
    change(&mut config);
    stage.run("outbox-relay", |parts| start(parts, config))
}

#[tokio::test]
async fn rows_leave_in_order_under_their_own_ids_and_are_marked() {
    let (stage, tenant) = world().await;
    tenant.sql("insert into app.customers (company_name) values ('Acme')").await;
    for _ in 0..5 {
        tenant.sql("update app.customers set phone = coalesce(phone, '') || '1'").await;
    }
    let relay = run_with(&stage, |config| config.batch = 2);
    let came = stage.take(stage.topics.merge_service(), 6).await;
    let events: Vec<_> = came.iter().map(|message| decode_change(&message.data).unwrap()).collect();
    let versions: Vec<_> = events.iter().map(|event| event.remote_version.unwrap()).collect();
    assert_eq!(versions, [1, 2, 3, 4, 5, 6]);
    assert_eq!((events[0].operation, events[5].operation), (Operation::Create, Operation::Update));
    assert!(events.iter().all(|event| event.source == Source::Suitex && event.account.as_str() == ACCOUNT));
    tenant.until("select bool_and(published_at is not null) from concord.outbox_events").await;
    let ids: Vec<uuid::Uuid> = tenant.one("select array_agg(event_id order by id) from concord.outbox_events").await;
    assert_eq!(ids, events.iter().map(|event| event.event_id).collect::<Vec<_>>());
    let lanes: std::collections::BTreeSet<_> =
        came.iter().map(|message| message.ordering_key.clone().unwrap()).collect();
    assert_eq!(lanes.len(), 1, "one record, one lane");
    relay.end().await;
}

#[tokio::test]
async fn an_event_too_large_for_the_bus_leaves_its_values_in_the_snapshot_storage() {
    let (folder, tenant) = (tempfile::tempdir().unwrap(), Tenant::new().await);
    let url = format!("file://{}", folder.path().display());
    let settings = [("SNAPSHOT_URL", url.as_str()), ("SNAPSHOT_THRESHOLD_BYTES", "2000")];
    let stage = Stage::with([account(ACCOUNT, NOBODY, Some(tenant.url()))], &settings).await;
    tenant.sql("insert into app.customers (company_name) values ('Acme')").await;
    tenant.sql("update app.customers set comments = repeat('x', 3000)").await;
    let relay = run(&stage);
    let came = stage.take(stage.topics.merge_service(), 2).await;
    let events: Vec<_> = came.iter().map(|message| decode_change(&message.data).unwrap()).collect();
    assert!(!events[0].changes.is_empty() && events[0].full_snapshot_ref.is_none());
    assert!(events[1].changes.is_empty() && came[1].data.len() < 2_000);
    let snapshots = chassis::snapshots::Snapshots::from_settings(&stage.settings).unwrap().unwrap();
    let told = &events[1];
    let of = chassis::snapshots::Expected {
        account: &told.account,
        record_type: &told.record_type,
        record_id: &told.record_id,
        event_id: told.event_id,
    };
    let whole = snapshots.read(told.full_snapshot_ref.as_deref().unwrap(), &of).await.unwrap().unwrap();
    let comments = model::TypedValue::Text("x".repeat(3_000));
    assert_eq!((whole.event_id, &whole.changes["comments"]), (events[1].event_id, &comments));

    // A storage that is away loses nothing: the event goes out whole.
    std::fs::remove_dir_all(folder.path()).unwrap();
    std::fs::write(folder.path(), "no folder").unwrap();
    tenant.sql("update app.customers set comments = repeat('y', 3000)").await;
    let whole = stage.take(stage.topics.merge_service(), 1).await;
    let event = decode_change(&whole[0].data).unwrap();
    assert_eq!((event.full_snapshot_ref, event.changes.len()), (None, 1));
    relay.end().await;
    std::fs::remove_file(folder.path()).unwrap();
}

#[tokio::test]
async fn what_the_broker_does_not_take_stays_unmarked_until_it_does() {
    let (stage, tenant) = world().await;
    stage.bus.set_broken(true);
    tenant.sql("insert into app.customers (company_name) values ('Acme')").await;
    let relay = run(&stage);
    until("the relay is blocked", async || {
        relay
            .parts
            .health
            .obstacles()
            .await
            .iter()
            .any(|obstacle| obstacle.contains("outbox of") && obstacle.contains("blocked"))
    })
    .await;
    assert_eq!(tenant.one::<i64>("select count(*) from concord.outbox_events where published_at is not null").await, 0);
    stage.bus.set_broken(false);
    let came = stage.take(stage.topics.merge_service(), 1).await;
    assert_eq!(decode_change(&came[0].data).unwrap().operation, Operation::Create);
    tenant.until("select bool_and(published_at is not null) from concord.outbox_events").await;
    until("the relay is ready again", async || relay.parts.health.obstacles().await.is_empty()).await;
    relay.end().await;
}

#[tokio::test]
async fn rows_of_types_nobody_syncs_are_set_aside_and_named() {
    let (stage, tenant) = world().await;
    tenant.sql("insert into app.customers (company_name) values ('Acme')").await;
    tenant.sql("insert into app.contacts (customer_id, name) values (1, 'Jo')").await;
    tenant.sql("insert into app.customers (company_name) values ('Later')").await;
    let relay = run(&stage);
    let came = stage.take(stage.topics.merge_service(), 2).await;
    assert!(came.iter().all(|message| message.attributes["record_type"] == "customer"));
    tenant.until("select bool_and(published_at is not null) from concord.outbox_events").await;
    let note: String = tenant.one("select note from concord.outbox_events where record_type = 'contact'").await;
    assert_eq!(note, "record type is not synced");
    assert_eq!(stage.bus.backlog(&stage.topics.merge_service().name), 0);
    relay.end().await;
}

#[tokio::test]
async fn a_value_that_can_be_no_event_goes_to_a_person_and_does_not_hold_up_the_next() {
    let (stage, tenant) = world().await;
    tenant.sql("insert into app.customers (company_name) values ('Acme')").await;
    tenant.sql("update app.customers set credit_limit = 'NaN'").await;
    tenant.sql("update app.customers set credit_limit = 5").await;
    let relay = run(&stage);
    let came = stage.take(stage.topics.merge_service(), 2).await;
    assert_eq!(decode_change(&came[1].data).unwrap().remote_version, Some(3));
    let errors = stage.take(stage.topics.dlq_handler_errors(), 1).await;
    let told = &errors[0].attributes;
    assert_eq!((told["error_class"].as_str(), told["reason_code"].as_str()), ("validation", "bad_value"));
    assert!(told["reason"].contains("credit_limit") && !told["reason"].contains("NaN"), "{}", told["reason"]);
    tenant
        .until("select count(*) = 1 from concord.outbox_events where note is not null and published_at is not null")
        .await;
    // Published again, as a retry does, it is an ordinary doorbell.
    let again = decode_change_message(&errors[0].data, told).unwrap();
    assert_eq!((again.record_id.as_str(), again.source, again.changes.len()), ("1", Source::Suitex, 0));
    assert_eq!(again.event_id.to_string(), told["event_id"]);
    relay.end().await;
}

#[tokio::test]
async fn an_event_too_large_for_the_broker_goes_to_a_person_and_does_not_hold_up_the_next() {
    let (stage, tenant) = world().await;
    tenant.sql("insert into app.customers (company_name) values ('Acme')").await;
    tenant
        .sql("update app.customers set tags = (select array_agg(g || repeat('x', 65536)) from generate_series(1, 170) g)")
        .await;
    tenant.sql("update app.customers set phone = '1'").await;
    let relay = run(&stage);
    let errors = stage.take(stage.topics.dlq_handler_errors(), 1).await;
    assert_eq!(errors[0].attributes["reason_code"], "refused_by_bus");
    let came = stage.take(stage.topics.merge_service(), 2).await;
    let versions: Vec<_> = came.iter().map(|message| decode_change(&message.data).unwrap().remote_version).collect();
    assert_eq!(versions, [Some(1), Some(3)]);
    tenant.until("select bool_and(published_at is not null) from concord.outbox_events").await;
    relay.end().await;
}

#[tokio::test]
async fn a_tenant_that_does_not_answer_holds_up_no_other() {
    let tenant = Tenant::new().await;
    let away = account("AWAY", NOBODY, Some("postgres://nobody@127.0.0.1:9/nowhere"));
    let bare = account("BARE", NOBODY, None);
    let stage = Stage::new([away, bare, account(ACCOUNT, NOBODY, Some(tenant.url()))]).await;
    let relay = run(&stage);
    tenant.sql("insert into app.customers (company_name) values ('Acme')").await;
    assert_eq!(stage.take(stage.topics.merge_service(), 1).await[0].attributes["account_id"], ACCOUNT);
    until("the other is named", async || {
        relay.parts.health.obstacles().await.iter().any(|obstacle| obstacle.contains("outbox of AWAY"))
    })
    .await;
    relay.end().await;
}

#[tokio::test]
async fn rows_that_arrived_are_deleted_after_their_time_and_others_never() {
    let (stage, tenant) = world().await;
    tenant.sql("insert into app.customers (company_name) values ('Arrived')").await;
    tenant.sql("update concord.outbox_events set published_at = now(), confirmed_at = now() - interval '1 hour'").await;
    tenant.sql("insert into app.customers (company_name) values ('Not confirmed')").await;
    let relay = run_with(&stage, |config| config.keep = Duration::from_secs(60));
    tenant.until("select count(*) = 1 from concord.outbox_events").await;
    assert_eq!(tenant.one::<String>("select record_id from concord.outbox_events").await, "2");
    relay.end().await;
}

#[test]
fn a_wrong_setting_names_itself() {
    let settings = chassis::settings::Settings::from_pairs([("RELAY_BATCH", "0")]);
    assert!(Config::from_settings(&settings).unwrap_err().to_string().contains("RELAY_BATCH"));
}
