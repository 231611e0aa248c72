//! The table of units in the README of `deploy/netsuite`, measured.

use http::StatusCode;
use serde_json::{Value as Json, json};

use crate::harness::{Sim, ingest};
use crate::relay::{Mood, Relay};

/// Units of one guarded write that lands; its id.
async fn written(sim: &Sim, write: Json) -> (u64, String) {
    let reply = sim.write(json!([write])).await;
    assert_eq!(reply["results"][0]["status"], "ok", "{reply}");
    let id = reply["results"][0]["id"].as_str().unwrap().to_owned();
    (5_000 - reply["remainingUsage"].as_u64().unwrap(), id)
}

fn write(kind: &str, record: &str, id: Option<&str>, stamp: u64, changes: Json) -> Json {
    json!({
        "writeId": "w", "kind": kind, "type": record, "id": id, "rid": "r", "stamp": stamp, "expect": stamp - 1,
        "externalId": if kind == "create" { json!(format!("sx_{record}")) } else { Json::Null }, "changes": changes,
        "pre": {},
    })
}

#[tokio::test]
async fn a_write_of_each_type_costs_what_the_readme_says() {
    let sim = Sim::start().await;
    let customer = sim.customer(json!({})).await;
    for (record, fields, [create, update, delete]) in [
        ("customer", json!({ "companyname": "A" }), [35, 25, 15]),
        ("item", json!({ "itemid": "A" }), [35, 26, 16]),
        ("salesorder", json!({ "entity": customer }), [50, 40, 30]),
    ] {
        let (units, id) = written(&sim, write("create", record, None, 1, fields.clone())).await;
        assert_eq!(units, create, "create {record}");
        assert_eq!(written(&sim, write("update", record, Some(&id), 2, fields)).await.0, update, "update {record}");
        assert_eq!(written(&sim, write("delete", record, Some(&id), 3, json!({}))).await.0, delete, "delete {record}");
    }
    let item = sim.edit("create", "item", None, json!({ "itemid": "W-1" })).await;
    let lines = json!({ "upsert": [{ "key": "a", "changes": { "item": item } }], "remove": [] });
    let mut order = write("create", "salesorder", None, 1, json!({ "entity": customer }));
    order["lines"] = lines.clone();
    let (units, id) = written(&sim, order).await;
    assert_eq!(units, 60, "an order with lines");
    let mut more = write("update", "salesorder", Some(&id), 2, json!({}));
    more["lines"] = lines;
    assert_eq!(written(&sim, more).await.0, 50, "new lines of an order");
    assert_eq!(sim.ask("ledger").await["guarded_writes"]["worst"], 60);
}

#[tokio::test]
async fn a_query_costs_ten_and_ten_for_each_page() {
    let sim = Sim::start().await;
    sim.tell("generate", json!({ "customers": 1_001, "seed": 1 })).await;
    for (limit, rows, units) in [(1_000, 1_000, 20), (5_000, 1_001, 30)] {
        sim.http.delete(sim.control("ledger")).send().await.unwrap();
        let reply = sim.query(json!({ "query": "SELECT id FROM customer ORDER BY id ASC", "limit": limit })).await;
        assert_eq!(reply.json::<Json>().await.unwrap()["rows"].as_array().unwrap().len(), rows);
        assert_eq!(sim.ask("ledger").await["units"], units);
    }
}

#[tokio::test]
async fn a_flush_of_a_hundred_rows_costs_what_the_readme_says() {
    let relay = Relay::start().await;
    let sim = Sim::with(|account| {
        account.ingest = Some(ingest(&relay.url));
        account.scripts.mode = Some("outbox".to_owned());
    })
    .await;
    let rows: Vec<Json> = (0..100).map(|n| json!({ "companyname": format!("C{n}") })).collect();
    sim.tell("import", json!({ "type": "customer", "rows": rows, "scripts": true })).await;
    let ledger = sim.ask("ledger").await;
    assert_eq!(ledger["saves"], json!({ "runs": 100, "units": 600, "worst": 6, "failures": 0 }));
    relay.mood(Mood::Says(StatusCode::INTERNAL_SERVER_ERROR));
    // Ten for the list of rows, the rest for the one map.
    assert_eq!(sim.flush().await["units"], 10 + 413);
    relay.mood(Mood::Accepts);
    sim.http.delete(sim.control("script-cache")).send().await.unwrap();
    assert_eq!(sim.flush().await["units"], 10 + 612);
    assert_eq!(sim.ask("ledger").await["outbox"], 0);
}
