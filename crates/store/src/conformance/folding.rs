//! Hints folded by the transaction that stores them (semantics §2.4).

use std::sync::Arc;

use model::record::{Disposition, Entry, Existence, Lease, Lock, LockReason};
use model::{Fields, Operation, RecordRef, Side, Source};

use super::given::{
    WINDOWS, answer, append_version, at, change, claim, due_merge, fields, hint, id, known, observe, picked, view,
};
use crate::records::{Hint, Intake, LogRow, Patch, Records, View};

/// SuiteX's change number `version` as event `n`.
fn delta(n: u128, version: i64, email: &str) -> Hint {
    Hint {
        side: Side::Suitex,
        source: Source::Suitex,
        remote_version: Some(version),
        changes: fields(&[("email", email)]),
        full_snapshot_ref: None,
        ..hint(n, "s1")
    }
}

/// A record that exists on SuiteX, at its version 1, with nothing left to do.
async fn at_rest(records: &Arc<dyn Records>) -> RecordRef {
    let record = known(records, delta(1, 1, "a@b.example"), 0).await;
    change(records, &record, |view, patch| {
        observe(patch, 100, Side::Suitex, fields(&[("email", "a@b.example")]), 0);
        patch.settled = view.pending.iter().map(|hint| (hint.event_id, Disposition::Applied(1))).collect();
        answer(&mut patch.record, Side::Suitex);
    })
    .await;
    record
}

/// Folds the hints of a view, each a version: as the entry it is, or (`other`) as an entry of another id.
fn fold(view: &View, other: Option<u128>) -> Patch {
    let mut patch = Patch::of(view.record.clone());
    for hint in &view.pending {
        let record = &mut patch.record;
        (record.head.version, record.head.record_seq) = (record.head.version + 1, record.head.record_seq + 1);
        record.head.state.extend(hint.changes.clone());
        record.shadows.suitex.state.clone_from(&record.head.state);
        record.shadows.suitex.token = hint.remote_version;
        let event_id = other.map_or(hint.event_id, id);
        let entry = Entry::Observation(hint.observation());
        patch.log.push(LogRow {
            event_id,
            record_seq: record.head.record_seq,
            entry,
            at: hint.received_at,
            rules: Some(model::RulesId(2)),
        });
        append_version(&mut patch, hint.changes.clone(), event_id, hint.received_at);
        patch.settled.push((hint.event_id, Disposition::Applied(patch.record.head.version)));
    }
    answer(&mut patch.record, Side::Suitex);
    patch
}

/// Takes hints in and folds what is given; answers the answers and what was given.
async fn take_in(
    records: &Arc<dyn Records>,
    hints: &[Hint],
    second: i64,
    other: Option<u128>,
) -> (Vec<Intake>, Vec<View>) {
    let mut given = Vec::new();
    let mut plan = |views: &[View]| {
        given = views.to_vec();
        views.iter().map(|view| fold(view, other)).collect()
    };
    let answers = records
        .take_in(&hints.iter().collect::<Vec<_>>(), at(second), &WINDOWS, &mut plan)
        .await
        .expect("hints are stored");
    (answers, given)
}

/// What the plan sees, and what is left of it.
pub async fn a_counted_delta_is_folded_as_it_comes(records: Arc<dyn Records>) {
    let record = at_rest(&records).await;
    let before = view(&records, &record).await.record;
    let told = Hint {
        occurred_at: at(1).checked_add(std::time::Duration::from_nanos(1_234)).unwrap(),
        ..delta(2, 2, "c@d.example")
    };
    let (answers, given) = take_in(&records, std::slice::from_ref(&told), 2, None).await;
    assert_eq!(answers, [Intake::Stored(record.clone())]);
    let [seen] = given.as_slice() else { panic!("one record is at rest") };
    let shadow = &seen.record.shadows.suitex;
    assert_eq!((shadow.dirty(), shadow.hint_seq, shadow.dirty_since), (true, 2, Some(at(2))), "the bell has rung");
    assert_eq!(seen.record.head, before.head);
    let [pending] = seen.pending.as_slice() else { panic!("one hint rang it") };
    assert_eq!((pending.event_id, pending.seq, &pending.changes), (id(2), 2, &told.changes));
    let stored = view(&records, &record).await;
    let mut folded = fold(seen, None).record;
    folded.shadows.suitex.hint_seq = 2;
    assert_eq!(stored.record, folded);
    assert!(stored.pending.is_empty(), "its end was told with it");
    assert!(picked(&records, due_merge(1_000)).await.is_empty());
    let log = records.log(&record).await.unwrap();
    assert_eq!(log.last(), fold(seen, None).log.last(), "the entry comes back as it was folded");
    assert_eq!((take_in(&records, &[told], 3, None).await).0, [Intake::Known]);
    assert_eq!(view(&records, &record).await, stored);
}

/// An entry of its own id, or of several hints, is stored as any other.
pub async fn entries_that_are_no_hint_come_back_too(records: Arc<dyn Records>) {
    let record = at_rest(&records).await;
    let (_, given) = take_in(&records, &[delta(2, 2, "c@d.example")], 2, Some(200)).await;
    let log = records.log(&record).await.unwrap();
    assert_eq!(log.last(), fold(&given[0], Some(200)).log.last());
    let mut plan = |views: &[View]| {
        let one = |view: &View| {
            let mut patch = fold(view, None);
            patch.log.iter_mut().zip(300..).for_each(|(row, n)| row.event_id = id(n));
            patch
        };
        views.iter().map(one).collect()
    };
    let hints = [delta(3, 3, "e@f.example"), delta(4, 4, "g@h.example")];
    records.take_in(&hints.iter().collect::<Vec<_>>(), at(3), &WINDOWS, &mut plan).await.unwrap();
    let ids: Vec<_> = records.log(&record).await.unwrap().into_iter().map(|row| row.event_id).collect();
    assert_eq!(ids, [100, 200, 300, 301].map(id));
    let left = view(&records, &record).await;
    assert!(left.pending.is_empty() && !left.record.shadows.suitex.dirty());
}

