//! Certificates, resyncs and plans: what is asked is stored for the reconciler, and told as it stands.

use std::time::Duration;

use model::{Clock, RandomIds, Side, SumHash, SystemClock};
use serde_json::{Value, json};
use store::resyncs::{self, Item, Job};
use store::sweeps::{self, Lease, Sweep};
use uuid::Uuid;

use crate::given::{account_id, customer_type};
use crate::stage::ACCOUNT;
use crate::world::World;

const CUSTOMERS: &str = "/api/v1/certificates/TSTDRV100001/customer";

fn lease() -> Lease<'static> {
    Lease { owner: "reconciler", now: SystemClock.now(), length: Duration::from_secs(60) }
}

fn asks(ids: Value) -> Value {
    json!({ "account": ACCOUNT, "type": "customer", "ids": ids })
}

/// What the reconciler finds to do.
async fn job(world: &World) -> Job {
    resyncs::take(&world.stage.pool, &account_id(), lease()).await.unwrap().expect("a request is open")
}

async fn requests(world: &World) -> i64 {
    world.stage.one("select count(*) from sync.resync").await
}

/// A plan of one record that would change, as the reconciler leaves it.
async fn ready_plan(world: &World) -> (Uuid, String) {
    let record = world.core.customer(Side::Netsuite, "100", &[("companyname", "Acme")]).await;
    let asked = world.post("operator", "/api/v1/resync?plan=true", asks(json!(["netsuite:100"]))).await;
    assert_eq!((asked.status.as_u16(), &asked.body["kind"]), (202, &json!("plan")), "{asked:?}");
    let mut planned = job(world).await;
    (planned.position, planned.records, planned.differences) = (Some(record.rid), 1, 1);
    let body = json!({ "record_id": record.rid, "writes": [] });
    let items = [Item::known(record.rid, SumHash::default(), Some(body))];
    let now = SystemClock.now();
    assert!(resyncs::advance(&world.stage.pool, &planned, &items, Some("ready"), now).await.unwrap());
    (planned.resync_id, record.rid.to_string())
}

#[tokio::test]
async fn a_certificate_is_downloaded_and_a_new_one_asked_for() {
    let world = World::new().await;
    world.get("viewer", CUSTOMERS).await.refuses(404, "not_found");
    world.get("viewer", "/api/v1/certificates/NOBODY/customer").await.refuses(404, "not_found");
    world.get("viewer", &format!("/api/v1/certificates/{ACCOUNT}/planet")).await.refuses(404, "not_found");
    world.get("viewer", &format!("/api/v1/certificates/{ACCOUNT}/Planet")).await.refuses(400, "bad_request");
    world.post("operator", "/api/v1/certificates/NOBODY/customer", json!({})).await.refuses(404, "not_found");
    let none: i64 = world.stage.one("select count(*) from sync.sweep").await;
    assert_eq!(none, 0);

    let asked = world.post("operator", CUSTOMERS, json!({})).await;
    assert_eq!(asked.status.as_u16(), 202, "{asked:?}");
    let id = model::Ids::uuid(&RandomIds);
    let taken: Option<Sweep<Value>> =
        sweeps::take(&world.stage.pool, &account_id(), &[customer_type()], lease(), id, None).await.unwrap();
    let sweep = taken.expect("it is due");
    assert_eq!(json!(sweep.answers), asked.body["asked_at"]);
    let (now, body) = (SystemClock.now(), json!({ "complete": true, "answers": sweep.answers }));
    assert!(sweeps::finish(&world.stage.pool, &sweep, now, true, &body, now).await.unwrap());
    let found = world.get("viewer", CUSTOMERS).await;
    assert_eq!((found.status.as_u16(), found.body), (200, body));
}

#[tokio::test]
async fn a_resync_is_stored_for_the_reconciler_with_its_records_each_once() {
    let world = World::new().await;
    let record = world.core.customer(Side::Netsuite, "100", &[("companyname", "Acme")]).await;
    let ids = json!(["netsuite:100", record.rid, "netsuite:100"]);
    let asked = world.post("operator", "/api/v1/resync", asks(ids)).await;
    assert_eq!((asked.status.as_u16(), &asked.body["status"]), (202, &json!("queued")), "{asked:?}");
    let open = job(&world).await;
    assert_eq!((open.stage, open.rids), (resyncs::Stage::Ring, Some(vec![record.rid])));
    let path = format!("/api/v1/resync/{}", open.resync_id);
    assert_eq!(world.get("operator", &path).await.body["status"], "running");
    let all = world.post("operator", "/api/v1/resync", json!({ "account": ACCOUNT, "type": "customer" })).await;
    assert_eq!(all.status.as_u16(), 202, "{all:?}");
    assert_eq!((job(&world).await.rids, &all.body["asked_by"]), (None, &json!("operator-jo")));
}

