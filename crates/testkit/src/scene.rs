//! A world without chance: a scenario says what happens, one step after the other, and what must have come of it.

use model::record::{Conflict, Override, Record};
use model::spec::World;
use model::{Clock, Fields, RecordRef, Side, Value, WriteKind};
use steps::{Choice, ResolveError, ResolveRequest, resolve, ring_records};

use crate::checks::{check, row_of};
use crate::memory::Kept;
use crate::sim::{account, with_run};
use crate::world::ledger::Place;
use crate::world::remote::lock;
use crate::world::requests::set;
use crate::world::run::Run;
use crate::world::stage::{Author, Stage};
use crate::world::types::{type_name, types};
use crate::world::vary::Vary;

mod odds;
mod reconcile;

/// The stage of a scenario.
pub struct Scene<'r, 'a> {
    /// The world behind it.
    pub run: &'r mut Run<'a>,
}

/// Plays a scenario in these circumstances. The invariants are checked where the scenario asks for it.
pub fn scene(vary: Vary, script: impl FnOnce(&mut Scene<'_, '_>)) {
    let world = types(vary.delete, vary.line_delete, vary.lock);
    scene_with(vary, world, script);
}

/// Plays a scenario with record types of its own.
pub fn scene_with(vary: Vary, world: World, script: impl FnOnce(&mut Scene<'_, '_>)) {
    with_run(1, fastrand::Rng::with_seed(1), vary, world, true, |run| script(&mut Scene { run }));
}

impl Scene<'_, '_> {
    fn stage<T>(&self, act: impl FnOnce(&mut Stage) -> T) -> T {
        act(&mut lock(self.run.stage))
    }

    // ---- users

    /// A user makes a `thing` in the first account.
    pub fn create(&mut self, side: Side, values: &[(&str, Value)]) -> Place {
        self.create_in(1, side, "thing", values)
    }

    /// A user makes a record.
    pub fn create_in(&mut self, n: usize, side: Side, record_type: &str, values: &[(&str, Value)]) -> Place {
        self.stage(|stage| {
            let place = stage.new_place(side, &account(n), &type_name(record_type));
            let mut fields = Fields::new();
            for (name, value) in values {
                set(&mut fields, name, value.clone());
            }
            stage.ledger.operations += 1;
            stage.put(&place, fields, Author::User);
            place
        })
    }

    /// A user edits fields of a row.
    pub fn edit(&mut self, place: &Place, values: &[(&str, Value)]) {
        self.stage(|stage| {
            let mut fields = stage.rows[place].fields.clone();
            for (name, value) in values {
                set(&mut fields, name, value.clone());
            }
            stage.ledger.operations += 1;
            stage.put(place, fields, Author::User);
        });
    }

    /// A user deletes a row.
    pub fn delete(&mut self, place: &Place) {
        self.stage(|stage| {
            stage.ledger.operations += 1;
            stage.ledger.deleted.insert(place.clone());
            stage.remove(place, Author::User);
        });
    }

    // ---- what is there

    /// A row's field; null when it is empty or the row is gone.
    pub fn value(&self, place: &Place, field: &str) -> Value {
        self.stage(|stage| stage.rows.get(place).and_then(|row| row.fields.get(field)).cloned().unwrap_or_default())
    }

    /// Is the row there?
    pub fn exists(&self, place: &Place) -> bool {
        self.stage(|stage| stage.rows.contains_key(place))
    }

    /// All rows of a side of the first account.
    pub fn rows(&self, side: Side) -> Vec<Place> {
        self.stage(|stage| stage.rows.keys().filter(|p| p.side == side && p.account == account(1)).cloned().collect())
    }

    /// Everything stored of the record a row belongs to.
    ///
    /// # Panics
    /// When nobody has met the row.
    pub fn kept(&self, place: &Place) -> Kept {
        let book = self.run.records.book();
        let rid = book.rid_of(&place.account, &place.record_type, place.side, &place.native());
        let rid = rid.expect("the row was met");
        let key = RecordRef { account: place.account.clone(), record_type: place.record_type.clone(), rid };
        book.records[&key].clone()
    }

    /// The record a row belongs to.
    pub fn record(&self, place: &Place) -> Record {
        self.kept(place).record
    }

