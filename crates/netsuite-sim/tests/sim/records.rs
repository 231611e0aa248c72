//! The REST record service.

use reqwest::{Method, Response, StatusCode};
use serde_json::{Value as Json, json};

use crate::harness::Sim;

const CUSTOMER: &str = "/services/rest/record/v1/customer";
const ORDER: &str = "/services/rest/record/v1/salesOrder";

async fn send(sim: &Sim, method: Method, path: &str, body: Json) -> Response {
    sim.tba(method, path).json(&body).send().await.unwrap()
}

async fn read(sim: &Sim, path: &str) -> Json {
    let reply = sim.tba(Method::GET, path).send().await.unwrap();
    assert_eq!(reply.status(), StatusCode::OK, "{path}");
    reply.json().await.unwrap()
}

async fn error_of(reply: Response) -> (u16, Json) {
    let status = reply.status().as_u16();
    let body: Json = reply.json().await.unwrap();
    assert_eq!(body["status"], status);
    (status, body["o:errorDetails"][0]["o:errorCode"].clone())
}

#[tokio::test]
async fn a_record_is_created_read_changed_and_deleted() {
    let sim = Sim::start().await;
    let body = json!({
        "companyName": "Acme", "creditLimit": 10.5, "terms": { "id": "2" }, "isInactive": true,
        "custentity_tags": { "items": [{ "id": "3" }] }, "externalId": "X1", "custentity_loyalty_points": 3,
    });
    let made = send(&sim, Method::POST, CUSTOMER, body).await;
    assert_eq!(made.status(), StatusCode::NO_CONTENT);
    let location = made.headers()["location"].to_str().unwrap().to_owned();
    let path = location.strip_prefix(&sim.url("")).unwrap().to_owned();
    let id = path.rsplit('/').next().unwrap();
    let shown = read(&sim, &path).await;
    assert_eq!(shown["id"], id);
    assert_eq!(shown["companyName"], "Acme");
    assert_eq!(shown["creditLimit"], 10.5);
    assert_eq!(shown["isInactive"], true);
    assert_eq!((&shown["terms"]["id"], &shown["terms"]["refName"]), (&json!("2"), &json!("Net 30")));
    assert_eq!(shown["custentity_tags"]["items"][0]["id"], "3");
    assert_eq!(shown["links"][0]["href"], location);
    assert!(shown["lastModifiedDate"].as_str().unwrap().ends_with('Z'));
    assert!(shown.get("email").is_none(), "nulls have no key");
    assert_eq!(read(&sim, &format!("{CUSTOMER}/eid:X1")).await["id"], id);
    let patched = send(&sim, Method::PATCH, &path, json!({ "creditLimit": null, "email": "a@b.example" })).await;
    assert_eq!(patched.status(), StatusCode::NO_CONTENT);
    assert_eq!(patched.headers()["location"], location.as_str());
    let shown = read(&sim, &path).await;
    assert!(shown.get("creditLimit").is_none());
    assert_eq!(shown["email"], "a@b.example");
    assert_eq!(send(&sim, Method::DELETE, &path, json!({})).await.status(), StatusCode::NO_CONTENT);
    let gone = sim.tba(Method::GET, &path).send().await.unwrap();
    assert_eq!(error_of(gone).await, (404, json!("NONEXISTENT_ID")));
    assert_eq!(sim.ask("ledger").await["writes"], 3);
}

#[tokio::test]
async fn an_external_id_is_upserted_and_a_second_create_is_refused() {
    let sim = Sim::start().await;
    let path = format!("{CUSTOMER}/eid:X9");
    for name in ["One", "Two"] {
        let reply = send(&sim, Method::PUT, &path, json!({ "companyName": name })).await;
        assert_eq!(reply.status(), StatusCode::NO_CONTENT);
    }
    assert_eq!(read(&sim, &path).await["companyName"], "Two");
    assert_eq!(read(&sim, CUSTOMER).await["totalResults"], 1);
    let again = send(&sim, Method::POST, CUSTOMER, json!({ "companyName": "Three", "externalId": "X9" })).await;
    assert_eq!(error_of(again).await, (400, json!("USER_ERROR")));
}

