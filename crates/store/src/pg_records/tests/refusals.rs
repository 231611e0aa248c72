//! One bad record never stops a batch, and is never dropped in silence.

use model::record::{Disposition, Entry, LockReason, Release};
use model::{RecordRef, Side, Value};

use super::{at, change, count, due, hint, id, known, picked, view, world};
use crate::PgRecords;
use crate::records::{LogRow, Patch, Records, View};

/// Gives each record a new value; what happens to `bad` is told by `spoil`.
async fn store_with_one_bad(
    records: &PgRecords,
    these: &[RecordRef],
    bad: &RecordRef,
    spoil: impl Fn(&View, &mut Patch) + Send + Sync,
) {
    let given = change(records, these, |view, patch| {
        *patch.record.head.state = [("email".to_owned(), Value::text("new@b.example"))].into();
        patch.record.head.lease_token = 7;
        patch.settled = view.pending.iter().map(|hint| (hint.event_id, Disposition::NoopEcho)).collect();
        if view.record.key == *bad {
            spoil(view, patch);
        }
    })
    .await
    .unwrap();
    assert_eq!(given, these.len());
}

async fn assert_set_aside(records: &PgRecords, these: &[RecordRef], bad: &RecordRef) {
    for record in these {
        let seen = view(records, record).await;
        if record == bad {
            assert_eq!(seen.record.head.lease_token, 0, "nothing of the bad patch is stored");
            assert!(seen.record.head.state.is_empty());
            assert_eq!(seen.pending.len(), 1, "its hint still waits");
            assert!(seen.record.shadows.suitex.dirty());
            let [lock] = seen.record.locks.as_slice() else { panic!("one lock") };
            assert_eq!((lock.reason, lock.field.as_ref()), (LockReason::Error, None));
            assert!(
                !lock.note.is_empty() && !lock.note.contains("new@b.example"),
                "a reason, no values: {}",
                lock.note
            );
        } else {
            assert_eq!(seen.record.head.lease_token, 7);
            assert!(seen.record.locks.is_empty() && seen.pending.is_empty());
        }
    }
    assert!(!picked(records, &due(1_000)).await.contains(bad), "nobody works on it");
    let queued: (String, String, String, Option<uuid::Uuid>) =
        sqlx::query_as("select class, code, status, rid from sync.sync_error_queue")
            .fetch_one(records.pool())
            .await
            .unwrap();
    assert_eq!(queued, ("irrecoverable".into(), "store_refused".into(), "open".into(), Some(bad.rid.0)));
}

async fn three(records: &PgRecords) -> Vec<RecordRef> {
    let mut these = Vec::new();
    for n in 1..=3 {
        these.push(known(records, hint(n, &n.to_string())).await);
    }
    these.sort_unstable();
    these
}

#[tokio::test]
async fn a_value_no_text_can_hold_sets_one_record_aside() {
    let (records, _db) = world().await;
    let these = three(&records).await;
    store_with_one_bad(&records, &these, &these[1], |_, patch| {
        patch.record.head.state.insert("memo".to_owned(), Value::Text("a\0b".to_owned()));
    })
    .await;
    assert_set_aside(&records, &these, &these[1]).await;
}

#[tokio::test]
async fn a_violated_constraint_sets_one_record_aside() {
    let (records, _db) = world().await;
    let these = three(&records).await;
    store_with_one_bad(&records, &these, &these[2], |_, patch| {
        let release = Release { write_id: id(9), side: Side::Suitex, outcome: model::record::IntentStatus::Rejected };
        for n in [50, 51] {
            let entry = Entry::Release(release.clone());
            patch.log.push(LogRow { event_id: id(n), record_seq: 1, entry, at: at(1), rules: None });
        }
    })
    .await;
    assert_set_aside(&records, &these, &these[2]).await;
}

#[tokio::test]
async fn a_version_that_moves_back_sets_the_record_aside() {
    let (records, _db) = world().await;
    let these = three(&records).await;
    change(&records, &these[..1], |_, patch| patch.record.head.last_stamp = 9).await.unwrap();
    store_with_one_bad(&records, &these, &these[0], |_, patch| patch.record.head.last_stamp = 8).await;
    assert_set_aside(&records, &these, &these[0]).await;
}

