//! Hints coming in (semantics §2.2).

use std::sync::Arc;

use model::record::{Lock, LockReason};
use model::{Operation, PerSide, Rid, Side, Source, Value};

use super::given::{
    WINDOWS, account, at, change, claim, due_merge, hint, id, known, native, picked, record_type, take_in, view,
};
use crate::records::{Hint, Intake, Records};

/// Redelivery changes nothing.
pub async fn an_event_id_is_stored_once(records: Arc<dyn Records>) {
    let record = known(&records, hint(1, "7"), 0).await;
    let before = view(&records, &record).await;
    assert_eq!(take_in(&records, &[hint(1, "7")], 5).await, [Intake::Known]);
    assert_eq!(view(&records, &record).await, before);
    assert_eq!(before.pending.len(), 1);
}

/// Nor does it within one batch; answers keep the order of the hints.
pub async fn a_batch_stores_a_repeated_id_once(records: Arc<dyn Records>) {
    known(&records, hint(1, "7"), 0).await;
    let answers = take_in(&records, &[hint(2, "8"), hint(1, "7"), hint(2, "8"), hint(3, "7")], 1).await;
    let stored: Vec<bool> = answers.iter().map(|answer| matches!(answer, Intake::Stored(_))).collect();
    assert_eq!(stored, [true, false, false, true]);
    assert!(records.intake(&[], at(0), &WINDOWS).await.expect("an empty batch is stored").is_empty());
}

/// Identity is decided by the first observation, so an unknown id stands for a record of its own until then.
pub async fn an_unknown_id_makes_a_provisional_record(records: Arc<dyn Records>) {
    let told = hint(1, "7");
    let record = known(&records, told.clone(), 0).await;
    assert_eq!(record.rid, told.new_rid);
    let view = view(&records, &record).await;
    assert_eq!(view.record.head.version, 0);
    assert!(!view.record.head.alive);
    assert_eq!(view.record.shadows.netsuite.native_id, Some(native("7")));
    assert_eq!(view.record.shadows.suitex, model::record::Shadow::default());
    assert_eq!(view.record.shadows.netsuite.dirty_since, Some(at(0)));
    let found = records.lookup(&account("A"), Side::Netsuite, &[(record_type(), native("7"))]).await.unwrap();
    assert_eq!(found.into_values().collect::<Vec<_>>(), [told.new_rid]);
    let other_side = records.lookup(&account("A"), Side::Suitex, &[(record_type(), native("7"))]).await.unwrap();
    assert!(other_side.is_empty());
    let pending = &view.pending[0];
    assert_eq!((pending.event_id, pending.seq, pending.side), (id(1), 1, Side::Netsuite));
    assert_eq!((&pending.native_id, &pending.changes), (&told.native_id, &told.changes));
    assert_eq!((pending.occurred_at, pending.received_at), (told.occurred_at, at(0)));
    assert_eq!((pending.remote_version, pending.source), (told.remote_version, told.source));
    assert!(records.candidates(&account("A"), &record_type(), "").await.unwrap().is_empty());
}

/// Two hints for one new id in one batch do not make two records.
pub async fn hints_of_one_batch_for_one_new_id_share_a_record(records: Arc<dyn Records>) {
    let answers = take_in(&records, &[hint(1, "7"), hint(2, "7")], 0).await;
    assert_eq!(answers[0], answers[1]);
    let Intake::Stored(record) = &answers[0] else { panic!("a new hint is stored") };
    assert_eq!(view(&records, record).await.pending.iter().map(|p| p.seq).collect::<Vec<_>>(), [1, 2]);
}

/// R12: the account is part of every key.
pub async fn the_same_id_in_two_accounts_is_two_records(records: Arc<dyn Records>) {
    let mine = hint(1, "7");
    let theirs = Hint { account: account("B"), new_rid: Rid(id(9)), ..hint(1, "7") };
    let answers = take_in(&records, &[mine, theirs], 0).await;
    let [Intake::Stored(a), Intake::Stored(b)] = answers.as_slice() else {
        panic!("one event id in two accounts is two events")
    };
    assert_ne!(a.rid, b.rid);
    let found = records.lookup(&account("B"), Side::Netsuite, &[(record_type(), native("7"))]).await.unwrap();
    assert_eq!(found.into_values().collect::<Vec<_>>(), [b.rid]);
    assert_eq!(picked(&records, due_merge(100)).await, [a.clone()]);
    assert!(records.next_due(&[account("C")], None).await.unwrap().is_none());
}

