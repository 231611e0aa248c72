//! Creates by the million: does a record made in SuiteX come to stand in NetSuite once, and in how many calls, when answers
//! get lost, writers die and two of them work at once? Virtual time; one seed gives one run.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use model::spec::{DeletePolicy, LockScope};
use model::{Fields, Rid, Side, Value};

use crate::checks::check;
use crate::sim::{account, with_run};
use crate::world::ledger::Place;
use crate::world::remote::lock;
use crate::world::requests::set;
use crate::world::run::Run;
use crate::world::stage::{Author, Fate};
use crate::world::types::{type_name, types};
use crate::world::vary::Vary;

/// Records of one world. Many small worlds are quicker than a large one, and a record knows only itself.
const PER_WORLD: u64 = 50;
/// Writers that work at once.
const WRITERS: usize = 2;

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CreateArgs {
    /// Records to make.
    pub count: u64,
    /// The first world's seed.
    pub seed: u64,
    /// Share of requests whose answer gets lost after they landed.
    pub lost_answers: f64,
    /// Share of a writer's points at which it dies.
    pub deaths: f64,
}

impl CreateArgs {
    /// Four answers in a hundred get lost, and a writer dies about once in seventy writes.
    pub fn of(count: u64, seed: u64) -> Self {
        Self { count, seed, lost_answers: 0.04, deaths: 0.002 }
    }
}

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Created {
    /// Records made.
    pub count: u64,
    /// Create requests sent, one record each.
    pub calls: u64,
    /// Rows too many: further rows of one record.
    pub duplicates: u64,
    /// Records without a row.
    pub lost: u64,
    /// Answers that got lost.
    pub unheard: u64,
    /// Writers that died.
    pub died: u64,
    /// Invariants broken, with the world's seed; the first few.
    pub breaches: Vec<String>,
    /// How long it took.
    pub took: Duration,
}

impl Created {
    /// Create requests for each record made.
    pub fn calls_per_create(&self) -> f64 {
        if self.count == 0 { 0.0 } else { self.calls as f64 / self.count as f64 }
    }

    fn add(&mut self, other: Self) {
        const MOST: usize = 20;
        self.count += other.count;
        self.calls += other.calls;
        self.duplicates += other.duplicates;
        self.lost += other.lost;
        self.unheard += other.unheard;
        self.died += other.died;
        self.breaches.extend(other.breaches);
        self.breaches.truncate(MOST);
    }
}

/// Makes records on all processors, world after world.
///
/// # Panics
/// When a world panics.
pub fn run(args: &CreateArgs) -> Created {
    #[allow(clippy::disallowed_methods)] // how long it took is no part of any run
    let begin = Instant::now();
    let worlds = args.count.div_ceil(PER_WORLD);
    let workers = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    let work = |worker: u64| {
        let args = *args;
        move || {
            let mut whole = Created::default();
            for world in (worker..worlds).step_by(usize::try_from(workers).unwrap_or(1)) {
                let count = PER_WORLD.min(args.count - world * PER_WORLD);
                whole.add(one_world(&CreateArgs { count, seed: args.seed + world, ..args }));
            }
            whole
        }
    };
    let workers: Vec<_> = (0..workers).map(|worker| std::thread::spawn(work(worker))).collect();
    let mut whole = Created::default();
    for worker in workers {
        whole.add(worker.join().expect("a world does not panic"));
    }
    whole.took = begin.elapsed();
    whole
}

fn one_world(args: &CreateArgs) -> Created {
    let mut made = Created { count: args.count, ..Created::default() };
    let world = types(DeletePolicy::Manual, DeletePolicy::UpdateWins, LockScope::Field);
    let vary = Vary { ordered: false, ..Vary::calm() };
    let stage = with_run(args.seed, fastrand::Rng::with_seed(args.seed), vary, world, false, |run| {
        let places = begin(run, args.count);
        write_them(run, args, &mut made);
        if run.drain(false) {
            let (book, stage) = (run.records.book(), lock(run.stage));
            made.breaches
                .extend(check(&book, &stage).into_iter().map(|breach| format!("world {}: {breach}", args.seed)));
            drop((book, stage));
        }
        made.breaches.extend(run.failures.iter().map(|failure| format!("world {}: {failure}", args.seed)));
        count(run, &places, &mut made);
    });
    made.calls = stage.creates_sent;
    made.unheard = stage.coverage.of("unknown outcome");
    made.died = stage.coverage.of("killed");
    made
}

/// Users make records in SuiteX, and they are read.
fn begin(run: &mut Run<'_>, count: u64) -> Vec<Place> {
    let mut places = Vec::new();
    {
        let mut stage = lock(run.stage);
        for _ in 0..count {
            let place = stage.new_place(Side::Suitex, &account(1), &type_name("thing"));
            let mut fields = Fields::new();
            let text = stage.ledger.fresh();
            set(&mut fields, "b", Value::text(text));
            stage.ledger.operations += 1;
            stage.put(&place, fields, Author::User);
            places.push(place);
        }
    }
    run.relay_suitex();
    run.start_intake(usize::MAX);
    run.finish_tasks();
    places
}

/// Merge and two writers, in random order and with deaths, until no writer has anything at hand.
fn write_them(run: &mut Run<'_>, args: &CreateArgs, made: &mut Created) {
    const MOST_POLLS: usize = 1_000_000;
    let mut idle = 0;
    for _ in 0..MOST_POLLS {
        if run.under_way() < WRITERS {
            run.start_merge();
            run.finish_last_task();
            run.relay_ours();
            let before = run.under_way();
            {
                let mut stage = lock(run.stage);
                let lost = stage.chance(args.lost_answers);
                stage.fates.push_back(if lost { Fate::Unheard } else { Fate::Answered });
            }
            run.start_answers(1);
            if run.under_way() == before {
                run.start_write(Side::Netsuite);
                run.start_recover(Side::Netsuite);
                run.clock.advance_micros(1_000_000);
                idle += 1;
            } else {
                idle = 0;
            }
        }
        if idle > 60 {
            return;
        }
        let at = lock(run.stage).rng.usize(..run.under_way().max(1));
        if lock(run.stage).chance(args.deaths) && run.under_way() > 0 {
            lock(run.stage).coverage.hit("killed");
            run.kill_at(at);
        } else {
            run.poll_at(at);
        }
    }
    made.breaches.push(format!("world {}: the writers do not come to an end", args.seed));
}

fn count(run: &Run<'_>, places: &[Place], made: &mut Created) {
    let (book, stage) = (run.records.book(), lock(run.stage));
    let mut rows: BTreeMap<Rid, u64> = BTreeMap::new();
    for (_, row) in stage.rows.iter().filter(|(place, _)| place.side == Side::Netsuite) {
        if let Some(rid) = row.external {
            *rows.entry(rid).or_default() += 1;
        }
    }
    made.duplicates = rows.values().map(|rows| rows - 1).sum();
    let stands = |place: &&Place| {
        let rid = book.rid_of(&place.account, &place.record_type, place.side, &place.native());
        rid.is_some_and(|rid| rows.contains_key(&rid))
    };
    made.lost = places.len() as u64 - places.iter().filter(stands).count() as u64;
}
