//! Invariants the database itself holds, whatever a program or a hand-run script asks for.

use super::refusals::intent;
use super::{change, hint, known, world};
use crate::PgRecords;

/// The SQLSTATE with which Postgres refuses a statement.
async fn refusal(records: &PgRecords, sql: &'static str) -> String {
    let error = sqlx::raw_sql(sql).execute(records.pool()).await.expect_err(sql);
    error.as_database_error().and_then(|error| error.code()).map(String::from).unwrap_or_default()
}

const UNIQUE: &str = "23505";
const CHECK: &str = "23514";

#[tokio::test]
async fn one_write_is_in_flight_per_side_and_stamps_are_given_once() {
    let (records, _db) = world().await;
    let record = known(&records, hint(1, "1")).await;
    change(&records, &[record], |view, patch| {
        patch.record.head.last_stamp = 1;
        let flying =
            model::record::Intent { status: model::record::IntentStatus::InFlight, ..intent(&view.record.key, 1) };
        patch.record.shadows.netsuite.inflight = Some(flying.write_id);
        patch.record.unresolved.push(flying);
    })
    .await
    .unwrap();
    let copy = "insert into sync.idempotency_keys (account_id, write_id, record_type, rid, side, kind, stamp, expect,
            changes, pre, version, status, deadline)
        select account_id, gen_random_uuid(), record_type, rid, side, kind, stamp + 1, 0, '{}', '{}', 0, status, deadline
        from sync.idempotency_keys";
    assert_eq!(refusal(&records, copy).await, UNIQUE);
    let same_stamp =
        "insert into sync.idempotency_keys (account_id, write_id, record_type, rid, side, kind, stamp, expect,
            changes, pre, version, status, deadline)
        select account_id, gen_random_uuid(), record_type, rid, side, kind, stamp, 0, '{}', '{}', 0, 'unknown', deadline
        from sync.idempotency_keys";
    assert_eq!(refusal(&records, same_stamp).await, UNIQUE);
    assert_eq!(refusal(&records, "update sync.idempotency_keys set status = 'lost'").await, CHECK);
}

#[tokio::test]
async fn identities_and_numbers_are_given_once() {
    let (records, _db) = world().await;
    known(&records, hint(1, "1")).await;
    let statements = [
        ("insert into sync.links (account_id, record_type, side, native_id, rid)
          select account_id, record_type, side, 'other', rid from sync.links", UNIQUE),
        ("insert into sync.event_log (account_id, event_id, record_type, rid, side, kind, seq, received_at)
          select account_id, gen_random_uuid(), record_type, rid, side, kind, seq, received_at from sync.event_log", UNIQUE),
        ("insert into sync.event_log (account_id, event_id, record_type, rid, kind, received_at)
          values ('A', gen_random_uuid(), 'customer', gen_random_uuid(), 'claim', now())", CHECK),
        ("insert into sync.versions (account_id, record_type, rid, version, delta, alive, event_id, decisions, created_at)
          values ('A', 'customer', gen_random_uuid(), 0, '{}', true, gen_random_uuid(), '{}', now())", CHECK),
        ("update sync.record_head set sx_dirty_seq = sx_hint_seq + 1", CHECK),
        ("update sync.record_head set lease_owner = 'me'", CHECK),
        ("update sync.record_head set version = -1", CHECK),
        ("update sync.record_head set merged_into = rid", CHECK),
    ];
    for (sql, code) in statements {
        assert_eq!(refusal(&records, sql).await, code, "{sql}");
    }
}

#[tokio::test]
async fn one_conflict_is_open_per_field() {
    let (records, _db) = world().await;
    known(&records, hint(1, "1")).await;
    let open = "insert into sync.conflicts
            (account_id, conflict_id, record_type, rid, field, reason, base_version, base, rev, our_event_id, status)
        select account_id, gen_random_uuid(), record_type, rid, 'memo', 'manual', 0, '{}', 1, gen_random_uuid(), 'open'
        from sync.record_head";
    sqlx::raw_sql(open).execute(records.pool()).await.unwrap();
    assert_eq!(refusal(&records, open).await, UNIQUE);
    assert_eq!(refusal(&records, "update sync.conflicts set status = 'resolved'").await, CHECK, "an end has a time");
    sqlx::raw_sql("update sync.conflicts set status = 'resolved', closed_at = now()")
        .execute(records.pool())
        .await
        .unwrap();
    sqlx::raw_sql(open).execute(records.pool()).await.unwrap();
}
