//! What dlq-handler promises of a message that failed: a row always, a lock only where going on could do harm.
#![allow(clippy::unwrap_used, unreachable_pub)] // a test that cannot go on has failed

#[path = "../../../tests/support/given.rs"]
#[allow(dead_code)]
mod given;
#[path = "../../../tests/support/stage.rs"]
#[allow(dead_code)] // every service's tests use a part of it
mod stage;

use dlq_handler::{Config, start};
use given::Core;
use model::{RecordRef, Side};
use stage::{ACCOUNT, NOBODY, Running, Stage, account, attributes, until};

async fn stage() -> Stage {
    Stage::new([account(ACCOUNT, NOBODY, None)]).await
}

fn run(stage: &Stage) -> Running {
    let config = Config::from_settings(&stage.settings).unwrap();
    stage.run("dlq-handler", |parts| start(parts, config))
}

async fn rows(stage: &Stage) -> i64 {
    stage.one("select count(*) from sync.sync_error_queue").await
}

async fn locks(stage: &Stage) -> i64 {
    stage.one("select count(*) from sync.record_lock where released_at is null").await
}

/// A refused write of a known record, as a writer reports it.
async fn refused_write(stage: &Stage, record: &RecordRef, class: &str) {
    let rid = record.rid.to_string();
    let told = attributes([
        ("account_id", ACCOUNT),
        ("record_type", "customer"),
        ("record_id", &rid),
        ("target", "netsuite"),
        ("error_class", class),
        ("reason", "USER_ERROR: the name is missing"),
        ("reason_code", "USER_ERROR"),
    ]);
    stage.publish(&stage.topics.error, *b"write", told).await;
}

#[tokio::test]
async fn a_failed_message_becomes_a_row_with_everything_it_said() {
    let stage = stage().await;
    let told = attributes([
        ("account_id", ACCOUNT),
        ("record_type", "customer"),
        ("record_id", "12"),
        ("event_id", "01900000-0000-7000-8000-000000000001"),
        ("source", "netsuite-ue"),
        ("error_class", "validation"),
        ("reason", "email is too long"),
        ("reason_code", "bad_value"),
        ("attempts", "3"),
        ("first_failed_at", "2026-11-14T13:12:05Z"),
    ]);
    stage.publish(&stage.topics.error, b"\x00\xffraw".to_vec(), told).await;
    let service = run(&stage);
    stage.until("select count(*) = 1 from sync.sync_error_queue").await;
    let row: serde_json::Value = stage.one("select to_jsonb(q) from sync.sync_error_queue q").await;
    for (name, value) in [
        ("account_id", ACCOUNT),
        ("record_id", "12"),
        ("event_id", "01900000-0000-7000-8000-000000000001"),
        ("topic", "events.error"),
        ("class", "validation"),
        ("code", "bad_value"),
        ("reason", "email is too long"),
        ("payload", "\\x00ff726177"),
        ("status", "open"),
    ] {
        assert_eq!(row[name], value, "{name}");
    }
    assert_eq!((&row["attempts"], &row["attributes"]["source"]), (&3.into(), &"netsuite-ue".into()));
    service.end().await;
}

#[tokio::test]
async fn a_message_that_says_nothing_is_kept_too() {
    let stage = stage().await;
    stage.publish(&stage.topics.dlq, vec![0xff; 3], Default::default()).await;
    stage
        .publish(
            &stage.topics.error,
            *b"x",
            attributes([("account_id", "\u{1}"), ("attempts", "many"), ("event_id", "none")]),
        )
        .await;
    let service = run(&stage);
    stage.until("select count(*) = 2 from sync.sync_error_queue").await;
    let classes: Vec<String> = stage.one("select array_agg(class order by topic) from sync.sync_error_queue").await;
    assert_eq!(classes, ["irrecoverable", "validation"]);
    assert_eq!(locks(&stage).await, 0);
    service.end().await;
}

#[tokio::test]
async fn a_message_that_comes_again_keeps_its_row() {
    let stage = stage().await;
    // The first message of this bus is number 1: stored before, its acknowledgement was lost.
    let insert = "insert into sync.sync_error_queue (topic, message_id, class, code, reason, fingerprint, created_at)
                  values ('events.error', '1', 'validation', 'first', 'first', 'f', now())";
    sqlx::query(insert).execute(&stage.pool).await.unwrap();
    stage.publish(&stage.topics.error, *b"again", attributes([("account_id", ACCOUNT)])).await;
    let service = run(&stage);
    let queue = stage.topics.dlq_handler_errors().name;
    until("the message is acknowledged", async || stage.bus.backlog(&queue) == 0).await;
    assert_eq!(rows(&stage).await, 1);
    assert_eq!(stage.one::<String>("select code from sync.sync_error_queue").await, "first");
    service.end().await;
}

#[tokio::test]
async fn a_refused_write_locks_its_record_once() {
    let stage = stage().await;
    let record = Core::on(&stage).customer(Side::Suitex, "7", &[("companyname", "Acme")]).await;
    refused_write(&stage, &record, "validation").await;
    refused_write(&stage, &record, "validation").await;
    let service = run(&stage);
    stage.until("select count(*) = 2 from sync.sync_error_queue").await;
    assert_eq!(locks(&stage).await, 1);
    let lock: (uuid::Uuid, String, String) =
        sqlx::query_as("select rid, reason, note from sync.record_lock").fetch_one(&stage.pool).await.unwrap();
    assert_eq!(lock, (record.rid.0, "error".to_owned(), "USER_ERROR: the name is missing".to_owned()));
    assert!(stage.one::<bool>("select bool_and(rid is not null) from sync.sync_error_queue").await);
    service.end().await;
}

#[tokio::test]
async fn missing_permissions_lock_nothing() {
    let stage = stage().await;
    let record = Core::on(&stage).customer(Side::Suitex, "7", &[("companyname", "Acme")]).await;
    refused_write(&stage, &record, "operational").await;
    let service = run(&stage);
    stage.until("select count(*) = 1 from sync.sync_error_queue").await;
    assert_eq!(locks(&stage).await, 0, "the record is not at fault");
    service.end().await;
}

#[tokio::test]
async fn of_hints_only_dead_letters_lock_and_only_the_record_they_name_with_its_side() {
    let stage = stage().await;
    let record = Core::on(&stage).customer(Side::Netsuite, "7", &[("companyname", "Acme")]).await;
    let named = |source: &'static str| {
        attributes([("account_id", ACCOUNT), ("record_type", "customer"), ("record_id", "7"), ("source", source)])
    };
    stage.publish(&stage.topics.error, *b"a hint that can be mended", named("netsuite-ue")).await;
    stage.publish(&stage.topics.dlq, *b"whose id 7 is not said", named("whoever")).await;
    stage.publish(&stage.topics.dlq, *b"the other side's 7", named("suitex")).await;
    let service = run(&stage);
    stage.until("select count(*) = 3 from sync.sync_error_queue").await;
    assert_eq!(locks(&stage).await, 0);
    stage.publish(&stage.topics.dlq, *b"this side's 7", named("netsuite-ue")).await;
    stage.until("select count(*) = 4 from sync.sync_error_queue").await;
    assert_eq!(stage.one::<uuid::Uuid>("select rid from sync.record_lock").await, record.rid.0);
    service.end().await;
}

#[test]
fn a_wrong_setting_names_itself() {
    let settings = chassis::settings::Settings::from_pairs([("DLQ_BATCH", "none")]);
    assert!(Config::from_settings(&settings).unwrap_err().to_string().contains("DLQ_BATCH"));
}
