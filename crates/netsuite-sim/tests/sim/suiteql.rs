//! SuiteQL: values, paging, dates, dialect and complaints.

use reqwest::{Method, StatusCode};
use serde_json::{Value as Json, json};

use crate::clients::SUITEQL;
use crate::harness::Sim;

#[tokio::test]
async fn scalars_are_text_nulls_have_no_key_and_keys_are_lower_case() {
    let sim = Sim::start().await;
    let id = sim
        .customer(json!({
            "creditlimit": 10.5, "custentity_tags": ["10", "2"], "custentity_loyalty_points": 7,
        }))
        .await;
    let rows = sim
        .rows(&format!(
            "SELECT c.ID, CompanyName AS NAME, creditlimit, custentity_tags, custentity_loyalty_points, email, \
             isInactive FROM Customer c WHERE c.id = {id}"
        ))
        .await;
    assert_eq!(
        rows,
        [json!({
            "id": id, "name": "Acme", "creditlimit": "10.5", "custentity_tags": "2, 10",
            "custentity_loyalty_points": "7", "isinactive": "F",
        })]
    );
}

#[tokio::test]
async fn a_page_says_where_it_is_and_where_the_next_one_is() {
    let sim = Sim::start().await;
    sim.tell("generate", json!({ "customers": 25, "seed": 3 })).await;
    let reply = sim.suiteql_page("SELECT id FROM customer ORDER BY id", "?limit=10&offset=10").await;
    assert_eq!(reply.headers()["content-type"], "application/vnd.oracle.resource+json; type=collection");
    let body: Json = reply.json().await.unwrap();
    assert_eq!(body["count"], 10);
    assert_eq!(body["offset"], 10);
    assert_eq!(body["totalResults"], 25);
    assert_eq!(body["hasMore"], true);
    let links = body["links"].as_array().unwrap();
    let next = links.iter().find(|link| link["rel"] == "next").unwrap()["href"].as_str().unwrap();
    assert_eq!(next, sim.url(&format!("{SUITEQL}?limit=10&offset=20")));
    let last = sim.suiteql_page("SELECT id FROM customer ORDER BY id", "?limit=10&offset=20").await;
    let last: Json = last.json().await.unwrap();
    assert_eq!((last["count"].clone(), last["hasMore"].clone()), (json!(5), json!(false)));
    for (paging, parameter) in
        [("?limit=1001", "limit"), ("?limit=0", "limit"), ("?limit=10&offset=5", "offset"), ("?limit=x", "limit")]
    {
        let reply = sim.suiteql_page("SELECT id FROM customer", paging).await;
        assert_eq!(reply.status(), StatusCode::BAD_REQUEST, "{paging}");
        let body: Json = reply.json().await.unwrap();
        assert_eq!(body["o:errorDetails"][0]["o:errorCode"], "INVALID_PARAMETER");
        assert_eq!(body["o:errorDetails"][0]["o:errorQueryParam"], parameter);
    }
}

#[tokio::test]
async fn the_prefer_header_is_required_and_the_content_type_is_not() {
    let sim = Sim::start().await;
    let body = json!({ "q": "SELECT 1 AS one FROM dual" }).to_string();
    let without = sim.tba(Method::POST, SUITEQL).body(body.clone()).send().await.unwrap();
    assert_eq!(without.status(), StatusCode::BAD_REQUEST);
    let without: Json = without.json().await.unwrap();
    assert_eq!(without["o:errorDetails"][0]["o:errorCode"], "INVALID_HEADER");
    assert_eq!(without["o:errorDetails"][0]["o:errorHeader"], "Prefer");
    let with = sim.tba(Method::POST, SUITEQL).header("Prefer", "Transient").body(body).send().await.unwrap();
    assert_eq!(with.status(), StatusCode::OK);
}

