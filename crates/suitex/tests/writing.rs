//! What is written is guarded, lands once, and leaves its mark.
#![allow(clippy::unwrap_used, reason = "tests")]

#[allow(dead_code)]
mod support;

use model::{Remote, Value, WriteKind, WriteOutcome, WriteRequest};
use support::{fields, landed, native, outbox_count, rid, tenant, text, update, want, with_customer, write};

#[tokio::test]
async fn an_update_lands_once_under_its_guard_and_leaves_its_mark() {
    let tenant = with_customer().await;
    let changes = fields([
        ("phone", text("555")),
        ("creditlimit", text("12.30")),
        ("custentity_tags", Value::Set(["t".to_owned()].into())),
        ("email", Value::Null),
        ("isinactive", Value::Bool(true)),
        ("custentity_loyalty_points", Value::Int(-3)),
        ("datecreated", text("2020-02-29")),
    ]);
    let request = WriteRequest { changes: changes.clone(), ..update(1, 1) };
    let first = landed(tenant.write("customer", &request).await);
    assert_eq!((first.id, first.token), (native(1), Some(2)));
    for (name, value) in &changes {
        assert_eq!(&first.observed.fields[name], value, "{name}");
    }
    assert_eq!(first.observed.fields["companyname"], text("Acme"));
    assert_eq!(first.observed.landed, [request.write_id]);
    let marked: i64 = tenant.one("select count(*) from concord.outbox_events where write_id is not null").await;
    assert_eq!(marked, 1);

    // The same request again, as after a lost answer: it landed, nothing more happens.
    tenant.sql("update app.customers set phone = '556'").await;
    let count = outbox_count(&tenant).await;
    let second = landed(tenant.write("customer", &request).await);
    assert_eq!(second.token, Some(3));
    assert_eq!(second.observed.fields["phone"], text("556"));
    assert_eq!(outbox_count(&tenant).await, count);
    let read = tenant.read("customer", &want(1, Some(native(1)), vec![request.write_id, rid(9).0])).await;
    assert_eq!(read.landed, [request.write_id]);
}

#[tokio::test]
async fn the_guard_tells_stale_from_gone_and_leaves_no_trace() {
    let tenant = with_customer().await;
    let phone = fields([("phone", text("555"))]);
    tenant.sql("update app.customers set email = 'user@b.example'").await;
    let count = outbox_count(&tenant).await;
    for token in [Some(1), Some(3), None] {
        let request = WriteRequest { token, changes: phone.clone(), ..update(1, 1) };
        assert_eq!(tenant.write("customer", &request).await, WriteOutcome::Stale, "{token:?}");
        let delete = WriteRequest { kind: WriteKind::Delete, ..request };
        assert_eq!(tenant.write("customer", &delete).await, WriteOutcome::Stale, "{token:?}");
    }
    for id in ["7", "abc"] {
        let request = WriteRequest { native_id: Some(native(id)), changes: phone.clone(), ..update(1, 1) };
        assert_eq!(tenant.write("customer", &request).await, WriteOutcome::Gone, "{id}");
        let delete = WriteRequest { kind: WriteKind::Delete, ..request };
        assert_eq!(tenant.write("customer", &delete).await, WriteOutcome::Gone, "{id}");
    }
    assert_eq!(tenant.one::<i64>("select count(*) from concord.sync_inbox").await, 0);
    assert_eq!(outbox_count(&tenant).await, count);
    let landed = landed(tenant.write("customer", &WriteRequest { changes: phone, ..update(1, 2) }).await);
    assert_eq!(landed.observed.fields["email"], text("user@b.example"));
}

#[tokio::test]
async fn many_writes_keep_their_order_of_answers() {
    let tenant = tenant().await;
    tenant.sql("insert into app.items (item_id) select g::text from generate_series(1, 40) g").await;
    let writes: Vec<_> = (1..=40_u128)
        .map(|n| WriteRequest {
            native_id: Some(native(n)),
            token: Some(if n % 5 == 0 { 9 } else { 1 }),
            changes: fields([("description", text(&n.to_string()))]),
            ..write(n, WriteKind::Update)
        })
        .collect();
    let outcomes = tenant.remote.write(&tenant.account, tenant.spec("item"), &writes).await;
    assert_eq!(outcomes.len(), 40);
    for (n, outcome) in (1..=40_u128).zip(outcomes) {
        if n % 5 == 0 {
            assert_eq!(outcome, WriteOutcome::Stale, "{n}");
        } else {
            assert_eq!(landed(outcome).id, native(n));
        }
    }
}
