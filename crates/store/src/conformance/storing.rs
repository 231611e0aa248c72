//! What a plan returns is what is there afterwards.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::record::{
    Ack, Conflict, ConflictReason, ConflictStatus, Disposition, Entry, Existence, FieldMeta, IntentStatus, Lease, Lock,
    LockReason, Override, Record, Release, Resolution, Shadow,
};
use model::{Fields, RecordRef, Rid, Side, Value};

use super::given::{
    account, answer, at, change, claim, fields, hint, id, known, log, native, observe, record_type, take_in, view,
};
use crate::records::{AuditRow, Hint, MAX_PENDING, Outgoing, Patch, Pick, Records};

/// A value of every kind.
fn every_kind() -> Fields {
    let line: Fields = [("item".to_owned(), Value::text("17")), ("quantity".to_owned(), Value::text("2.50"))].into();
    [
        ("text".to_owned(), Value::text("Grüße, \"quoted\" \\ and \u{1F600} \u{1}")),
        ("long".to_owned(), Value::text("x".repeat(20_000))),
        ("decimal".to_owned(), Value::text("12345678901234567890.10")),
        ("count".to_owned(), Value::Int(i64::MAX)),
        ("flag".to_owned(), Value::Bool(false)),
        ("tags".to_owned(), Value::Set(["b".to_owned(), "a".to_owned()].into())),
        ("none".to_owned(), Value::Set(Default::default())),
        ("lines".to_owned(), Value::Lines([("n1".to_owned(), Some(line)), ("n2".to_owned(), None)].into())),
        ("full".to_owned(), Value::text("a field may be called so")),
        ("key \\u0000".to_owned(), Value::text("an escaped escape is no NUL")),
    ]
    .into()
}

fn full_shadow(native_id: &str) -> Shadow {
    Shadow {
        exists: Existence::Deleted,
        state: fields(&[("email", "other@b.example")]).into(),
        complete: true,
        token: Some(-4),
        stamp: 3,
        note: 41,
        native_id: Some(native(native_id)),
        generation: 2,
        line_ids: [("lines".to_owned(), [("n1".to_owned(), "4".to_owned())].into())].into(),
        epoch: 9,
        inflight: None,
        dirty_seq: 4,
        hint_seq: 5,
        dirty_since: Some(at(3)),
        last_hint_at: Some(at(4)),
        hints: 6,
        urgent: true,
        must_read: true,
        ready_at: Some(at(5)),
        retry_at: Some(at(6)),
        attempts: 7,
        owed: true,
    }
}

fn fill(record: &mut Record) {
    let meta = FieldMeta {
        side: Some(Side::Suitex),
        event_id: id(31),
        edited_at: "2026-11-14T13:12:05.123456Z".parse().expect("an instant"),
        written_to: Some(Side::Netsuite),
        rewrites: 2,
        rewriting_since: Some(at(1)),
    };
    record.head.state = every_kind().into();
    record.head.alive = true;
    *record.head.meta =
        [("text".to_owned(), meta.clone()), ("flag".to_owned(), FieldMeta { side: None, ..meta })].into();
    record.head.lease_token = 12;
    record.head.lease = Some(Lease { owner: "merge-service/0".to_owned(), until: at(90) });
    record.head.natural_key = Some("tran|17".to_owned());
    let inflight = record.shadows.suitex.inflight;
    record.shadows.suitex = Shadow { inflight, ..full_shadow("s7") };
    record.shadows.netsuite = full_shadow("7");
}

