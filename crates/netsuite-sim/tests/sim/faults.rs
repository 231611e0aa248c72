//! Faults on demand: what the caller sees, and what was done all the same.

use std::time::{Duration, Instant};

use jsonwebtoken::Algorithm;
use reqwest::{Method, StatusCode};
use serde_json::{Value as Json, json};

use crate::clients::{SUITEQL, WRITE, assertion, claims};
use crate::harness::{Sim, ec_keys};

const RID: &str = "0190a1b2-0000-7000-8000-000000000001";

fn phone(id: &str, stamp: u64, to: &str) -> Json {
    json!({ "writes": [{
        "writeId": "w", "kind": "update", "type": "customer", "id": id, "rid": RID, "stamp": stamp, "expect": 0,
        "changes": { "phone": to }, "pre": {},
    }] })
}

async fn fault(sim: &Sim, rule: Json) {
    sim.tell("faults", json!({ "rules": [rule] })).await;
}

#[tokio::test]
async fn a_status_fault_answers_without_doing() {
    let sim = Sim::start().await;
    let id = sim.customer(json!({})).await;
    fault(&sim, json!({ "match": { "table": "customer", "nth": 1 }, "fault": "status", "status": 500 })).await;
    fault(&sim, json!({ "match": { "table": "customer", "nth": 2 }, "fault": "status", "status": 429 })).await;
    let failed = sim.tba(Method::POST, WRITE).json(&phone(&id, 1, "1")).send().await.unwrap();
    assert_eq!(failed.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(failed.json::<Json>().await.unwrap()["error"]["code"], "UNEXPECTED_ERROR");
    assert_eq!(sim.suiteql("SELECT id FROM customer").await.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(sim.suiteql("SELECT id FROM customer").await.status(), StatusCode::OK);
    assert_eq!(sim.fields("customer", &id).await["phone"], Json::Null);
}

#[tokio::test]
async fn a_reset_does_nothing_and_a_lost_response_does_everything() {
    let sim = Sim::start().await;
    let id = sim.customer(json!({})).await;
    fault(&sim, json!({ "match": { "path": "restlet", "nth": 1 }, "fault": "reset" })).await;
    assert!(sim.tba(Method::POST, WRITE).json(&phone(&id, 1, "1")).send().await.is_err());
    assert_eq!(sim.fields("customer", &id).await["phone"], Json::Null);
    sim.http.delete(sim.control("faults")).send().await.unwrap();
    fault(&sim, json!({ "match": { "path": "restlet" }, "fault": "lost_response", "times": 1 })).await;
    assert!(sim.tba(Method::POST, WRITE).json(&phone(&id, 1, "1")).send().await.is_err());
    assert_eq!(sim.fields("customer", &id).await["phone"], "1");
    let again = sim.tba(Method::POST, WRITE).json(&phone(&id, 1, "1")).send().await.unwrap();
    assert_eq!(again.json::<Json>().await.unwrap()["results"][0]["status"], "fenced");
}

#[tokio::test]
async fn a_zombie_lands_after_its_caller_gave_up() {
    let sim = Sim::start().await;
    let id = sim.customer(json!({})).await;
    fault(&sim, json!({ "match": { "path": "restlet" }, "fault": "zombie", "delay_seconds": 0.4, "times": 1 })).await;
    assert!(sim.tba(Method::POST, WRITE).json(&phone(&id, 1, "late")).send().await.is_err());
    assert_eq!(sim.fields("customer", &id).await["phone"], Json::Null);
    let deadline = Instant::now() + Duration::from_secs(20);
    while sim.ask("ledger").await["writes"] != 1 {
        assert!(Instant::now() < deadline, "the zombie never landed");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(sim.fields("customer", &id).await["phone"], "late");
}

#[tokio::test]
async fn a_slow_call_is_late_and_a_truncated_one_breaks_off() {
    let sim = Sim::start().await;
    let id = sim.customer(json!({})).await;
    fault(&sim, json!({ "match": { "path": SUITEQL, "nth": 1 }, "fault": "slow", "delay_seconds": 0.3 })).await;
    let start = Instant::now();
    assert_eq!(sim.rows("SELECT id FROM customer").await.len(), 1);
    assert!(start.elapsed() >= Duration::from_millis(300));
    fault(&sim, json!({ "match": { "path": "restlet" }, "fault": "truncate" })).await;
    let reply = sim.tba(Method::POST, WRITE).json(&phone(&id, 1, "1")).send().await.unwrap();
    assert_eq!(reply.status(), StatusCode::OK);
    assert!(reply.bytes().await.is_err());
    assert_eq!(sim.fields("customer", &id).await["phone"], "1");
    let rules = sim.ask("faults").await;
    assert_eq!(rules["rules"][1]["fired"], 1);
    assert_eq!(sim.ask("ledger").await["faults"], json!({ "slow": 1, "truncate": 1 }));
}

#[tokio::test]
async fn token_requests_can_fail_too() {
    let sim = Sim::start().await;
    fault(&sim, json!({ "match": { "path": "oauth2/v1/token" }, "fault": "status", "status": 503, "times": 1 })).await;
    let jwt = assertion(&claims(&sim), Algorithm::ES256, "cert-1", &ec_keys().private_pem);
    assert_eq!(sim.grant(&jwt).await.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(!sim.token().await.is_empty());
}

#[tokio::test]
async fn a_rule_that_makes_no_sense_is_refused() {
    let sim = Sim::start().await;
    for rule in [
        json!({ "fault": "status" }),
        json!({ "fault": "explode" }),
        json!({ "fault": "reset", "match": { "probability": 2 } }),
        json!({ "fault": "slow", "delay_seconds": -1 }),
    ] {
        let reply = sim.try_tell("faults", json!({ "rules": [rule] })).await;
        assert_eq!(reply.status(), StatusCode::BAD_REQUEST);
        assert_eq!(reply.headers()["content-type"], "application/problem+json");
    }
}