/// Each side has its own numbers; the window, the pause and the count decide when to look.
pub async fn bells_are_numbered_and_counted(records: Arc<dyn Records>) {
    let record = known(&records, hint(1, "7"), 0).await;
    let ready = async |records: &Arc<dyn Records>| view(records, &record).await.record.shadows.netsuite.ready_at;
    assert_eq!(ready(&records).await, Some(at(1)), "idle a second after the first");
    take_in(&records, &[hint(2, "7")], 10).await;
    assert_eq!(ready(&records).await, Some(at(4)), "the window ends whatever comes");
    take_in(&records, &[hint(3, "7")], 11).await;
    assert_eq!(ready(&records).await, Some(at(0)), "three hints are enough");
    let shadow = view(&records, &record).await.record.shadows.netsuite;
    assert_eq!((shadow.dirty_seq, shadow.hint_seq, shadow.hints), (3, 3, 3));
    assert_eq!((shadow.dirty_since, shadow.last_hint_at, shadow.urgent), (Some(at(0)), Some(at(11)), false));
    let urgent = known(&records, Hint { urgent: true, ..hint(4, "8") }, 20).await;
    assert_eq!(view(&records, &urgent).await.record.shadows.netsuite.ready_at, Some(at(20)));
}

/// They stay dirty all the same (R5, §2.12).
pub async fn a_locked_record_and_a_side_in_flight_are_not_ready(records: Arc<dyn Records>) {
    let locked = known(&records, hint(1, "7"), 0).await;
    change(&records, &locked, |_, patch| {
        patch.record.locks.push(Lock {
            lock_id: id(50),
            field: None,
            reason: LockReason::Admin,
            conflict_id: None,
            locked_at: at(1),
            note: "stock-taking".to_owned(),
        });
        patch.record.shadows.netsuite.ready_at = None;
    })
    .await;
    let flying = known(&records, hint(2, "8"), 0).await;
    change(&records, &flying, |_, patch| {
        super::given::answer(&mut patch.record, Side::Netsuite);
        claim(patch, 60, Side::Netsuite, 30);
    })
    .await;
    take_in(&records, &[hint(3, "7"), hint(4, "8")], 2).await;
    for record in [&locked, &flying] {
        let shadow = view(&records, record).await.record.shadows.netsuite;
        assert!(shadow.dirty());
        assert_eq!(shadow.ready_at, None);
    }
    assert!(picked(&records, due_merge(1_000)).await.is_empty());
}

/// A run of deltas may stand for a read only where its source counts them, and they are in the hints themselves.
pub async fn only_deltas_of_suitex_count_their_changes(records: Arc<dyn Records>) {
    let delta = Hint { side: Side::Suitex, source: Source::Suitex, full_snapshot_ref: None, ..hint(1, "s1") };
    let record = known(&records, delta.clone(), 0).await;
    assert!(!view(&records, &record).await.record.shadows.suitex.must_read);
    let uncounted = [
        Hint { event_id: id(2), native_id: native("s2"), new_rid: Rid(id(12)), remote_version: None, ..delta.clone() },
        Hint {
            event_id: id(3),
            native_id: native("s3"),
            new_rid: Rid(id(13)),
            operation: Operation::Delete,
            ..delta.clone()
        },
        Hint {
            event_id: id(6),
            native_id: native("s6"),
            new_rid: Rid(id(16)),
            full_snapshot_ref: Some("gs://snapshots/1".to_owned()),
            ..delta.clone()
        },
        Hint { event_id: id(4), native_id: native("s4"), new_rid: Rid(id(14)), source: Source::Reconcile, ..delta },
        hint(5, "n5"),
    ];
    for hint in uncounted {
        let side = hint.side;
        let record = known(&records, hint, 0).await;
        assert!(view(&records, &record).await.record.shadows[side].must_read);
    }
}

/// Doorbells, not payloads (R1): what cannot be stored as text is shown as such and read from the side instead.
pub async fn a_payload_no_text_can_hold_still_rings(records: Arc<dyn Records>) {
    let poison = Hint {
        side: Side::Suitex,
        source: Source::Suitex,
        changes: [("memo".to_owned(), Value::Text("a\0b".to_owned()))].into(),
        correlation_id: Some("c\0".to_owned()),
        auth_context: Some(serde_json::json!({ "user": "\0" })),
        ..hint(1, "s1")
    };
    let record = known(&records, poison, 0).await;
    let view = view(&records, &record).await;
    assert_eq!(view.pending.len(), 1);
    let PerSide { suitex, netsuite } = view.record.shadows;
    assert!(suitex.dirty() && !netsuite.dirty());
}
