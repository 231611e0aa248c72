use model::record::{Existence, Intent, IntentStatus};
use model::spec::World;
use model::{AccountId, NativeId, Operation, RecordRef, Rid, Source, Timestamp, Value, WriteKind};
use uuid::Uuid;

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_790_000_000 + second).unwrap()
}

fn phone(number: &str) -> Fields {
    [("phone".to_owned(), Value::text(number))].into()
}

/// A customer SuiteX is known to hold whole, at row version 4.
fn customer() -> (TypeSpec, Record) {
    let spec = World::sample().types.remove(0);
    let account = AccountId::parse("A").unwrap();
    let mut record = Record::new(RecordRef { account, record_type: spec.name.clone(), rid: Rid(Uuid::nil()) });
    let shadow = &mut record.shadows.suitex;
    (shadow.exists, shadow.complete, shadow.token) = (Existence::Yes, true, Some(4));
    (spec, record)
}

/// A change SuiteX counted.
fn delta(version: i64, changes: Fields) -> Pending {
    Pending {
        event_id: Uuid::from_u128(version.unsigned_abs().into()),
        side: Side::Suitex,
        native_id: NativeId::parse("7").unwrap(),
        seq: version.unsigned_abs(),
        operation: Operation::Update,
        source: Source::Suitex,
        changes,
        remote_version: Some(version),
        write_id: None,
        occurred_at: at(version),
        received_at: at(100),
    }
}

fn stands_for(change: impl Fn(&mut Record), hints: &[Pending]) -> Option<Observation> {
    let (spec, mut record) = customer();
    change(&mut record);
    fast_delta(&record, &spec, &hints.iter().collect::<Vec<_>>())
}

#[test]
fn deltas_without_a_gap_stand_for_a_read_in_the_order_in_which_they_were_counted() {
    let hints = [delta(6, phone("6")), delta(4, phone("old")), delta(5, phone("5"))];
    let seen = stands_for(|_| {}, &hints).unwrap();
    assert_eq!((seen.fields, seen.token, seen.exists, seen.complete), (phone("6"), Some(6), true, false));
    assert_eq!((seen.edited["phone"], seen.occurred_at), (at(6), Some(at(4))));
    assert_eq!(seen.causes, [4, 5, 6].map(Uuid::from_u128), "the one the shadow had already is answered too");
}

#[test]
fn where_anything_is_missing_or_unsure_only_a_read_will_do() {
    let next = || delta(5, phone("5"));
    assert!(stands_for(|_| {}, &[next()]).is_some());
    assert!(stands_for(|_| {}, &[]).is_none(), "nothing was heard");
    for (what, hint) in [
        ("a gap", delta(6, phone("6"))),
        ("not counted", Pending { remote_version: None, ..next() }),
        ("not SuiteX's own", Pending { source: Source::Reconcile, ..next() }),
        ("a deletion", Pending { operation: Operation::Delete, ..next() }),
        ("a write of ours", Pending { write_id: Some(Uuid::nil()), ..next() }),
        ("a field that is not read from a delta", delta(5, [("nothing".to_owned(), Value::text("x"))].into())),
    ] {
        assert!(stands_for(|_| {}, &[hint]).is_none(), "{what}");
    }
    assert!(stands_for(|record| record.shadows.suitex.must_read = true, &[next()]).is_none());
    assert!(stands_for(|record| record.shadows.suitex.complete = false, &[next()]).is_none());
    assert!(stands_for(|record| record.shadows.suitex.token = None, &[next()]).is_none());
    assert!(stands_for(|record| record.shadows.suitex.exists = Existence::Deleted, &[next()]).is_none());
    let unresolved = |side: Side| {
        move |record: &mut Record| {
            record.unresolved.push(Intent {
                write_id: Uuid::nil(),
                side,
                kind: WriteKind::Update,
                stamp: 1,
                expect: 0,
                changes: Fields::new(),
                pre: Fields::new(),
                version: 1,
                status: IntentStatus::Unknown,
                deadline: at(0),
                native_id: None,
                generation: 1,
                occurred_at: None,
            });
        }
    };
    assert!(stands_for(unresolved(Side::Suitex), &[next()]).is_none(), "it may have landed");
    assert!(stands_for(unresolved(Side::Netsuite), &[next()]).is_some(), "that is the other side's");
}