#[tokio::test]
async fn dates_are_bare_in_the_account_s_zone_unless_asked_for() {
    let sim = Sim::start().await;
    // 01:30 UTC is still the day before in Los Angeles.
    sim.clock(json!({ "mode": "virtual", "now": "2026-03-02T01:30:05Z" })).await;
    let id = sim.customer(json!({})).await;
    let rows = sim
        .rows(&format!(
            "SELECT lastmodifieddate AS bare, \
             TO_CHAR(lastmodifieddate, 'YYYY-MM-DD HH24:MI:SS') AS local, \
             TO_CHAR(SYS_EXTRACT_UTC(lastmodifieddate), 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') AS utc, \
             TO_CHAR(SYS_EXTRACT_UTC(SYSDATE), 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') AS ns_now, \
             TO_CHAR(CURRENT_DATE - 1, 'YYYY-MM-DD') AS yesterday, \
             TRUNC(SYSDATE) - TO_DATE('2026-02-27', 'YYYY-MM-DD') AS days \
             FROM customer WHERE id = {id}"
        ))
        .await;
    assert_eq!(
        rows,
        [json!({
            "bare": "3/1/2026", "local": "2026-03-01 17:30:05", "utc": "2026-03-02T01:30:05Z",
            "ns_now": "2026-03-02T01:30:05Z", "yesterday": "2026-02-28", "days": "2",
        })]
    );
}

#[tokio::test]
async fn date_bounds_are_account_time_and_utc_bounds_are_utc() {
    let sim = Sim::start().await;
    sim.clock(json!({ "mode": "virtual", "now": "2026-03-02T01:30:05Z" })).await;
    let id = sim.customer(json!({})).await;
    let matches = async |filter: &str| {
        let rows = sim.rows(&format!("SELECT id FROM customer WHERE {filter}")).await;
        assert!(rows.is_empty() || rows == [json!({ "id": id })]);
        !rows.is_empty()
    };
    assert!(matches("lastmodifieddate >= TO_TIMESTAMP('2026-03-01 17:30:05', 'YYYY-MM-DD HH24:MI:SS')").await);
    assert!(!matches("lastmodifieddate > TO_TIMESTAMP('2026-03-01 17:30:05', 'YYYY-MM-DD HH24:MI:SS')").await);
    assert!(matches("lastmodifieddate = TO_DATE('2026-03-01 17:30:05', 'YYYY-MM-DD HH24:MI:SS')").await);
    assert!(
        matches(
            "SYS_EXTRACT_UTC(lastmodifieddate) = TO_TIMESTAMP('2026-03-02T01:30:05Z', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')"
        )
        .await
    );
    assert!(
        !matches("SYS_EXTRACT_UTC(lastmodifieddate) < TO_TIMESTAMP('2026-03-02 01:30:05', 'YYYY-MM-DD HH24:MI:SS')")
            .await
    );
    assert!(matches("lastmodifieddate >= '03/01/2026'").await);
    assert!(!matches("lastmodifieddate >= '3/2/2026'").await);
    assert_eq!(
        sim.complaint("SELECT id FROM customer WHERE lastmodifieddate >= '2026-03-01'").await,
        "Search error occurred: Parse of date/time \"2026-03-01\" failed with date format \"M/D/YYYY\" in time zone \
         America/Los_Angeles"
    );
}

#[tokio::test]
async fn the_hour_that_repeats_in_autumn_stays_in_order_in_utc() {
    let sim = Sim::start().await;
    // 08:30Z and 09:30Z are both 01:30 in Los Angeles on that day.
    for now in ["2026-11-01T08:30:00Z", "2026-11-01T09:30:00Z"] {
        sim.clock(json!({ "mode": "virtual", "now": now })).await;
        sim.customer(json!({})).await;
    }
    let mask = "'YYYY-MM-DD HH24:MI:SS'";
    let rows = sim
        .rows(&format!(
            "SELECT TO_CHAR(lastmodifieddate, {mask}) AS local, \
             TO_CHAR(SYS_EXTRACT_UTC(lastmodifieddate), {mask}) AS utc FROM customer \
             ORDER BY lastmodifieddate DESC"
        ))
        .await;
    assert_eq!(rows[0], json!({ "local": "2026-11-01 01:30:00", "utc": "2026-11-01 09:30:00" }));
    assert_eq!(rows[1], json!({ "local": "2026-11-01 01:30:00", "utc": "2026-11-01 08:30:00" }));
}

