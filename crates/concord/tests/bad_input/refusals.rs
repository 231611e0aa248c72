//! Writes that a side refuses: a row of the error queue, a lock with reason error, both to be seen in the console; the
//! record waits, others go on; once mended, another attempt lands.

use anyhow::{Context, Result, ensure};
use concord::sides::{Edit, Side};
use reqwest::Method;
use serde_json::{Value, json};

use crate::house::{HUSH, House, Queued};
use crate::people::{self, ask};

/// All of it; what was found.
pub(crate) async fn try_everything(house: &House) -> Result<Vec<String>> {
    let mut found = Vec::new();
    found.extend(a_name_that_is_taken(house).await.context("a name that is taken")?);
    found.extend(a_record_without_its_name(house).await.context("a record without its name")?);
    found.extend(a_character_nobody_can_type(house).await.context("a character nobody can type")?);
    found.extend(a_customer_with_orders(house).await.context("a customer with orders")?);
    found.extend(a_check_of_the_application(house).await.context("a check of the application")?);
    house.goes_on().await?;
    Ok(found)
}

/// The row and the lock are what the console shows; what is wrong with them.
async fn shown(
    house: &House,
    kind: &str,
    name: &str,
    queued: &Queued,
    code: &str,
    target: &str,
) -> Result<Vec<String>> {
    let mut found: Vec<String> = queued.complaint(name, code, "").into_iter().collect();
    let account = &house.account(0).account_id;
    let operator = &house.manifest.tokens.operator;
    let path = format!("/api/v1/errors?account={account}&status=open");
    let (status, errors) = ask(house, Method::GET, &path, Some(operator), None).await?;
    ensure!(status == 200, "{path}: {status} {errors}");
    let row = errors["items"].as_array().into_iter().flatten().find(|row| row["id"] == queued.id);
    let row = row.with_context(|| format!("row {} is not listed", queued.id))?;
    let rid = row["rid"].as_str().context("a refused write names its record")?;
    if row["record_type"] != kind || row["class"] != "validation" || row["attributes"]["target"] != target {
        found.push(format!("{name}: the row is {row}"));
    }
    let path = format!("/api/v1/locks?account={account}");
    let (status, locks) = ask(house, Method::GET, &path, Some(operator), None).await?;
    ensure!(status == 200, "{path}: {status} {locks}");
    let held: Vec<&Value> = locks["items"].as_array().into_iter().flatten().filter(|lock| lock["rid"] == rid).collect();
    if held.len() != 1 || held[0]["reason"] != "error" {
        found.push(format!("{name}: the record's locks are {held:?}"));
    }
    Ok(found)
}

/// Nothing holds the record any more.
async fn free(house: &House, name: &str) -> Result<Option<String>> {
    let path = format!("/api/v1/locks?account={}", house.account(0).account_id);
    let (status, locks) = ask(house, Method::GET, &path, Some(&house.manifest.tokens.operator), None).await?;
    ensure!(status == 200, "{path}: {status} {locks}");
    let left = locks["items"].as_array().map_or(0, Vec::len);
    Ok((left > 0).then(|| format!("{name}: {left} locks are left: {locks}")))
}

