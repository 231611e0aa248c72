//! Safeties that back each other up, one by one: removing one alone may not show in any world, so each is held here
//! directly (semantics §4).
#![allow(clippy::unwrap_used, unreachable_pub)] // a test that cannot go on has failed

use merge::fold;
use model::record::{Ack, Entry, IntentStatus, LockReason, Record, Release};
use model::{EventId, LineIds, PerSide, ReadRequest, Remote, RemoteError, Side, WriteId};
use steps::{Absent, Core, lock_record, unlock, write_step};
use store::records::Pick;
use testkit::scene::{Scene, agreed, scene, text, wait};
use testkit::world::ledger::Place;
use testkit::world::stage::Fate;
use testkit::world::vary::Vary;

const SX: Side = Side::Suitex;
const NS: Side = Side::Netsuite;

/// A write of field `b` to NetSuite, sent and landed; nobody here knows yet.
fn landed_write(scene: &mut Scene<'_, '_>, sx: &Place) {
    scene.edit(sx, &[("b", text("ours"))]);
    scene.merge();
    assert!(scene.begin_answer(NS));
    scene.until_landed();
}

#[test]
fn what_was_read_before_the_epoch_moved_is_not_folded() {
    scene(Vary::calm(), |scene| {
        let (sx, ns) = agreed(scene, &[("b", text("A"))]);
        scene.edit(&ns, &[("b", text("B"))]);
        scene.take_in();
        scene.seconds(3);
        scene.begin_merge(&sx);
        // A write to the side began and ended while the read was under way.
        scene.change(&sx, |record| record.shadows[NS].epoch += 1);
        scene.finish();
        let record = scene.record(&sx);
        assert_eq!(record.head.state.get("b"), Some(&text("A")), "the read may be older than that write");
        assert!(record.shadows[NS].dirty(), "so the side is read once more");
        scene.end();
        assert_eq!(scene.value(&sx, "b"), text("B"));
    });
}

#[test]
fn a_side_with_a_write_in_flight_is_not_folded() {
    scene(Vary::calm(), |scene| {
        let (sx, ns) = agreed(scene, &[("b", text("A"))]);
        landed_write(scene, &sx);
        let before = scene.record(&sx);
        scene.edit(&ns, &[("b", text("theirs"))]);
        scene.take_in();
        scene.seconds(3);
        scene.run.start_merge();
        scene.finish_last();
        let after = scene.record(&sx);
        assert_eq!(after.shadows[NS].state, before.shadows[NS].state);
        assert_eq!(after.head, before.head, "not even a lease is taken for it");
        assert!(after.shadows[NS].dirty());
        scene.end();
    });
}

#[test]
fn nothing_is_written_to_a_side_that_is_dirty() {
    scene(Vary::calm(), |scene| {
        let (sx, _) = agreed(scene, &[("b", text("A"))]);
        scene.edit(&sx, &[("b", text("B"))]);
        scene.merge();
        let stamp = scene.record(&sx).head.last_stamp;
        scene.make_dirty(&sx, NS);
        scene.answer(NS);
        assert_eq!(scene.record(&sx).head.last_stamp, stamp, "nothing was claimed");
        scene.end();
    });
}

#[test]
fn a_step_whose_lease_ran_out_folds_nothing() {
    scene(Vary::no_user_events(), |scene| {
        let (sx, ns) = agreed(scene, &[("b", text("A"))]);
        scene.edit(&ns, &[("b", text("B"))]);
        scene.sweep();
        scene.take_in();
        scene.seconds(3);
        scene.begin_merge(&sx); // it has read B, and is paused
        scene.edit(&ns, &[("b", text("C"))]);
        scene.seconds(40);
        scene.sweep();
        scene.take_in();
        scene.seconds(3);
        scene.run.start_merge();
        scene.finish_last(); // another step reads C
        assert_eq!(scene.record(&sx).head.state.get("b"), Some(&text("C")));
        let before = scene.record(&sx);
        scene.finish();
        assert_eq!(scene.record(&sx), before, "what the paused step had read is older");
        scene.end();
    });
}

#[test]
fn a_writer_whose_write_was_taken_over_changes_nothing() {
    scene(Vary::calm(), |scene| {
        let (sx, _) = agreed(scene, &[("b", text("A"))]);
        scene.edit(&sx, &[("b", text("B"))]);
        scene.merge();
        assert!(scene.begin_answer(NS));
        scene.until_landed(); // the answer is on its way for longer than the deadline
        scene.seconds(31);
        scene.run.start_recover(NS);
        scene.finish_last();
        let (before, audited) = (scene.record(&sx), scene.kept(&sx).audit.len());
        assert_eq!(before.shadows[NS].inflight, None, "recovery found it landed");
        scene.finish();
        assert_eq!(scene.record(&sx), before);
        assert_eq!(scene.kept(&sx).audit.len(), audited, "and it is not told twice");
        scene.end();
    });
}

