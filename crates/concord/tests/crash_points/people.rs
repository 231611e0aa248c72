//! K12: the console dies between a decision's commit and its answer.

use reqwest::Method;
use serde_json::json;

use crate::play::Play;
use crate::work::every_event_has_its_outcome;

/// How often the console dies here.
pub(crate) const DEATHS: usize = 1;

/// The person gets no answer and decides again: the same decision is answered as made, another is not believed made.
pub(crate) async fn told(play: &Play) {
    let pair = play.customer(json!({ "comments": "M" })).await;
    play.stop("merge-service");
    play.sx(&pair, "comments = 'X'").await;
    play.ns(&pair, json!({ "comments": "Y" })).await;
    play.go("merge-service");
    let seen = play.conflict(&pair, 1).await;
    let version = play.version(&pair).await;

    let armed = play.arm("console", "K12");
    let decision = json!({ "action": "accept_netsuite", "note": "theirs" });
    assert_eq!(play.decide(&seen, decision.clone()).await.0, 0, "the console dies before it answers");
    play.died(&armed).await;
    let (status, again) = play.decide(&seen, decision).await;
    assert_eq!((status, &again["status"]), (200, &json!("resolved")), "{again}");
    let (status, other) = play.decide(&seen, json!({ "action": "accept_suitex" })).await;
    assert_eq!((status, &other["code"]), (409, &json!("conflict_closed")), "{other}");

    play.ends(&pair, "comments", "Y").await;
    assert_eq!(play.version(&pair).await, version + 1, "one decision");
    let lost = play.overrides(&pair).await;
    assert_eq!(lost.len(), 1, "{lost:?}");
    let decisions = "select count(*) from sync.events where rid = $1 and kind = 'resolution'";
    let decisions: i64 = sqlx::query_scalar(decisions).bind(pair.rid).fetch_one(&play.sides[0].concord).await.unwrap();
    assert_eq!(decisions, 1);
    let (_, open) = play.ask(Method::GET, "/api/v1/conflicts?status=open", None).await;
    assert_eq!(open["items"], json!([]));
    every_event_has_its_outcome(&play.sides[0]).await;
}