#[tokio::test]
async fn a_keyset_passes_many_rows_of_one_second() {
    let sim = Sim::start().await;
    sim.clock(json!({ "mode": "virtual", "now": "2026-03-02T10:00:00Z" })).await;
    sim.tell("generate", json!({ "customers": 30, "seed": 1 })).await;
    sim.clock(json!({ "advance_seconds": 1 })).await;
    sim.tell("generate", json!({ "customers": 5, "seed": 2 })).await;
    let stamp = "TO_CHAR(SYS_EXTRACT_UTC(lastmodifieddate), 'YYYY-MM-DD HH24:MI:SS')";
    let mut seen = Vec::new();
    let (mut at, mut last) = ("2026-01-01 00:00:00".to_owned(), "0".to_owned());
    loop {
        let bound = format!("TO_TIMESTAMP('{at}', 'YYYY-MM-DD HH24:MI:SS')");
        let utc = "SYS_EXTRACT_UTC(lastmodifieddate)";
        let sql = format!(
            "SELECT id, {stamp} AS lm FROM customer WHERE {utc} > {bound} OR ({utc} = {bound} AND id > {last}) \
             ORDER BY lastmodifieddate ASC, id ASC FETCH FIRST 10 ROWS ONLY"
        );
        let page = sim.rows(&sql).await;
        let Some(row) = page.last() else { break };
        at = row["lm"].as_str().unwrap().to_owned();
        last = row["id"].as_str().unwrap().to_owned();
        seen.extend(page.iter().map(|row| row["id"].as_str().unwrap().parse::<u64>().unwrap()));
    }
    assert_eq!(seen.len(), 35);
    assert!(seen.is_sorted());
}

#[tokio::test]
async fn a_late_commit_keeps_its_early_stamp() {
    let sim = Sim::start().await;
    sim.clock(json!({ "mode": "virtual", "now": "2026-03-02T10:00:00Z" })).await;
    let id = sim.customer(json!({ "phone": "1" })).await;
    let body = json!({
        "operation": "update", "type": "customer", "id": id, "changes": { "phone": "2" }, "scripts": false,
        "visible_after_seconds": 3,
    });
    sim.tell("edit", body).await;
    let phone = async || sim.fields("customer", &id).await["phone"].clone();
    assert_eq!(phone().await, "1");
    sim.clock(json!({ "advance_seconds": 2 })).await;
    assert_eq!(sim.rows("SELECT phone FROM customer").await, [json!({ "phone": "1" })]);
    // A second edit waits behind the first and is not lost.
    sim.edit("update", "customer", Some(&id), json!({ "email": "a@b.example" })).await;
    sim.clock(json!({ "advance_seconds": 1 })).await;
    assert_eq!(phone().await, "2");
    let fields = sim.fields("customer", &id).await;
    assert_eq!(fields["email"], "a@b.example");
    assert_eq!(fields["lastmodifieddate"], "2026-03-02T10:00:02Z");
    let body = json!({
        "operation": "create", "type": "customer", "changes": { "companyname": "Late" }, "scripts": false,
        "visible_after_seconds": 5,
    });
    let late = sim.tell("edit", body).await["id"].as_str().unwrap().to_owned();
    assert_eq!(sim.ask("records/customer").await, json!({ "ids": [id] }));
    sim.clock(json!({ "advance_seconds": 5 })).await;
    assert_eq!(sim.fields("customer", &late).await["lastmodifieddate"], "2026-03-02T10:00:03Z");
}

