//! S7 and S8: what only the poller can find.

use concord::sides::Side;
use reqwest::Method;
use serde_json::json;

use crate::play::Play;

pub(crate) async fn s07_same_second_ties(play: &Play) {
    let mut five = Vec::new();
    for _ in 0..5 {
        five.push(play.customer(json!({ "email": "first@example.test" })).await);
    }
    play.rest().await;
    play.clock("virtual").await;
    play.stop("poller");
    for (n, pair) in five.iter().enumerate() {
        play.ns_quietly(pair, json!({ "email": format!("s7-{n}@example.test") })).await;
    }
    // A page takes so long that the user is back before the next one is read.
    let slow = json!({ "match": { "path": "suiteql", "table": "customer" }, "fault": "slow", "delay_seconds": 0.7 });
    let last = play.last_hint(&five[0], Side::Netsuite).await;
    play.fault(0, slow).await;
    play.go("poller");
    play.fact("the page with the first record was read", || async {
        (play.last_hint(&five[0], Side::Netsuite).await > last).then_some(())
    })
    .await;
    play.ns_quietly(&five[0], json!({ "email": "s7-again@example.test" })).await;
    play.sides[0].netsuite.clear_faults().await.unwrap();
    play.suitex_reads(&five[0], "email", "s7-again@example.test").await;
    play.clock("real").await;
    play.rest().await;
    for (n, pair) in five.iter().enumerate() {
        let value = if n == 0 { "s7-again@example.test".to_owned() } else { format!("s7-{n}@example.test") };
        assert_eq!(play.values(pair, "email").await, [value.clone(), value]);
    }
}

pub(crate) async fn s08_late_visible_commit(play: &Play) {
    let x = play.customer(json!({ "email": "x1@example.test" })).await;
    let y = play.customer(json!({ "email": "y1@example.test" })).await;
    play.rest().await;
    let edit = json!({ "operation": "update", "type": "customer", "id": x.netsuite, "scripts": false,
        "changes": { "email": "x2@example.test" }, "visible_after_seconds": 5 });
    play.control(0, Method::POST, "edit", edit).await;
    play.ns_quietly(&y, json!({ "email": "y2@example.test" })).await;
    // The watermark stands at y's second, which is not before x's.
    play.suitex_reads(&y, "email", "y2@example.test").await;
    play.swept().await;
    assert_eq!(play.values(&x, "email").await[1], "x1@example.test", "x cannot be seen yet");
    play.suitex_reads(&x, "email", "x2@example.test").await;
    play.ends(&x, "email", "x2@example.test").await;
    play.ends(&y, "email", "y2@example.test").await;
}
