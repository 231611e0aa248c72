//! Record REST beyond single records: sublists, filters, metadata, jobs, transformations.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value as Json, json};

use crate::harness::Sim;

const RECORDS: &str = "/services/rest/record/v1";

async fn send(sim: &Sim, method: Method, path: &str, body: Json) -> Response {
    sim.tba(method, &format!("{RECORDS}{path}")).json(&body).send().await.unwrap()
}

async fn read(sim: &Sim, path: &str) -> Json {
    let reply = sim.tba(Method::GET, &format!("{RECORDS}{path}")).send().await.unwrap();
    let status = reply.status();
    let body: Json = reply.json().await.unwrap();
    assert_eq!(status, StatusCode::OK, "{path}: {body}");
    body
}

async fn create(sim: &Sim, path: &str, body: Json) -> String {
    let reply = send(sim, Method::POST, path, body).await;
    let status = reply.status();
    let location = reply.headers().get("location").map(|own| own.to_str().unwrap().to_owned());
    let text = reply.text().await.unwrap();
    assert_eq!((status, text.as_str()), (StatusCode::NO_CONTENT, ""), "{path}");
    location.unwrap().rsplit('/').next().unwrap().to_owned()
}

/// As a signature has to have it.
fn encoded(text: &str) -> String {
    const RFC3986: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    utf8_percent_encode(text, &RFC3986).to_string()
}

