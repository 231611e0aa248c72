//! `cargo run --release -p testkit --example creates -- COUNT [SEED]`: what `concord bench creates` measures, without
//! building the CLI.

use testkit::creates::{CreateArgs, run};

fn main() {
    let mut args = std::env::args().skip(1).map(|arg| arg.parse::<u64>().expect("a number"));
    let made = run(&CreateArgs::of(args.next().unwrap_or(10_000), args.next().unwrap_or(1)));
    println!("{made:#?}");
    println!("{:.4} calls per create", made.calls_per_create());
    std::process::exit(i32::from(made.duplicates + made.lost > 0 || !made.breaches.is_empty()));
}
