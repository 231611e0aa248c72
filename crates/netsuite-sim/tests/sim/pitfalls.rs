//! What makes polling NetSuite hard: each pitfall with the poll that falls into it and the one that does not.

use reqwest::{Method, StatusCode};
use serde_json::{Value as Json, json};

use crate::clients::SUITEQL;
use crate::harness::Sim;

const UTC: &str = "SYS_EXTRACT_UTC(lastmodifieddate)";
const MASK: &str = "'YYYY-MM-DD HH24:MI:SS'";

impl Sim {
    /// Plays a scenario.
    async fn play(&self, name: &str) -> Json {
        self.tell("scenario", json!({ "name": name })).await
    }

    /// At that moment, with this much sample data made an hour before.
    async fn at(&self, now: &str, amounts: Json) {
        self.clock(json!({ "mode": "virtual", "now": now })).await;
        if amounts != json!({}) {
            self.tell("generate", amounts).await;
            self.clock(json!({ "advance_seconds": 3600 })).await;
        }
    }

    /// Ids of a table's rows that changed since that UTC moment, seconds and all.
    async fn since(&self, table: &str, column: &str, moment: &str) -> Vec<String> {
        let sql = format!(
            "SELECT id FROM {table} WHERE SYS_EXTRACT_UTC({column}) >= TO_TIMESTAMP('{moment}', {MASK}) ORDER BY id"
        );
        ids(&self.rows(&sql).await)
    }
}

