//! What is read is one snapshot in canonical form.
#![allow(clippy::unwrap_used, reason = "tests")]

#[allow(dead_code)]
mod support;

use std::time::Duration;

use model::{Remote, RemoteError, Value, WriteKind, WriteOutcome, WriteRequest};
use support::{fields, landed, lines, native, rid, tenant, text, update, want, with_customer, with_order, write};

#[tokio::test]
async fn a_row_is_read_in_canonical_form() {
    let tenant = tenant().await;
    tenant
        .sql(
            "insert into app.customers (company_name, email, credit_limit, comments, tags, loyalty_points, is_inactive, created_on)
             values (E'Caf\\u0065\\u0301  ', '', 1000, E'a\\r\\nb', '{b,a,b}', 7, true, '2026-02-03')",
        )
        .await;
    let read = tenant.read("customer", &want(1, Some(native(1)), vec![])).await;
    assert!(read.exists);
    assert_eq!((read.native_id, read.token, read.external_rid, read.landed), (Some(native(1)), Some(1), None, vec![]));
    assert!(read.age.unwrap() < Duration::from_secs(60));
    assert!(read.clock.is_some());
    let expected = fields([
        ("companyname", text("Caf\u{e9}")),
        ("email", Value::Null),
        ("phone", Value::Null),
        ("creditlimit", text("1000.00")),
        ("comments", text("a\nb")),
        ("custentity_tags", Value::Set(["a", "b"].map(str::to_owned).into())),
        ("custentity_loyalty_points", Value::Int(7)),
        ("isinactive", Value::Bool(true)),
        ("terms", Value::Null),
        ("currency", Value::Null),
        ("datecreated", text("2026-02-03")),
    ]);
    assert_eq!(read.fields, expected);
}

#[tokio::test]
async fn lines_and_references_are_the_tenants_own_ids() {
    let tenant = with_order().await;
    tenant.sql("insert into app.sales_orders (memo) values ('empty')").await;
    let wants = [want(1, Some(native(1)), vec![]), want(2, Some(native(2)), vec![])];
    let read = tenant.remote.read(&tenant.account, tenant.spec("salesorder"), &wants).await;
    let first = read[0].as_ref().unwrap();
    assert_eq!(first.fields["entity"], text("1"));
    let line =
        |quantity: &str| Some(fields([("item", text("1")), ("quantity", text(quantity)), ("rate", text("9.50"))]));
    assert_eq!(first.fields["lines"], lines([("1", line("1.0000")), ("2", line("2.0000")), ("3", line("3.0000"))]));
    assert_eq!(first.token, Some(2));
    assert_eq!(read[1].as_ref().unwrap().fields["lines"], Value::Null);
}

#[tokio::test]
async fn one_odd_or_absent_record_does_not_spoil_the_batch() {
    let tenant = with_customer().await;
    tenant.sql("insert into app.customers (company_name, created_on) values ('bad', 'infinity')").await;
    let wants: Vec<_> = ["7", "abc", "01", "1", "2"].map(|id| want(1, Some(native(id)), vec![])).into();
    let read = tenant.remote.read(&tenant.account, tenant.spec("customer"), &wants).await;
    for absent in &read[..3] {
        let absent = absent.as_ref().unwrap();
        assert!(!absent.exists && absent.fields.is_empty() && absent.clock.is_some(), "{absent:?}");
    }
    assert!(read[3].as_ref().unwrap().exists);
    // A value that cannot be represented is unknown, not empty; the rest of its record is read.
    let odd = read[4].as_ref().unwrap();
    assert_eq!((odd.exists, odd.fields.get("companyname")), (true, Some(&text("bad"))));
    assert!(!odd.fields.contains_key("datecreated"), "{odd:?}");
}

#[tokio::test]
async fn a_line_that_cannot_be_represented_makes_the_whole_sublist_unknown() {
    let tenant = with_order().await;
    tenant.sql("update app.sales_order_lines set rate = 'NaN' where id = 2").await;
    let read = tenant.read("salesorder", &want(1, Some(native(1)), vec![])).await;
    assert_eq!(read.fields["entity"], text("1"));
    assert!(!read.fields.contains_key("lines"), "{read:?}");
}