/// Repeated events among fresh ones: each answer is its own, and the fold sees the fresh ones only.
pub async fn known_events_are_not_folded_again(records: Arc<dyn Records>) {
    let record = at_rest(&records).await;
    take_in(&records, &[delta(2, 2, "c@d.example")], 2, None).await;
    let (answers, given) =
        take_in(&records, &[delta(2, 2, "c@d.example"), delta(3, 3, "e@f.example"), delta(2, 2, "x")], 3, None).await;
    assert_eq!(answers, [Intake::Known, Intake::Stored(record.clone()), Intake::Known]);
    assert_eq!(given[0].pending.iter().map(|hint| hint.event_id).collect::<Vec<_>>(), [id(3)]);
    assert_eq!(view(&records, &record).await.record.head.version, 3);
}

/// What the plan leaves out is dirty, as any hint's record.
pub async fn what_is_not_folded_stays_dirty(records: Arc<dyn Records>) {
    let record = at_rest(&records).await;
    let mut asked = 0;
    let mut plan = |views: &[View]| {
        asked += views.len();
        Vec::new()
    };
    records.take_in(&[&delta(2, 2, "c@d.example")], at(2), &WINDOWS, &mut plan).await.unwrap();
    assert_eq!(asked, 1);
    let left = view(&records, &record).await;
    assert_eq!((left.record.shadows.suitex.dirty_seq, left.pending.len()), (2, 1));
    assert_eq!(picked(&records, due_merge(100)).await, [record]);
}

type Busy = fn(&View, &mut Patch);

/// Nothing is folded on a record that somebody works on, that waits for something, or that an uncounted hint rang too.
pub async fn only_records_at_rest_are_given(records: Arc<dyn Records>) {
    let lock = |field: Option<&str>| Lock {
        lock_id: id(50),
        field: field.map(str::to_owned),
        reason: LockReason::Admin,
        conflict_id: None,
        locked_at: at(1),
        note: String::new(),
    };
    let record = at_rest(&records).await;
    let busy: [(&str, Busy); 4] = [
        ("leased", |_, p| p.record.head.lease = Some(Lease { owner: "me".to_owned(), until: at(9_000) })),
        ("NetSuite's side dirty", |_, p| {
            p.record.shadows.netsuite.ring(at(1), false, true);
        }),
        ("gone from SuiteX", |_, p| p.record.shadows.suitex.exists = Existence::Deleted),
        ("a write unanswered", |_, p| drop(claim(p, 60, Side::Netsuite, 30))),
    ];
    let (_, given) =
        take_in(&records, &[delta(2, 2, "b"), Hint { source: Source::Reconcile, ..delta(3, 3, "c") }], 2, None).await;
    assert!(given.is_empty(), "an uncounted hint was among them");
    let before = view(&records, &record).await;
    settle(&records, &record, &before).await;
    for (n, (what, make)) in (10_u128..).zip(busy) {
        let rest = view(&records, &record).await.record;
        change(&records, &record, make).await;
        let (_, given) = take_in(&records, &[delta(n, i64::try_from(n).unwrap(), what)], 3, None).await;
        assert!(given.is_empty(), "{what}");
        let held = view(&records, &record).await;
        assert!(held.record.shadows.suitex.dirty(), "{what}");
        if what == "a write unanswered" {
            return; // its end is another test's
        }
        change(&records, &record, |_, patch| {
            patch.record.head.lease = None;
            patch.record.shadows.suitex.exists = rest.shadows.suitex.exists;
            answer(&mut patch.record, Side::Netsuite);
        })
        .await;
        let after = view(&records, &record).await;
        settle(&records, &record, &after).await;
        if what == "leased" {
            change(&records, &record, |_, patch| patch.record.locks.push(lock(Some("email")))).await;
            let (_, given) = take_in(&records, &[delta(90, 90, "locked")], 4, None).await;
            assert!(given.is_empty(), "a field is locked");
            change(&records, &record, |_, patch| patch.record.locks.clear()).await;
            let after = view(&records, &record).await;
            settle(&records, &record, &after).await;
        }
    }
}

/// Answers what is pending, so that the record is at rest again.
async fn settle(records: &Arc<dyn Records>, record: &RecordRef, left: &View) {
    change(records, record, |_, patch| {
        patch.settled = left.pending.iter().map(|hint| (hint.event_id, Disposition::Superseded)).collect();
        answer(&mut patch.record, Side::Suitex);
    })
    .await;
}

/// Existence is decided by reads: a delete is never folded as it comes.
pub async fn a_delete_is_never_folded_as_it_comes(records: Arc<dyn Records>) {
    let record = at_rest(&records).await;
    let delete = Hint { operation: Operation::Delete, changes: Fields::new(), urgent: true, ..delta(2, 2, "") };
    let (_, given) = take_in(&records, &[delete], 2, None).await;
    assert!(given.is_empty());
    assert!(view(&records, &record).await.record.shadows.suitex.must_read);
}
