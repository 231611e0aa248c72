//! What the reconciler's look counts, and what it takes for work under way.
#![allow(clippy::unwrap_used, unreachable_pub)] // a test that cannot go on has failed

use std::time::Duration;

use model::record::{Conflict, ConflictReason, ConflictStatus, Existence, Lease, Lock, LockReason, Record, WHOLE};
use model::{Clock, EventId, Fields, PerSide, Remote, Side, Timestamp};
use steps::{Absent, Core, Look, Tally, recover_step, write_step};
use store::records::Pick;
use testkit::scene::{Scene, agreed, scene, text, wait};
use testkit::world::ledger::Place;
use testkit::world::stage::Fate;
use testkit::world::vary::Vary;

const NS: Side = Side::Netsuite;

/// A look at all things.
fn look(scene: &mut Scene<'_, '_>) -> Tally {
    scene.reconcile().remove(0)
}

#[test]
fn everything_listed_and_held_is_counted_page_by_page() {
    scene(Vary { page: 1, ..Vary::no_user_events() }, |scene| {
        for n in 0..3 {
            agreed(scene, &[("b", text(&n.to_string()))]);
        }
        let tally = look(scene);
        assert_eq!((tally.listed.suitex, tally.listed.netsuite, tally.canonical.count), (3, 3, 3));
        assert_eq!((tally.sides.suitex, tally.sides.netsuite), (tally.canonical, tally.canonical));
        assert_eq!((tally.shortfalls(), tally.examples.len()), (Vec::new(), 0));
    });
}

/// The record changed like this, looked at, and put back as it was. Answers how many were pending.
fn pending(scene: &mut Scene<'_, '_>, place: &Place, change: fn(&mut Record, Timestamp)) -> u64 {
    let (before, now) = (scene.record(place), scene.run.clock.now());
    scene.change(place, |record| change(record, now));
    let pending = look(scene).pending;
    let (head, locks, conflicts) = (before.head, before.locks, before.conflicts);
    let owed = before.shadows.netsuite.owed;
    scene.change(place, move |record| {
        record.head.lease.clone_from(&head.lease);
        record.locks.clone_from(&locks);
        record.conflicts.clone_from(&conflicts);
        record.shadows.netsuite.owed = owed;
        record.shadows.netsuite.dirty_seq = 0;
    });
    pending
}

fn lock(at: Timestamp) -> Lock {
    let (lock_id, field) = (EventId::from_u128(1), Some("b".to_owned()));
    Lock { lock_id, field, reason: LockReason::Admin, conflict_id: None, locked_at: at, note: String::new() }
}

fn conflict(at: Timestamp) -> Conflict {
    Conflict {
        conflict_id: EventId::from_u128(2),
        field: WHOLE.to_owned(),
        reason: ConflictReason::Manual,
        base: Fields::new(),
        suitex: None,
        netsuite: None,
        rev: 1,
        status: ConflictStatus::Open,
        event_id: EventId::nil(),
        base_version: 1,
        created_at: at,
    }
}

fn lease(until: Timestamp) -> Option<Lease> {
    Some(Lease { owner: "merge-1".to_owned(), until })
}

#[test]
fn a_record_on_which_work_is_under_way_is_pending_whatever_the_work() {
    scene(Vary::no_user_events(), |scene| {
        let (sx, _) = agreed(scene, &[("b", text("A"))]);
        assert_eq!(pending(scene, &sx, |_, _| {}), 0);
        assert_eq!(pending(scene, &sx, |record, now| record.head.lease = lease(now + Duration::from_secs(9))), 1);
        assert_eq!(pending(scene, &sx, |record, now| record.head.lease = lease(now)), 0, "it has run out");
        assert_eq!(pending(scene, &sx, |record, now| record.locks.push(lock(now))), 1);
        assert_eq!(pending(scene, &sx, |record, now| record.conflicts.push(conflict(now))), 1);
        assert_eq!(pending(scene, &sx, |record, _| record.shadows.netsuite.owed = true), 1);
        let ring = |record: &mut Record, now| _ = record.shadows.netsuite.ring(now, false, false);
        assert_eq!(pending(scene, &sx, ring), 1);
    });
}

#[test]
fn a_row_where_none_was_known_is_told_unless_somebody_is_looking_into_it() {
    scene(Vary::no_user_events(), |scene| {
        let (sx, _) = agreed(scene, &[("b", text("A"))]);
        scene.change(&sx, |record| record.shadows.netsuite.exists = Existence::Deleted);
        let tally = look(scene);
        assert_eq!((tally.unknown.netsuite, tally.unknown.suitex), (1, 0));
        assert_eq!(tally.examples[0].rid, Some(scene.record(&sx).key.rid), "it is known whose it was");
        assert!(scene.record(&sx).shadows[NS].dirty(), "and it was rung");
        assert_eq!(look(scene).unknown.netsuite, 0, "it is being looked into");
    });
}

#[test]
fn a_side_that_gives_nothing_at_all_breaks_off_the_look_and_a_recovery_asks_again_later() {
    scene(Vary::no_user_events(), |scene| {
        let (sx, _) = agreed(scene, &[("b", text("A"))]);
        let (absent, core) = (Absent(NS), scene.run.core);
        let remotes = PerSide { netsuite: &absent as &dyn Remote, ..core.remotes };
        let deaf = Core { remotes, ..core };
        let key = scene.record(&sx).key;
        let (account, spec) = (&scene.run.accounts[0], &core.world.types[0]);
        let (look, mut tally) = (Look { core: deaf, account, spec, grace: Duration::ZERO }, Tally::default());
        assert!(wait(look.records(&[key.rid], &mut tally)).is_err());
        assert_eq!(tally, Tally::default(), "what was not read is not counted");

        scene.edit(&sx, &[("b", text("B"))]);
        scene.merge();
        scene.fate(Fate::Lost);
        let pick = Pick::These(vec![key]);
        wait(write_step(&core, NS, &pick, &|_| true)).unwrap();
        scene.seconds(31);
        let done = wait(recover_step(&deaf, NS, &pick)).unwrap();
        assert_eq!((done.looked, done.unreadable, done.landed, done.unknown), (1, 1, 0, 0));
        let record = scene.record(&sx);
        assert!(record.inflight(NS).is_some(), "nobody knows yet");
        assert_eq!(record.unresolved[0].deadline, core.clock.now() + core.settings.read_backoff);
        scene.end();
    });
}