    /// The record's present row on the other side.
    ///
    /// # Panics
    /// When it has none.
    pub fn twin(&self, place: &Place) -> Place {
        row_of(&self.record(place), place.side.other()).expect("the record has a row on the other side")
    }

    /// The one open conflict of the record.
    ///
    /// # Panics
    /// When there is none, or more than one.
    pub fn conflict(&self, place: &Place) -> Conflict {
        let conflicts = self.record(place).conflicts;
        assert_eq!(conflicts.len(), 1, "open conflicts: {conflicts:?}");
        conflicts[0].clone()
    }

    /// The record's overrides.
    pub fn overrides(&self, place: &Place) -> Vec<Override> {
        self.kept(place).overrides
    }

    /// Our writes that landed on a side: kind and fields.
    pub fn writes(&self, side: Side) -> Vec<(WriteKind, Vec<String>)> {
        self.stage(|stage| {
            let of_side = stage.landed.iter().filter(|(landed, ..)| *landed == side);
            of_side.map(|(_, kind, _, fields)| (*kind, fields.clone())).collect()
        })
    }

    // ---- steps, each to its end

    /// Time passes.
    pub fn seconds(&mut self, seconds: i64) {
        self.run.clock.advance_micros(seconds * 1_000_000);
    }

    /// Everything on its way to `events.raw` is relayed and taken in.
    pub fn take_in(&mut self) {
        self.run.relay_suitex();
        while self.stage(|stage| !stage.bus.raw.is_empty()) {
            self.run.start_intake(100);
            self.finish_last();
        }
    }

    /// Whatever is dirty is read and folded, without waiting for windows.
    pub fn merge(&mut self) {
        self.take_in();
        self.seconds(3);
        self.run.start_merge();
        self.finish();
        self.run.relay_ours();
    }

    /// Every doorbell of a side is answered.
    pub fn answer(&mut self, side: Side) {
        self.run.relay_ours();
        if self.begin_answer(side) {
            self.finish();
        }
    }

    /// Begins a write step for every doorbell of a side; it stands before its first transaction. False: no doorbell.
    pub fn begin_answer(&mut self, side: Side) -> bool {
        self.run.relay_ours();
        let bells = self.doorbells(side);
        if bells.is_empty() {
            return false;
        }
        self.run.start_answer(side, bells);
        true
    }

    /// The step begun last goes on until this holds.
    ///
    /// # Panics
    /// When it ends before.
    pub fn until(&mut self, holds: impl Fn(&Stage) -> bool) {
        while !self.stage(|stage| holds(stage)) {
            assert!(!self.run.poll_last(), "the step ended before what was waited for happened");
        }
    }

    /// The step begun last goes on until its request was sent; it has not arrived yet.
    pub fn until_sent(&mut self) {
        let sent = self.stage(|stage| stage.last_packet);
        self.until(|stage| stage.last_packet > sent);
    }

    /// The step begun last goes on until its request has arrived; nobody here knows yet.
    pub fn until_landed(&mut self) {
        let landed = self.stage(|stage| stage.landed.len());
        self.until(|stage| stage.landed.len() > landed);
    }

    /// The step begun last goes on to its next point. True when it has ended.
    pub fn step(&mut self) -> bool {
        self.run.poll_last()
    }

    /// The step begun last goes on to its end; the others stay where they are.
    ///
    /// # Panics
    /// When it fails.
    pub fn finish_last(&mut self) {
        self.run.finish_last_task();
        assert_eq!(self.run.failures, Vec::<String>::new());
    }

    /// Begins a merge step of what is due; it has read, and stands before the transaction that folds.
    ///
    /// # Panics
    /// When nothing of the record is due.
    pub fn begin_merge(&mut self, place: &Place) {
        self.run.start_merge();
        let before = self.record(place).head.lease_token;
        while self.record(place).head.lease_token == before {
            assert!(!self.step(), "nothing was due");
        }
        for _ in 0..3 {
            assert!(!self.step(), "the step ended before it folded"); // to the read, through it, to the transaction
        }
    }

    /// The process of the step begun last dies.
    pub fn kill(&mut self) {
        self.run.kill_last();
    }

