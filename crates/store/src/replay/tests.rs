use std::sync::Arc;

use model::record::{Disposition, Entry};

use super::*;
use crate::conformance::given::{account, change, fields, hint, id, known, observe};
use crate::records::Records;
use crate::{PgRecords, conformance};

/// Two records of three entries each.
async fn world() -> (PgPool, pgtest::TestDb, [RecordRef; 2]) {
    let db = pgtest::database().await;
    let pool = db.pool(4).await;
    let records: Arc<dyn Records> = Arc::new(PgRecords::new(pool.clone()));
    let mut made = Vec::new();
    for n in [1_u128, 2] {
        let record = known(&records, hint(n, &format!("n{n}")), 0).await;
        for seq in 1..=3_u128 {
            change(&records, &record, |_, patch| {
                observe(patch, 100 * n + seq, model::Side::Netsuite, fields(&[("email", "a@b.example")]), 1);
                if seq == 1 {
                    patch.settled.push((id(n), Disposition::Applied(1)));
                }
            })
            .await;
        }
        made.push(record);
    }
    made.sort_unstable();
    (pool, db, [made[0].clone(), made[1].clone()])
}

#[tokio::test]
async fn pages_follow_one_another_record_by_record_without_hints_or_holes() {
    let (pool, _db, [one, two]) = world().await;
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page = page(&pool, &account("A"), &Which::All, after, 2).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some((last.record.rid, last.row.record_seq));
        seen.extend(page.into_iter().map(|logged| (logged.record, logged.row.record_seq)));
    }
    let expected: Vec<_> = [&one, &two].into_iter().flat_map(|r| (1..=3).map(move |seq| (r.clone(), seq))).collect();
    assert_eq!(seen, expected);
    let other = RecordType::parse("item").unwrap();
    assert!(page(&pool, &account("A"), &Which::Type(&other), None, 9).await.unwrap().is_empty());
    assert!(page(&pool, &account("B"), &Which::All, None, 9).await.unwrap().is_empty());
    let of_two = page(&pool, &account("A"), &Which::Records(&[two.rid]), None, 9).await.unwrap();
    assert_eq!(of_two.len(), 3);
    assert!(matches!(of_two[0].row.entry, Entry::Observation(_)));
    assert_eq!(accounts(&pool).await.unwrap(), [account("A")]);
}

#[tokio::test]
async fn a_record_whose_log_is_lost_is_found() {
    let (pool, _db, [one, two]) = world().await;
    assert!(without_log(&pool, &account("A"), None, None, 9).await.unwrap().is_empty());
    sqlx::query("delete from sync.event_log where rid = $1").bind(two.rid.0).execute(&pool).await.unwrap();
    assert_eq!(without_log(&pool, &account("A"), None, None, 9).await.unwrap(), std::slice::from_ref(&two));
    assert!(without_log(&pool, &account("A"), None, Some(&two), 9).await.unwrap().is_empty());
    assert_ne!(one, two);
}

#[tokio::test]
async fn a_snapshot_sees_one_instant_and_postgres_refuses_to_write_in_it() {
    let (pool, _db, [one, two]) = world().await;
    let mut snapshot = Snapshot::take(&pool).await.unwrap();
    let (from, to) = (conformance::given::at(0), conformance::given::at(10));
    let touched = snapshot.touched(&account("A"), from, to, 9).await.unwrap();
    assert_eq!(touched, [(one, 3), (two.clone(), 3)]);
    assert!(snapshot.touched(&account("A"), to, to, 9).await.unwrap().is_empty());
    assert!(snapshot.knows(&account("A")).await.unwrap());
    assert!(!snapshot.knows(&account("B")).await.unwrap());
    sqlx::query("delete from sync.event_log").execute(&pool).await.unwrap();
    let still = page(snapshot.connection(), &account("A"), &Which::Records(&[two.rid]), None, 9).await.unwrap();
    assert_eq!(still.len(), 3);
    let refused = sqlx::query("delete from sync.record_head").execute(snapshot.connection()).await.unwrap_err();
    let code = refused.as_database_error().and_then(|error| error.code().map(std::borrow::Cow::into_owned));
    assert_eq!(code.as_deref(), Some("25006"), "read_only_sql_transaction");
}

#[tokio::test]
async fn a_rebuild_keeps_what_it_found_and_which_records_were_swapped() {
    let (pool, _db, [one, two]) = world().await;
    let now = conformance::given::at(5);
    let run_id = id(900);
    begin(&pool, run_id, Some(&account("A")), None, now).await.unwrap();
    assert_eq!(run(&pool, run_id).await.unwrap().unwrap().finished_at, None);
    let kept = |record: &RecordRef, differs: &[&str]| Kept {
        record: record.clone(),
        record_seq: 3,
        differs: differs.iter().map(|part| (*part).to_owned()).collect(),
        folded: "{\"version\":3}".to_owned(),
    };
    let batch = [kept(&one, &[]), kept(&two, &["state", "suitex.token"])];
    keep(&pool, run_id, &batch).await.unwrap();
    assert_eq!(differing(&pool, run_id, None, 9).await.unwrap(), batch[1..]);
    let told = Run {
        run_id,
        account: Some("A".to_owned()),
        record_type: None,
        finished_at: Some(now),
        events: 6,
        records: 2,
        differing: 1,
    };
    finish(&pool, &told, now).await.unwrap();
    assert_eq!(run(&pool, run_id).await.unwrap(), Some(told));
    swapped(&pool, run_id, &two.account, two.rid, now).await.unwrap();
    assert!(differing(&pool, run_id, None, 9).await.unwrap().is_empty());
    assert_eq!(run(&pool, id(901)).await.unwrap(), None);
}