#[tokio::test]
async fn an_unreachable_or_unknown_tenant_is_not_a_deletion() {
    let tenant = with_customer().await;
    tenant.remote.validate(&tenant.account, &tenant.world).await.unwrap();
    tenant.pool.close().await;
    let spec = tenant.spec("customer");
    let read = tenant.remote.read(&tenant.account, spec, &[want(1, Some(native(1)), vec![])]).await;
    assert!(matches!(read[0], Err(RemoteError::Unavailable { .. })), "{read:?}");
    let written = tenant.remote.write(&tenant.account, spec, &[update(1, 1)]).await;
    assert_eq!(written, [WriteOutcome::NotSent]);
    let stranger = model::AccountId::parse("NOBODY").unwrap();
    let read = tenant.remote.read(&stranger, spec, &[want(1, Some(native(1)), vec![])]).await;
    assert!(matches!(read[0], Err(RemoteError::Forbidden { .. })), "{read:?}");
    let written = tenant.remote.write(&stranger, spec, &[update(1, 1)]).await;
    assert!(matches!(written[0], WriteOutcome::Refused { .. }));
}

#[tokio::test]
async fn a_create_is_found_again_by_rid_and_generation_and_never_repeated() {
    let tenant = tenant().await;
    let request = WriteRequest {
        changes: fields([("companyname", text("New")), ("email", Value::Null)]),
        ..write(1, WriteKind::Create)
    };
    let absent = tenant.read("customer", &want(1, None, vec![request.write_id])).await;
    assert!(!absent.exists && absent.landed.is_empty() && absent.native_id.is_none());
    let first = landed(tenant.write("customer", &request).await);
    assert_eq!(first.token, Some(1));
    assert_eq!(first.observed.external_rid, Some(rid(1)));
    // What the application filled in is seen at once.
    assert_eq!(first.observed.fields["custentity_loyalty_points"], Value::Int(0));
    assert!(first.observed.fields["datecreated"].as_text().is_some());

    let again = landed(tenant.write("customer", &request).await);
    assert_eq!(again.id, first.id);
    let other = WriteRequest { write_id: rid(77).0, ..request.clone() };
    assert_eq!(tenant.write("customer", &other).await, WriteOutcome::Duplicate);
    assert_eq!(tenant.one::<i64>("select count(*) from app.customers").await, 1);

    let found = tenant.read("customer", &want(1, None, vec![request.write_id])).await;
    assert_eq!((found.native_id, found.external_rid), (Some(first.id.clone()), Some(rid(1))));
    assert_eq!(found.landed, [request.write_id]);
    let by_id = tenant.read("customer", &want(9, Some(first.id.clone()), vec![])).await;
    assert_eq!(by_id.external_rid, Some(rid(1)));

    // A later generation is another row of the same rid.
    let next = WriteRequest { write_id: rid(78).0, generation: 2, ..request };
    assert_ne!(landed(tenant.write("customer", &next).await).id, first.id);
    let deleted = native(&first.id);
    tenant.sql("delete from app.customers where id = 1").await;
    let gone = tenant.read("customer", &want(1, None, vec![])).await;
    assert_eq!((gone.exists, gone.native_id), (false, Some(deleted)));
}

#[tokio::test]
async fn ids_are_listed_page_by_page_in_numeric_order() {
    let tenant = tenant().await;
    tenant.sql("insert into app.items (item_id) select 'x' from generate_series(1, 25) g; delete from app.items where id = 7").await;
    let spec = tenant.spec("item");
    let mut all = Vec::new();
    let mut after = None;
    loop {
        let page = tenant.remote.list(&tenant.account, spec, after.as_ref(), 10).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.clone());
        all.extend(page);
    }
    let expected: Vec<_> = (1..=25).filter(|n| *n != 7).map(native).collect();
    assert_eq!(all, expected);
}