#[tokio::test]
async fn joins_groups_lists_and_parameters_work() {
    let sim = Sim::start().await;
    let customer = sim.customer(json!({ "terms": "2" })).await;
    let item = sim.edit("create", "item", None, json!({ "itemid": "W-1", "baseprice": "2.50" })).await;
    let order = json!({ "entity": customer, "lines": [{ "item": item, "quantity": 3 }, { "item": item, "quantity": 1, "rate": "4" }] });
    let order = sim.edit("create", "salesorder", None, order).await;
    let rows = sim
        .rows(
            "SELECT c.companyname, BUILTIN.DF(c.terms) AS terms, COUNT(*) AS n, SUM(tl.quantity) AS q, SUM(tl.netamount) AS net, \
             t.foreigntotal AS total, BUILTIN.DF(t.status) AS status \
             FROM transaction t INNER JOIN customer c ON c.id = t.entity \
             JOIN transactionline tl ON tl.transaction = t.id AND tl.mainline = 'F' \
             WHERE t.type = 'SalesOrd' AND c.terms IN (1, 2) GROUP BY c.companyname, c.terms, t.foreigntotal, t.status",
        )
        .await;
    assert_eq!(
        rows,
        [json!({
            "companyname": "Acme", "terms": "Net 30", "n": "2", "q": "-4", "net": "-11.5", "total": "11.5",
            "status": "Sales Order : Pending Fulfillment",
        })]
    );
    let body = json!({
        "q": "SELECT id, NVL(memo, 'none') AS memo FROM transaction WHERE id = ? AND type = ?", "params": [order, "SalesOrd"],
    });
    let reply = sim.tba(Method::POST, SUITEQL).header("prefer", "transient").json(&body).send().await.unwrap();
    let reply: Json = reply.json().await.unwrap();
    assert_eq!(reply["items"][0]["memo"], "none");
    let lines = sim
        .rows(&format!(
            "SELECT id, mainline, quantity, rate FROM transactionline WHERE transaction = {order} ORDER BY id"
        ))
        .await;
    assert_eq!(lines[0], json!({ "id": "0", "mainline": "T" }));
    assert_eq!(lines[1], json!({ "id": "1", "mainline": "F", "quantity": "-3", "rate": "2.5" }));
}

#[tokio::test]
async fn limits_come_in_every_dialect() {
    let sim = Sim::start().await;
    sim.tell("generate", json!({ "customers": 6, "seed": 3 })).await;
    let ids = async |sql: &str| -> Vec<i64> {
        let rows = sim.rows(sql).await;
        rows.iter().map(|row| row["id"].as_str().unwrap().parse::<i64>().unwrap() - 1_000).collect()
    };
    assert_eq!(ids("SELECT id FROM customer WHERE ROWNUM <= 2").await.len(), 2);
    // ROWNUM counts before the sort.
    assert_eq!(ids("SELECT c.id FROM customer c WHERE c.id > 1001 AND ROWNUM <= 2 ORDER BY c.id DESC").await, [3, 2]);
    assert_eq!(ids("SELECT TOP 2 id FROM customer ORDER BY id DESC").await, [6, 5]);
    assert_eq!(ids("SELECT id FROM customer ORDER BY id OFFSET 2 ROWS FETCH NEXT 2 ROWS ONLY").await, [3, 4]);
    let paged = "SELECT id, r FROM (SELECT id, ROWNUM AS r FROM (SELECT id FROM customer ORDER BY id DESC)) WHERE r BETWEEN 2 AND 3";
    assert_eq!(ids(paged).await, [5, 4]);
    assert_eq!(sim.rows("SELECT COUNT(*) AS n FROM customer WHERE ROWNUM <= 4").await, [json!({ "n": "4" })]);
}