/// Every part of a record, to the letter.
pub async fn what_a_plan_returns_is_stored_exactly(records: Arc<dyn Records>) {
    let record = known(&records, hint(1, "7"), 0).await;
    let wanted = std::sync::Mutex::new(None);
    change(&records, &record, |_, patch| {
        observe(patch, 40, Side::Netsuite, fields(&[("email", "a@b.example")]), 1);
        claim(patch, 41, Side::Suitex, 50);
        fill(&mut patch.record);
        patch.settled.push((id(1), Disposition::Applied(1)));
        patch.overrides.push(Override {
            field: "email".to_owned(),
            losing_value: Value::text("lost@b.example"),
            losing_side: Side::Suitex,
            winning_value: Value::Null,
            policy: "netsuite_wins".to_owned(),
            version: 1,
            event_id: id(40),
        });
        patch.outbox.push(Outgoing {
            topic: "events.merged",
            record_key: patch.record.key.to_string(),
            payload: bytes::Bytes::from_static(&[0, 1, 255]),
            attributes: BTreeMap::from([("target".to_owned(), "suitex".to_owned())]).into(),
        });
        patch.audit.push(AuditRow {
            write_id: id(70),
            side: Side::Suitex,
            outcome: "ok",
            fields: vec!["email".to_owned()],
            native_id: Some(native("s7")),
            code: None,
            at: at(3),
        });
        *wanted.lock().expect("no case panics holding it") = Some(patch.record.clone());
    })
    .await;
    let wanted = wanted.into_inner().expect("no case panics holding it").expect("the plan ran");
    let seen = view(&records, &record).await;
    assert_eq!(seen.record, wanted);
    assert!(seen.pending.is_empty(), "the hint was settled");
    // And once more, so that rows that exist are changed as exactly as new ones.
    change(&records, &record, |_, patch| {
        patch.record.head.state = fields(&[("email", "new@b.example")]).into();
        patch.record.head.meta.clear();
        patch.record.head.natural_key = None;
        patch.record.head.lease = None;
        let stays = patch.record.shadows.suitex.native_id.clone();
        patch.record.shadows.suitex.state = fields(&[("email", "new@b.example"), ("phone", "1")]).into();
        patch.record.shadows.suitex.line_ids.clear();
        patch.record.shadows.netsuite =
            Shadow { hint_seq: 5, epoch: 9, native_id: Some(native("7")), ..Shadow::default() };
        assert_eq!(stays, Some(native("s7")));
    })
    .await;
    let again = view(&records, &record).await.record;
    assert_eq!(again.head.state, fields(&[("email", "new@b.example")]));
    assert_eq!(again.shadows.suitex.state, fields(&[("email", "new@b.example"), ("phone", "1")]));
    assert_eq!(again.shadows.netsuite.state, Fields::new());
    assert_eq!((again.head.lease, again.head.natural_key), (None, None));
    assert_eq!(again.unresolved, wanted.unresolved);
}

/// A plan may answer for fewer records than it was given.
pub async fn a_record_left_out_of_the_patches_stays(records: Arc<dyn Records>) {
    let (a, b) = (known(&records, hint(1, "7"), 0).await, known(&records, hint(2, "8"), 0).await);
    let before = view(&records, &b).await;
    let mut order = Vec::new();
    let mut plan = |views: &[crate::records::View]| {
        order.extend(views.iter().map(|view| view.record.key.clone()));
        let mut patch =
            Patch::of(views.iter().find(|view| view.record.key == a).expect("it was picked").record.clone());
        patch.record.head.lease_token = 1;
        vec![patch]
    };
    let missing = RecordRef { rid: Rid(id(999)), ..a.clone() };
    let these = Pick::These(vec![b.clone(), missing, a.clone(), b.clone()]);
    assert_eq!(records.transact(&these, true, &mut plan).await.expect("the batch is stored"), 2);
    let mut sorted = vec![a.clone(), b.clone()];
    sorted.sort_unstable();
    assert_eq!(order, sorted, "views come in lock order, each once");
    assert_eq!(view(&records, &a).await.record.head.lease_token, 1);
    assert_eq!(view(&records, &b).await, before);
    let asked = [b.clone(), RecordRef { account: account("Z"), ..a.clone() }, a.clone()];
    let views = records.views(&asked, false).await.expect("views are read");
    assert_eq!(views.into_iter().map(|view| view.record.key).collect::<Vec<_>>(), [b, a], "in the order asked for");
}

/// Sides that agree, differ a little, differ wholly, hold nothing, hold nulls.
pub async fn states_of_every_shape_come_back(records: Arc<dyn Records>) {
    let record = known(&records, hint(1, "7"), 0).await;
    let shapes = [
        Fields::new(),
        every_kind(),
        fields(&[("email", "a@b.example")]),
        [("email".to_owned(), Value::Null), ("x".to_owned(), Value::Bool(true))].into(),
        fields(&[("email", "a@b.example"), ("phone", "1"), ("memo", "m")]),
    ];
    for (n, canonical) in shapes.iter().enumerate() {
        for (m, suitex) in shapes.iter().enumerate() {
            change(&records, &record, |_, patch| {
                patch.record.head.state = canonical.clone().into();
                patch.record.shadows.suitex.state = suitex.clone().into();
                patch.record.shadows.netsuite.state = canonical.clone().into();
            })
            .await;
            let seen = view(&records, &record).await.record;
            assert_eq!(&*seen.head.state, canonical, "shapes {n}, {m}");
            assert_eq!(&*seen.shadows.suitex.state, suitex, "shapes {n}, {m}");
            assert_eq!(&*seen.shadows.netsuite.state, canonical, "shapes {n}, {m}");
        }
    }
}

