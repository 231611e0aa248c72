use std::time::Duration;

use model::record::{Existence, Lease, Lock, LockReason};
use model::spec::World;
use model::{AccountId, Fields, RecordRef, RecordType, Rid, Value};
use uuid::Uuid;

use super::*;

/// After now, when nobody comes earlier.
const NET: Duration = Duration::from_secs(30);

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_790_000_000 + second).unwrap()
}

fn customer() -> TypeSpec {
    World::sample().types.remove(0)
}

fn phone(number: &str) -> Fields {
    [("phone".to_owned(), Value::text(number))].into()
}

/// A record both sides hold; the canonical phone is another, so both are owed it.
fn record() -> Record {
    let record_type = RecordType::parse("customer").unwrap();
    let key = RecordRef { account: AccountId::parse("A").unwrap(), record_type, rid: Rid(Uuid::nil()) };
    let mut record = Record::new(key);
    (record.head.version, record.head.alive, record.head.state) = (1, true, phone("1").into());
    for side in Side::BOTH {
        (record.shadows[side].exists, record.shadows[side].state) = (Existence::Yes, phone("0").into());
    }
    record
}

fn settle(record: &mut Record, second: i64) {
    settle_columns(record, &customer(), &Windows::default(), at(second), NET);
}

fn lock(field: Option<&str>) -> Lock {
    let field = field.map(str::to_owned);
    let lock_id = Uuid::nil();
    Lock { lock_id, field, reason: LockReason::Admin, conflict_id: None, locked_at: at(0), note: String::new() }
}

#[test]
fn a_dirty_side_is_due_when_its_edits_have_come_to_rest() {
    let mut record = record();
    record.shadows.netsuite.ring(at(0), false, false);
    settle(&mut record, 0);
    assert_eq!(record.shadows.netsuite.ready_at, Some(at(0) + Duration::from_millis(500)));
    assert_eq!(record.shadows.suitex.ready_at, None, "a clean side is not read");
}

#[test]
fn nothing_is_due_while_the_record_is_locked_or_another_or_the_side_is_written_to() {
    let hindered = |hinder: fn(&mut Record)| {
        let mut record = record();
        for side in Side::BOTH {
            record.shadows[side].ring(at(0), true, false);
        }
        hinder(&mut record);
        settle(&mut record, 0);
        [record.shadows.suitex.ready_at, record.shadows.netsuite.ready_at]
    };
    assert_eq!(hindered(|_| {}), [Some(at(0)); 2]);
    assert_eq!(hindered(|record| record.locks.push(lock(None))), [None; 2]);
    assert_eq!(hindered(|record| record.locks.push(lock(Some("phone")))), [Some(at(0)); 2]);
    assert_eq!(hindered(|record| record.head.merged_into = Some(Rid(Uuid::nil()))), [None; 2]);
    let written = hindered(|record| record.shadows.netsuite.inflight = Some(Uuid::nil()));
    assert_eq!(written, [Some(at(0)), None]);
    let leased = hindered(|record| record.head.lease = Some(Lease { owner: "merge-1".to_owned(), until: at(20) }));
    assert_eq!(leased, [Some(at(20)); 2], "who has the lease may do it until then");
}

#[test]
fn an_owed_side_is_looked_at_again_and_an_earlier_wait_stands() {
    let mut record = record();
    settle(&mut record, 0);
    assert_eq!((record.shadows.netsuite.owed, record.shadows.netsuite.retry_at), (true, Some(at(30))));
    settle(&mut record, 5);
    assert_eq!(record.shadows.netsuite.retry_at, Some(at(30)), "it is not put off again");
    (record.shadows.netsuite.retry_at, record.shadows.netsuite.attempts) = (Some(at(300)), 3);
    settle(&mut record, 6);
    assert_eq!((record.shadows.netsuite.retry_at, record.shadows.netsuite.attempts), (Some(at(300)), 3));
    record.shadows.netsuite.state = phone("1").into();
    settle(&mut record, 7);
    let shadow = &record.shadows.netsuite;
    assert_eq!((shadow.owed, shadow.retry_at, shadow.attempts), (false, None, 0));
    // Owed anew: what was waited for before is no reason to wait.
    (record.shadows.netsuite.state, record.shadows.netsuite.retry_at) = (phone("2").into(), Some(at(900)));
    settle(&mut record, 8);
    assert_eq!(record.shadows.netsuite.retry_at, Some(at(38)));
}

