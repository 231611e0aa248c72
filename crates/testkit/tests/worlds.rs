//! A fixed set of seeded worlds: quick enough for every test run.
#![allow(clippy::unwrap_used, unreachable_pub)] // a test that cannot go on has failed

use testkit::sim::{SimArgs, run, run_one};

/// Worlds that once broke an invariant, and what they showed; and one of each event too rare to count on.
const KEPT: [(u64, &str); 7] = [
    (1_940, "a late request that was fenced"),
    (706_680, "the watermark passed a record that became visible behind a long sweep's cursor"),
    (718_244, "the same, with nothing else going on"),
    (725_055, "a late write landed on a value that a user had put back, and nobody heard of it"),
    (765_669, "the same, in a sublist's line"),
    (781_900, "an order referred to a record that turned out to be one we had made, and waited for it forever"),
    (787_753, "a record deleted by a user before its create was acknowledged was taken to be there"),
];

#[test]
fn worlds_keep_the_invariants() {
    let runs = std::option_env!("WORLDS").and_then(|n| n.parse().ok()).unwrap_or(1_500);
    let mut report = run(&SimArgs { seed: 1, runs, time_limit: None, verbose: false });
    for broken in &report.broken {
        println!("{}\n  {}", broken.command(), broken.breaches.join("\n  "));
    }
    println!("{} worlds, {:.0} a minute", report.runs, report.per_minute());
    assert_eq!(report.broken_runs, 0, "of {} worlds", report.runs);
    for (seed, what) in KEPT {
        let kept = run_one(seed, false);
        assert_eq!(kept.breaches, Vec::<String>::new(), "world {seed}: {what}");
        report.coverage.merge(&kept.coverage);
    }
    assert_eq!(report.coverage.missing(), Vec::<&str>::new(), "never happened");
}
