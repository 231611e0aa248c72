//! What is due, and whose it is.

use std::sync::Arc;

use model::limits::DeleteBrake;
use model::record::{Lease, Lock, LockReason};
use model::{AccountId, RecordRef, RecordType, Rid, Side};

use super::given::{
    WINDOWS, account, answer, append_version, at, change, claim, due_merge, fields, hint, id, known, native, observe,
    picked, record_type, view,
};
use crate::records::{Hint, Pick, Records};

fn of_account(name: &str, n: u128, native_id: &str) -> Hint {
    Hint { account: account(name), new_rid: Rid(id(500 + n)), ..hint(n, native_id) }
}

fn due_write(side: Side, second: i64) -> Pick {
    Pick::DueWrite { accounts: vec![account("A")], side, per_account: 100, now: at(second) }
}

fn overdue(side: Side, second: i64) -> Pick {
    Pick::Overdue { accounts: vec![account("A")], side, per_account: 100, now: at(second) }
}

async fn next(records: &Arc<dyn Records>, accounts: &[&str], side: Option<Side>) -> Option<model::Timestamp> {
    let accounts: Vec<AccountId> = accounts.iter().map(|name| account(name)).collect();
    records.next_due(&accounts, side).await.expect("the next due instant is found")
}

/// A noisy account has its share and no more; within it the oldest goes first.
pub async fn due_records_are_picked_oldest_first_and_per_account(records: Arc<dyn Records>) {
    let mut mine = Vec::new();
    for (n, native_id) in [(1, "1"), (2, "2"), (3, "3")] {
        mine.push(known(&records, of_account("A", n, native_id), 10 - i64::try_from(n).unwrap()).await);
    }
    let theirs = known(&records, of_account("B", 4, "1"), 9).await;
    let not_served = known(&records, of_account("C", 5, "1"), 0).await;
    let pick = |now: i64, per_account: usize| Pick::DueMerge {
        accounts: vec![account("B"), account("A")],
        per_account,
        now: at(now),
    };
    assert!(picked(&records, pick(7, 10)).await.is_empty());
    assert_eq!(picked(&records, pick(8, 10)).await, [mine[2].clone()]);
    let mut oldest = vec![mine[2].clone(), mine[1].clone(), theirs];
    oldest.sort_unstable();
    assert_eq!(picked(&records, pick(100, 2)).await, oldest, "in lock order");
    assert!(!picked(&records, pick(100, 10)).await.contains(&not_served));
}

/// Until the lease ends or is given back.
pub async fn a_leased_record_is_nobody_elses(records: Arc<dyn Records>) {
    let record = known(&records, hint(1, "7"), 0).await;
    let lease = |until: Option<i64>| {
        move |_: &crate::records::View, patch: &mut crate::records::Patch| {
            patch.record.head.lease_token += 1;
            patch.record.head.lease = until.map(|until| Lease { owner: "me".to_owned(), until: at(until) });
        }
    };
    change(&records, &record, lease(Some(40))).await;
    assert!(picked(&records, due_merge(39)).await.is_empty());
    assert_eq!(next(&records, &["A"], None).await, Some(at(40)));
    assert_eq!(picked(&records, due_merge(40)).await, [record.clone()]);
    assert_eq!(picked(&records, Pick::These(vec![record.clone()])).await, [record.clone()], "the holder comes by name");
    change(&records, &record, lease(None)).await;
    assert_eq!(picked(&records, due_merge(1)).await, [record]);
}

/// The token, not the clock, tells a paused holder that the record has gone on.
pub async fn a_lost_lease_is_told_by_its_token(records: Arc<dyn Records>) {
    let record = known(&records, hint(1, "7"), 0).await;
    let take = |owner: &'static str, until: i64| {
        move |_: &crate::records::View, patch: &mut crate::records::Patch| {
            patch.record.head.lease_token += 1;
            patch.record.head.lease = Some(Lease { owner: owner.to_owned(), until: at(until) });
        }
    };
    change(&records, &record, take("first", 10)).await;
    let mine = view(&records, &record).await.record.head.lease_token;
    change(&records, &record, take("second", 20)).await;
    let head = view(&records, &record).await.record.head;
    assert_ne!(head.lease_token, mine);
    assert_eq!(head.lease.map(|lease| lease.owner).as_deref(), Some("second"));
}