#[test]
fn what_may_not_be_written_is_not_owed() {
    let owed = |change: fn(&mut Record)| {
        let mut record = record();
        change(&mut record);
        settle(&mut record, 0);
        record.shadows.netsuite.owed
    };
    assert!(owed(|_| {}));
    assert!(!owed(|record| record.locks.push(lock(Some("phone")))));
    assert!(!owed(|record| record.head.version = 0));
    assert!(!owed(|record| record.head.merged_into = Some(Rid(Uuid::nil()))));
    assert!(owed(|record| record.head.alive = false), "its deletion is");
    assert!(owed(|record| record.shadows.netsuite.exists = Existence::Deleted), "its return is");
    assert!(owed(|record| {
        record.shadows.netsuite.exists = Existence::Never;
        (record.head.state, record.shadows.netsuite.state) = (Fields::new().into(), Fields::new().into());
    }));
    assert!(!owed(|record| {
        record.head.alive = false;
        record.shadows.netsuite.exists = Existence::Deleted;
    }));
}

/// SuiteX is edited again and again; what came so far is folded, so that side is clean and its burst goes on.
fn in_a_burst() -> Record {
    let mut record = record();
    record.shadows.suitex.state = phone("1").into();
    record.shadows.suitex.ring(at(0), false, false);
    record.shadows.suitex.dirty_seq = 0;
    record
}

#[test]
fn the_other_side_is_written_to_when_the_burst_is_over() {
    let end = at(0) + Duration::from_millis(500);
    let mut record = in_a_burst();
    assert_eq!(held_until(&record, Side::Netsuite, &Windows::default()), Some(end));
    assert_eq!(held_until(&record, Side::Suitex, &Windows::default()), None);
    settle(&mut record, 0);
    assert_eq!(record.shadows.netsuite.retry_at, Some(end));
    assert!(record.shadows.suitex.dirty_since.is_some());
    // More of it moves nothing: whoever comes at the end looks again.
    record.shadows.suitex.ring(at(0) + Duration::from_millis(400), false, false);
    record.shadows.suitex.dirty_seq = 0;
    settle(&mut record, 0);
    assert_eq!(record.shadows.netsuite.retry_at, Some(end));
    // Over: it is not held, and the next edit begins a burst of its own.
    settle(&mut record, 1);
    assert_eq!(record.shadows.suitex.dirty_since, None);
    let over = in_a_burst();
    let mut late = over.clone();
    settle(&mut late, 1);
    assert_eq!(late.shadows.netsuite.retry_at, Some(at(31)));
    let mut dirty = over;
    dirty.shadows.suitex.ring(at(0), false, false);
    assert_eq!(held_until(&dirty, Side::Netsuite, &Windows::default()), None, "a dirty side is read first");
}

#[test]
fn a_burst_holds_back_no_write_that_was_refused_and_ends_where_nothing_waits_for_it() {
    let mut refused = in_a_burst();
    let shadow = &mut refused.shadows.netsuite;
    (shadow.owed, shadow.attempts, shadow.retry_at) = (true, 1, Some(at(60)));
    settle(&mut refused, 0);
    assert_eq!(refused.shadows.netsuite.retry_at, Some(at(60)), "the backoff stands");

    let mut agreed = in_a_burst();
    agreed.shadows.netsuite.state = phone("1").into();
    settle(&mut agreed, 0);
    assert_eq!(agreed.shadows.suitex.dirty_since, None, "nothing is owed");

    let mut written = in_a_burst();
    written.shadows.netsuite.inflight = Some(Uuid::nil());
    settle(&mut written, 0);
    assert_eq!(written.shadows.suitex.dirty_since, None, "it goes with the write under way");
}

#[test]
fn a_burst_that_ends_at_this_moment_holds_nothing() {
    let mut record = in_a_burst();
    let now = at(0) + Duration::from_millis(500);
    settle_columns(&mut record, &customer(), &Windows::default(), now, NET);
    assert_eq!(record.shadows.suitex.dirty_since, None);
    assert_eq!(record.shadows.netsuite.retry_at, Some(now + NET));
}
