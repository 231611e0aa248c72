//! `make mutants`: every named mutation of the semantics, each alone and those that back each other up together, must be
//! noticed by a directed test or by seeded worlds. `-- [--worlds N] [NAME …]` runs some of them.
//!
//! The sources are copied to `target/mutants` with a switch at every line a mutation breaks, built once, and run once for
//! each mutation.

mod copy;
mod judge;

use std::process::ExitCode;
use std::sync::Mutex;
use std::time::Instant;

use comfy_table::{Table, presets};
use testkit::mutants::List;

use copy::Copy;
use judge::{Verdict, judge};

/// Worlds a mutation survives before another profile is tried; and half as many of each other profile.
const WORLDS: u64 = 20_000;
/// Mutations judged at once.
const HANDS: usize = 2;

fn main() -> ExitCode {
    let mut worlds = WORLDS;
    let mut wanted = Vec::new();
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--worlds" => {
                worlds = args.next().and_then(|n| n.parse().ok()).expect("--worlds takes a number of worlds");
            }
            name => wanted.push(name.to_owned()),
        }
    }
    let list = List::read().expect("the list that is compiled in can be read");
    let copy = Copy::build(&list).unwrap_or_else(|error| panic!("{error}"));
    let whole = judge(&copy, "", 200);
    assert!(!whole.killed(), "the copy is wrong with every mutation off: {whole:?}");
    let mut sets: Vec<String> = list.mutations.iter().map(|mutation| mutation.name.clone()).collect();
    sets.extend(list.together.iter().map(|names| names.join(",")));
    sets.retain(|set| wanted.is_empty() || wanted.contains(set));
    let verdicts = judge_all(&copy, &sets, worlds);
    report(&list, &copy, &verdicts)
}

/// A few at a time; each its process.
fn judge_all(copy: &Copy, sets: &[String], worlds: u64) -> Vec<Verdict> {
    let (next, verdicts) = (Mutex::new(sets.iter().enumerate()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..HANDS {
            scope.spawn(|| {
                loop {
                    let Some((at, set)) = next.lock().expect("nobody panics here").next() else { return };
                    #[allow(clippy::disallowed_methods)] // how long it took is no part of any run
                    let begin = Instant::now();
                    let verdict = judge(copy, set, worlds);
                    eprintln!("{:<60} {} ({:.0?})", set, verdict.word(), begin.elapsed());
                    verdicts.lock().expect("nobody panics here").push((at, verdict));
                }
            });
        }
    });
    let mut verdicts = verdicts.into_inner().expect("nobody panics here");
    verdicts.sort_by_key(|(at, _)| *at);
    verdicts.into_iter().map(|(_, verdict)| verdict).collect()
}

fn report(list: &List, copy: &Copy, verdicts: &[Verdict]) -> ExitCode {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED).set_header(["mutation", "", "worlds", "directed tests"]);
    for verdict in verdicts {
        table.add_row([verdict.set.replace(',', " + "), verdict.word(), verdict.worlds(), verdict.tests()]);
    }
    println!("{table}");
    for (what, why) in &list.absent {
        println!("no place in this design: {what}; {why}");
    }
    for verdict in verdicts {
        if let Some(command) = verdict.command(copy) {
            println!("{}: {command}", verdict.set);
        }
    }
    let survived: Vec<&str> =
        verdicts.iter().filter(|verdict| !verdict.killed()).map(|verdict| verdict.set.as_str()).collect();
    println!("{} of {} killed; survived: {survived:?}", verdicts.len() - survived.len(), verdicts.len());
    if survived.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