#[tokio::test]
async fn complaints_are_worded_as_netsuite_words_them() {
    let sim = Sim::start().await;
    sim.customer(json!({})).await;
    for (sql, text) in [
        (
            "SELECT subsidiary FROM transaction",
            "Search error occurred: Unknown identifier 'subsidiary'. Available identifiers are: {transaction=transaction}.",
        ),
        (
            "SELECT c.balance FROM customer c",
            "Search error occurred: Unknown identifier 'balance'. Available identifiers are: {c=customer}.",
        ),
        (
            "SELECT \"nothing\" FROM customer",
            "Search error occurred: Unknown identifier 'nothing'. Available identifiers are: {customer=customer}.",
        ),
        ("SELECT id FROM Email", "Invalid search type: Email."),
        ("SELECT id FROM sim_pending", "Invalid search type: sim_pending."),
        ("SELECT random() FROM customer", "Search error occurred: Invalid or unsupported search."),
        (
            "WITH x AS (SELECT id FROM customer) SELECT id FROM x",
            "Search error occurred: Invalid or unsupported search.",
        ),
        ("SELECT id FROM customer LIMIT 5", "Search error occurred: Invalid or unsupported search."),
        (
            "SELECT id FROM customer WHERE lastmodifieddate > DATE '2026-01-01'",
            "Search error occurred: Invalid or unsupported search.",
        ),
    ] {
        assert_eq!(sim.complaint(sql).await, text, "{sql}");
    }
    let many = (0..1_001).map(|n| n.to_string()).collect::<Vec<_>>().join(",");
    sim.complaint(&format!("SELECT id FROM customer WHERE id IN ({many})")).await;
    for sql in [
        "DELETE FROM customer",
        "SELECT id FROM customer; DROP TABLE customer",
        "SELECT FROM",
        "",
        "SELECT id FROM customer WHERE (",
    ] {
        sim.complaint(sql).await;
    }
    assert_eq!(sim.rows("SELECT COUNT(*) AS n FROM customer").await, [json!({ "n": "1" })]);
}

#[tokio::test]
async fn columns_can_be_taken_away_and_given_back() {
    let sim = Sim::start().await;
    sim.customer(json!({ "email": "a@b.example", "phone": "1" })).await;
    sim.tell("schema", json!({ "table": "customer", "column": "email", "change": "remove" })).await;
    assert!(sim.complaint("SELECT id, email FROM customer").await.contains("Unknown identifier 'email'"));
    sim.tell("schema", json!({ "table": "customer", "column": "phone", "change": "rename", "to": "telephone" })).await;
    assert_eq!(sim.rows("SELECT telephone FROM customer c").await, [json!({ "telephone": "1" })]);
    assert!(sim.complaint("SELECT phone FROM customer").await.contains("Unknown identifier 'phone'"));
    sim.tell("schema", json!({ "table": "customer", "column": "comments", "change": "forbid" })).await;
    assert!(sim.complaint("SELECT comments FROM customer").await.contains("Field 'comments' for record 'customer'"));
    sim.tell("schema", json!({ "table": "customer", "change": "forbid" })).await;
    assert_eq!(
        sim.complaint("SELECT id FROM customer").await,
        "Search error occurred: Record 'customer' was not found."
    );
    sim.tell("schema", json!({ "table": "customer", "change": "restore" })).await;
    assert_eq!(sim.rows("SELECT email, phone FROM customer").await, [json!({ "email": "a@b.example", "phone": "1" })]);
    let unknown = sim.try_tell("schema", json!({ "table": "customer", "column": "nope", "change": "remove" })).await;
    assert_eq!(unknown.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn the_query_restlet_keeps_nulls_and_numbers() {
    let sim = Sim::start().await;
    let id = sim.customer(json!({ "creditlimit": 1.5 })).await;
    let query = json!({ "query": "SELECT id, creditlimit, email, isinactive FROM customer WHERE id = ?", "params": [id], "limit": 10, "offset": 0 });
    let reply = sim.query(query).await;
    assert_eq!(reply.status(), StatusCode::OK);
    let number: i64 = id.parse().unwrap();
    assert_eq!(
        reply.json::<Json>().await.unwrap(),
        json!({ "rows": [{ "id": number, "creditlimit": 1.5, "email": null, "isinactive": "F" }] })
    );
    let bad = sim.query(json!({ "query": "SELECT nope FROM customer" })).await;
    assert_eq!(bad.status(), StatusCode::BAD_REQUEST);
    assert_eq!(bad.json::<Json>().await.unwrap()["error"]["code"], "SSS_SEARCH_ERROR_OCCURRED");
    let with = sim.query(json!({ "query": "WITH x AS (SELECT id FROM customer) SELECT COUNT(*) AS n FROM x" })).await;
    assert_eq!(with.json::<Json>().await.unwrap(), json!({ "rows": [{ "n": 1 }] }));
}