fn ids(rows: &[Json]) -> Vec<String> {
    rows.iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn every_scenario_has_a_name_and_says_what_it_is_for() {
    let sim = Sim::start().await;
    let list = sim.ask("scenario").await["scenarios"].as_array().unwrap().clone();
    assert_eq!(list.len(), 22);
    sim.tell("generate", json!({ "customers": 3, "items": 3, "orders": 2, "assemblies": 1, "seed": 1 })).await;
    for scenario in list {
        assert!(scenario["pitfall"].as_str().unwrap().len() > 20);
        sim.tell("scenario", json!({ "name": scenario["name"], "count": 5 })).await;
    }
    let unknown = sim.try_tell("scenario", json!({ "name": "no-such-thing" })).await;
    assert_eq!(unknown.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_cursor_cut_to_the_day_loses_rows_and_seconds_do_not() {
    let sim = Sim::start().await;
    // 13:00 in Los Angeles; midnight there was 08:00 UTC.
    sim.at("2026-03-02T21:00:00Z", json!({})).await;
    let made = sim.play("day-boundary").await;
    let (before, after) = (&made["records"][0], &made["records"][1]);
    assert_eq!(
        (&before["lastModified"], &after["lastModified"]),
        (&json!("2026-03-02T07:59:59Z"), &json!("2026-03-02T08:00:00Z"))
    );
    // Both are of 2 March in UTC, and a cursor of that day in account time loses the first.
    let cut = sim.rows("SELECT id FROM customer WHERE lastmodifieddate >= TO_DATE('2026-03-02', 'YYYY-MM-DD')").await;
    assert_eq!(ids(&cut), [after["id"].as_str().unwrap()]);
    let exact = sim.since("customer", "lastmodifieddate", "2026-03-02 07:59:59").await;
    assert_eq!(exact, [before["id"].as_str().unwrap(), after["id"].as_str().unwrap()]);
}

#[tokio::test]
async fn dates_follow_the_preference_and_masks_do_not() {
    let sim = Sim::with(|account| account.date_format = "D/M/YYYY".to_owned()).await;
    sim.at("2026-03-02T20:00:00Z", json!({})).await;
    sim.customer(json!({})).await;
    let rows = sim
        .rows("SELECT lastmodifieddate AS bare, TO_CHAR(lastmodifieddate, 'YYYY-MM-DD') AS masked FROM customer")
        .await;
    assert_eq!(rows, [json!({ "bare": "2/3/2026", "masked": "2026-03-02" })]);
    assert_eq!(sim.rows("SELECT id FROM customer WHERE lastmodifieddate >= '2/3/2026'").await.len(), 1);
    let complaint = sim.complaint("SELECT id FROM customer WHERE lastmodifieddate >= '2026-03-02'").await;
    assert!(complaint.contains("failed with date format \"D/M/YYYY\" in time zone America/Los_Angeles"), "{complaint}");
}

#[tokio::test]
async fn the_hour_that_repeats_is_one_in_local_time_and_two_in_utc() {
    let sim = Sim::start().await;
    sim.at("2026-11-20T12:00:00Z", json!({})).await;
    let made = sim.play("dst-hour").await;
    let sql = format!(
        "SELECT TO_CHAR(lastmodifieddate, {MASK}) AS local, TO_CHAR({UTC}, {MASK}) AS utc FROM customer ORDER BY id"
    );
    let rows = sim.rows(&sql).await;
    assert_eq!(rows[0]["local"], rows[1]["local"]);
    assert_eq!((&rows[0]["utc"], &rows[1]["utc"]), (&json!("2026-11-01 08:30:00"), &json!("2026-11-01 09:30:00")));
    let second = made["records"][1]["id"].as_str().unwrap();
    assert_eq!(sim.since("customer", "lastmodifieddate", "2026-11-01 09:00:00").await, [second]);
}

#[tokio::test]
async fn the_watermark_is_the_server_s_clock_and_no_other() {
    let sim = Sim::start().await;
    // NetSuite's clock is years behind this machine's.
    sim.at("2020-01-01T00:00:00Z", json!({})).await;
    let path = "/services/rest/system/v1/serverTime";
    let server: Json = sim.tba(Method::GET, path).send().await.unwrap().json().await.unwrap();
    assert_eq!(server["serverTime"], "2020-01-01T00:00:00Z");
    let id = sim.customer(json!({})).await;
    assert_eq!(sim.since("customer", "lastmodifieddate", "2020-01-01 00:00:00").await, [id]);
    assert_eq!(sim.since("customer", "lastmodifieddate", "2024-01-01 00:00:00").await, Vec::<String>::new());
}

#[tokio::test]
async fn a_late_commit_shows_behind_the_watermark_and_an_overlap_finds_it() {
    let sim = Sim::start().await;
    sim.at("2026-03-02T10:00:00Z", json!({})).await;
    let made = sim.play("late-commit").await;
    assert_eq!(
        sim.since("customer", "lastmodifieddate", "2026-03-02 10:00:00").await,
        [made["prompt"].as_str().unwrap()]
    );
    sim.clock(json!({ "advance_seconds": 60 })).await;
    // The watermark has moved on; only who reads back sees it.
    assert_eq!(sim.since("customer", "lastmodifieddate", "2026-03-02 10:00:01").await, Vec::<String>::new());
    let overlap = sim.since("customer", "lastmodifieddate", "2026-03-02 09:59:30").await;
    assert!(overlap.contains(&made["late"].as_str().unwrap().to_owned()));
}

#[tokio::test]
async fn an_import_may_bring_stamps_of_the_past() {
    let sim = Sim::start().await;
    sim.at("2026-03-02T10:00:00Z", json!({})).await;
    let made = sim.play("out-of-order").await;
    let rows = sim.rows("SELECT id FROM customer ORDER BY lastmodifieddate ASC, id ASC").await;
    let (present, past) = (&made["records"][0]["id"], &made["records"][1]["id"]);
    assert_eq!(ids(&rows), [past.as_str().unwrap(), present.as_str().unwrap()]);
}

#[tokio::test]
async fn many_rows_of_one_second_stall_a_cursor_without_tie_breaker() {
    let sim = Sim::start().await;
    sim.at("2026-03-02T10:00:00Z", json!({})).await;
    sim.tell("scenario", json!({ "name": "same-second", "count": 2500 })).await;
    let stamps = sim.rows("SELECT DISTINCT TO_CHAR(lastmodifieddate, 'HH24:MI:SS') AS s FROM customer").await;
    assert_eq!(stamps.len(), 1);
    let bound = "TO_TIMESTAMP('2026-03-02 10:00:00', 'YYYY-MM-DD HH24:MI:SS')";
    // `>` skips all that did not fit the first page, `>=` reads it again for ever.
    let after = sim.rows(&format!("SELECT id FROM customer WHERE {UTC} > {bound} ORDER BY lastmodifieddate, id")).await;
    assert!(after.is_empty());
    let page = |last: u64| {
        format!(
            "SELECT id FROM customer WHERE {UTC} > {bound} OR ({UTC} = {bound} AND id > {last}) \
             ORDER BY lastmodifieddate ASC, id ASC"
        )
    };
    let (mut seen, mut last) = (0, 0);
    loop {
        let rows = sim.rows(&page(last)).await;
        let Some(row) = rows.last() else { break };
        last = row["id"].as_str().unwrap().parse().unwrap();
        seen += rows.len();
    }
    assert_eq!(seen, 2_500);
}

#[tokio::test]
async fn offset_pages_without_a_total_order_repeat_and_miss_rows() {
    let sim = Sim::start().await;
    sim.at("2026-03-02T10:00:00Z", json!({ "customers": 60, "seed": 1 })).await;
    sim.play("unstable-order").await;
    let read = async |sql: &str| {
        let mut seen = std::collections::BTreeSet::new();
        for offset in [0, 20, 40] {
            let page = sim.suiteql_page(sql, &format!("?limit=20&offset={offset}")).await;
            let body: Json = page.json().await.unwrap();
            seen.extend(ids(body["items"].as_array().unwrap()));
        }
        seen.len()
    };
    // All 60 have the same stamp: sorting by it says nothing.
    assert!(read("SELECT id FROM customer").await < 60);
    assert!(read("SELECT id FROM customer ORDER BY lastmodifieddate").await < 60);
    assert_eq!(read("SELECT id FROM customer ORDER BY lastmodifieddate ASC, id ASC").await, 60);
}

#[tokio::test]
async fn the_cap_cuts_a_result_and_only_a_count_tells() {
    let sim = Sim::start().await;
    sim.at("2026-03-02T10:00:00Z", json!({ "customers": 60, "seed": 1 })).await;
    sim.tell("scenario", json!({ "name": "row-cap", "count": 40 })).await;
    let body: Json = sim.suiteql("SELECT id FROM customer ORDER BY id").await.json().await.unwrap();
    assert_eq!((&body["count"], &body["totalResults"], &body["hasMore"]), (&json!(40), &json!(40), &json!(false)));
    assert_eq!(sim.rows("SELECT COUNT(*) AS n FROM customer").await, [json!({ "n": "60" })]);
    let last = body["items"][39]["id"].as_str().unwrap();
    assert_eq!(sim.rows(&format!("SELECT id FROM customer WHERE id > {last} ORDER BY id")).await.len(), 20);
}

#[tokio::test]
async fn a_line_moves_without_its_header() {
    let sim = Sim::start().await;
    sim.at("2026-03-02T10:00:00Z", json!({ "customers": 2, "items": 2, "orders": 2, "seed": 1 })).await;
    let made = sim.play("line-only").await;
    assert_eq!(sim.since("transaction", "lastmodifieddate", "2026-03-02 11:00:00").await, Vec::<String>::new());
    assert_eq!(
        sim.since("transactionline", "linelastmodifieddate", "2026-03-02 11:00:00").await,
        [made["line"].as_str().unwrap()]
    );
}

#[tokio::test]
async fn an_address_moves_without_its_customer_and_without_a_stamp() {
    let sim = Sim::start().await;
    sim.at("2026-03-02T10:00:00Z", json!({ "customers": 2, "seed": 1 })).await;
    let joined = "SELECT c.id, a.addr1, a.lastmodifieddate AS lm FROM customer c \
        JOIN customeraddressbook b ON b.entity = c.id \
        JOIN customeraddressbookentityaddress a ON a.nkey = b.addressbookaddress ORDER BY c.id, a.nkey";
    let before = sim.rows(joined).await;
    let made = sim.play("address-only").await;
    assert_eq!(sim.since("customer", "lastmodifieddate", "2026-03-02 11:00:00").await, Vec::<String>::new());
    let after = sim.rows(joined).await;
    let moved: Vec<&Json> = after.iter().zip(&before).filter(|(new, old)| new != old).map(|(new, _)| new).collect();
    assert_eq!(moved, [&json!({ "id": made["id"], "addr1": "1 New Street" })], "only a hash of the join tells");
}

#[tokio::test]
async fn stock_moves_without_its_item() {
    let sim = Sim::start().await;
    sim.at("2026-03-02T10:00:00Z", json!({ "items": 3, "seed": 1 })).await;
    let before =
        sim.rows("SELECT item, location, quantityonhand AS q FROM inventorybalance ORDER BY item, location").await;
    let made = sim.play("inventory-movement").await;
    assert_eq!(sim.since("item", "lastmodifieddate", "2026-03-02 11:00:00").await, Vec::<String>::new());
    let polled = sim
        .rows(&format!(
            "SELECT item AS id FROM inventoryitemlocations WHERE SYS_EXTRACT_UTC(lastquantityavailablechange) >= \
             TO_TIMESTAMP('2026-03-02 11:00:00', {MASK})"
        ))
        .await;
    assert_eq!(ids(&polled), [made["id"].as_str().unwrap()]);
    let after =
        sim.rows("SELECT item, location, quantityonhand AS q FROM inventorybalance ORDER BY item, location").await;
    assert_eq!(after.iter().zip(&before).filter(|(new, old)| new != old).count(), 1, "balances need a snapshot");
}

#[tokio::test]
async fn prices_and_components_change_without_any_stamp() {
    let sim = Sim::start().await;
    sim.at("2026-03-02T10:00:00Z", json!({ "items": 3, "assemblies": 1, "seed": 1 })).await;
    for (scenario, table, key) in
        [("price-change", "pricing", "internalid"), ("component-change", "bomrevisioncomponentmember", "id")]
    {
        let sql = format!("SELECT * FROM {table} ORDER BY {key}");
        let before = sim.rows(&sql).await;
        sim.play(scenario).await;
        for parent in ["item", "transaction", "customer"] {
            let moved = sim.since(parent, "lastmodifieddate", "2026-03-02 11:00:00").await;
            assert_eq!(moved, Vec::<String>::new(), "{scenario}");
        }
        let after = sim.rows(&sql).await;
        assert_eq!(after.iter().zip(&before).filter(|(new, old)| new != old).count(), 1, "{scenario}");
    }
}

#[tokio::test]
async fn deletedrecord_has_holes_and_the_set_of_ids_has_none() {
    let sim = Sim::start().await;
    let made = sim.play("untracked-delete").await;
    let noted = sim.rows("SELECT recordid AS id FROM deletedrecord WHERE type = 'Customer'").await;
    assert_eq!(ids(&noted), [made["tracked"].as_str().unwrap()]);
    assert!(sim.rows("SELECT id FROM customer").await.is_empty());
    // Whole types leave nothing behind.
    sim.set(json!({ "untracked_deletes": ["vendor"] })).await;
    let vendor = sim.edit("create", "vendor", None, json!({ "companyname": "V" })).await;
    sim.edit("delete", "vendor", Some(&vendor), json!({})).await;
    assert_eq!(sim.rows("SELECT COUNT(*) AS n FROM deletedrecord WHERE type = 'Vendor'").await, [json!({ "n": "0" })]);
}

#[tokio::test]
async fn imports_and_workflows_change_records_and_no_script_runs() {
    let sim = Sim::with(|account| account.ingest = Some(crate::harness::ingest("http://127.0.0.1:9/"))).await;
    let imported = sim.play("silent-import").await;
    assert_eq!(sim.ask("ledger").await["ue"], json!({ "queued": 0, "sent": 0, "failed": 0 }));
    let notes = sim
        .rows(&format!(
            "SELECT newvalue, context FROM systemnote WHERE recordid = {} AND field = 'PHONE' AND oldvalue IS NOT NULL",
            imported["id"].as_str().unwrap()
        ))
        .await;
    assert_eq!(notes, [json!({ "newvalue": "from the file", "context": "CSVIMPORT" })]);
    let worked = sim.play("silent-workflow").await;
    let phone = sim.fields("customer", worked["id"].as_str().unwrap()).await["phone"].clone();
    assert_eq!(phone, "15105550100", "not what the user's save, which a script saw, had written");
}

#[tokio::test]
async fn a_workflow_rewrites_what_an_api_writes() {
    let sim = Sim::start().await;
    sim.set(json!({ "workflows": [{ "type": "customer", "field": "phone", "rewrite": "digits" }] })).await;
    let id = sim.customer(json!({})).await;
    let path = format!("/services/rest/record/v1/customer/{id}");
    let reply = sim.tba(Method::PATCH, &path).json(&json!({ "phone": "+1 (510) 555-0100" })).send().await.unwrap();
    assert_eq!(reply.status(), StatusCode::NO_CONTENT);
    assert_eq!(sim.fields("customer", &id).await["phone"], "15105550100");
}

#[tokio::test]
async fn a_copy_carries_custom_fields_and_no_number_of_its_original() {
    let sim = Sim::start().await;
    let made = sim.play("make-copy").await;
    let (original, copy) = (made["original"].as_str().unwrap(), made["copy"].as_str().unwrap());
    let (original, copy) = (sim.fields("customer", original).await, sim.fields("customer", copy).await);
    for field in ["custentity_concord_stamp", "custentity_loyalty_points", "companyname"] {
        assert_eq!(original[field], copy[field], "{field}");
        assert_ne!(copy[field], Json::Null, "{field}");
    }
    assert_eq!(copy["externalid"], Json::Null);
    assert_ne!(original["entityid"], copy["entityid"]);
    let order = sim.tell("generate", json!({ "items": 1, "orders": 1, "seed": 1 })).await["orders"][0].clone();
    let copied = sim.tell("copy", json!({ "type": "salesorder", "id": order, "scripts": false })).await;
    let (one, two) = (order.as_str().unwrap(), copied["id"].as_str().unwrap());
    let (one, two) = (sim.fields("salesorder", one).await, sim.fields("salesorder", two).await);
    assert_eq!(one["lines"], two["lines"]);
    assert_ne!(one["tranid"], two["tranid"]);
}

#[tokio::test]
async fn a_locked_record_refuses_writes_until_its_transaction_ends() {
    let sim = Sim::start().await;
    sim.at("2026-03-02T10:00:00Z", json!({})).await;
    let id = sim.play("locked-record").await["id"].as_str().unwrap().to_owned();
    let path = format!("/services/rest/record/v1/customer/{id}");
    let write = async || sim.tba(Method::PATCH, &path).json(&json!({ "phone": "3" })).send().await.unwrap();
    let refused = write().await;
    assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
    assert!(refused.text().await.unwrap().contains("Record has been changed"));
    sim.clock(json!({ "advance_seconds": 60 })).await;
    assert_eq!(write().await.status(), StatusCode::NO_CONTENT);
    assert_eq!(sim.fields("customer", &id).await["phone"], "3");
}

#[tokio::test]
async fn columns_go_get_renamed_and_hide_while_queries_run() {
    let sim = Sim::start().await;
    sim.customer(json!({ "phone": "1" })).await;
    for (scenario, expected) in [
        (
            "column-removed",
            "Search error occurred: Unknown identifier 'phone'. Available identifiers are: {customer=customer}.",
        ),
        (
            "column-renamed",
            "Search error occurred: Unknown identifier 'phone'. Available identifiers are: {customer=customer}.",
        ),
        (
            "column-hidden",
            "Search error occurred: Field 'phone' for record 'customer' was not found. Reason: NOT_EXPOSED - Hidden field.",
        ),
    ] {
        sim.play(scenario).await;
        assert_eq!(sim.complaint("SELECT id, phone FROM customer").await, expected, "{scenario}");
    }
    sim.tell("schema", json!({ "table": "customer", "column": "phone", "change": "restore" })).await;
    assert_eq!(sim.rows("SELECT phone FROM customer").await, [json!({ "phone": "1" })]);
}

#[tokio::test]
async fn a_reader_that_keeps_its_place_goes_on_after_a_failure() {
    let sim = Sim::start().await;
    sim.tell("generate", json!({ "customers": 50, "seed": 1 })).await;
    let rule = json!({ "match": { "path": SUITEQL, "nth": 3 }, "fault": "status", "status": 500 });
    sim.tell("faults", json!({ "rules": [rule] })).await;
    let (mut last, mut seen, mut failures) = (0_u64, 0, 0);
    loop {
        let sql = format!("SELECT id FROM customer WHERE id > {last} ORDER BY id FETCH FIRST 10 ROWS ONLY");
        let reply = sim.suiteql(&sql).await;
        if reply.status() == StatusCode::INTERNAL_SERVER_ERROR {
            let body: Json = reply.json().await.unwrap();
            assert!(body["o:errorDetails"][0]["detail"].as_str().unwrap().contains("Error ID"));
            failures += 1;
            continue;
        }
        let body: Json = reply.json().await.unwrap();
        let rows = ids(body["items"].as_array().unwrap());
        let Some(id) = rows.last() else { break };
        last = id.parse().unwrap();
        seen += rows.len();
    }
    assert_eq!((seen, failures), (50, 1));
}
