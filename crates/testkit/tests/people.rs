//! What people do through the steps: lock and unlock, undo, put a record right from its log, and ask what a resync would
//! write.
#![allow(clippy::unwrap_used, unreachable_pub)] // a test that cannot go on has failed

use std::time::Duration;

use merge::FoldError;
use merge::replay::Projection;
use model::record::{LockReason, Undo, WHOLE};
use model::{EventId, RecordRef, Rid, Side, Value, WriteKind};
use steps::{Held, Look, Planned, Swapped, UndoError, UndoRequest, lock_record, ring_records, swap, undo, unlock};
use testkit::scene::{Scene, agreed, both, scene, text, wait};
use testkit::world::ledger::Place;
use testkit::world::vary::Vary;

const SX: Side = Side::Suitex;
const NS: Side = Side::Netsuite;

fn nobody(key: &RecordRef) -> RecordRef {
    RecordRef { rid: Rid(EventId::from_u128(404)), ..key.clone() }
}

#[test]
fn a_locked_record_waits_and_is_looked_at_again_when_its_last_lock_goes() {
    scene(Vary::calm(), |scene| {
        let (sx, ns) = agreed(scene, &[("b", text("A"))]);
        let (core, key) = (scene.run.core, scene.record(&sx).key);
        let lock = |field: Option<&str>, reason| wait(lock_record(&core, &key, field, reason, "audit")).unwrap();
        let admin = lock(None, LockReason::Admin);
        assert!(admin.is_some());
        assert_eq!(lock(Some(WHOLE), LockReason::Admin), admin, "the same lock, kept as it is");
        let error = lock(None, LockReason::Error);
        let field = lock(Some("b"), LockReason::Admin);
        let other = lock(Some("a"), LockReason::Admin);
        assert_eq!(scene.record(&sx).locks.len(), 4);
        assert!(error != admin && field != admin && field != other);
        assert_eq!(wait(lock_record(&core, &nobody(&key), None, LockReason::Admin, "")).unwrap(), None);

        scene.edit(&sx, &[("b", text("B"))]);
        scene.settle();
        assert_eq!(both(scene, (&sx, &ns), "b"), [text("B"), text("A")]);
        let release = |reason| wait(unlock(&core, &key, &|lock| lock.reason == reason)).unwrap();
        assert_eq!(release(LockReason::Admin), 3);
        assert_eq!(release(LockReason::Admin), 0, "there is none any more");
        assert!(scene.record(&sx).locked());
        assert_eq!(release(LockReason::Error), 1);
        let record = scene.record(&sx);
        assert!(Side::BOTH.iter().all(|side| record.shadows[*side].dirty() && record.shadows[*side].urgent));
        scene.end();
        assert_eq!(both(scene, (&sx, &ns), "b"), [text("B"), text("B")]);
    });
}

#[test]
fn the_lock_of_a_conflict_goes_with_a_decision_alone() {
    scene(Vary::calm(), |scene| {
        let (sx, ns) = agreed(scene, &[("m", text("A"))]);
        scene.edit(&sx, &[("m", text("X"))]);
        scene.edit(&ns, &[("m", text("Y"))]);
        scene.settle();
        let (core, key) = (scene.run.core, scene.record(&sx).key);
        // One of the same field and reason that no conflict holds is a lock of its own.
        let own = wait(lock_record(&core, &key, Some("m"), LockReason::Conflict, "")).unwrap();
        let locks = scene.record(&sx).locks;
        assert_eq!((locks.len(), locks[1].lock_id), (2, own.unwrap()));
        assert_eq!(wait(unlock(&core, &key, &|_| true)).unwrap(), 1);
        assert!(scene.record(&sx).field_locked("m"));
    });
}

#[test]
fn records_rung_again_are_read_on_both_sides() {
    scene(Vary::calm(), |scene| {
        let (one, _) = agreed(scene, &[("b", text("A"))]);
        let (two, _) = agreed(scene, &[("b", text("B"))]);
        let core = scene.run.core;
        let keys = [&one, &two, &one].map(|place| scene.record(place).key);
        assert_eq!(wait(ring_records(&core, &keys, true)).unwrap(), 2);
        for place in [&one, &two] {
            assert!(Side::BOTH.iter().all(|side| scene.record(place).shadows[*side].dirty()));
        }
        assert_eq!(wait(ring_records(&core, &[nobody(&keys[0])], true)).unwrap(), 0);
        scene.end();
    });
}