fn found(page: &Json) -> Vec<&str> {
    page["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn every_kind_of_record_is_created_read_changed_and_deleted() {
    let sim = Sim::start().await;
    for (path, body, change) in [
        ("/vendor", json!({ "companyName": "Supply Co", "currency": { "id": "2" } }), json!({ "phone": "1" })),
        ("/contact", json!({ "entityId": "Ana Adler", "email": "a@b.example" }), json!({ "title": "Buyer" })),
        ("/employee", json!({ "firstName": "Ben", "lastName": "Baker" }), json!({ "isSalesRep": true })),
        ("/inventoryItem", json!({ "itemId": "W-1", "basePrice": 2.5 }), json!({ "displayName": "Widget" })),
        ("/assemblyItem", json!({ "itemId": "A-1" }), json!({ "cost": 3 })),
        ("/serviceSaleItem", json!({ "itemId": "S-1" }), json!({ "description": "Help" })),
        ("/priceLevel", json!({ "name": "Friends", "discountPct": -10 }), json!({ "isInactive": true })),
        ("/term", json!({ "name": "Net 10", "daysUntilNetDue": 10 }), json!({ "discountPercent": 1 })),
        ("/department", json!({ "name": "Research" }), json!({ "isInactive": true })),
        ("/subsidiary", json!({ "name": "Mexico", "country": "MX" }), json!({ "isInactive": true })),
        ("/bom", json!({ "name": "Kit 1" }), json!({ "memo": "x" })),
        ("/customrecord_sim_machine", json!({ "name": "Press 1" }), json!({ "custrecord_sim_serial": "S9" })),
    ] {
        let id = create(&sim, path, body.clone()).await;
        let one = format!("{path}/{id}");
        let shown = read(&sim, &one).await;
        for (name, value) in body.as_object().unwrap() {
            assert_eq!(&shown[name]["id"], value.get("id").unwrap_or(&Json::Null), "{path} {name}");
            if !value.is_object() {
                assert_eq!(&shown[name], value, "{path} {name}");
            }
        }
        assert_eq!(send(&sim, Method::PATCH, &one, change.clone()).await.status(), StatusCode::NO_CONTENT, "{path}");
        let shown = read(&sim, &one).await;
        for (name, value) in change.as_object().unwrap() {
            assert_eq!(&shown[name], value, "{path} {name}");
        }
        assert_eq!(send(&sim, Method::DELETE, &one, json!({})).await.status(), StatusCode::NO_CONTENT, "{path}");
        let gone = sim.tba(Method::GET, &format!("{RECORDS}{one}")).send().await.unwrap();
        assert_eq!(gone.status(), StatusCode::NOT_FOUND, "{path}");
    }
    let gone = sim.rows("SELECT type, iscustomrecord FROM deletedrecord WHERE recordtypeid = 101").await;
    assert_eq!(gone, [json!({ "type": "customrecord_sim_machine", "iscustomrecord": "T" })]);
}

#[tokio::test]
async fn a_record_is_of_one_type_only() {
    let sim = Sim::start().await;
    let assembly = create(&sim, "/assemblyItem", json!({ "itemId": "A-1" })).await;
    let reply = sim.tba(Method::GET, &format!("{RECORDS}/inventoryItem/{assembly}")).send().await.unwrap();
    assert_eq!(reply.status(), StatusCode::NOT_FOUND);
    assert_eq!(sim.rows("SELECT itemtype FROM item").await, [json!({ "itemtype": "Assembly" })]);
}

#[tokio::test]
async fn an_address_book_is_written_with_its_customer_and_read_in_every_way() {
    let sim = Sim::start().await;
    let address =
        |street: &str| json!({ "addr1": street, "city": "Oakland", "state": "CA", "country": { "id": "US" } });
    let body = json!({
        "companyName": "Acme",
        "addressBook": { "items": [
            { "label": "Office", "defaultBilling": true, "addressBookAddress": address("1 Main Street") },
            { "label": "Dock", "defaultShipping": true, "addressBookAddress": address("2 Harbor Way") },
        ] },
    });
    let id = create(&sim, "/customer", body).await;
    let shown = read(&sim, &format!("/customer/{id}")).await;
    assert_eq!(shown["addressBook"].as_object().unwrap().len(), 1, "links alone");
    for query in ["expandSubResources=true", "expand=addressBook"] {
        let shown = read(&sim, &format!("/customer/{id}?{query}")).await;
        assert_eq!(shown["addressBook"]["items"][1]["addressBookAddress"]["addr1"], "2 Harbor Way", "{query}");
        assert_eq!(shown["addressBook"]["items"][1]["addressBookAddress"]["country"]["id"], "US");
    }
    let list = read(&sim, &format!("/customer/{id}/addressBook")).await;
    let key = list["items"][0]["id"].as_str().unwrap();
    let line = read(&sim, &format!("/customer/{id}/addressBook/{key}")).await;
    assert_eq!((&line["label"], &line["defaultBilling"]), (&json!("Office"), &json!(true)));
    let behind = read(&sim, &format!("/customer/{id}/addressBook/{key}/addressBookAddress")).await;
    assert_eq!(behind["addrText"], "1 Main Street\nOakland CA \nUS");
    let joined = sim
        .rows(
            "SELECT c.id, a.addr1, b.defaultbilling FROM customer c JOIN customeraddressbook b ON b.entity = c.id \
             JOIN customeraddressbookentityaddress a ON b.addressbookaddress = a.nkey \
             WHERE c.defaultbillingaddress = a.nkey",
        )
        .await;
    assert_eq!(joined, [json!({ "id": id, "addr1": "1 Main Street", "defaultbilling": "T" })]);
    // Without `replace` lines are changed and added; with it what is not named goes.
    let change =
        json!({ "addressBook": { "items": [{ "internalId": key.parse::<i64>().unwrap(), "label": "Head Office" }] } });
    assert_eq!(send(&sim, Method::PATCH, &format!("/customer/{id}"), change.clone()).await.status(), 204);
    assert_eq!(read(&sim, &format!("/customer/{id}/addressBook")).await["totalResults"], 2);
    let replaced = send(&sim, Method::PATCH, &format!("/customer/{id}?replace=addressBook"), change).await;
    assert_eq!(replaced.status(), StatusCode::NO_CONTENT);
    let list = read(&sim, &format!("/customer/{id}/addressBook")).await;
    assert_eq!((&list["totalResults"], &list["items"][0]["label"]), (&json!(1), &json!("Head Office")));
    assert_eq!(send(&sim, Method::DELETE, &format!("/customer/{id}"), json!({})).await.status(), 204);
    assert!(sim.rows("SELECT nkey FROM customeraddressbookentityaddress").await.is_empty());
}

#[tokio::test]
async fn collections_are_filtered_by_q() {
    let sim = Sim::start().await;
    sim.clock(json!({ "mode": "virtual", "now": "2026-03-02T20:00:00Z" })).await;
    let make = async |name: &str, limit: i64| sim.customer(json!({ "companyname": name, "creditlimit": limit })).await;
    let (one, two) = (make("Acme 50%", 10).await, make("Beta", 20).await);
    sim.clock(json!({ "advance_seconds": 86_400 })).await;
    let three = make("Acme West", 30).await;
    for (q, expected) in [
        ("companyName IS \"Beta\"", vec![&two]),
        ("companyName START_WITH Acme", vec![&one, &three]),
        ("companyName CONTAIN \"50%\"", vec![&one]),
        ("companyName IS_NOT Beta AND creditLimit GREATER 10", vec![&three]),
        ("creditLimit BETWEEN [15, 30] OR companyName IS \"Acme 50%\"", vec![&one, &two, &three]),
        ("email EMPTY_NOT", vec![]),
        ("lastModifiedDate AFTER \"3/2/2026\"", vec![&three]),
        ("lastModifiedDate ON 3/2/2026", vec![&one, &two]),
        ("dateCreated ON_OR_AFTER 3/3/2026", vec![&three]),
        ("isInactive IS false", vec![&one, &two, &three]),
    ] {
        let encoded = encoded(q);
        assert_eq!(found(&read(&sim, &format!("/customer?q={encoded}")).await), expected, "{q}");
    }
    let list = encoded(&format!("id ANY_OF [{one}, {three}]"));
    assert_eq!(found(&read(&sim, &format!("/customer?q={list}")).await), [&one, &three]);
    for (path, q, code) in [
        ("/customer", "shoeSize IS 1", "NONEXISTENT_FIELD"),
        // The field is there, SuiteQL has it, and collections cannot be filtered by it.
        ("/employee", "lastModifiedDate AFTER 3/2/2026", "NONEXISTENT_FIELD"),
        ("/customer", "companyName LIKES x", "INVALID_PARAMETER"),
        ("/customer", "lastModifiedDate AFTER 2026-03-02", "INVALID_PARAMETER"),
        ("/customer", "companyName", "INVALID_PARAMETER"),
    ] {
        let encoded = encoded(q);
        let reply = sim.tba(Method::GET, &format!("{RECORDS}{path}?q={encoded}")).send().await.unwrap();
        assert_eq!(reply.status(), StatusCode::BAD_REQUEST, "{q}");
        let detail = reply.json::<Json>().await.unwrap()["o:errorDetails"][0].clone();
        assert_eq!((&detail["o:errorCode"], &detail["o:errorQueryParam"]), (&json!(code), &json!("q")), "{q}");
    }
}

async fn catalog(sim: &Sim, path: &str, accept: &str) -> (String, Json) {
    let path = format!("{RECORDS}/metadata-catalog{path}");
    let reply = sim.tba(Method::GET, &path).header("accept", accept).send().await.unwrap();
    assert_eq!(reply.status(), StatusCode::OK, "{path}");
    (reply.headers()["content-type"].to_str().unwrap().to_owned(), reply.json().await.unwrap())
}

#[tokio::test]
async fn the_metadata_catalog_describes_what_the_account_has() {
    let sim = Sim::start().await;
    let (_, list) = catalog(&sim, "", "application/json").await;
    let names: Vec<&str> =
        list["items"].as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"customer") && names.contains(&"salesOrder") && names.contains(&"bom"), "{names:?}");
    let (kind, schema) = catalog(&sim, "/customer", "application/schema+json").await;
    assert_eq!(kind, "application/schema+json");
    let properties = &schema["properties"];
    assert_eq!(properties["creditLimit"]["type"], "number");
    assert_eq!(properties["lastModifiedDate"]["format"], "date-time");
    assert_eq!(properties["custentity_tags"]["x-ns-custom-field"], true);
    assert_eq!(properties["companyName"]["nullable"], false);
    assert_eq!(properties["addressBook"]["properties"]["items"]["type"], "array");
    let (_, employee) = catalog(&sim, "/employee", "application/schema+json").await;
    assert_eq!(employee["properties"]["lastModifiedDate"]["x-ns-filterable"], false);
    let (kind, api) = catalog(&sim, "?select=customer%2CsalesOrder", "application/swagger+json").await;
    assert_eq!((kind.as_str(), &api["openapi"]), ("application/swagger+json", &json!("3.0.1")));
    assert_eq!(api["components"]["schemas"].as_object().unwrap().len(), 2);
    assert!(api["paths"]["/customer/{id}"]["patch"]["requestBody"].is_object());
    let (_, links) = catalog(&sim, "/customer", "application/json").await;
    assert_eq!(links["links"][2]["mediaType"], "application/swagger+json");
    sim.set(json!({ "features": { "advancedbom": false, "oneworld": false } })).await;
    let (_, list) = catalog(&sim, "", "*/*").await;
    assert!(!list.to_string().contains("\"bom\""));
    let (_, schema) = catalog(&sim, "/customer", "application/schema+json").await;
    assert!(schema["properties"].get("subsidiary").is_none());
}

