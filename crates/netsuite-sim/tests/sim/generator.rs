//! Sample data: the same for the same seed, consistent in itself, and like what a business has.

use netsuite_sim::Amounts;
use serde_json::{Value as Json, json};

use crate::harness::{ACCOUNT, Sim};

#[tokio::test]
async fn the_same_seed_fills_every_table_alike() {
    let (one, two) = (Sim::start().await, Sim::start().await);
    for sim in [&one, &two] {
        sim.clock(json!({ "mode": "virtual", "now": "2026-03-02T10:00:00Z" })).await;
        let amounts = json!({
            "customers": 40, "items": 15, "orders": 30, "vendors": 4, "contacts": 10, "employees": 3, "assemblies": 3,
            "seed": 5, "history_days": 400,
        });
        let made = sim.tell("generate", amounts).await;
        assert_eq!((&made["records"], made["assemblies"].as_array().unwrap().len()), (&json!(105), 3));
        assert!(made["rows"].as_u64().unwrap() > 400, "{}", made["rows"]);
    }
    for table in [
        "customer",
        "customeraddressbookentityaddress",
        "customersubsidiaryrelationship",
        "vendor",
        "contact",
        "employee",
        "item",
        "itemvendor",
        "pricing",
        "inventoryitemlocations",
        "inventorybalance",
        "bom",
        "bomrevision",
        "bomrevisioncomponentmember",
        "assemblyitembom",
        "transaction",
        "transactionline",
        "transactionaccountingline",
    ] {
        let sql = format!("SELECT * FROM {table}");
        let rows = one.rows(&sql).await;
        assert!(!rows.is_empty(), "{table}");
        assert_eq!(rows, two.rows(&sql).await, "{table}");
    }
}

#[tokio::test]
async fn another_seed_makes_another_world() {
    let (one, two) = (Sim::start().await, Sim::start().await);
    one.tell("generate", json!({ "customers": 20, "seed": 1 })).await;
    two.tell("generate", json!({ "customers": 20, "seed": 2 })).await;
    let sql = "SELECT companyname FROM customer";
    assert_ne!(one.rows(sql).await, two.rows(sql).await);
}

#[tokio::test]
async fn what_is_derived_is_as_a_save_would_have_derived_it() {
    let sim = Sim::start().await;
    sim.clock(json!({ "mode": "virtual", "now": "2026-03-02T10:00:00Z" })).await;
    let made = sim.tell("generate", json!({ "customers": 5, "items": 5, "orders": 10, "seed": 3 })).await;
    sim.clock(json!({ "advance_seconds": 60 })).await;
    for (kind, list) in [("customer", "customers"), ("item", "items"), ("salesorder", "orders")] {
        for id in made[list].as_array().unwrap() {
            let id = id.as_str().unwrap();
            let mut before = sim.fields(kind, id).await;
            // A save that changes nothing derives everything again.
            sim.edit("update", kind, Some(id), json!({})).await;
            let mut after = sim.fields(kind, id).await;
            for stamp in ["lastmodifieddate", "lastmodifiedby"] {
                before[stamp] = Json::Null;
                after[stamp] = Json::Null;
            }
            assert_eq!(before, after);
        }
    }
    let sums = sim
        .rows(
            "SELECT t.id, t.foreigntotal AS total, SUM(tl.netamount) AS net FROM transaction t JOIN transactionline tl \
             ON tl.transaction = t.id AND tl.mainline = 'F' GROUP BY t.id, t.foreigntotal",
        )
        .await;
    assert_eq!(sums.len(), 10);
    for row in sums {
        let number = |name: &str| row[name].as_str().unwrap().parse::<f64>().unwrap();
        assert!((number("total") + number("net")).abs() < 0.005, "{row}");
    }
}

#[tokio::test]
async fn a_history_spreads_over_its_days_and_has_good_customers() {
    let sim = Sim::start().await;
    sim.clock(json!({ "mode": "virtual", "now": "2026-03-02T10:00:00Z" })).await;
    let amounts = json!({ "customers": 100, "items": 20, "orders": 400, "seed": 8, "history_days": 365 });
    sim.tell("generate", amounts).await;
    let months = sim
        .rows("SELECT TO_CHAR(trandate, 'YYYY-MM') AS m, COUNT(*) AS n FROM transaction GROUP BY TO_CHAR(trandate, 'YYYY-MM')")
        .await;
    assert!(months.len() >= 12, "{months:?}");
    let status = sim.rows("SELECT status, COUNT(*) AS n FROM transaction GROUP BY status").await;
    assert_eq!(status.len(), 2, "old orders are billed: {status:?}");
    let best = sim
        .rows("SELECT entity, COUNT(*) AS n FROM transaction GROUP BY entity ORDER BY n DESC FETCH FIRST 1 ROWS ONLY")
        .await;
    assert!(best[0]["n"].as_str().unwrap().parse::<u32>().unwrap() > 12, "{best:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_call_lists_no_ids_and_leaves_its_indexes() {
    let sim = Sim::start().await;
    let amounts = Amounts { customers: 100_500, seed: 1, ..Amounts::default() };
    let made = tokio::task::block_in_place(|| sim.running().generate(ACCOUNT, &amounts)).unwrap();
    assert_eq!(made.records, 100_500);
    assert_eq!(made.customers.len(), 100_500);
    // The cap: what is beyond it is neither shown nor counted, and nobody says so.
    let body: Json =
        sim.suiteql_page("SELECT id FROM customer", "?limit=1000&offset=99000").await.json().await.unwrap();
    assert_eq!(
        (&body["totalResults"], &body["hasMore"], &body["count"]),
        (&json!(100_000), &json!(false), &json!(1_000))
    );
    assert_eq!(sim.rows("SELECT COUNT(*) AS n FROM customer").await, [json!({ "n": "100500" })]);
    // By keyset the rest is within reach, without a long way.
    let last = body["items"][999]["id"].as_str().unwrap();
    assert_eq!(sim.rows(&format!("SELECT id FROM customer WHERE id > {last} ORDER BY id")).await.len(), 500);
}