async fn a_name_that_is_taken(house: &House) -> Result<Vec<String>> {
    let sides = &house.sides[0];
    let taken = format!("TAKEN-{HUSH}-{}", house.next());
    let first = sides.netsuite.edit(&Edit::create("item", json!({ "itemid": taken }))).await?;
    house.linked(0, "item", Side::Netsuite, &first).await?;
    let item = Edit::create("item", json!({ "itemid": format!("FREE-{}", house.next()) }));
    let second = sides.netsuite.edit(&item).await?;
    let row = house.linked(0, "item", Side::Netsuite, &second).await?;
    house.agree(0, "item", &row).await?;
    let rename = |name: String| async move {
        let query = sqlx::query("update app.items set item_id = $1 where id = $2::bigint");
        query.bind(name).bind(row.parse::<i64>()?).execute(&sides.suitex).await?;
        anyhow::Ok(row)
    };
    let row = rename(taken).await?;
    let queued = house.queued_record(0, "item", Side::Suitex, &row).await?;
    let mut found = shown(house, "item", "a name that is taken", &queued, "DUP_ITEM", "netsuite").await?;
    house.goes_on().await?;
    let name = format!("MENDED-{}", house.next());
    let query = sqlx::query("update app.items set item_id = $1 where id = $2::bigint");
    query.bind(&name).bind(row.parse::<i64>()?).execute(&sides.suitex).await?;
    people::settle(house, &queued, "retry").await?;
    house.netsuite_reads(0, "item", &second, "itemid", &json!(name)).await?;
    house.agree(0, "item", &row).await?;
    found.extend(free(house, "a name that is taken").await?);
    Ok(found)
}

async fn a_record_without_its_name(house: &House) -> Result<Vec<String>> {
    let sides = &house.sides[0];
    let query = "insert into app.customers (email, comments) values ('nameless@example.test', $1) returning id";
    let id: i64 = sqlx::query_scalar(query).bind(HUSH).fetch_one(&sides.suitex).await?;
    let id = id.to_string();
    let queued = house.queued_record(0, "customer", Side::Suitex, &id).await?;
    let name = "a record without its name";
    let mut found = shown(house, "customer", name, &queued, "USER_ERROR", "netsuite").await?;
    if !queued.reason.to_lowercase().contains("companyname") {
        found.push(format!("{name}: the row does not name the field: {}", queued.reason));
    }
    ensure!(sides.counterpart("customer", Side::Suitex, &id).await?.is_none(), "NetSuite took it");
    let mend = "update app.customers set company_name = 'Named ' || id where id = $1";
    sqlx::query(mend).bind(id.parse::<i64>()?).execute(&sides.suitex).await?;
    people::settle(house, &queued, "retry").await?;
    house.linked(0, "customer", Side::Suitex, &id).await?;
    house.agree(0, "customer", &id).await?;
    found.extend(free(house, name).await?);
    Ok(found)
}

/// Postgres takes control characters, NetSuite does not.
async fn a_character_nobody_can_type(house: &House) -> Result<Vec<String>> {
    let sides = &house.sides[0];
    let name = "a character nobody can type";
    let customer = house.customer(0).await?;
    house.rests(&customer).await?;
    let write = |comments: String| async {
        let query = sqlx::query("update app.customers set comments = $1 where id = $2");
        anyhow::Ok(query.bind(comments).bind(customer.suitex.parse::<i64>()?).execute(&sides.suitex).await?)
    };
    write(format!("{HUSH}\u{1}")).await?;
    let queued = house.queued_record(0, "customer", Side::Suitex, &customer.suitex).await?;
    let mut found = shown(house, "customer", name, &queued, "USER_ERROR", "netsuite").await?;
    if !queued.reason.contains("comments") {
        found.push(format!("{name}: the row does not name the field: {}", queued.reason));
    }
    house.good_event(&customer).await.context("another field")?;
    write("plain".to_owned()).await?;
    people::settle(house, &queued, "retry").await?;
    house.netsuite_reads(0, "customer", &customer.netsuite, "comments", &json!("plain")).await?;
    house.agree(0, "customer", &customer.suitex).await?;
    found.extend(free(house, name).await?);
    Ok(found)
}

