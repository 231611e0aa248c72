//! S5, S16, S19, S20: two sides at once.

use concord::sides::{Edit, Side};
use serde_json::json;

use crate::play::{Pair, Play};

pub(crate) async fn s05_equal_increments(play: &Play) {
    let pair = play.customer(json!({ "custentity_loyalty_points": 0 })).await;
    play.rest().await;
    play.stop("merge-service");
    play.ns(&pair, json!({ "custentity_loyalty_points": 2 })).await;
    play.sx(&pair, "loyalty_points = loyalty_points + 2").await;
    play.go("merge-service");
    play.suitex_reads(&pair, "custentity_loyalty_points", "4").await;
    play.ends(&pair, "custentity_loyalty_points", "4").await;
    assert_eq!(play.overrides(&pair).await, []);
}

pub(crate) async fn s16_override_is_recorded(play: &Play) {
    for first in [Some(Side::Netsuite), Some(Side::Suitex), None] {
        let pair = play.customer(json!({ "phone": "0" })).await;
        play.rest().await;
        let version = play.version(&pair).await;
        match first {
            Some(Side::Netsuite) => {
                play.stop("outbox-relay");
                play.stop("suitex-writer");
                play.sx(&pair, "phone = '1'").await;
                play.ns(&pair, json!({ "phone": "9" })).await;
                play.reaches(&pair, version + 1).await;
                play.go("outbox-relay");
                play.reaches(&pair, version + 2).await;
                play.go("suitex-writer");
            }
            Some(Side::Suitex) => {
                play.stop("poller");
                play.stop("netsuite-writer");
                play.ns_quietly(&pair, json!({ "phone": "9" })).await;
                play.sx(&pair, "phone = '1'").await;
                play.reaches(&pair, version + 1).await;
                play.go("poller");
                lost(play, &pair).await;
                play.go("netsuite-writer");
            }
            None => {
                play.stop("merge-service");
                play.ns(&pair, json!({ "phone": "9" })).await;
                play.sx(&pair, "phone = '1'").await;
                play.go("merge-service");
                lost(play, &pair).await;
            }
        }
        play.ends(&pair, "phone", "1").await;
        let told = play.overrides(&pair).await;
        assert_eq!(told, [("phone".to_owned(), json!("9"), "netsuite".to_owned())], "{first:?} first");
    }
}

async fn lost(play: &Play, pair: &Pair) {
    play.fact("a value is lost", || async { (!play.overrides(pair).await.is_empty()).then_some(()) }).await;
}

pub(crate) async fn s19_line_delete_and_readd(play: &Play) {
    let (customer, item) = (play.customer(json!({})).await, play.item(json!({})).await);
    let line = |quantity: u32| json!({ "item": item.netsuite, "quantity": quantity, "rate": 10 });
    let order = json!({ "entity": customer.netsuite, "lines": { "x": line(1) } });
    let pair = play.create(0, "salesorder", order).await;
    play.rest().await;
    play.stop("merge-service");
    let (order, item) = (&pair.suitex, &item.suitex);
    // The same key: what was removed and what was added have nothing else in common.
    play.sql(
        0,
        &format!(
            "do $$ declare key bigint; begin
               delete from app.sales_order_lines where sales_order_id = {order} returning id into key;
               insert into app.sales_order_lines (id, sales_order_id, item_id, quantity, rate)
               values (key, {order}, {item}, 7, 20);
             end $$"
        ),
    )
    .await;
    play.ns(&pair, json!({ "lines": { "z": line(3) } })).await;
    play.go("merge-service");
    let quantities = || async {
        let query =
            "select array_agg(quantity::int order by quantity) from app.sales_order_lines where sales_order_id = $1";
        let id: i64 = pair.suitex.parse().unwrap();
        sqlx::query_scalar::<_, Option<Vec<i32>>>(query).bind(id).fetch_one(&play.sides[0].suitex).await.unwrap()
    };
    play.fact("both lines are in SuiteX", || async { (quantities().await? == [3, 7]).then_some(()) }).await;
    play.rest().await;
    assert_eq!(quantities().await.unwrap(), [3, 7]);
    assert_eq!(play.differences().await, Vec::<String>::new());
}

pub(crate) async fn s20_two_tenants(play: &Play) {
    let mut ids = [0, 0];
    while ids[0] != ids[1] || ids[0] == 0 {
        let behind = usize::from(ids[0] > ids[1]);
        let create = Edit::create("customer", json!({ "companyname": format!("Tenant's {}", play.next()) }));
        ids[behind] = play.sides[behind].netsuite.edit(&create).await.unwrap().parse().unwrap();
    }
    let id = ids[0].to_string();
    let (one, two) =
        (play.pair(0, "customer", Side::Netsuite, &id).await, play.pair(1, "customer", Side::Netsuite, &id).await);
    assert_ne!(one.rid, two.rid);
    play.rest().await;
    // In one batch: both accounts, both sides.
    play.stop("merge-service");
    for pair in [&one, &two] {
        play.ns(pair, json!({ "email": format!("n{}@example.test", pair.account) })).await;
        play.sx(pair, &format!("phone = '{}'", pair.account)).await;
    }
    play.go("merge-service");
    for pair in [&one, &two] {
        play.suitex_reads(pair, "email", &format!("n{}@example.test", pair.account)).await;
        play.netsuite_reads(pair, "phone", &pair.account.to_string()).await;
        play.ends(pair, "phone", &pair.account.to_string()).await;
    }
    // The first account's NetSuite does nothing any more: the second is served all the same.
    play.fault(0, json!({ "match": { "path": "customscript_concord_write" }, "fault": "status", "status": 503 })).await;
    play.sx(&one, "phone = 'one'").await;
    play.struck(0, 1).await;
    play.sx(&two, "phone = 'two'").await;
    play.netsuite_reads(&two, "phone", "two").await;
    assert_eq!(play.values(&one, "phone").await, ["0", "one"]);
    play.sides[0].netsuite.clear_faults().await.unwrap();
    play.ends(&one, "phone", "one").await;
    play.ends(&two, "phone", "two").await;
    assert_eq!(play.differences().await, Vec::<String>::new());
}
