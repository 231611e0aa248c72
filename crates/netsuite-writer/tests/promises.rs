//! What the writer promises of what NetSuite is owed.
#![allow(clippy::unwrap_used, unreachable_pub)] // a test that cannot go on has failed

#[path = "../../../tests/support/given.rs"]
#[allow(dead_code)]
mod given;
#[path = "../../../tests/support/simulator.rs"]
#[allow(dead_code)]
mod simulator;
#[path = "../../../tests/support/stage.rs"]
#[allow(dead_code)] // every service's tests use a part of it
mod stage;

use given::{Core, account_id};
use model::Side;
use netsuite_writer::{Config, start};
use serde_json::json;
use simulator::Simulator;
use stage::{ACCOUNT, Running, Stage, account, until};

async fn world() -> (Stage, Simulator, Core) {
    let simulator = Simulator::start().await;
    let stage = Stage::new([account(ACCOUNT, &simulator.url(), None)]).await;
    let core = Core::on(&stage);
    (stage, simulator, core)
}

fn run(stage: &Stage) -> Running {
    let config = Config::from_settings(&stage.settings).unwrap();
    stage.run("netsuite-writer", |parts| start(parts, config))
}

#[tokio::test]
async fn a_bell_leads_to_one_write_that_is_acknowledged_and_linked() {
    let (stage, simulator, core) = world().await;
    core.customer(Side::Suitex, "7", &[("companyname", "Acme"), ("phone", "123")]).await;
    let writer = run(&stage);
    stage.until("select count(*) = 1 from sync.idempotency_keys where status = 'acked'").await;
    let ids = simulator.customers().await;
    let fields = simulator.customer(&ids[0]).await;
    assert_eq!((ids.len(), &fields["companyname"], &fields["phone"]), (1, &json!("Acme"), &json!("123")));
    let linked: String = stage.one("select native_id from sync.links where side = 'netsuite' and current").await;
    assert_eq!(linked, ids[0]);
    let audited: String = stage.one("select outcome from sync.event_audit_log where side = 'netsuite'").await;
    assert_eq!((audited.as_str(), simulator.writes().await), ("ok", 1));
    writer.end().await;
}

#[tokio::test]
async fn a_suspended_account_is_held_back_from_the_first_moment_and_resumes() {
    let (stage, simulator, core) = world().await;
    store::accounts::introduce(&stage.pool, &[(account_id(), true, 5)]).await.unwrap();
    core.customer(Side::Suitex, "7", &[("companyname", "Acme")]).await;
    let writer = run(&stage);
    stage.until("select ns_retry_at is not null and ns_retry_at > now() + interval '3 s' from sync.record_head").await;
    assert_eq!(simulator.writes().await, 0);
    assert!(store::accounts::set_suspended(&stage.pool, &account_id(), false).await.unwrap());
    until("the customer is written", async || simulator.writes().await == 1).await;
    writer.end().await;
}

#[tokio::test]
async fn a_refused_write_is_told_once_and_its_record_waits_for_a_person() {
    let (stage, simulator, core) = world().await;
    // A customer needs a name.
    let record = core.customer(Side::Suitex, "7", &[("phone", "123")]).await;
    let writer = run(&stage);
    let errors = stage.take(stage.topics.dlq_handler_errors(), 1).await;
    let told = &errors[0].attributes;
    assert_eq!((told["target"].as_str(), told["error_class"].as_str()), ("netsuite", "validation"));
    assert_eq!(told["record_id"], record.rid.to_string());
    stage.until("select count(*) = 1 from sync.record_lock where reason = 'error' and released_at is null").await;
    let tries: i64 = stage.one("select count(*) from sync.idempotency_keys").await;
    assert_eq!((tries, simulator.customers().await.len()), (1, 0));
    writer.end().await;
}

#[tokio::test]
async fn an_answer_that_never_came_is_looked_for_and_nothing_is_written_twice() {
    let (stage, simulator, core) = world().await;
    simulator
        .faults(json!([{ "match": { "path": "customscript_concord_write" }, "fault": "lost_response", "times": 1 }]))
        .await;
    core.customer(Side::Suitex, "7", &[("companyname", "Acme")]).await;
    let writer = run(&stage);
    stage.until("select count(*) = 1 from sync.event_audit_log where outcome = 'recovered'").await;
    stage.until("select bool_and(status = 'acked') from sync.idempotency_keys").await;
    assert_eq!((simulator.customers().await.len(), simulator.writes().await), (1, 1));
    writer.end().await;
}

#[tokio::test]
async fn a_bell_nobody_heard_is_made_good_by_the_sweep_and_an_unreadable_one_is_a_dead_letter() {
    let (stage, simulator, core) = world().await;
    core.customer(Side::Suitex, "7", &[("companyname", "Acme")]).await;
    sqlx::query("delete from sync.outbox").execute(&stage.pool).await.unwrap();
    stage.publish(&stage.topics.merged, vec![0xff; 9], stage::attributes([("target", "netsuite")])).await;
    let writer = run(&stage);
    let dead = stage.take(stage.topics.dlq_handler_dead_letters(), 1).await;
    assert_eq!(dead[0].attributes["error_class"], "irrecoverable");
    until("the customer is written", async || simulator.writes().await == 1).await;
    writer.end().await;
}

#[test]
fn a_wrong_setting_names_itself() {
    let settings = chassis::settings::Settings::from_pairs([("WRITE_TIMEOUT_SECONDS", "60")]);
    assert!(Config::from_settings(&settings).unwrap_err().to_string().contains("WRITE_TIMEOUT_SECONDS"));
}