fn conflict(n: u128, field: &str) -> Conflict {
    Conflict {
        conflict_id: id(n),
        field: field.to_owned(),
        reason: ConflictReason::Manual,
        base: fields(&[(field, "base")]),
        suitex: Some(fields(&[(field, "ours")])),
        netsuite: None,
        rev: 1,
        status: ConflictStatus::Open,
        event_id: id(40),
        base_version: 0,
        created_at: at(1),
    }
}

fn lock(n: u128, field: Option<&str>) -> Lock {
    Lock {
        lock_id: id(n),
        field: field.map(str::to_owned),
        reason: LockReason::Conflict,
        conflict_id: Some(id(80)),
        locked_at: at(1),
        note: "two values".to_owned(),
    }
}

/// Opened, moved, closed; a field may be in conflict again afterwards.
pub async fn conflicts_and_locks_come_and_go(records: Arc<dyn Records>) {
    let record = known(&records, hint(1, "7"), 0).await;
    change(&records, &record, |_, patch| {
        patch.record.conflicts = vec![conflict(80, "comments")];
        patch.record.locks = vec![lock(90, Some("comments"))];
    })
    .await;
    change(&records, &record, |view, patch| {
        assert_eq!(view.record.conflicts, [conflict(80, "comments")]);
        assert_eq!(view.record.locks, [lock(90, Some("comments"))]);
        let moved = &mut patch.record.conflicts[0];
        moved.rev = 2;
        moved.netsuite = Some(fields(&[("comments", "theirs")]));
        moved.suitex = None;
    })
    .await;
    change(&records, &record, |view, patch| {
        let mut closed = patch.record.conflicts.remove(0);
        assert_eq!((closed.rev, &closed.suitex), (2, &None));
        closed.status = ConflictStatus::Resolved;
        let decision = Resolution {
            conflict_id: id(80),
            rev: 2,
            values: closed.netsuite.clone(),
            actor: "jane".to_owned(),
            note: String::new(),
        };
        patch.closed.push((closed, Some(decision.clone())));
        patch.record.locks.clear();
        patch.record.conflicts.push(conflict(81, "comments"));
        assert_eq!(view.record.locks.len(), 1);
        log(patch, 45, Entry::Resolution(decision), 5);
    })
    .await;
    let seen = view(&records, &record).await.record;
    assert_eq!(seen.conflicts, [conflict(81, "comments")]);
    assert!(seen.locks.is_empty());
}

/// The fold reads nothing else, so nothing may be lost on the way.
pub async fn the_log_comes_back_as_it_was_folded(records: Arc<dyn Records>) {
    let record = known(&records, hint(1, "7"), 0).await;
    let appended = std::sync::Mutex::new(Vec::new());
    change(&records, &record, |_, patch| {
        observe(patch, 40, Side::Netsuite, every_kind(), 1);
        let write = claim(patch, 41, Side::Suitex, 50);
        let ack = Ack {
            write_id: write.write_id,
            side: Side::Suitex,
            token: Some(8),
            native_id: Some(native("s7")),
            line_ids: [("lines".to_owned(), [("n1".to_owned(), "4".to_owned())].into())].into(),
        };
        log(patch, 42, Entry::Ack(ack), 3);
        let release = Release { write_id: write.write_id, side: Side::Suitex, outcome: IntentStatus::Unknown };
        log(patch, 43, Entry::Release(release), 4);
        let decision =
            Resolution { conflict_id: id(80), rev: 3, values: None, actor: "jane".to_owned(), note: "gone".to_owned() };
        log(patch, 44, Entry::Resolution(decision), 5);
        *appended.lock().expect("no case panics holding it") = patch.log.clone();
    })
    .await;
    let mut appended = appended.into_inner().expect("no case panics holding it");
    change(&records, &record, |_, patch| observe(patch, 45, Side::Netsuite, Fields::new(), 9)).await;
    let read = records.log(&record).await.expect("the log is read");
    assert_eq!(read.len(), 6);
    assert_eq!(read[5].record_seq, 6);
    assert_eq!(read[..5], appended);
    let bytes = |rows: &[crate::records::LogRow]| {
        rows.iter().map(|row| serde_json::to_string(&row.entry).expect("an entry has a JSON form")).collect::<Vec<_>>()
    };
    appended.push(read[5].clone());
    assert_eq!(bytes(&read), bytes(&appended), "byte for byte");
    let stranger = RecordRef { account: account("B"), ..record };
    assert!(records.log(&stranger).await.expect("a log may be empty").is_empty());
}

