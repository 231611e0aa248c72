//! `cargo run -p testkit --example worlds -- SEED [RUNS]`: seeded worlds without building the CLI. With one run its story
//! is told.

use testkit::sim::{SimArgs, run, run_one};

fn main() {
    let mut args = std::env::args().skip(1).map(|arg| arg.parse::<u64>().expect("a number"));
    let seed = args.next().unwrap_or(1);
    let runs = args.next().unwrap_or(1);
    if runs == 1 {
        let outcome = run_one(seed, true);
        println!("{}", outcome.story.join("\n"));
        println!("{}", outcome.breaches.join("\n"));
        return;
    }
    let report = run(&SimArgs { seed, runs, time_limit: None, verbose: false });
    for broken in &report.broken {
        println!("seed {}\n  {}", broken.seed, broken.breaches.join("\n  "));
    }
    for (what, n) in report.coverage.iter() {
        println!("{n:8} {what}");
    }
    println!("never: {:?}", report.coverage.missing());
    println!("{} of {} broken, {:.0} worlds a minute", report.broken_runs, report.runs, report.per_minute());
}