    /// Every step under way ends; none may fail.
    ///
    /// # Panics
    /// When one fails.
    pub fn finish(&mut self) {
        self.run.finish_tasks();
        assert_eq!(self.run.failures, Vec::<String>::new());
    }

    /// Writes whose deadline passed are looked for.
    pub fn recover(&mut self, side: Side) {
        self.seconds(31);
        self.run.start_recover(side);
        self.finish();
    }

    /// Every type of every account is swept once.
    pub fn sweep(&mut self) {
        for n in 0..self.run.accounts.len() {
            for spec in 0..self.run.core.world.types.len() {
                self.run.start_sweep(n, spec);
                self.finish_last();
            }
        }
    }

    /// A person decides a conflict they have on screen.
    ///
    /// # Errors
    /// See [`ResolveError`].
    pub fn decide(&mut self, place: &Place, conflict: &Conflict, choice: Choice) -> Result<u64, ResolveError> {
        let request = ResolveRequest {
            record: self.record(place).key,
            conflict_id: conflict.conflict_id,
            rev: conflict.rev,
            choice,
            actor: "jane".to_owned(),
            note: String::new(),
        };
        let core = self.run.core;
        wait(resolve(&core, &request))
    }

    /// Rings both sides of the record, as the reconciler does.
    ///
    /// # Panics
    /// When the store fails.
    pub fn ring(&mut self, place: &Place) {
        let (core, key) = (self.run.core, self.record(place).key);
        wait(ring_records(&core, &[key], true)).expect("the store in memory does not fail");
    }

    /// Everything that was begun ends, sweeps included, until nothing is left to do; open conflicts stay open.
    ///
    /// # Panics
    /// When that never comes.
    pub fn settle(&mut self) {
        assert!(self.run.drain(false), "{:?}\n{}", self.run.failures, self.story());
    }

    /// The end: everything settles and the invariants hold.
    ///
    /// # Panics
    /// When one does not.
    pub fn end(&mut self) {
        self.settle();
        let breaches = check(&self.run.records.book(), &lock(self.run.stage));
        assert_eq!(breaches, Vec::<String>::new(), "{}", self.story());
        let repeated = self.run.repeat();
        assert_eq!(repeated, Vec::<String>::new(), "{}", self.story());
    }

    /// Events ever published to `events.raw`.
    pub fn published(&self) -> usize {
        self.stage(|stage| stage.bus.raw.ever.len())
    }

    /// How often something of [`crate::world::coverage`] happened.
    pub fn happened(&self, what: &str) -> u64 {
        self.stage(|stage| stage.coverage.of(what))
    }

    /// What happened so far.
    pub fn story(&self) -> String {
        self.stage(|stage| stage.trace.clone().unwrap_or_default().join("\n"))
    }

    /// Seconds of NetSuite's clock.
    pub fn now_second(&self) -> i64 {
        self.run.clock.now().as_second()
    }
}

/// Lets a step go on to its end.
pub fn wait<F: Future>(step: F) -> F::Output {
    let mut step = Box::pin(step);
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    loop {
        if let std::task::Poll::Ready(done) = step.as_mut().poll(&mut cx) {
            return done;
        }
    }
}

/// Text.
pub fn text(value: &str) -> Value {
    Value::text(value)
}

/// Lines by id, each with the value of its field `q`.
pub fn lines(of: &[(&str, &str)]) -> Value {
    let line = |q: &str| Some([("q".to_owned(), Value::text(q))].into());
    Value::Lines(of.iter().map(|(id, q)| ((*id).to_owned(), line(q))).collect())
}

/// A thing both sides agree on, at version 1: its row in SuiteX and its row in NetSuite.
///
/// # Panics
/// When they come to agree otherwise.
pub fn agreed(scene: &mut Scene<'_, '_>, values: &[(&str, Value)]) -> (Place, Place) {
    let sx = scene.create(Side::Suitex, values);
    scene.settle();
    let ns = scene.twin(&sx);
    assert_eq!(scene.record(&sx).head.version, 1);
    (sx, ns)
}

/// What both rows hold of a field.
pub fn both(scene: &Scene<'_, '_>, (sx, ns): (&Place, &Place), field: &str) -> [Value; 2] {
    [scene.value(sx, field), scene.value(ns, field)]
}