fn put_back(scene: &Scene<'_, '_>, place: &Place, value: &str, seq: u64) -> Result<u64, UndoError> {
    let undo_of = Undo {
        field: "b".to_owned(),
        version: 1,
        values: [("b".to_owned(), text(value))].into(),
        actor: "jane".to_owned(),
        note: String::new(),
    };
    let record = scene.record(place).key;
    let request = UndoRequest { record, undo: undo_of, event_id: EventId::from_u128(7), record_seq: seq };
    let core = scene.run.core;
    wait(undo(&core, &request))
}

#[test]
fn an_earlier_value_put_back_goes_to_both_sides_and_only_on_the_record_as_it_was_seen() {
    scene(Vary::calm(), |scene| {
        let (sx, ns) = agreed(scene, &[("b", text("A"))]);
        scene.edit(&sx, &[("b", text("B"))]);
        scene.settle();
        let seq = scene.record(&sx).head.record_seq;
        assert!(matches!(put_back(scene, &sx, "A", seq - 1), Err(UndoError::Moved)));
        let refused = put_back(scene, &sx, "B", seq);
        assert!(matches!(refused, Err(UndoError::Refused(FoldError::StandsAlready))), "{refused:?}");
        assert_eq!(put_back(scene, &sx, "A", seq).unwrap(), 3);
        assert_eq!(scene.kept(&sx).log.last().unwrap().event_id, EventId::from_u128(7));
        scene.settle();
        assert_eq!(both(scene, (&sx, &ns), "b"), [text("A"), text("A")]);
        let core = scene.run.core;
        wait(lock_record(&core, &scene.record(&sx).key, Some("b"), LockReason::Admin, "")).unwrap();
        let seq = scene.record(&sx).head.record_seq;
        assert!(matches!(put_back(scene, &sx, "B", seq), Err(UndoError::Locked(_))));
    });
}

#[test]
fn nothing_is_put_back_in_a_record_nobody_has_read() {
    scene(Vary::calm(), |scene| {
        let sx = scene.create(SX, &[("b", text("A"))]);
        scene.take_in();
        assert_eq!(scene.record(&sx).head.version, 0);
        assert!(matches!(put_back(scene, &sx, "B", 0), Err(UndoError::NoRecord)));
        scene.end();
    });
}

#[test]
fn a_record_is_made_what_its_log_folds_to_unless_the_log_has_grown() {
    scene(Vary::calm(), |scene| {
        let (sx, _) = agreed(scene, &[("b", text("A"))]);
        let (core, key) = (scene.run.core, scene.record(&sx).key);
        let folded = Projection::of(&scene.record(&sx));
        let put = |key: &RecordRef, folded: &Projection| wait(swap(&core, key, folded)).unwrap();
        assert_eq!(put(&key, &folded), Swapped::Same);
        scene.change(&sx, |record| record.shadows[NS].token = Some(404));
        assert_eq!(put(&key, &folded), Swapped::Done);
        assert_eq!(Projection::of(&scene.record(&sx)), folded);
        assert_eq!(put(&key, &Projection { record_seq: folded.record_seq + 1, ..folded.clone() }), Swapped::Moved);
        let older = Projection { version: 0, ..folded.clone() };
        assert_eq!(put(&key, &older), Swapped::Refused("version"));
        assert_eq!(put(&nobody(&key), &folded), Swapped::Gone);
        scene.end();
    });
}

/// What a resync of the records of these rows would do.
fn plan(scene: &Scene<'_, '_>, places: &[&Place]) -> Vec<Planned> {
    let core = scene.run.core;
    let rids: Vec<Rid> = places.iter().map(|place| scene.record(place).key.rid).collect();
    let (account, spec) = (&scene.run.accounts[0], &core.world.types[0]);
    wait(Look { core, account, spec, grace: Duration::ZERO }.plan(&rids)).unwrap()
}

/// A field, what it is and what it would be.
type Text = (String, Value, Value);

/// The plan's writes in short: side, kind, and what the fields with text are and would be.
fn writes(planned: &Planned) -> Vec<(Side, WriteKind, Vec<Text>)> {
    let texts = |write: &'_ steps::PlannedWrite| -> Vec<Text> {
        let texts = write.fields.iter().filter(|(_, change)| change.from.as_text().is_some());
        texts.map(|(name, change)| (name.clone(), change.from.clone(), change.to.clone())).collect()
    };
    planned.writes.iter().map(|write| (write.side, write.kind, texts(write))).collect()
}

