//! A fixed set of seeded worlds: quick enough for every test run.
#![allow(clippy::unwrap_used, unreachable_pub)] // a test that cannot go on has failed

use testkit::sim::{SimArgs, run};

#[test]
fn worlds_keep_the_invariants() {
    let runs = std::option_env!("WORLDS").and_then(|n| n.parse().ok()).unwrap_or(1_500);
    let report = run(&SimArgs { seed: 1, runs, time_limit: None, verbose: false });
    for broken in &report.broken {
        println!("{}\n  {}", broken.command(), broken.breaches.join("\n  "));
    }
    println!("{} worlds, {:.0} a minute", report.runs, report.per_minute());
    assert_eq!(report.broken_runs, 0, "of {} worlds", report.runs);
    assert_eq!(report.coverage.missing(), Vec::<&str>::new(), "never happened");
}