/// The transaction knows nothing of a record it did not lock; nothing of the batch is stored.
pub async fn a_patch_of_a_stranger_is_refused(records: Arc<dyn Records>) {
    let (a, b) = (known(&records, hint(1, "7"), 0).await, known(&records, hint(2, "8"), 0).await);
    let stranger = view(&records, &b).await.record;
    let mut plan = |views: &[crate::records::View]| {
        let mut patch = Patch::of(views[0].record.clone());
        patch.record.head.lease_token = 1;
        vec![patch, Patch::of(stranger.clone())]
    };
    assert!(records.transact(&Pick::These(vec![a.clone()]), false, &mut plan).await.is_err());
    assert_eq!(view(&records, &a).await.record.head.lease_token, 0);
}

/// Whatever order hints settle in, the others stay pending.
pub async fn hints_settle_in_any_order(records: Arc<dyn Records>) {
    let mut hints: Vec<Hint> = (1..=5).map(|n| hint(n, "7")).collect();
    hints[3].occurred_at = at(-50);
    let record = known(&records, hints[0].clone(), 0).await;
    take_in(&records, &hints[1..], 1).await;
    let left = async |records: &Arc<dyn Records>| {
        let pending = view(records, &record).await.pending;
        pending.into_iter().map(|hint| hint.seq).collect::<Vec<_>>()
    };
    assert_eq!(left(&records).await, [1, 2, 3, 4, 5]);
    let settle = async |records: &Arc<dyn Records>, settled: &[u128]| {
        change(records, &record, |_, patch| {
            patch.settled = settled.iter().map(|n| (id(*n), Disposition::NoopEcho)).collect();
        })
        .await;
    };
    settle(&records, &[3]).await;
    assert_eq!(left(&records).await, [1, 2, 4, 5]);
    settle(&records, &[2, 1]).await;
    assert_eq!(left(&records).await, [4, 5]);
    take_in(&records, &[hint(6, "7")], 2).await;
    settle(&records, &[5, 4]).await;
    assert_eq!(left(&records).await, [6]);
    settle(&records, &[6]).await;
    take_in(&records, &[hint(7, "7")], 3).await;
    assert_eq!(left(&records).await, [7]);
    let without = records.views(&[record], false).await.expect("views are read");
    assert!(without[0].pending.is_empty(), "hints are loaded only when asked for");
}

/// A storm of hints is settled in portions.
pub async fn no_more_than_the_limit_is_pending_at_once(records: Arc<dyn Records>) {
    let count = MAX_PENDING as u128 + 5;
    let hints: Vec<Hint> = (1..=count).map(|n| hint(n, "7")).collect();
    let record = known(&records, hints[0].clone(), 0).await;
    take_in(&records, &hints[1..], 1).await;
    take_in(&records, &[Hint { side: Side::Suitex, new_rid: Rid(id(5)), ..hint(count + 1, "s7") }], 1).await;
    change(&records, &record, |view, patch| {
        assert_eq!(view.pending.len(), MAX_PENDING);
        patch.settled = view.pending.iter().map(|hint| (hint.event_id, Disposition::NoopEcho)).collect();
        answer(&mut patch.record, Side::Netsuite);
    })
    .await;
    let rest = view(&records, &record).await.pending;
    assert_eq!(
        rest.iter().map(|hint| hint.event_id).collect::<Vec<_>>(),
        (count - 4..=count).map(id).collect::<Vec<_>>()
    );
    let found = records.lookup(&account("A"), Side::Suitex, &[(record_type(), native("s7"))]).await.unwrap();
    assert_eq!(found.len(), 1);
}
