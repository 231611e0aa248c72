//! The person who decides conflicts, through the console's API.

use std::sync::Arc;
use std::time::{Duration, Instant};

use concord::console::Console;
use concord::dev::manifest::Manifest;
use reqwest::Method;
use serde_json::{Value, json};

use crate::arena::Arena;

const PACE: Duration = Duration::from_secs(2);

fn console(manifest: &Manifest) -> Console {
    let (url, token) = (manifest.console_url.clone(), manifest.tokens.operator.clone());
    Console::reach(Some(url), Some(token), std::path::Path::new("unused")).expect("a console with address and token")
}

/// Decides what is open, now and then, until the time is over.
pub(crate) async fn until(arena: Arc<Arena>, manifest: Manifest, seed: u64, until: Instant) {
    let mut chance = fastrand::Rng::with_seed(seed);
    while Instant::now() < until {
        tokio::time::sleep(PACE).await;
        once(&arena, &manifest, &mut chance).await;
    }
}

/// Decides what is open now. A conflict that moved on meanwhile, or a console that is away, is left for the next time.
pub(crate) async fn once(arena: &Arena, manifest: &Manifest, chance: &mut fastrand::Rng) {
    let console = console(manifest);
    let query = [("account", arena.sides.account.clone()), ("status", "open".to_owned())];
    let Ok(listing) = console.call(Method::GET, "/api/v1/conflicts", &query, None).await else { return };
    for conflict in listing["items"].as_array().into_iter().flatten() {
        let (Some(id), Some(rev)) = (conflict["conflict_id"].as_str(), conflict["rev"].as_u64()) else {
            panic!("a conflict without id or rev: {conflict}");
        };
        let action = ["accept_suitex", "accept_netsuite", "accept_suggested"][chance.usize(..3)];
        let body = json!({ "rev": rev, "action": action, "note": "decided by the test" });
        let path = format!("/api/v1/conflicts/{id}/resolve");
        match console.call(Method::POST, &path, &[], Some(body)).await {
            Ok(answer) => assert_eq!(answer["status"], Value::from("resolved"), "{answer}"),
            Err(error) => {
                let text = format!("{error:#}");
                let expected = text.starts_with("409") || text.starts_with("5") || text.contains("does not answer");
                assert!(expected, "a conflict cannot be decided: {text}");
            }
        }
    }
}
