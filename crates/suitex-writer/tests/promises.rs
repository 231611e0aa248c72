//! What the writer promises of what SuiteX is owed.
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

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use given::{Core, account_id};
use model::spec::TypeSpec;
use model::{
    AccountId, NativeId, Observed, ReadRequest, Remote, RemoteError, Side, SystemClock, WriteOutcome, WriteRequest,
};
use stage::{ACCOUNT, NOBODY, Running, Stage, account};
use store::records::Pick;
use suitex::SuitexRemote;
use suitex_writer::{Config, start};
use tenant::Tenant;

async fn world() -> (Stage, Tenant, Core) {
    let tenant = Tenant::new().await;
    let stage = Stage::new([account(ACCOUNT, NOBODY, Some(tenant.url()))]).await;
    let core = Core::on(&stage);
    (stage, tenant, core)
}

fn run(stage: &Stage) -> Running {
    let config = Config::from_settings(&stage.settings).unwrap();
    stage.run("suitex-writer", |parts| start(parts, config))
}

#[tokio::test]
async fn a_bell_leads_to_one_row_that_carries_the_write_s_id() {
    let (stage, tenant, core) = world().await;
    core.customer(Side::Netsuite, "100", &[("companyname", "Acme"), ("creditlimit", "10.50")]).await;
    let writer = run(&stage);
    stage.until("select count(*) = 1 from sync.idempotency_keys where status = 'acked'").await;
    let row: (String, String) = sqlx::query_as("select company_name, credit_limit::text from app.customers")
        .fetch_one(&tenant.pool)
        .await
        .unwrap();
    assert_eq!(row, ("Acme".to_owned(), "10.50".to_owned()));
    let write: uuid::Uuid = stage.one("select write_id from sync.idempotency_keys").await;
    assert_eq!(tenant.one::<uuid::Uuid>("select write_id from concord.sync_inbox").await, write);
    assert_eq!(
        tenant.one::<uuid::Uuid>("select write_id from concord.outbox_events").await,
        write,
        "its echo is known"
    );
    writer.end().await;
}

#[tokio::test]
async fn a_suspended_account_is_held_back_from_the_first_moment_and_resumes() {
    let (stage, tenant, core) = world().await;
    store::accounts::introduce(&stage.pool, &[(account_id(), true, 5)]).await.unwrap();
    core.customer(Side::Netsuite, "100", &[("companyname", "Acme")]).await;
    let writer = run(&stage);
    stage.until("select sx_retry_at is not null and sx_retry_at > now() + interval '3 s' from sync.record_head").await;
    assert_eq!(tenant.one::<i64>("select count(*) from app.customers").await, 0);
    assert!(store::accounts::set_suspended(&stage.pool, &account_id(), false).await.unwrap());
    tenant.until("select count(*) = 1 from app.customers").await;
    writer.end().await;
}

#[tokio::test]
async fn a_refused_write_is_told_once_and_its_record_waits_for_a_person() {
    let (stage, tenant, core) = world().await;
    // Thirteen digits are what the column holds.
    let record =
        core.customer(Side::Netsuite, "100", &[("companyname", "Acme"), ("creditlimit", "99999999999999.00")]).await;
    let writer = run(&stage);
    let errors = stage.take(stage.topics.dlq_handler_errors(), 1).await;
    let told = &errors[0].attributes;
    assert_eq!((told["target"].as_str(), told["error_class"].as_str()), ("suitex", "validation"));
    assert_eq!(told["record_id"], record.rid.to_string());
    assert!(!told["reason"].contains("99999999999999"), "no values: {}", told["reason"]);
    stage.until("select count(*) = 1 from sync.record_lock where reason = 'error' and released_at is null").await;
    assert_eq!(tenant.one::<i64>("select count(*) from app.customers").await, 0);
    writer.end().await;
}

/// A tenant whose answers are lost after the write landed.
struct Lossy(SuitexRemote);

#[async_trait]
impl Remote for Lossy {
    fn side(&self) -> Side {
        Side::Suitex
    }

    async fn read(
        &self,
        account: &AccountId,
        spec: &TypeSpec,
        wants: &[ReadRequest],
    ) -> Vec<Result<Observed, RemoteError>> {
        self.0.read(account, spec, wants).await
    }

    async fn write(&self, account: &AccountId, spec: &TypeSpec, writes: &[WriteRequest]) -> Vec<WriteOutcome> {
        let outcomes = self.0.write(account, spec, writes).await;
        outcomes.into_iter().map(|_| WriteOutcome::Unknown).collect()
    }

    fn quarantine(&self, account: &AccountId, spec: &TypeSpec) -> std::time::Duration {
        self.0.quarantine(account, spec)
    }

    async fn list(
        &self,
        account: &AccountId,
        spec: &TypeSpec,
        after: Option<&NativeId>,
        limit: usize,
    ) -> Result<Vec<NativeId>, RemoteError> {
        self.0.list(account, spec, after, limit).await
    }
}

#[tokio::test]
async fn an_answer_that_never_came_is_looked_for_and_nothing_is_written_twice() {
    let (stage, tenant, mut core) = world().await;
    let record = core.customer(Side::Netsuite, "100", &[("companyname", "Acme")]).await;
    let pools = BTreeMap::from([(account_id(), tenant.pool.clone())]);
    core.engine.remotes.suitex = Arc::new(Lossy(SuitexRemote::new(pools, Arc::new(SystemClock))));
    core.engine.settings.write_deadline = std::time::Duration::from_secs(2);
    core.engine.settings.send_margin = std::time::Duration::ZERO;
    let pick = Pick::These(vec![record]);
    let written = steps::write_step(&core.engine.core(), Side::Suitex, &pick, &|_| true).await.unwrap();
    assert_eq!(written.outcomes["unknown"], 1, "{written:?}");
    let writer = run(&stage);
    stage.until("select count(*) = 1 from sync.event_audit_log where outcome = 'recovered'").await;
    stage.until("select bool_and(status = 'acked') from sync.idempotency_keys").await;
    assert_eq!(tenant.one::<i64>("select count(*) from app.customers").await, 1);
    writer.end().await;
}

#[test]
fn a_wrong_setting_names_itself() {
    let settings = chassis::settings::Settings::from_pairs([("WRITE_BATCH", "0")]);
    assert!(Config::from_settings(&settings).unwrap_err().to_string().contains("WRITE_BATCH"));
}
