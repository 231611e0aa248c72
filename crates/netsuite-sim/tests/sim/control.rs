//! The control API's own description, and what is true of all its calls.

use reqwest::{Method, StatusCode};
use serde_json::{Value as Json, json};

use crate::clients::{SUITEQL, WRITE};
use crate::harness::{ACCOUNT, Sim};

#[tokio::test]
async fn the_document_names_every_call_and_every_call_is_there() {
    let sim = Sim::start().await;
    let document: Json = sim.http.get(sim.url("/_sim/v1/openapi.json")).send().await.unwrap().json().await.unwrap();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"), "{}", document["openapi"]);
    let mut calls = Vec::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for method in operations.as_object().unwrap().keys() {
            calls.push(format!("{method} {path}"));
            let filled = path.replace("{account}", ACCOUNT).replace("{type}", "customer").replace("{id}", "1");
            let method: Method = method.to_uppercase().parse().unwrap();
            let reply = sim.http.request(method, sim.url(&format!("/_sim/v1{filled}"))).send().await.unwrap();
            assert_ne!(reply.status(), StatusCode::METHOD_NOT_ALLOWED, "{path}");
            let text = reply.text().await.unwrap();
            assert!(!text.contains("no such control resource"), "{path}: {text}");
        }
    }
    // As the README and the contracts list them.
    for call in [
        "post edit",
        "post copy",
        "get records/{type}",
        "get records/{type}/{id}",
        "get dump/{type}",
        "post generate",
        "post import",
        "get scenario",
        "post scenario",
        "get ledger",
        "delete ledger",
        "get login-audit",
        "get faults",
        "post faults",
        "delete faults",
        "get phantom",
        "post phantom",
        "post schema",
        "post reset",
        "get settings",
        "patch settings",
    ] {
        let (method, path) = call.split_once(' ').unwrap();
        assert!(calls.contains(&format!("{method} /accounts/{{account}}/{path}")), "{call} of {calls:?}");
    }
    assert_eq!(calls.len(), 26, "{calls:?}");
    let bodies = document["components"]["schemas"].as_object().unwrap();
    for name in ["EditBody", "Amounts", "Generated", "Rules", "FaultKind", "Settings", "Script", "SchemaChange"] {
        assert!(bodies.contains_key(name), "{name} of {:?}", bodies.keys());
    }
}

#[tokio::test]
async fn other_integrations_use_the_pool_by_name() {
    let sim = Sim::start().await;
    let body =
        json!({ "integrations": [{ "name": "EDI", "concurrency": 3 }, { "name": "Reports", "concurrency": 1 }] });
    sim.tell("phantom", body.clone()).await;
    let shown = sim.ask("phantom").await;
    assert_eq!((&shown["concurrency"], &shown["integrations"]), (&json!(4), &body["integrations"]));
    let path = "/services/rest/system/v1/governanceLimits";
    let limits: Json = sim.tba(Method::GET, path).send().await.unwrap().json().await.unwrap();
    assert_eq!(
        (&limits["accountConcurrencyLimit"], &limits["accountUnallocatedConcurrencyLimit"]),
        (&json!(5), &json!(1))
    );
    let slow = json!({ "rules": [{ "match": { "path": "suiteql" }, "fault": "slow", "delay_seconds": 0.3 }] });
    sim.tell("faults", slow).await;
    let calls = (0..3).map(|_| sim.suiteql("SELECT id FROM customer"));
    let done = futures::future::join_all(calls).await;
    assert_eq!(done.iter().filter(|reply| reply.status() == StatusCode::OK).count(), 1, "one slot is left");
}

#[tokio::test]
async fn a_token_expires_and_an_account_moves_when_told_to() {
    let sim = Sim::start().await;
    let rule = |fault: &str| json!({ "rules": [{ "fault": fault, "times": 1 }] });
    let token = sim.token().await;
    sim.tell("faults", rule("expired_token")).await;
    let ask = async || {
        let request = sim.http.post(sim.url(SUITEQL)).bearer_auth(&token).header("prefer", "transient");
        request.json(&json!({ "q": "SELECT id FROM customer" })).send().await.unwrap()
    };
    let expired = ask().await;
    assert_eq!(expired.status(), StatusCode::UNAUTHORIZED);
    let challenge = expired.headers()["www-authenticate"].to_str().unwrap();
    assert_eq!(
        challenge,
        format!("Bearer realm=\"{ACCOUNT}\", error=\"invalid_token\", error_description=\"Invalid login attempt.\"")
    );
    assert_eq!(ask().await.status(), StatusCode::OK);
    sim.tell("faults", rule("redirect")).await;
    let http = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let id = sim.customer(json!({})).await;
    let request = http.post(sim.url(WRITE)).bearer_auth(&token).json(&json!({ "writes": [] }));
    let moved = request.send().await.unwrap();
    assert_eq!(moved.status(), StatusCode::FOUND);
    assert!(moved.headers()["location"].to_str().unwrap().starts_with("https://moved.netsuite.invalid/app/site/"));
    assert_eq!(sim.fields("customer", &id).await["companyname"], "Acme");
}