#[tokio::test]
async fn what_nobody_knows_is_refused_by_name_and_stores_nothing() {
    let world = World::new().await;
    world.core.customer(Side::Netsuite, "100", &[("companyname", "Acme")]).await;
    let nobody = "01900000-0000-7000-8000-000000000000";
    let unknown = asks(json!(["netsuite:100", "netsuite:7", "suitex:8", nobody]));
    let refused = world.post("operator", "/api/v1/resync", unknown).await;
    refused.refuses(400, "bad_request");
    assert_eq!(refused.body["unknown"], json!(["suitex:8", "netsuite:7", nobody]));
    for body in [
        json!({}),
        json!({ "account": ACCOUNT }),
        json!({ "account": "NOBODY", "type": "customer" }),
        json!({ "account": ACCOUNT, "type": "planet" }),
        json!({ "account": ACCOUNT, "type": "customer", "more": 1 }),
        json!({ "plan": nobody, "account": ACCOUNT }),
        asks(json!([])),
        asks(json!(["7"])),
        asks(json!(["sap:7"])),
        asks(json!(["netsuite:"])),
        asks(json!(vec!["netsuite:100"; 1_001])),
    ] {
        world.post("operator", "/api/v1/resync", body).await.refuses(400, "bad_request");
    }
    world
        .post("operator", "/api/v1/resync?plan=perhaps", asks(json!(["netsuite:100"])))
        .await
        .refuses(400, "bad_request");
    world.post("operator", "/api/v1/resync", json!({ "plan": nobody })).await.refuses(404, "not_found");
    world.get("operator", &format!("/api/v1/resync/{nobody}")).await.refuses(404, "not_found");
    assert_eq!(requests(&world).await, 0);
}

#[tokio::test]
async fn a_plan_is_read_page_by_page_and_carried_out_once() {
    let world = World::new().await;
    let (plan, rid) = ready_plan(&world).await;
    let path = format!("/api/v1/resync/{plan}");
    let shown = world.get("operator", &path).await.body;
    assert_eq!((&shown["status"], &shown["differences"]), (&json!("ready"), &json!(1)));
    assert_eq!((&shown["items"][0]["record_id"], &shown["next_cursor"]), (&json!(rid), &json!(null)));
    let rest = world.get("operator", &format!("{path}?cursor={rid}&limit=1")).await.body;
    assert_eq!(rest["items"], json!([]));
    for query in ["limit=0", "limit=501", "cursor=x"] {
        world.get("operator", &format!("{path}?{query}")).await.refuses(400, "bad_request");
    }

    let apply = json!({ "plan": plan });
    let reconciler = async {
        let mut applying = loop {
            match resyncs::take(&world.stage.pool, &account_id(), lease()).await.unwrap() {
                Some(job) => break job,
                None => tokio::task::yield_now().await,
            }
        };
        assert_eq!(applying.stage, resyncs::Stage::Check);
        applying.position = None;
        let now = SystemClock.now();
        assert!(resyncs::advance(&world.stage.pool, &applying, &[], Some("applied"), now).await.unwrap());
    };
    let (applied, ()) = tokio::join!(world.post("operator", "/api/v1/resync", apply.clone()), reconciler);
    assert_eq!((applied.status.as_u16(), &applied.body["status"]), (200, &json!("applied")), "{applied:?}");
    world.post("operator", "/api/v1/resync", apply).await.refuses(409, "plan_applied");
    assert_eq!(world.get("operator", &path).await.body["applied_by"], "operator-jo");
}

#[tokio::test]
async fn a_plan_whose_state_has_moved_is_refused_with_the_records_that_moved() {
    let world = World::new().await;
    let (plan, rid) = ready_plan(&world).await;
    let apply = json!({ "plan": plan });
    let set = |status: &'static str| {
        let sql = "update sync.resync set status = $1, moved = array(select rid from sync.resync_item)";
        sqlx::query(sql).bind(status).execute(&world.stage.pool)
    };
    for (status, code) in [("queued", "plan_not_ready"), ("running", "plan_not_ready"), ("failed", "plan_failed")] {
        set(status).await.unwrap();
        world.post("operator", "/api/v1/resync", apply.clone()).await.refuses(409, code);
    }
    set("moved").await.unwrap();
    let refused = world.post("operator", "/api/v1/resync", apply.clone()).await;
    refused.refuses(409, "plan_moved");
    assert_eq!(refused.body["records"], json!([rid]));
    sqlx::query("update sync.resync set kind = 'resync'").execute(&world.stage.pool).await.unwrap();
    world.post("operator", "/api/v1/resync", apply).await.refuses(400, "bad_request");
}
