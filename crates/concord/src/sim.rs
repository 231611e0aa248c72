//! `concord sim`: seeded worlds over the real steps. A run is one integer; what breaks an invariant is printed with the
//! command that repeats it.

use std::thread;
use std::time::Duration;

use clap::Args;
use comfy_table::{CellAlignment, Table, presets};
use testkit::sim::{MOST_BROKEN, SimArgs, SimReport, run as run_worlds};

use crate::say::say;

/// Fewer worlds than this need not have met everything.
const ENOUGH: u64 = 1_000;

/// What to run.
#[derive(Debug, Clone, Args)]
pub struct Sim {
    /// The first seed; the others follow it
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many worlds
    #[arg(long, default_value_t = 2_000)]
    runs: u64,
    /// Begin no world after so many seconds
    #[arg(long)]
    seconds: Option<u64>,
    /// Tell the story of every world that breaks an invariant
    #[arg(long)]
    verbose: bool,
}

/// Runs the worlds on all processors. True: every invariant held, and everything that should happen did.
pub fn run(sim: &Sim) -> bool {
    let report = on_all_processors(sim);
    for broken in &report.broken {
        say(format!("world {} broke an invariant:", broken.seed));
        broken.breaches.iter().for_each(|breach| say(format!("  {breach}")));
        broken.story.iter().for_each(|line| say(format!("    {line}")));
        say(format!("  again: {}", broken.command()));
    }
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED).set_header(["what happened", "times"]);
    for (what, times) in report.coverage.iter() {
        table.add_row([what.to_owned(), times.to_string()]);
    }
    if let Some(column) = table.column_mut(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    say(table);
    let missing = if report.runs >= ENOUGH { report.coverage.missing() } else { Vec::new() };
    if !missing.is_empty() {
        say(format!("never happened: {}; these worlds show less than they should", missing.join(", ")));
    }
    let (runs, broken, pace) = (report.runs, report.broken_runs, report.per_minute());
    say(format!("{runs} worlds from seed {}, {pace:.0} a minute: {broken} broke an invariant", sim.seed));
    broken == 0 && missing.is_empty()
}

/// Each processor takes a stretch of the seeds.
fn on_all_processors(sim: &Sim) -> SimReport {
    let workers =
        thread::available_parallelism().map_or(1, usize::from).min(usize::try_from(sim.runs).unwrap_or(1).max(1));
    let share = sim.runs.div_ceil(workers as u64);
    let shares = (0..workers as u64).map(|worker| {
        let first = sim.seed.saturating_add(worker * share);
        let runs = share.min(sim.runs.saturating_sub(worker * share));
        let time_limit = sim.seconds.map(Duration::from_secs);
        let args = SimArgs { seed: first, runs, time_limit, verbose: sim.verbose };
        thread::spawn(move || run_worlds(&args))
    });
    let mut whole = SimReport::default();
    for share in shares.collect::<Vec<_>>() {
        let share = share.join().expect("a world that breaks is reported, not a panic");
        whole.runs += share.runs;
        whole.broken_runs += share.broken_runs;
        whole.coverage.merge(&share.coverage);
        whole.took = whole.took.max(share.took);
        whole.broken.extend(share.broken);
    }
    whole.broken.sort_by_key(|broken| broken.seed);
    whole.broken.truncate(MOST_BROKEN);
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_world_asked_for_is_run_once_whatever_the_processors() {
        for runs in [0, 1, 5, 16] {
            let sim = Sim { seed: 3, runs, seconds: None, verbose: false };
            let report = on_all_processors(&sim);
            assert_eq!(report.runs, runs);
            let alone = run_worlds(&SimArgs { seed: 3, runs, time_limit: None, verbose: false });
            assert_eq!(report.coverage, alone.coverage, "the same worlds, in whatever order");
        }
    }
}
