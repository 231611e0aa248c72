//! A writer as its service runs it: doorbells, what is due without one, and writes whose fate nobody knows.
#![allow(clippy::unwrap_used, unreachable_pub)] // a test that cannot go on has failed

use std::sync::Arc;

use model::record::IntentStatus;
use model::{AccountId, Clock, ManualClock, PerSide, RecordRef, Remote, SeededIds, Side, Timestamp};
use steps::{Absent, Engine, Settings, Worked, Writer};
use testkit::memory::MemRecords;
use testkit::scene::{Scene, agreed, text, wait};
use testkit::sim::{Ports, account, with_ports};
use testkit::world::bus::Bus;
use testkit::world::stage::Fate;
use testkit::world::types::types;
use testkit::world::vary::Vary;

const SX: Side = Side::Suitex;
const NS: Side = Side::Netsuite;

/// A record whose NetSuite side is owed something, after a write that went like this, if any; a writer that reaches no side;
/// its clock.
fn writer(fate: Option<Fate>) -> (Writer, RecordRef, Arc<ManualClock>, Arc<MemRecords>) {
    let (book, vary) = (Arc::new(MemRecords::new()), Vary::calm());
    let world = types(vary.delete, vary.line_delete, vary.lock);
    let mut left: Option<(RecordRef, Timestamp)> = None;
    let rng = fastrand::Rng::with_seed(1);
    let ports = Ports { seed: 1, rng, vary, story: false, book: &book, records: book.as_ref(), bus: Bus::default() };
    with_ports(ports, world.clone(), |run| {
        let mut scene = Scene { run };
        let (sx, _) = agreed(&mut scene, &[("b", text("A"))]);
        scene.edit(&sx, &[("b", text("B"))]);
        scene.merge();
        if let Some(fate) = fate {
            scene.fate(fate);
            scene.answer(NS);
        }
        left = Some((scene.record(&sx).key, scene.run.core.clock.now()));
    });
    let (key, now) = left.unwrap();
    let clock = Arc::new(ManualClock::at(now));
    let absent = |side| Arc::new(Absent(side)) as Arc<dyn Remote>;
    let engine = Engine {
        records: Arc::clone(&book) as _,
        remotes: PerSide { suitex: absent(SX), netsuite: absent(NS) },
        world: Arc::new(world),
        clock: Arc::clone(&clock) as _,
        ids: Arc::new(SeededIds::new(2)),
        settings: Settings::default(),
    };
    (Writer { engine, side: NS, accounts: vec![account(1)], per_account: 1 }, key, clock, book)
}

fn work(writer: &Writer) -> Worked {
    wait(writer.work(&|_: &AccountId| true)).unwrap()
}

#[test]
fn a_doorbell_is_answered_once_and_what_it_could_not_write_is_found_when_it_is_due() {
    let (writer, key, clock, book) = writer(None);
    let done = wait(writer.answer(vec![key.clone(), key.clone()], &|_: &AccountId| true)).unwrap();
    assert_eq!((done.records, done.claimed), (1, 1));
    let due = book.book().records[&key].record.shadows[NS].retry_at;
    assert!(due.is_some_and(|at| at > clock.now()), "it was not sent, and waits");
    let idle = work(&writer);
    assert_eq!((idle.written.records, idle.full, idle.next_due), (0, false, due), "nothing is due before");
    clock.advance_micros(2_000_000);
    let busy = work(&writer);
    assert_eq!((busy.written.records, busy.full, busy.next_due), (1, true, Some(clock.now())), "there may be more");
}

#[test]
fn a_write_whose_fate_nobody_knows_is_looked_for_when_its_deadline_has_passed() {
    let (writer, key, clock, book) = writer(Some(Fate::Lost));
    let deadline = book.book().records[&key].record.unresolved[0].deadline;
    assert_eq!(work(&writer).next_due, Some(deadline));
    clock.advance_micros(31_000_000);
    let worked = work(&writer);
    assert_eq!((worked.written.records, worked.full, worked.next_due), (0, true, Some(clock.now())));
    let record = &book.book().records[&key].record.clone();
    assert_eq!(record.unresolved[0].status, IntentStatus::InFlight, "the side could not be asked");
    assert_eq!(record.unresolved[0].deadline, clock.now() + writer.engine.settings.read_backoff);
}