/// NetSuite does not delete what an order points to. The order is held back by an operator's lock, then let go.
async fn a_customer_with_orders(house: &House) -> Result<Vec<String>> {
    let sides = &house.sides[0];
    let name = "a customer with orders";
    let customer = house.customer(0).await?;
    let item = Edit::create("item", json!({ "itemid": format!("ORDERED-{}", house.next()) }));
    let item = sides.netsuite.edit(&item).await?;
    house.linked(0, "item", Side::Netsuite, &item).await?;
    let changes = json!({ "entity": customer.netsuite, "lines": [{ "item": item, "quantity": 1, "rate": 2 }] });
    let order = sides.netsuite.edit(&Edit::create("salesorder", changes)).await?;
    let row = house.linked(0, "salesorder", Side::Netsuite, &order).await?;
    house.agree(0, "salesorder", &row).await?;
    let operator = Some(house.manifest.tokens.operator.as_str());
    let lock =
        json!({ "account": sides.account, "type": "salesorder", "id": format!("netsuite:{order}"), "note": "stays" });
    let (status, lock) = ask(house, Method::POST, "/api/v1/locks", operator, Some(lock.to_string())).await?;
    ensure!(status == 201, "the order cannot be locked: {status} {lock}");

    let mut tx = sides.suitex.begin().await?;
    sqlx::query("delete from app.sales_orders where id = $1").bind(row.parse::<i64>()?).execute(&mut *tx).await?;
    let id = customer.suitex.parse::<i64>()?;
    sqlx::query("delete from app.customers where id = $1").bind(id).execute(&mut *tx).await?;
    tx.commit().await?;
    let queued = house.queued_record(0, "customer", Side::Netsuite, &customer.netsuite).await?;
    let code = "THIS_RECORD_CANNOT_BE_DELETED_BECAUSE_IT_HAS_DEPENDENT_RECORDS";
    let mut found: Vec<String> = queued.complaint(name, code, "").into_iter().collect();
    house.goes_on().await?;
    let gone = |kind: &'static str, id: String| async move {
        let look = || async { Ok(sides.netsuite.record(kind, &id).await?.is_none().then_some(())) };
        house.fact(0, &format!("NetSuite's {kind} {id} is deleted"), look).await
    };
    ensure!(sides.netsuite.record("customer", &customer.netsuite).await?.is_some(), "NetSuite deleted it after all");
    let path = format!("/api/v1/locks/{}", lock["lock_id"].as_str().context("a lock has an id")?);
    let (status, answer) = ask(house, Method::DELETE, &path, operator, None).await?;
    ensure!(status == 204, "the order cannot be unlocked: {status} {answer}");
    gone("salesorder", order).await?;
    people::settle(house, &queued, "retry").await?;
    gone("customer", customer.netsuite).await?;
    found.extend(free(house, name).await?);
    Ok(found)
}

/// The application refuses what NetSuite's user typed.
async fn a_check_of_the_application(house: &House) -> Result<Vec<String>> {
    let sides = &house.sides[0];
    let name = "a check of the application";
    let customer = house.customer(0).await?;
    let check = "alter table app.customers add constraint no_hush check (comments not like '%hush%') not valid";
    sqlx::query(check).execute(&sides.suitex).await?;
    let type_in = |comments: String| {
        let changes = json!({ "comments": comments });
        let id = customer.netsuite.clone();
        async move { sides.netsuite.edit(&Edit::update("customer", &id, changes)).await }
    };
    type_in(HUSH.to_owned()).await?;
    let queued = house.queued_record(0, "customer", Side::Netsuite, &customer.netsuite).await?;
    let mut found = shown(house, "customer", name, &queued, "23514", "suitex").await?;
    if !queued.reason.contains("no_hush") {
        found.push(format!("{name}: the row does not name the check: {}", queued.reason));
    }
    // The lock is on the field alone: another one goes on.
    house.good_event(&customer).await.context("another field")?;
    type_in("nothing to hide".to_owned()).await?;
    people::settle(house, &queued, "retry").await?;
    house.suitex_reads(&customer, "comments", "nothing to hide").await?;
    sqlx::query("alter table app.customers drop constraint no_hush").execute(&sides.suitex).await?;
    house.agree(0, "customer", &customer.suitex).await?;
    found.extend(free(house, name).await?);
    Ok(found)
}
