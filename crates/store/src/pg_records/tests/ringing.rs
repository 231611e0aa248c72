//! Who is woken, who waits, who is passed over.

use std::time::Duration;

use model::Side;
use sqlx::postgres::PgListener;

use super::{at, change, count, due, hint, known, picked, view, world};
use crate::records::{Outgoing, Pick, Records};
use crate::{PgRecords, WORK_CHANNEL, outbox};

async fn listen(records: &PgRecords) -> PgListener {
    let mut listener = PgListener::connect_with(records.pool()).await.unwrap();
    listener.listen_all([WORK_CHANNEL, outbox::CHANNEL]).await.unwrap();
    listener
}

/// What rang since the last call: a marker of our own tells that nothing else came before it.
async fn heard(records: &PgRecords, listener: &mut PgListener) -> Vec<(String, String)> {
    sqlx::query("select pg_notify($1, 'marker')").bind(WORK_CHANNEL).execute(records.pool()).await.unwrap();
    let mut heard = Vec::new();
    loop {
        let rung = listener.recv().await.unwrap();
        if rung.payload() == "marker" {
            return heard;
        }
        heard.push((rung.channel().to_owned(), rung.payload().to_owned()));
    }
}

fn work(payload: &str) -> (String, String) {
    (WORK_CHANNEL.to_owned(), payload.to_owned())
}

#[tokio::test]
async fn work_that_is_left_rings_once_and_says_for_whom() {
    let (records, _db) = world().await;
    let mut listener = listen(&records).await;
    let windows = model::record::Windows::default();
    records.intake(&[hint(1, "1"), hint(2, "2"), hint(3, "1")], at(0), &windows).await.unwrap();
    let ready = records.next_due(&[super::account()], None).await.unwrap().expect("a hint falls due");
    assert_eq!(heard(&records, &mut listener).await, [work(&format!("merge={}", ready.as_millisecond()))]);
    records.intake(&[hint(1, "1")], at(0), &windows).await.unwrap();
    assert!(heard(&records, &mut listener).await.is_empty(), "a known event leaves no work");
    let record = known(&records, hint(4, "1")).await;
    heard(&records, &mut listener).await;
    change(&records, std::slice::from_ref(&record), |_, patch| {
        patch.record.head.lease_token = 1;
        patch.record.head.lease = Some(model::record::Lease { owner: "me".to_owned(), until: at(30) });
    })
    .await
    .unwrap();
    assert!(heard(&records, &mut listener).await.is_empty(), "a leased record is somebody's already");
    change(&records, std::slice::from_ref(&record), |_, patch| {
        patch.record.head.lease = None;
        patch.record.shadows.suitex.dirty_seq = 0;
        for side in Side::BOTH {
            patch.record.shadows[side].owed = true;
            patch.record.shadows[side].retry_at = Some(at(5));
        }
        for n in 0..2 {
            patch.outbox.push(Outgoing {
                topic: "events.merged",
                record_key: "A|customer|1".to_owned(),
                payload: bytes::Bytes::from(vec![n]),
                attributes: model::Shared::default(),
            });
        }
    })
    .await
    .unwrap();
    let rung = heard(&records, &mut listener).await;
    assert_eq!(
        rung,
        [
            work(&format!("suitex={0} netsuite={0}", at(5).as_millisecond())),
            (outbox::CHANNEL.to_owned(), String::new())
        ]
    );
    let payloads: Vec<Vec<u8>> =
        sqlx::query_scalar("select payload from sync.outbox order by id").fetch_all(records.pool()).await.unwrap();
    assert_eq!(payloads, [[0], [1]], "in the order of the patch");
}

