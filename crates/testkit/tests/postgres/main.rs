//! The same schedules over Postgres: each seeded world runs its steps over the real store, transaction by transaction beside
//! memory. The two must give every plan the same views; and in the end the invariants are checked on what Postgres holds.
//! Then the same with each bus: the world's messages are published, received and settled there, in the seed's order.
#![allow(clippy::unwrap_used, unreachable_pub)] // a test that cannot go on has failed

use std::sync::Arc;

use testkit::memory::MemRecords;
use testkit::sim::{Ports, run_as, run_over};
use testkit::world::bus::Bus;
use testkit::world::coverage::Coverage;
use testkit::world::vary::{Profile, Vary};
use tokio::runtime::Runtime;

mod brokers;
mod carried;
#[path = "../../../chassis/tests/support/emulator.rs"]
#[allow(dead_code)] // here nobody takes the emulator away
mod emulator;
mod held;
mod twin;

use brokers::Broker;
use carried::{Carried, Lanes, Tally};
use emulator::Emulator;
use twin::Twin;

/// Worlds of each test over Postgres alone; two such tests run at once.
const WORLDS: u64 = 15;
/// Worlds on one bus, of which so many are hostile.
const ON_A_BUS: u64 = 12;
const HOSTILE: u64 = 5;
/// Worlds at once on one bus: they wait for it most of the time.
const AT_ONCE: u64 = 4;

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// What became of a world: what happened, and did it take the course it takes in memory?
fn world(runtime: &Runtime, profile: Profile, seed: u64, broker: Option<(&Broker, &Arc<Tally>)>) -> (Coverage, bool) {
    let name = format!("{}-{seed}", profile.as_str());
    let db = runtime.block_on(pgtest::database());
    let pool = runtime.block_on(store::connect(&db.url, 2, "testkit")).unwrap();
    let book = MemRecords::new();
    let twin = Twin::new(runtime, pool, &book);
    let mut rng = fastrand::Rng::with_seed(seed);
    let vary: Vary = profile.draw(&mut rng);
    let carried = broker.map(|(broker, tally)| {
        let lanes = match (broker.keeps_order(), vary.ordered) {
            (true, true) => Lanes::Record,
            (true, false) => Lanes::Message,
            (false, _) => Lanes::No,
        };
        Carried::open(runtime, broker.bus(runtime, &db.url, &name), lanes, tally)
    });
    let bus = carried.as_ref().map_or_else(Bus::default, Carried::for_world);
    let ports = Ports { seed, rng, vary, story: false, book: &book, records: &twin, bus };
    let outcome = run_over(ports, &mut |book| held::put_into(&twin, book));
    assert_eq!(outcome.breaches, Vec::<String>::new(), "world {name}");
    assert!(twin.transactions() > 10, "world {name} stored next to nothing");
    if let (Some(carried), Some((broker, _))) = (carried, broker) {
        carried.end(runtime, broker);
    }
    let alike = outcome.coverage == run_as(profile, seed, false).coverage;
    (outcome.coverage, alike)
}

/// Of records that fall due in one instant each store may take others first, and then chance falls otherwise.
fn mostly_alike(alike: u64, worlds: u64) {
    println!("{alike} of {worlds} worlds took the course they take in memory");
    assert!(alike * 2 > worlds, "{alike} of {worlds} worlds took the course they take in memory");
}

fn over_postgres(seeds: std::ops::Range<u64>, profile: Profile) -> Coverage {
    let runtime = runtime();
    let mut coverage = Coverage::default();
    let (worlds, mut alike) = (seeds.end - seeds.start, 0);
    for seed in seeds {
        let (happened, as_in_memory) = world(&runtime, profile, seed, None);
        coverage.merge(&happened);
        alike += u64::from(as_in_memory);
    }
    mostly_alike(alike, worlds);
    coverage
}

fn happened(coverage: &Coverage, expected: &[&str]) {
    for what in expected {
        assert!(coverage.of(what) > 0, "{what} never happened");
    }
}

/// The worlds of one bus, several at once.
fn on_a_bus(runtime: &Runtime, broker: &Broker, first: u64) {
    let tally = Arc::new(Tally::default());
    let some = |worker: u64| {
        let tally = &tally;
        move || {
            let (mut coverage, mut alike) = (Coverage::default(), 0);
            for n in (worker..ON_A_BUS).step_by(usize::try_from(AT_ONCE).unwrap()) {
                let profile = if n < HOSTILE { Profile::Hostile } else { Profile::Default };
                let (happened, as_in_memory) = world(runtime, profile, first + n, Some((broker, tally)));
                coverage.merge(&happened);
                alike += u64::from(as_in_memory);
            }
            (coverage, alike)
        }
    };
    let (mut coverage, mut alike) = (Coverage::default(), 0);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_ONCE).map(|worker| scope.spawn(some(worker))).collect();
        for worker in workers {
            let (happened, as_in_memory) = worker.join().unwrap();
            coverage.merge(&happened);
            alike += as_in_memory;
        }
    });
    mostly_alike(alike, ON_A_BUS);
    happened(&coverage, &["killed", "message delivered twice", "override", "unknown outcome", "late request landed"]);
    let [published, taken, again] = [&tally.published, &tally.taken, &tally.again].map(Tally::of);
    println!("{published} messages, taken {taken} times, {again} deliveries of what had been given back");
    assert!(published > 100 * ON_A_BUS / 4, "only {published} messages travelled");
    assert!(taken > published, "whatever was published was taken, and some of it twice: {taken} of {published}");
    assert!(again > 0, "nothing that was given back came again");
}

#[test]
fn worlds_over_postgres_keep_the_invariants() {
    let coverage = over_postgres(1..1 + WORLDS, Profile::Default);
    happened(&coverage, &["killed", "override", "recovered: unknown", "user edited under a write"]);
}

#[test]
fn hostile_worlds_over_postgres_keep_the_invariants() {
    let coverage = over_postgres(100..100 + WORLDS, Profile::Hostile);
    happened(&coverage, &["killed", "late request landed", "unknown outcome"]);
}

#[test]
fn worlds_over_postgres_and_the_bus_in_memory_keep_the_invariants() {
    on_a_bus(&runtime(), &Broker::Memory, 200);
}

#[test]
fn worlds_over_postgres_and_its_bus_keep_the_invariants() {
    on_a_bus(&runtime(), &Broker::Postgres, 300);
}

#[test]
fn worlds_over_postgres_and_pubsub_keep_the_invariants() {
    let runtime = runtime();
    if let Some(emulator) = runtime.block_on(Emulator::start_if_installed()) {
        let broker = Broker::PubSub(Box::new(emulator));
        on_a_bus(&runtime, &broker, 400);
    }
}