#[tokio::test]
async fn a_write_that_vanishes_from_the_unresolved_ones_sets_the_record_aside() {
    let (records, _db) = world().await;
    let these = three(&records).await;
    change(&records, &these[..1], |view, patch| {
        patch.record.head.last_stamp = 1;
        patch.record.unresolved.push(intent(&view.record.key, 1));
    })
    .await
    .unwrap();
    store_with_one_bad(&records, &these, &these[0], |_, patch| patch.record.unresolved.clear()).await;
    assert_set_aside(&records, &these, &these[0]).await;
    assert_eq!(view(&records, &these[0]).await.record.unresolved.len(), 1);
}

pub(super) fn intent(key: &RecordRef, stamp: u64) -> model::record::Intent {
    model::record::Intent {
        write_id: model::write_id(key, Side::Netsuite, stamp),
        side: Side::Netsuite,
        kind: model::WriteKind::Update,
        stamp,
        expect: 0,
        changes: model::Fields::new(),
        pre: model::Fields::new(),
        version: 0,
        status: model::record::IntentStatus::Unknown,
        deadline: at(50),
        native_id: None,
        generation: 0,
        occurred_at: None,
    }
}

#[tokio::test]
async fn a_hint_is_settled_once() {
    let (records, _db) = world().await;
    let these = three(&records).await;
    change(&records, &these[..1], |_, patch| patch.settled.push((id(77), Disposition::Superseded))).await.unwrap();
    store_with_one_bad(&records, &these, &these[0], |_, patch| {
        patch.settled.push((id(77), Disposition::Applied(1)));
    })
    .await;
    assert_set_aside(&records, &these, &these[0]).await;
    let kept: String = sqlx::query_scalar("select disposition from sync.event_outcome where event_id = $1")
        .bind(id(77))
        .fetch_one(records.pool())
        .await
        .unwrap();
    assert_eq!(kept, "superseded");
}

#[tokio::test]
async fn the_same_refusal_again_leaves_one_lock_and_one_error() {
    let (records, _db) = world().await;
    let record = known(&records, hint(1, "1")).await;
    for _ in 0..2 {
        change(&records, std::slice::from_ref(&record), |_, patch| {
            patch.record.locks.clear();
            patch.record.head.natural_key = Some("\0".to_owned());
        })
        .await
        .unwrap();
    }
    assert_eq!(count(records.pool(), "select count(*) from sync.sync_error_queue").await, 1);
    assert_eq!(count(records.pool(), "select count(*) from sync.record_lock where released_at is null").await, 1);
}

#[tokio::test]
async fn an_outage_is_no_refusal() {
    let (records, _db) = world().await;
    let record = known(&records, hint(1, "1")).await;
    sqlx::raw_sql("alter table sync.versions rename to versions_away").execute(records.pool()).await.unwrap();
    let stored = change(&records, std::slice::from_ref(&record), |_, patch| {
        patch.record.head.version = 1;
        patch.versions.push(model::record::Version {
            version: 1,
            delta: model::Fields::new(),
            full: None,
            alive: true,
            event_id: id(40),
            decisions: std::collections::BTreeMap::new(),
            created_at: at(1),
        });
    })
    .await;
    assert!(stored.is_err_and(|error| !error.is_about_content()));
    let seen = view(&records, &record).await.record;
    assert_eq!((seen.head.version, seen.locks.len()), (0, 0), "nothing is stored, nobody is blamed");
}

/// At rest on SuiteX's version 1, with its only hint settled.
async fn at_rest(records: &PgRecords) -> RecordRef {
    let record = known(records, hint(1, "1")).await;
    change(records, std::slice::from_ref(&record), |view, patch| {
        let head = &mut patch.record.head;
        (head.version, head.record_seq, head.alive) = (1, 1, true);
        patch.versions.push(version(1, id(500), model::Fields::new()));
        patch.log.push(LogRow {
            event_id: id(500),
            record_seq: 1,
            entry: Entry::Release(release()),
            at: at(0),
            rules: None,
        });
        let shadow = &mut patch.record.shadows.suitex;
        *shadow = model::record::Shadow { hint_seq: 1, native_id: shadow.native_id.clone(), ..Default::default() };
        shadow.exists = model::record::Existence::Yes;
        patch.settled = view.pending.iter().map(|hint| (hint.event_id, Disposition::NoopEcho)).collect();
    })
    .await
    .unwrap();
    record
}