#[tokio::test]
async fn a_locked_head_is_passed_over_by_sweeps_and_waited_for_by_name() {
    let (records, _db) = world().await;
    let (held, free) = (known(&records, hint(1, "1")).await, known(&records, hint(2, "2")).await);
    let mut holder = records.pool().begin().await.unwrap();
    sqlx::query("select from sync.record_head where rid = $1 for update")
        .bind(held.rid.0)
        .execute(&mut *holder)
        .await
        .unwrap();
    assert_eq!(picked(&records, &due(100)).await, [free]);
    let by_name = Pick::These(vec![held.clone()]);
    let mut waiting = Box::pin(picked(&records, &by_name));
    tokio::select! {
        _ = &mut waiting => panic!("the lock is held by another"),
        () = blocked(&records) => {}
    }
    holder.commit().await.unwrap();
    assert_eq!(waiting.await, [held]);
}

/// Returns when somebody waits for a lock.
async fn blocked(records: &PgRecords) {
    let waiting =
        "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    while count(records.pool(), waiting).await == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_transaction_that_is_dropped_leaves_nothing_behind() {
    let (records, _db) = world().await;
    let (first, second) = (known(&records, hint(1, "1")).await, known(&records, hint(2, "2")).await);
    let mut holder = records.pool().begin().await.unwrap();
    sqlx::query("select from sync.record_head where rid = $1 for update")
        .bind(second.rid.0)
        .execute(&mut *holder)
        .await
        .unwrap();
    let both = [first.clone(), second];
    let mut step = Box::pin(change(&records, &both, |_, patch| patch.record.head.lease_token = 5));
    tokio::select! {
        _ = &mut step => panic!("the lock is held by another"),
        () = blocked(&records) => drop(step),
    }
    holder.commit().await.unwrap();
    assert_eq!(view(&records, &first).await.record.head.lease_token, 0);
    change(&records, &both, |_, patch| patch.record.head.lease_token = 6).await.unwrap();
    assert_eq!(view(&records, &first).await.record.head.lease_token, 6, "no lock is left either");
}

#[tokio::test]
async fn nothing_is_scanned_however_small_the_tables_were_when_the_plan_was_made() {
    let db = pgtest::database().await;
    let records = PgRecords::new(crate::connect(&db.url, 1, "store-tests").await.unwrap());
    let windows = model::record::Windows::default();
    for round in 0..8_u128 {
        let hints: Vec<_> = (1..=50).map(|n| hint(round * 1_000 + n, &format!("{}", n + round % 4 * 50))).collect();
        records.intake(&hints, at(0), &windows).await.unwrap();
        let mut plan = |views: &[crate::records::View]| {
            let settle = |view: &crate::records::View| {
                let mut patch = crate::records::Patch::of(view.record.clone());
                patch.record.shadows.suitex.dirty_seq = 0;
                patch.record.head.state =
                    view.pending.last().map(|hint| hint.changes.clone()).unwrap_or_default().into();
                let noop = model::record::Disposition::NoopEcho;
                patch.settled = view.pending.iter().map(|hint| (hint.event_id, noop)).collect();
                patch
            };
            views.iter().map(settle).collect()
        };
        assert_eq!(records.transact(&due(100), true, &mut plan).await.unwrap(), 50);
        records.next_due(&[super::account()], None).await.unwrap();
        records.next_due(&[super::account()], Some(Side::Netsuite)).await.unwrap();
    }
    sqlx::query("select pg_stat_force_next_flush()").execute(records.pool()).await.unwrap();
    let scans: Vec<(String, i64)> = sqlx::query_as(
        "select relname, seq_scan from pg_stat_user_tables
         where schemaname = 'sync' and seq_scan > 0 and relname in
            ('record_head', 'record_body', 'links', 'event_log', 'event_outcome', 'versions', 'outbox')",
    )
    .fetch_all(records.pool())
    .await
    .unwrap();
    assert_eq!(scans, []);
    // An index read from end to end is a scan as well: no lookup may touch more rows than there are keys.
    let touched: i64 = count(
        records.pool(),
        "select coalesce(max(idx_tup_read / greatest(idx_scan, 1)), 0)::bigint from pg_stat_user_indexes
         where schemaname = 'sync' and indexrelname in
            ('record_head_pkey', 'record_body_pkey', 'links_pkey', 'event_outcome_pkey')",
    )
    .await;
    assert!(touched <= 3, "{touched} rows a lookup");
}
