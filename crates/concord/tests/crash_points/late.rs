//! K8: a request stays in the network and lands after its writer gave it up.

use concord::sides::Side;
use serde_json::json;

use crate::play::Play;
use crate::work::every_event_has_its_outcome;

/// Longer than the write's deadline and its recovery take.
const LATE_SECONDS: u32 = 8;

/// The request is recovered as not landed, another takes its place, and then it arrives.
pub(crate) async fn told(play: &Play) {
    let pair = play.customer(json!({ "phone": "A", "custentity_loyalty_points": 10 })).await;
    let (before, refused) = (play.writes(0).await, refusals(play).await);
    let zombie = json!({ "match": { "path": "customscript_concord_write" }, "fault": "zombie",
        "delay_seconds": LATE_SECONDS, "times": 1 });
    play.fault(0, zombie).await;
    play.sx(&pair, "phone = 'B', loyalty_points = loyalty_points + 5").await;
    play.struck(0, 1).await;
    play.sx(&pair, "phone = 'C'").await;
    play.netsuite_reads(&pair, "phone", "C").await;
    assert!(play.audit(&pair, Side::Netsuite).await.iter().any(|(outcome, _)| outcome == "unknown"), "given up first");
    // The first request comes now, and is refused for its stamp.
    play.fact("the late request", || async { (refusals(play).await > refused).then_some(()) }).await;
    play.ends(&pair, "phone", "C").await;
    assert_eq!(play.values(&pair, "custentity_loyalty_points").await, ["15", "15"]);
    assert_eq!(play.overrides(&pair).await, []);
    let written = play.writes(0).await - before;
    // One write: both edits were heard before the first request was given up. The emulator may bring the second later.
    let most = if play.manifest.bus == "pubsub" { 2 } else { 1 };
    assert!((1..=most).contains(&written.updates) && written.suitex == 0, "two edits: {written:?}");
    play.sides[0].netsuite.clear_faults().await.unwrap();
    every_event_has_its_outcome(&play.sides[0]).await;
}

/// Writes that the guard refused.
async fn refusals(play: &Play) -> u64 {
    let ledger = play.sides[0].netsuite.ledger().await.unwrap();
    ["fenced", "stale"].iter().map(|outcome| ledger["outcomes"][outcome].as_u64().unwrap_or(0)).sum()
}