fn release() -> Release {
    Release { write_id: id(9), side: Side::Suitex, outcome: model::record::IntentStatus::Rejected }
}

fn version(number: u64, event_id: uuid::Uuid, delta: model::Fields) -> model::record::Version {
    let decisions = std::collections::BTreeMap::new();
    model::record::Version { version: number, delta, full: None, alive: true, event_id, decisions, created_at: at(0) }
}

/// Folds the one hint of a view as its own entry.
fn fold(view: &View) -> Patch {
    let mut patch = Patch::of(view.record.clone());
    let hint = &view.pending[0];
    let record = &mut patch.record;
    (record.head.version, record.head.record_seq) = (record.head.version + 1, record.head.record_seq + 1);
    record.head.state.extend(hint.changes.clone());
    record.shadows.suitex.dirty_seq = 0;
    record.shadows.suitex.urgent = false;
    patch.versions.push(version(record.head.version, hint.event_id, hint.changes.clone()));
    let entry = Entry::Observation(hint.observation());
    let record_seq = record.head.record_seq;
    patch.log.push(LogRow { event_id: hint.event_id, record_seq, entry, at: hint.received_at, rules: None });
    patch.settled.push((hint.event_id, Disposition::Applied(record.head.version)));
    patch
}

#[tokio::test]
async fn a_hint_folded_as_it_comes_is_one_row() {
    let (records, _db) = world().await;
    let record = at_rest(&records).await;
    let told = crate::records::Hint { urgent: false, ..hint(2, "1") };
    let mut plan = |views: &[View]| views.iter().map(fold).collect();
    records.take_in(&[&told], at(5), &model::record::Windows::default(), &mut plan).await.unwrap();
    let log = "select count(*) from sync.event_log where rid is not null";
    assert_eq!(count(records.pool(), log).await, 3, "two hints and the entry of the first");
    assert_eq!(count(records.pool(), "select count(*) from sync.event_outcome").await, 1);
    let told: (String, Option<i64>, bool) = sqlx::query_as(
        "select disposition, applied_version, processed from sync.events where event_id = $1 and kind = 'hint'",
    )
    .bind(id(2))
    .fetch_one(records.pool())
    .await
    .unwrap();
    assert_eq!(told, ("applied".to_owned(), Some(2), true));
    let delta = "select count(*) from sync.versions where version = 2 and delta is null";
    assert_eq!(count(records.pool(), delta).await, 1, "the hint's row has the values");
    let versions = crate::listing::versions_up_to(records.pool(), &record, 2).await.unwrap();
    assert_eq!(versions.last().unwrap()["delta"], serde_json::json!({ "email": "a@b.example" }));
    let seen = view(&records, &record).await;
    assert_eq!((seen.record.head.version, seen.record.shadows.suitex.hint_seq), (2, 2));
    assert!(seen.pending.is_empty() && !seen.record.shadows.suitex.dirty());
}

#[tokio::test]
async fn what_cannot_be_stored_is_not_folded_as_it_comes() {
    let (records, _db) = world().await;
    let record = at_rest(&records).await;
    let mut plans = Vec::new();
    let mut plan = |views: &[View]| {
        plans.push(views.len());
        let spoiled = |view: &View| {
            let mut patch = fold(view);
            patch.record.head.state.insert("memo".to_owned(), Value::Text("a\0b".to_owned()));
            patch
        };
        views.iter().map(spoiled).collect()
    };
    let windows = model::record::Windows::default();
    let answers = records.take_in(&[&hint(2, "1")], at(5), &windows, &mut plan).await.unwrap();
    assert_eq!(answers, [crate::records::Intake::Stored(record.clone())]);
    assert_eq!(plans, [1, 0], "the attempt that was stored folded nothing");
    let seen = view(&records, &record).await;
    assert_eq!((seen.record.head.version, seen.pending.len()), (1, 1));
    assert!(seen.record.shadows.suitex.dirty() && !seen.record.locked(), "the merge step will find it");
    assert_eq!(count(records.pool(), "select count(*) from sync.sync_error_queue").await, 0);
}
