//! The same schedules over Postgres: each seeded world runs its steps over the real store, transaction by transaction beside
//! memory. The two must give every plan the same views; and in the end the invariants are checked on what Postgres holds.
#![allow(clippy::unwrap_used, unreachable_pub)] // a test that cannot go on has failed

mod held;
mod twin;

use testkit::memory::MemRecords;
use testkit::sim::{Ports, run_as, run_over};
use testkit::world::coverage::Coverage;
use testkit::world::vary::{Profile, Vary};

use twin::Twin;

/// Worlds of each test; two tests run at once.
const WORLDS: u64 = 15;

fn over_postgres(seeds: std::ops::Range<u64>, profile: Profile) -> Coverage {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let mut coverage = Coverage::default();
    let (worlds, mut alike) = (seeds.end - seeds.start, 0);
    for seed in seeds {
        let db = runtime.block_on(pgtest::database());
        let pool = runtime.block_on(store::connect(&db.url, 2, "testkit")).unwrap();
        let book = MemRecords::new();
        let twin = Twin::new(&runtime, pool, &book);
        let mut rng = fastrand::Rng::with_seed(seed);
        let vary: Vary = profile.draw(&mut rng);
        let ports = Ports { seed, rng, vary, story: false, book: &book, records: &twin };
        let outcome = run_over(ports, &mut |book| held::put_into(&twin, book));
        assert_eq!(outcome.breaches, Vec::<String>::new(), "world {seed}, {}", profile.as_str());
        assert!(twin.transactions() > 10, "world {seed} stored next to nothing");
        alike += u64::from(outcome.coverage == run_as(profile, seed, false).coverage);
        coverage.merge(&outcome.coverage);
    }
    // Of records that fall due in one instant each store may take others first, and then chance falls otherwise.
    println!("{alike} of {worlds} worlds took the course they take in memory");
    assert!(alike * 2 > worlds, "{alike} of {worlds} worlds took the course they take in memory");
    coverage
}

#[test]
fn worlds_over_postgres_keep_the_invariants() {
    let coverage = over_postgres(1..1 + WORLDS, Profile::Default);
    for what in ["killed", "override", "recovered: unknown", "user edited under a write"] {
        assert!(coverage.of(what) > 0, "{what} never happened");
    }
}

#[test]
fn hostile_worlds_over_postgres_keep_the_invariants() {
    let coverage = over_postgres(100..100 + WORLDS, Profile::Hostile);
    for what in ["killed", "late request landed", "unknown outcome"] {
        assert!(coverage.of(what) > 0, "{what} never happened");
    }
}