#[tokio::test]
async fn refusals_name_what_is_wrong() {
    let sim = Sim::start().await;
    let id = sim.customer(json!({})).await;
    let path = format!("{CUSTOMER}/{id}");
    for (method, path, body, expected) in [
        (Method::POST, CUSTOMER, json!({}), (400, "USER_ERROR")),
        (Method::PATCH, path.as_str(), json!({ "shoeSize": 1 }), (400, "INVALID_CONTENT")),
        (Method::PATCH, path.as_str(), json!({ "terms": { "id": "99" } }), (400, "INVALID_KEY_OR_REF")),
        (Method::PATCH, path.as_str(), json!({ "isInactive": "maybe" }), (400, "USER_ERROR")),
        (Method::PATCH, path.as_str(), json!([]), (400, "INVALID_CONTENT")),
        (Method::PATCH, "/services/rest/record/v1/customer/999", json!({}), (404, "NONEXISTENT_ID")),
        (Method::GET, "/services/rest/record/v1/customer/abc", json!({}), (400, "INVALID_ID")),
        (Method::GET, "/services/rest/record/v1/bad-path", json!({}), (404, "NONEXISTENT_RECORD_TYPE")),
        (Method::PUT, path.as_str(), json!({}), (400, "INVALID_REQUEST")),
        (Method::POST, path.as_str(), json!({}), (405, "METHOD_NOT_ALLOWED")),
    ] {
        let (status, code) = error_of(send(&sim, method, path, body).await).await;
        assert_eq!((status, code), (expected.0, json!(expected.1)), "{path}");
    }
}

#[tokio::test]
async fn an_order_shows_its_lines_when_asked() {
    let sim = Sim::start().await;
    let customer = sim.customer(json!({})).await;
    let item = sim.edit("create", "item", None, json!({ "itemid": "W-1", "baseprice": 2 })).await;
    let body = json!({
        "entity": { "id": customer }, "tranDate": "2026-03-02",
        "item": { "items": [{ "item": { "id": item }, "quantity": 2 }, { "item": { "id": item }, "quantity": 4 }] },
    });
    let made = send(&sim, Method::POST, ORDER, body).await;
    let path = made.headers()["location"].to_str().unwrap().strip_prefix(&sim.url("")).unwrap().to_owned();
    let shown = read(&sim, &path).await;
    assert!(shown["item"].get("items").is_none());
    assert_eq!(shown["entity"]["refName"], "Acme");
    assert_eq!(shown["tranDate"], "2026-03-02");
    let shown = read(&sim, &format!("{path}?expandSubResources=true")).await;
    assert_eq!(shown["item"]["items"][1]["quantity"], 4);
    assert_eq!(shown["item"]["items"][0]["item"]["refName"], "W-1");
    let change = json!({ "item": { "items": [{ "line": 1, "quantity": 7 }] } });
    assert_eq!(send(&sim, Method::PATCH, &path, change.clone()).await.status(), StatusCode::NO_CONTENT);
    assert_eq!(read(&sim, &format!("{path}/item")).await["totalResults"], 2);
    assert_eq!(read(&sim, &format!("{path}/item/1")).await["quantity"], 7);
    let replaced = send(&sim, Method::PATCH, &format!("{path}?replace=item"), change).await;
    assert_eq!(replaced.status(), StatusCode::NO_CONTENT);
    assert_eq!(read(&sim, &format!("{path}/item")).await["totalResults"], 1);
}

#[tokio::test]
async fn a_collection_holds_ids_only_a_page_at_a_time() {
    let sim = Sim::start().await;
    sim.tell("generate", json!({ "customers": 5, "seed": 1 })).await;
    let page = read(&sim, &format!("{CUSTOMER}?limit=2&offset=2")).await;
    assert_eq!((&page["count"], &page["totalResults"], &page["hasMore"]), (&json!(2), &json!(5), &json!(true)));
    let members: Vec<&String> = page["items"][0].as_object().unwrap().keys().collect();
    assert_eq!(members, ["id", "links"]);
}

#[tokio::test]
async fn the_system_service_tells_time_and_limits() {
    let sim = Sim::start().await;
    sim.clock(json!({ "mode": "virtual", "now": "2026-03-02T10:00:00Z" })).await;
    let time = read(&sim, "/services/rest/system/v1/serverTime").await;
    assert_eq!(time, json!({ "serverTime": "2026-03-02T10:00:00Z" }));
    let limits = read(&sim, "/services/rest/system/v1/governanceLimits").await;
    assert_eq!(limits["accountConcurrencyLimit"], 5);
}
