//! S4 and S6: requests that come late, and writes nobody heard of.

use concord::sides::Side;
use serde_json::{Value, json};

use crate::play::{Pair, Play};

/// Our next write of the account meets this.
fn write(fault: &str, more: &Value) -> Value {
    let mut rule = json!({ "match": { "path": "customscript_concord_write" }, "fault": fault });
    rule.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    rule
}

pub(crate) async fn s04_zombie(play: &Play) {
    let pair = play.customer(json!({ "companyname": "S4 A" })).await;
    play.rest().await;
    let (version, before) = (play.version(&pair).await, play.writes(0).await);
    let seen = play.audit(&pair, Side::Netsuite).await.len();
    // The first write is given up before it lands; the second waits until it has.
    play.fault(0, write("zombie", &json!({ "delay_seconds": 5, "times": 1 }))).await;
    play.fault(0, write("slow", &json!({ "delay_seconds": 1.4, "times": 1 }))).await;
    play.sx(&pair, "company_name = 'S4 B'").await;
    play.struck(0, 1).await;
    play.sx(&pair, "company_name = 'S4 Z'").await;
    play.netsuite_reads(&pair, "companyname", "S4 B").await;
    play.netsuite_reads(&pair, "companyname", "S4 Z").await;
    play.ends(&pair, "companyname", "S4 Z").await;
    let told: Vec<String> =
        play.audit(&pair, Side::Netsuite).await.split_off(seen).into_iter().map(|(outcome, _)| outcome).collect();
    assert_eq!(told, ["unknown", "unknown", "stale", "ok"], "sent, looked for in vain, refused by the guard, written");
    assert_eq!(play.version(&pair).await, version + 2);
    assert_eq!(play.overrides(&pair).await, [], "our own late write is no edit");
    let written = play.writes(0).await - before;
    assert_eq!(written.suitex, 0, "B on SuiteX would be our late write taken for an edit");
    assert_eq!(written.updates, 2, "{written:?}");
}

/// SuiteX adds five; what becomes of the write is the fault's.
async fn plus_five(play: &Play, fault: &str) -> Pair {
    let pair = play.customer(json!({ "custentity_loyalty_points": 10 })).await;
    play.rest().await;
    play.fault(0, write(fault, &json!({ "times": 1 }))).await;
    play.sx(&pair, "loyalty_points = loyalty_points + 5").await;
    play.struck(0, 1).await;
    pair
}

async fn unheard_of(play: &Play, pair: &Pair) -> bool {
    let query = "select exists(select from sync.idempotency_keys where rid = $1 and status = 'in_flight')";
    sqlx::query_scalar(query).bind(pair.rid).fetch_one(&play.sides[0].concord).await.unwrap()
}

pub(crate) async fn s06_increment_equals_our_write(play: &Play) {
    let pair = plus_five(play, "reset").await;
    assert_eq!(play.values(&pair, "custentity_loyalty_points").await, ["10", "15"], "not landed");
    play.ns(&pair, json!({ "custentity_loyalty_points": 15 })).await;
    assert!(unheard_of(play, &pair).await, "the user is before recovery");
    play.suitex_reads(&pair, "custentity_loyalty_points", "20").await;
    play.ends(&pair, "custentity_loyalty_points", "20").await;
}

pub(crate) async fn s06_twin_our_write_landed(play: &Play) {
    let pair = plus_five(play, "lost_response").await;
    play.netsuite_reads(&pair, "custentity_loyalty_points", "15").await;
    assert!(unheard_of(play, &pair).await, "and nobody knows");
    let before = play.writes(0).await;
    play.ends(&pair, "custentity_loyalty_points", "15").await;
    assert_eq!(play.writes(0).await, before, "nothing is written again");
}
