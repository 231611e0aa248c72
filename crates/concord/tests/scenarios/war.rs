//! S22: a workflow of NetSuite and a hook of SuiteX that never agree.

use reqwest::Method;
use serde_json::{Value, json};

use crate::play::Play;

/// The application's hook.
const HOOK: &str = "
    create function app.in_lower_case() returns trigger language plpgsql as
        $$ begin new.company_name := lower(new.company_name); return new; end $$;
    create trigger a_hook before update on app.customers for each row when (new.company_name ilike 'war %')
        execute function app.in_lower_case()";

pub(crate) async fn s22_rewrite_war(play: &Play) {
    let pair = play.customer(json!({ "companyname": "War of the sides" })).await;
    play.rest().await;
    let workflow = |rules: Value| play.control(0, Method::PATCH, "settings", json!({ "workflows": rules }));
    workflow(json!([{ "type": "customer", "field": "companyname", "rewrite": "upper" }])).await;
    play.sql(0, HOOK).await;
    let version = play.version(&pair).await;
    play.sx(&pair, "company_name = 'War of the words'").await;
    let seen = play.conflict(&pair, 1).await;
    let reason: String = sqlx::query_scalar("select reason from sync.conflicts where conflict_id = $1::uuid")
        .bind(seen["conflict_id"].as_str().unwrap())
        .fetch_one(&play.sides[0].concord)
        .await
        .unwrap();
    assert_eq!(reason, "oscillation");
    play.rest().await;
    let (reached, written) = (play.version(&pair).await, play.writes(0).await);
    assert!(reached <= version + 6, "{} versions", reached - version);
    play.rest().await;
    assert_eq!((play.version(&pair).await, play.writes(0).await), (reached, written), "nobody writes any more");
    // Peace, and a person who says what it was.
    workflow(json!([])).await;
    play.sql(0, "drop trigger a_hook on app.customers; drop function app.in_lower_case()").await;
    assert_eq!(play.decide(&seen, json!({ "action": "edit", "changes": { "companyname": "Peace" } })).await.0, 200);
    play.netsuite_reads(&pair, "companyname", "Peace").await;
    play.ends(&pair, "companyname", "Peace").await;
}
