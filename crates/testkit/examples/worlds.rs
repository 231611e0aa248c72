//! `cargo run -p testkit --example worlds -- SEED [RUNS] [PROFILE] [--until-broken]`: seeded worlds without building the
//! CLI. With one run its story is told; `--until-broken` stops at the first that breaks an invariant.

use testkit::sim::{Profile, SimArgs, run, run_as, run_parallel};

fn main() {
    let (flags, args): (Vec<String>, Vec<String>) = std::env::args().skip(1).partition(|arg| arg.starts_with("--"));
    let number = |at: usize| args.get(at).map_or(1, |arg| arg.parse::<u64>().expect("a number"));
    let (seed, runs) = (number(0), number(1));
    let profile = args.get(2).map_or(Profile::Default, |word| Profile::parse(word).expect("default, small or hostile"));
    let until_broken = flags.iter().any(|flag| flag == "--until-broken");
    if runs == 1 {
        let outcome = run_as(profile, seed, true);
        println!("{}", outcome.story.join("\n"));
        println!("{}", outcome.breaches.join("\n"));
        return;
    }
    let args = SimArgs { profile, until_broken, ..SimArgs::of(seed, runs) };
    // One after another, so that "the first" is the same on every machine.
    let report = if until_broken { run(&args) } else { run_parallel(&args) };
    for broken in &report.broken {
        println!("seed {}\n  {}", broken.seed, broken.breaches.join("\n  "));
    }
    for (what, n) in report.coverage.iter() {
        println!("{n:8} {what}");
    }
    println!("never: {:?}", report.coverage.missing());
    println!("{} of {} broken, {:.0} worlds a minute", report.broken_runs, report.runs, report.per_minute());
    std::process::exit(i32::from(report.broken_runs > 0));
}