/// An acknowledgement is of one write: a newer one in flight to the same side is none of its business.
#[test]
fn an_acknowledgement_names_its_write() {
    scene(Vary::calm(), |scene| {
        let (sx, _) = agreed(scene, &[("a", text("A")), ("b", text("A"))]);
        scene.edit(&sx, &[("a", text("one"))]);
        scene.merge();
        scene.fate(Fate::Late);
        scene.answer(NS);
        scene.recover(NS);
        scene.merge();
        scene.edit(&sx, &[("b", text("two"))]);
        scene.merge();
        assert!(scene.begin_answer(NS));
        scene.until_sent();
        let mut record: Record = scene.record(&sx);
        let writes: Vec<WriteId> = record.unresolved.iter().map(|intent| intent.write_id).collect();
        assert_eq!(writes.len(), 2, "one unknown, one in flight");
        let spec = &scene.run.core.world.types[0];
        let at = scene.run.core.clock.now();
        let mut say = |entry: Entry| fold(&mut record, spec, &entry, EventId::nil(), at).unwrap();
        // The unknown one is given up: the one in flight stays.
        say(Entry::Release(Release { write_id: writes[0], side: NS, outcome: IntentStatus::Rejected }));
        let ack = Ack { write_id: writes[0], side: NS, token: None, native_id: None, line_ids: LineIds::new() };
        let effects = say(Entry::Ack(ack));
        assert_eq!(effects.resolved, [], "it acknowledges nothing that is there");
        assert_eq!(record.shadows[NS].inflight, Some(writes[1]));
        assert_eq!(record.unresolved.len(), 1);
        scene.end();
    });
}

#[test]
fn our_own_write_coming_back_is_looked_at_like_any_other() {
    scene(Vary::no_user_events(), |scene| {
        let (sx, _) = agreed(scene, &[("b", text("A"))]);
        landed_write(scene, &sx);
        let before = scene.published();
        scene.sweep();
        // It shows our name and the second of our write: a hint all the same, since a user may have edited in that second.
        assert_eq!(scene.published(), before + 1);
        scene.end();
    });
}

#[test]
fn a_write_is_verified_by_a_read() {
    scene(Vary::no_user_events(), |scene| {
        let (sx, ns) = agreed(scene, &[("b", text("A"))]);
        landed_write(scene, &sx);
        scene.finish();
        let shadow = &scene.record(&sx).shadows[NS];
        assert!(shadow.dirty() && shadow.must_read, "acknowledged, and to be read");
        scene.end();
        assert_eq!(scene.value(&ns, "b"), text("ours"));
    });
}

/// What the side filled in is not in our request: no delta may stand for a read before the record was read back. The event
/// of the create itself asks for a read too, where one comes.
#[test]
fn a_create_is_read_back() {
    scene(Vary::no_user_events(), |scene| {
        scene.fill_in(NS, "w", text("filled in"));
        let sx = scene.create(SX, &[("b", text("A"))]);
        scene.merge();
        scene.answer(NS);
        let shadow = &scene.record(&sx).shadows[NS];
        assert!(shadow.dirty() && shadow.must_read, "acknowledged, and to be read");
        assert!(!shadow.complete, "what the side filled in is not known yet");
        scene.settle();
        assert!(scene.record(&sx).shadows[NS].complete);
        assert_eq!(scene.value(&sx, "w"), text("filled in"));
    });
}

#[test]
fn what_was_read_before_the_record_was_locked_is_not_folded() {
    scene(Vary::calm(), |scene| {
        let (sx, ns) = agreed(scene, &[("b", text("A"))]);
        scene.edit(&ns, &[("b", text("B"))]);
        scene.take_in();
        scene.seconds(3);
        scene.begin_merge(&sx);
        let (core, key) = (scene.run.core, scene.record(&sx).key);
        wait(lock_record(&core, &key, None, LockReason::Admin, "audit")).unwrap();
        scene.finish();
        let record = scene.record(&sx);
        assert_eq!(record.head.state.get("b"), Some(&text("A")));
        assert!(record.shadows[NS].dirty(), "it waits until the lock goes");
        assert_eq!(wait(unlock(&core, &key, &|_| true)).unwrap(), 1);
        scene.end();
        assert_eq!(scene.value(&sx, "b"), text("B"));
    });
}

/// A process that speaks to one side only must never take the other for empty.
#[test]
fn a_side_nobody_speaks_to_gives_nothing_and_is_sent_nothing() {
    scene(Vary::calm(), |scene| {
        let (sx, _) = agreed(scene, &[("b", text("A"))]);
        let (absent, core) = (Absent(NS), scene.run.core);
        let (spec, account) = (&core.world.types[0], &scene.run.accounts[0]);
        let want = ReadRequest {
            rid: scene.record(&sx).key.rid,
            native_id: None,
            generation: 1,
            unresolved: Vec::new(),
            note: 0,
        };
        assert_eq!(absent.side(), NS);
        let read = wait(absent.read(account, spec, &[want.clone(), want]));
        let unavailable = |error: &RemoteError| matches!(error, RemoteError::Unavailable { side: Side::Netsuite, .. });
        assert!(read.len() == 2 && read.iter().all(|answer| answer.as_ref().is_err_and(unavailable)), "{read:?}");
        assert!(wait(absent.list(account, spec, None, 10)).is_err_and(|error| unavailable(&error)));

        let remotes = PerSide { netsuite: &absent as &dyn Remote, ..core.remotes };
        let core = Core { remotes, ..core };
        scene.edit(&sx, &[("b", text("B"))]);
        scene.merge();
        let pick = Pick::These(vec![scene.record(&sx).key]);
        let done = wait(write_step(&core, NS, &pick, &|_| true)).unwrap();
        assert_eq!((done.claimed, done.outcomes.len()), (1, 1));
        let shadow = &scene.record(&sx).shadows[NS];
        assert_eq!((shadow.inflight, shadow.attempts), (None, 1), "it was not sent, and is tried again");
        scene.end();
    });
}