#[test]
fn a_plan_says_every_write_and_leaves_no_trace_and_ringing_carries_it_out() {
    scene(Vary::no_user_events(), |scene| {
        let (same, _) = agreed(scene, &[("b", text("same"))]);
        let (changed, ns) = agreed(scene, &[("a", text("a")), ("b", text("A"))]);
        let (gone, dropped) = agreed(scene, &[("b", text("gone"))]);
        scene.edit(&ns, &[("b", text("B"))]);
        scene.delete(&dropped);
        let before = [&same, &changed, &gone].map(|place| scene.record(place));
        let planned = plan(scene, &[&same, &changed, &gone]);
        assert_eq!([&same, &changed, &gone].map(|place| scene.record(place)), before);
        assert_eq!([0, 1, 2].map(|n| planned[n].differs()), [false, true, true]);
        assert_eq!(writes(&planned[0]), []);
        assert_eq!(writes(&planned[1]), [(SX, WriteKind::Update, vec![("b".to_owned(), text("A"), text("B"))])]);
        assert_eq!(writes(&planned[2]), [(SX, WriteKind::Delete, vec![("b".to_owned(), text("gone"), Value::Null)])]);
        assert_eq!(planned[1].writes[0].native_id, Some(changed.native()));
        assert_eq!(plan(scene, &[&same])[0].stand, planned[0].stand, "it stands on what it stood on");
        assert_ne!(planned[0].stand, planned[1].stand);

        let core = scene.run.core;
        let (account, spec) = (&scene.run.accounts[0], &core.world.types[0]);
        let rids = before.map(|record| record.key.rid);
        let look = Look { core, account, spec, grace: Duration::ZERO };
        assert_eq!(wait(look.ring_again(&rids)).unwrap(), 3);
        scene.end();
        assert_eq!(scene.value(&changed, "b"), text("B"));
        assert!(!scene.exists(&gone));
        assert!(!plan(scene, &[&changed])[0].differs());
    });
}

#[test]
fn a_plan_names_what_would_need_a_person_what_would_lose_and_what_is_in_the_way() {
    scene(Vary::no_user_events(), |scene| {
        let (sx, ns) = agreed(scene, &[("a", text("A")), ("m", text("M"))]);
        scene.edit(&sx, &[("a", text("ours")), ("m", text("X"))]);
        scene.edit(&ns, &[("a", text("theirs")), ("m", text("Y"))]);
        let planned = &plan(scene, &[&sx])[0];
        assert_eq!(planned.conflicts, ["m"]);
        let lost: Vec<_> = planned.overrides.iter().map(|lost| (lost.field.as_str(), lost.losing_side)).collect();
        assert_eq!((lost, planned.overrides[0].losing_value.clone()), (vec![("a", NS)], text("theirs")));
        assert!(planned.held.is_empty() && planned.differs());
        // Only a conflict, or only a loss, is a difference as well.
        for part in 0..3 {
            let mut one =
                Planned { writes: Vec::new(), conflicts: Vec::new(), overrides: Vec::new(), ..planned.clone() };
            match part {
                0 => one.conflicts.clone_from(&planned.conflicts),
                1 => one.overrides.clone_from(&planned.overrides),
                _ => one.held.push(Held::Locked),
            }
            assert!(one.differs());
        }
        scene.settle();
        assert!(plan(scene, &[&sx])[0].conflicts.is_empty(), "it is open already");

        let core = scene.run.core;
        wait(lock_record(&core, &scene.record(&sx).key, None, LockReason::Admin, "")).unwrap();
        assert_eq!(plan(scene, &[&sx])[0].held, [Held::Locked]);
        let (other, _) = agreed(scene, &[("b", text("A"))]);
        scene.edit(&other, &[("b", text("B"))]);
        scene.merge();
        assert!(scene.begin_answer(NS));
        scene.until_sent();
        assert_eq!(plan(scene, &[&other])[0].held, [Held::NetsuiteInFlight]);
        scene.finish();
    });
}

#[test]
fn a_plan_knows_from_the_hints_that_wait_when_each_field_was_typed() {
    scene(Vary { fast_delta: false, ..Vary::no_user_events() }, |scene| {
        let (sx, ns) = agreed(scene, &[("a", text("A")), ("w", text("A"))]);
        scene.edit(&sx, &[("w", text("ours"))]);
        scene.seconds(30);
        scene.edit(&ns, &[("w", text("theirs"))]);
        scene.seconds(30);
        scene.edit(&sx, &[("a", text("later"))]); // the row is younger than its field
        scene.take_in();
        let planned = &plan(scene, &[&sx])[0];
        let lost: Vec<_> = planned.overrides.iter().map(|lost| (lost.losing_side, lost.losing_value.clone())).collect();
        assert_eq!(lost, [(SX, text("ours"))], "the later edit stands");
        scene.settle();
        assert_eq!(both(scene, (&sx, &ns), "w"), [text("theirs"), text("theirs")]);
    });
}