#[tokio::test]
async fn an_asynchronous_call_leaves_a_job_with_the_answer() {
    let sim = Sim::start().await;
    let path = format!("{RECORDS}/customer");
    let ask = async || {
        let request = sim.tba(Method::POST, &path).header("prefer", "respond-async");
        let request = request.header("x-netsuite-idempotency-key", "key-1");
        request.json(&json!({ "companyName": "Acme" })).send().await.unwrap()
    };
    let first = ask().await;
    assert_eq!(first.status(), StatusCode::ACCEPTED);
    assert_eq!(first.headers()["preference-applied"], "respond-async");
    let job = first.headers()["location"].to_str().unwrap().to_owned();
    let again = ask().await;
    assert_eq!(again.status(), StatusCode::BAD_REQUEST);
    assert_eq!(again.headers()["location"], job.as_str());
    let body: Json = again.json().await.unwrap();
    assert_eq!(
        (&body["title"], &body["o:errorDetails"][0]["o:errorCode"]),
        (&json!("Conflict"), &json!("IDEMPOTENCY_ERROR"))
    );
    let job = job.strip_prefix(&sim.url("")).unwrap().to_owned();
    let state: Json = sim.tba(Method::GET, &job).send().await.unwrap().json().await.unwrap();
    assert_eq!((&state["completed"], &state["progress"]), (&json!(true), &json!("succeeded")));
    let result = sim.tba(Method::GET, &format!("{job}/task/1/result")).send().await.unwrap();
    assert_eq!(result.status(), StatusCode::NO_CONTENT);
    assert!(result.headers()["location"].to_str().unwrap().contains("/customer/"));
    assert_eq!(sim.rows("SELECT COUNT(*) AS n FROM customer").await, [json!({ "n": "1" })]);
    // A call that waits for its answer is not looked at for a key.
    for _ in 0..2 {
        let request = sim.tba(Method::POST, &path).header("x-netsuite-idempotency-key", "key-2");
        let reply = request.json(&json!({ "companyName": "Acme" })).send().await.unwrap();
        assert_eq!(reply.status(), StatusCode::NO_CONTENT);
    }
    assert_eq!(sim.rows("SELECT COUNT(*) AS n FROM customer").await, [json!({ "n": "3" })]);
}

#[tokio::test]
async fn an_order_becomes_an_invoice() {
    let sim = Sim::start().await;
    let made = sim.tell("generate", json!({ "customers": 1, "items": 3, "orders": 1, "seed": 2 })).await;
    let order = made["orders"][0].as_str().unwrap();
    let path = format!("{RECORDS}/salesOrder/{order}/!transform/invoice");
    let reply = sim.tba(Method::POST, &path).send().await.unwrap();
    assert_eq!(reply.status(), StatusCode::NO_CONTENT);
    let location = reply.headers()["location"].to_str().unwrap().to_owned();
    let invoice = location.rsplit('/').next().unwrap();
    assert!(location.ends_with(&format!("/invoice/{invoice}")));
    let totals = sim
        .rows(&format!("SELECT type, foreigntotal FROM transaction WHERE id IN ({order}, {invoice}) ORDER BY id"))
        .await;
    assert_eq!(totals[0]["foreigntotal"], totals[1]["foreigntotal"]);
    assert_eq!((&totals[0]["type"], &totals[1]["type"]), (&json!("SalesOrd"), &json!("CustInvc")));
}
