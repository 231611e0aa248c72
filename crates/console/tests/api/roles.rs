//! Who may call what: settled before body and lookup, for every call of the description.

use serde_json::Value;

use crate::world::{ROLES, World};

/// Method, path with ids nobody knows, and the role it needs, of every call described.
async fn calls(world: &World) -> Vec<(String, String, String)> {
    let description = world.call(None, "GET", "/openapi.json", "").await.body;
    assert_eq!(description["openapi"], "3.1.0");
    let paths = description["paths"].as_object().unwrap();
    let mut calls = Vec::new();
    for (path, item) in paths {
        let address = path.replace("{account}", "NOBODY").replace("{type}", "customer");
        let id = if path.contains("/errors/") { "999999" } else { "01900000-0000-7000-8000-000000000000" };
        for (method, call) in item.as_object().unwrap() {
            let role = call["x-role"].as_str().unwrap().to_owned();
            calls.push((method.to_uppercase(), address.replace("{id}", id), role));
        }
    }
    assert!(calls.len() >= 15, "{calls:?}");
    calls
}

#[tokio::test]
async fn every_call_described_is_there_and_asks_for_its_role_before_anything_else() {
    let world = World::new().await;
    for (method, path, needed) in calls(&world).await {
        // A call that were missing would answer 404 here: nobody may learn that much without a token.
        world.call(None, &method, &path, "{no json").await.refuses(401, "unauthenticated");
        world.call(Some("guess"), &method, &path, "{no json").await.refuses(401, "unauthenticated");
        let needed = ROLES.iter().position(|role| *role == needed).unwrap();
        for (rank, role) in ROLES.into_iter().enumerate() {
            let answer = world.call(Some(role), &method, &path, "{no json").await;
            if rank < needed {
                answer.refuses(403, "forbidden");
            } else {
                assert!(
                    ![401, 403, 405, 503].contains(&answer.status.as_u16()),
                    "{method} {path} as {role}: {answer:?}"
                );
                assert_ne!(answer.body["code"], "no_such_address", "{method} {path}");
            }
        }
    }
}

#[tokio::test]
async fn other_schemes_addresses_and_methods_are_problems() {
    let world = World::new().await;
    world.get("viewer", "/api/v1/nothing").await.refuses(404, "no_such_address");
    world.call(Some("viewer"), "PUT", "/api/v1/accounts", "").await.refuses(405, "method_not_allowed");
    world.get("viewer", "/api/v1/conflicts/not-a-uuid").await.refuses(400, "bad_request");
    for query in ["limit=many", "limit=0", "limit=501", "cursor=5", "cursor=x.y", "account=%20"] {
        world.get("viewer", &format!("/api/v1/events?{query}")).await.refuses(400, "bad_request");
    }
    let huge = "x".repeat(3 << 20);
    world.call(Some("operator"), "POST", "/api/v1/locks", &huge).await.refuses(413, "too_large");
}

#[tokio::test]
async fn nobody_is_told_a_token_that_is_in_force() {
    let world = World::new().await;
    let answer = world.get("admin", "/openapi.json").await;
    assert!(!answer.body.to_string().contains("admin-jo"));
    assert_eq!(world.get("viewer ", "/api/v1/accounts").await.body["items"].as_array().map(Vec::len), Some(1));
    assert_eq!(Value::Null, world.call(Some("VIEWER"), "GET", "/api/v1/accounts", "").await.body["items"]);
}
