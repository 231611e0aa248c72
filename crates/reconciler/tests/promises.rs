//! What the reconciler promises: lost messages are sent again, lost bells are rung again, nothing else moves.
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

use given::Core;
use model::Side;
use reconciler::{Config, start};
use stage::{ACCOUNT, NOBODY, Running, Stage, account};
use tenant::Tenant;

async fn world() -> (Stage, Tenant) {
    let tenant = Tenant::new().await;
    let stage =
        Stage::with([account(ACCOUNT, NOBODY, Some(tenant.url()))], &[("RECONCILE_CONFIRM_SECONDS", "60")]).await;
    (stage, tenant)
}

fn run(stage: &Stage) -> Running {
    let config = Config::from_settings(&stage.settings).unwrap();
    stage.run("reconciler", |parts| start(parts, config))
}

/// Four customers: published long ago and lost; long ago and stored; long ago and refused; just now.
async fn four_rows(stage: &Stage, tenant: &Tenant) {
    tenant.sql("insert into app.customers (company_name) values ('lost'), ('stored'), ('refused'), ('young')").await;
    tenant.sql("update concord.outbox_events set published_at = now() - interval '2 minutes'").await;
    tenant.sql("update concord.outbox_events set published_at = now() where record_id = '4'").await;
    let id = |record: &'static str| async move {
        let sql = "select event_id from concord.outbox_events where record_id = $1";
        sqlx::query_scalar::<_, uuid::Uuid>(sql).bind(record).fetch_one(&tenant.pool).await.unwrap()
    };
    sqlx::query(
        "insert into sync.event_log (account_id, event_id, record_type, record_id, rid, side, source, kind, seq, received_at)
         values ($1, $2, 'customer', '2', $2, 'suitex', 'suitex', 'hint', 1, now())",
    )
    .bind(ACCOUNT)
    .bind(id("2").await)
    .execute(&stage.pool)
    .await
    .unwrap();
    sqlx::query(
        "insert into sync.sync_error_queue (account_id, event_id, topic, message_id, class, code, reason, fingerprint, created_at)
         values ($1, $2, 'events.error', 'm', 'validation', 'bad_value', 'why', 'f', now())",
    )
    .bind(ACCOUNT)
    .bind(id("3").await)
    .execute(&stage.pool)
    .await
    .unwrap();
}

#[tokio::test]
async fn rows_that_never_arrived_go_out_again_and_those_that_did_are_confirmed() {
    let (stage, tenant) = world().await;
    four_rows(&stage, &tenant).await;
    let reconciler = run(&stage);
    tenant.until("select published_at is null from concord.outbox_events where record_id = '1'").await;
    tenant
        .until(
            "select count(*) = 2 from concord.outbox_events where confirmed_at is not null and record_id in ('2', '3')",
        )
        .await;
    let young: bool = tenant
        .one(
            "select published_at is not null and confirmed_at is null from concord.outbox_events where record_id = '4'",
        )
        .await;
    assert!(young, "it may still be on its way");
    reconciler.end().await;
}

#[tokio::test]
async fn what_is_owed_and_whose_bell_was_lost_is_rung_again() {
    let (stage, _tenant) = world().await;
    let record = Core::on(&stage).customer(Side::Suitex, "7", &[("companyname", "Acme")]).await;
    sqlx::query("delete from sync.outbox").execute(&stage.pool).await.unwrap();
    let reconciler = run(&stage);
    let bells = stage.take(stage.topics.netsuite_writer(), 1).await;
    let bell = model::wire::decode_merged(&bells[0].data).unwrap();
    assert_eq!((bell.rid, bell.target), (record.rid, Side::Netsuite));
    reconciler.end().await;
}

#[tokio::test]
async fn a_tenant_that_does_not_answer_holds_up_no_bells_and_is_named() {
    let away = account(ACCOUNT, NOBODY, Some("postgres://nobody@127.0.0.1:9/nowhere"));
    let stage = Stage::new([away]).await;
    Core::on(&stage).customer(Side::Suitex, "7", &[("companyname", "Acme")]).await;
    sqlx::query("delete from sync.outbox").execute(&stage.pool).await.unwrap();
    let reconciler = run(&stage);
    assert_eq!(stage.take(stage.topics.netsuite_writer(), 1).await.len(), 1);
    stage::until("the round is blocked", async || {
        reconciler.parts.health.obstacles().await.iter().any(|obstacle| obstacle.contains(ACCOUNT))
    })
    .await;
    reconciler.end().await;
}

#[test]
fn a_wrong_setting_names_itself() {
    let settings = chassis::settings::Settings::from_pairs([("RECONCILE_CONFIRM_SECONDS", "soon")]);
    assert!(Config::from_settings(&settings).unwrap_err().to_string().contains("RECONCILE_CONFIRM_SECONDS"));
}
