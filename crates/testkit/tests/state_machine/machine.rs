//! The real steps, driven by a sequence. They borrow their ports, so a sequence is gathered and played at its end.

use model::spec::{DeletePolicy, LockScope};
use model::{Side, Value};
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest};
use store::records::Records;
use testkit::checks::{check, row_of};
use testkit::memory::MemRecords;
use testkit::sim::{Ports, account, with_ports};
use testkit::world::bus::Bus;
use testkit::world::ledger::Place;
use testkit::world::remote::lock;
use testkit::world::requests::set;
use testkit::world::run::Run;
use testkit::world::stage::{Author, Fate};
use testkit::world::types::{type_name, types};
use testkit::world::vary::Vary;

use crate::forgetful::Forgetful;
use crate::known::{Known, Meets, Step};

/// Fields that take plain texts.
const FIELDS: [&str; 3] = ["a", "b", "w"];

/// A sequence that waits to be played; over a store that forgets, where it shall be found out.
pub(crate) struct Machine<const FORGETFUL: bool>(Vec<Step>);

impl<const FORGETFUL: bool> StateMachineTest for Machine<FORGETFUL> {
    type SystemUnderTest = Self;
    type Reference = Known;

    fn init_test(_: &Known) -> Self {
        Self(Vec::new())
    }

    fn apply(mut state: Self, _: &Known, step: Step) -> Self {
        state.0.push(step);
        state
    }

    fn teardown(state: Self, known: <Known as ReferenceStateMachine>::State) {
        let book = MemRecords::new();
        let forgetful = Forgetful(&book);
        let records: &dyn Records = if FORGETFUL { &forgetful } else { &book };
        let vary = Vary { fast_delta: false, ue_drop: 1.0, ..Vary::calm() };
        let world = types(DeletePolicy::Manual, DeletePolicy::UpdateWins, LockScope::Field);
        let rng = fastrand::Rng::with_seed(1);
        with_ports(
            Ports { seed: 1, rng, vary, story: false, book: &book, records, bus: Bus::default() },
            world,
            |run| {
                let mut places = Vec::new();
                for step in state.0 {
                    take(run, &mut places, step);
                }
                let quiet = run.drain(true);
                assert!(quiet, "{:?}", run.failures);
                let (book, stage) = (run.records.book(), lock(run.stage));
                assert_eq!(check(&book, &stage), Vec::<String>::new());
                drop((book, stage));
                agrees(run, &places, &known);
            },
        );
    }
}

/// Both sides hold what users made of each record, whatever the world's own ledger says.
fn agrees(run: &Run<'_>, places: &[Place], known: &Known) {
    assert_eq!(places.len(), known.things.len());
    for (place, thing) in places.iter().zip(&known.things) {
        assert_eq!(place.side, thing.side);
        for place in [Some(place.clone()), other(run, place)] {
            let place = place.expect("the record is on both sides");
            let stage = lock(run.stage);
            let row = &stage.rows[&place];
            let n = row.fields.get("n").cloned().unwrap_or(Value::Int(0));
            assert_eq!(n, Value::Int(thing.n), "n of {place}");
            let members = match row.fields.get("s") {
                Some(Value::Set(members)) => members.clone(),
                _ => std::collections::BTreeSet::new(),
            };
            assert_eq!(members, thing.members, "s of {place}");
        }
    }
}

/// The record's row on the other side, if it has one.
fn other(run: &Run<'_>, place: &Place) -> Option<Place> {
    let book = run.records.book();
    let rid = book.rid_of(&place.account, &place.record_type, place.side, &place.native())?;
    let kept = book.records.values().find(|kept| kept.record.key.rid == rid)?;
    row_of(&kept.record, place.side.other())
}

fn take(run: &mut Run<'_>, places: &mut Vec<Place>, step: Step) {
    match step {
        Step::Create(side) => {
            let mut stage = lock(run.stage);
            let place = stage.new_place(side, &account(1), &type_name("thing"));
            stage.ledger.operations += 1;
            stage.put(&place, model::Fields::new(), Author::User);
            places.push(place);
        }
        Step::Type { thing, side, field, text } => {
            edit(run, &places[thing], side, |_, _, fields| set(fields, FIELDS[field], Value::text(format!("u{text}"))));
        }
        Step::Increment { thing, side, by } => edit(run, &places[thing], side, |stage, place, fields| {
            *stage.ledger.increments.entry(place.clone()).or_default() += by;
            let held = match fields.get("n") {
                Some(Value::Int(n)) => *n,
                _ => 0,
            };
            fields.insert("n".to_owned(), Value::Int(held + by));
        }),
        Step::Add { thing, side, member } => edit(run, &places[thing], side, |stage, place, fields| {
            let member = format!("u{member}");
            let mut members = match fields.get("s") {
                Some(Value::Set(members)) => members.clone(),
                _ => std::collections::BTreeSet::new(),
            };
            members.insert(member.clone());
            stage.ledger.added.push((place.clone(), member));
            fields.insert("s".to_owned(), Value::Set(members));
        }),
        Step::Hear => {
            run.relay_suitex();
            run.start_intake(usize::MAX);
            run.finish_last_task();
        }
        Step::Relay => {
            run.relay_suitex();
            run.relay_ours();
        }
        Step::Intake => run.start_intake(3),
        Step::Merge => run.start_merge(),
        Step::Write(side, meets) => write(run, side, meets),
        Step::Recover(side) => run.start_recover(side),
        Step::Sweep => run.start_sweep(0, 0),
        Step::Land => {
            let mut stage = lock(run.stage);
            if let Some(id) = stage.network.iter().find(|packet| packet.answer.is_none()).map(|packet| packet.id) {
                stage.land(id);
            }
        }
        Step::Pass(seconds) => run.clock.advance_micros(seconds * 1_000_000),
        Step::Go { step, points } => (0..points).for_each(|_| run.poll_at(step)),
        Step::Kill(step) => run.kill_at(step),
    }
}

/// A user edits the record on this side; on the one it was made on, where the other has not got it yet.
fn edit(
    run: &Run<'_>,
    made: &Place,
    side: Side,
    change: impl FnOnce(&mut testkit::world::stage::Stage, &Place, &mut model::Fields),
) {
    let there = (side != made.side).then(|| other(run, made)).flatten();
    let mut stage = lock(run.stage);
    let place = there.filter(|place| stage.rows.contains_key(place)).unwrap_or_else(|| made.clone());
    let mut fields = stage.rows[&place].fields.clone();
    change(&mut stage, &place, &mut fields);
    stage.ledger.operations += 1;
    stage.put(&place, fields, Author::User);
}

fn write(run: &mut Run<'_>, side: Side, meets: Meets) {
    let bells: Vec<_> = {
        let mut stage = lock(run.stage);
        stage.fates.clear();
        stage.fates.push_back(match meets {
            Meets::Answer => Fate::Answered,
            Meets::NoAnswer => Fate::Unheard,
            Meets::Delay => Fate::Late,
            Meets::Nothing => Fate::Lost,
        });
        let ready = stage.bus.merged.ready(false).into_iter().filter(|bell| bell.body.target == side);
        ready.map(|bell| (bell.id, bell.body.clone())).take(3).collect()
    };
    if bells.is_empty() {
        run.start_write(side);
    } else {
        run.start_answer(side, bells);
    }
}