/// R5, R7, §2.12: the conditions of a claim are the conditions of being due.
pub async fn only_a_clean_free_side_is_due_for_writing(records: Arc<dyn Records>) {
    let mut due = Vec::new();
    for (n, native_id) in [(1, "1"), (2, "2"), (3, "3"), (4, "4")] {
        let record = known(&records, hint(n, native_id), 0).await;
        change(&records, &record, |_, patch| {
            answer(&mut patch.record, Side::Netsuite);
            patch.record.shadows.netsuite.owed = true;
            patch.record.shadows.netsuite.retry_at = Some(at(5 + i64::try_from(n).unwrap()));
        })
        .await;
        due.push(record);
    }
    assert!(picked(&records, due_write(Side::Netsuite, 5)).await.is_empty());
    assert_eq!(picked(&records, due_write(Side::Netsuite, 6)).await, [due[0].clone()]);
    assert!(picked(&records, due_write(Side::Suitex, 60)).await.is_empty(), "the other side is owed nothing");
    assert_eq!(next(&records, &["A"], Some(Side::Netsuite)).await, Some(at(6)));
    records.intake(&[hint(11, "1")], at(1), &WINDOWS).await.expect("the hint is stored");
    change(&records, &due[1], |_, patch| drop(claim(patch, 70, Side::Netsuite, 90))).await;
    change(&records, &due[2], |_, patch| {
        patch.record.locks.push(Lock {
            lock_id: id(50),
            field: None,
            reason: LockReason::Admin,
            conflict_id: None,
            locked_at: at(1),
            note: String::new(),
        });
    })
    .await;
    assert_eq!(picked(&records, due_write(Side::Netsuite, 60)).await, [due[3].clone()]);
    assert_eq!(next(&records, &["A"], Some(Side::Netsuite)).await, Some(at(9)));
}

/// R8: after the deadline it is recovered, not before.
pub async fn a_write_is_overdue_after_its_deadline(records: Arc<dyn Records>) {
    let record = known(&records, hint(1, "7"), 0).await;
    change(&records, &record, |_, patch| drop(claim(patch, 70, Side::Suitex, 90))).await;
    assert!(picked(&records, overdue(Side::Suitex, 89)).await.is_empty());
    assert!(picked(&records, overdue(Side::Netsuite, 95)).await.is_empty());
    assert_eq!(picked(&records, overdue(Side::Suitex, 90)).await, [record.clone()]);
    assert_eq!(next(&records, &["A"], Some(Side::Suitex)).await, Some(at(90)));
    change(&records, &record, |_, patch| {
        let mut ended = patch.record.unresolved.remove(0);
        ended.status = model::record::IntentStatus::Rejected;
        patch.resolved.push(ended);
        patch.record.shadows.suitex.inflight = None;
    })
    .await;
    assert!(picked(&records, overdue(Side::Suitex, 95)).await.is_empty());
    assert_eq!(next(&records, &["A"], Some(Side::Suitex)).await, None);
    assert!(view(&records, &record).await.record.unresolved.is_empty());
}

/// So that a service need not ask twice.
pub async fn the_next_due_instant_is_the_earliest(records: Arc<dyn Records>) {
    assert_eq!(next(&records, &["A", "B"], None).await, None);
    let record = known(&records, of_account("A", 1, "1"), 10).await;
    known(&records, of_account("B", 2, "1"), 5).await;
    known(&records, of_account("C", 3, "1"), 0).await;
    assert_eq!(next(&records, &["A", "B"], None).await, Some(at(6)));
    assert_eq!(next(&records, &["A"], None).await, Some(at(11)));
    assert_eq!(next(&records, &["A"], Some(Side::Netsuite)).await, None);
    change(&records, &record, |_, patch| answer(&mut patch.record, Side::Netsuite)).await;
    assert_eq!(next(&records, &["A"], None).await, None);
    let other_side = RecordRef { rid: Rid(id(600)), ..record };
    let told = Hint { side: Side::Suitex, native_id: native("s1"), new_rid: other_side.rid, ..of_account("A", 9, "1") };
    known(&records, told, 30).await;
    assert_eq!(next(&records, &["A"], None).await, Some(at(31)));
}

/// More than the limit within the window; once on it stays on, and other types and accounts do not feel it.
pub async fn too_many_deaths_put_the_brake_on(records: Arc<dyn Records>) {
    let brake = DeleteBrake { records: 2 };
    let mut all = Vec::new();
    for n in 1..=4_u128 {
        let record = known(&records, of_account("A", n, &n.to_string()), 0).await;
        change(&records, &record, |_, patch| {
            observe(patch, 100 + n, Side::Netsuite, fields(&[("email", "a@b.example")]), 1);
        })
        .await;
        all.push(record);
    }
    let die = async |n: usize, second: i64| {
        change(&records, &all[n], |_, patch| {
            patch.record.head.alive = false;
            patch.record.head.version += 1;
            append_version(patch, fields(&[]), id(200 + n as u128), at(second));
            patch.versions.last_mut().expect("it was just appended").alive = false;
        })
        .await;
    };
    let may = async |name: &str, kind: &RecordType, second: i64| {
        records.may_delete(&account(name), kind, &brake, at(second)).await.expect("the brake is asked")
    };
    let (kind, other) = (record_type(), RecordType::parse("item").expect("a record type"));
    for (n, second) in [(0, 10), (1, 20)] {
        die(n, second).await;
    }
    assert!(may("A", &kind, 21).await, "two are allowed");
    die(2, 700).await;
    assert!(may("A", &kind, 700).await, "the first two died more than ten minutes ago");
    assert!(may("B", &kind, 25).await && may("A", &other, 25).await);
    assert!(!may("A", &kind, 25).await, "three within ten minutes, as of then");
    assert!(!may("A", &kind, 100_000).await, "time alone lets nothing go on");
    assert!(may("B", &kind, 25).await && may("A", &other, 25).await);
}
