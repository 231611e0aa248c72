//! S13–S15: people decide.

use serde_json::{Value, json};

use crate::play::{Pair, Play};

/// Both sides type into the manual field at once: X in SuiteX, Y in NetSuite.
async fn disagree(play: &Play, pair: &Pair, field: &str) {
    play.rest().await;
    play.stop("merge-service");
    play.sx(pair, &format!("{field} = 'X'")).await;
    play.ns(pair, json!({ field: "Y" })).await;
    play.go("merge-service");
}

/// What the conflict is about; beside it stands what came in meanwhile.
fn values(seen: &Value) -> [Value; 4] {
    ["rev", "base", "suitex", "netsuite"].map(|name| seen[name].clone())
}

pub(crate) async fn s13_stale_resolution(play: &Play) {
    let pair = play.customer(json!({ "comments": "M" })).await;
    disagree(play, &pair, "comments").await;
    let seen = play.conflict(&pair, 1).await;
    play.ns(&pair, json!({ "comments": "Y2" })).await;
    let moved = play.conflict(&pair, 2).await;
    let accept = json!({ "action": "accept_netsuite" });
    let (status, refused) = play.decide(&seen, accept.clone()).await;
    assert_eq!((status, &refused["code"]), (409, &json!("conflict_moved")), "{refused}");
    assert_eq!(values(&refused["context"]), values(&moved), "{refused}");
    assert_eq!(moved["netsuite"], json!({ "comments": "Y2" }));
    assert_eq!(values(&play.conflict(&pair, 2).await), values(&moved), "still open");
    assert_eq!(play.values(&pair, "comments").await, ["Y2", "X"], "still locked");
    assert_eq!(play.decide(&moved, accept).await.0, 200);
    play.suitex_reads(&pair, "comments", "Y2").await;
    play.ends(&pair, "comments", "Y2").await;
    let lost = play.overrides(&pair).await;
    assert_eq!(lost, [("comments".to_owned(), json!("X"), "suitex".to_owned())]);
}

pub(crate) async fn s13_under_a_record_lock(play: &Play) {
    let pair = play.item(json!({ "description": "M" })).await;
    disagree(play, &pair, "description").await;
    let seen = play.conflict(&pair, 1).await;
    play.ns(&pair, json!({ "description": "Y2" })).await;
    play.rest().await;
    assert_eq!(values(&play.conflict(&pair, 1).await), values(&seen), "nothing is folded");
    assert_eq!(play.decide(&seen, json!({ "action": "accept_netsuite" })).await.0, 200);
    play.suitex_reads(&pair, "description", "Y2").await;
    play.ends(&pair, "description", "Y2").await;
    assert!(play.overrides(&pair).await.iter().any(|(_, value, _)| *value == json!("X")));
}

pub(crate) async fn s14_both_sides_fix_it_by_hand(play: &Play) {
    let pair = play.customer(json!({ "comments": "M" })).await;
    disagree(play, &pair, "comments").await;
    let seen = play.conflict(&pair, 1).await;
    play.rest().await;
    let before = play.writes(0).await;
    play.sx(&pair, "comments = 'Y'").await;
    play.fact("the conflict closes", || async {
        let query = "select status from sync.conflicts where conflict_id = $1::uuid";
        let status: String = sqlx::query_scalar(query)
            .bind(seen["conflict_id"].as_str().unwrap())
            .fetch_one(&play.sides[0].concord)
            .await
            .unwrap();
        (status == "converged").then_some(())
    })
    .await;
    play.ends(&pair, "comments", "Y").await;
    let locks: i64 = sqlx::query_scalar("select count(*) from sync.record_lock where rid = $1 and released_at is null")
        .bind(pair.rid)
        .fetch_one(&play.sides[0].concord)
        .await
        .unwrap();
    assert_eq!(locks, 0);
    assert_eq!(play.writes(0).await, before, "nothing to write");
}

pub(crate) async fn s15_lock_keeps_queue(play: &Play) {
    let pair = play.item(json!({ "description": "M", "displayname": "1", "baseprice": 3 })).await;
    disagree(play, &pair, "description").await;
    let seen = play.conflict(&pair, 1).await;
    play.rest().await;
    let (claims, before) = (claims(play, &pair).await, play.writes(0).await);
    play.sx(&pair, "display_name = '2'").await;
    play.stack.kill(&play.process("merge-service")).await;
    play.ns_quietly(&pair, json!({ "baseprice": 4 })).await;
    play.stack.kill(&play.process("merge-service")).await;
    play.rest().await;
    assert_eq!(values(&play.conflict(&pair, 1).await), values(&seen), "nothing is folded");
    assert_eq!((self::claims(play, &pair).await, play.writes(0).await), (claims, before), "nothing is claimed");
    let decision = json!({ "action": "edit", "changes": { "description": "R" } });
    assert_eq!(play.decide(&seen, decision).await.0, 200);
    play.suitex_reads(&pair, "description", "R").await;
    play.ends(&pair, "description", "R").await;
    assert_eq!(play.values(&pair, "displayname").await, ["2", "2"]);
    assert_eq!(play.values(&pair, "baseprice").await[1], "4");
    assert_eq!(play.differences().await, Vec::<String>::new());
}

async fn claims(play: &Play, pair: &Pair) -> i64 {
    let query = "select count(*) from sync.events where rid = $1 and kind = 'claim'";
    sqlx::query_scalar(query).bind(pair.rid).fetch_one(&play.sides[0].concord).await.unwrap()
}
