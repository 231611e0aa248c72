//! `concord sim`: seeded worlds over the real steps. A run is one integer; what breaks an invariant is printed with the
//! command that repeats it.

use std::time::Duration;

use clap::Args;
use comfy_table::{CellAlignment, Table, presets};
use testkit::sim::{Profile, SimArgs, run_parallel};

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
    /// Which worlds: as varied as the semantics ask, the smallest, or those in which most goes wrong
    #[arg(long, value_enum, default_value = "default")]
    profile: Worlds,
    /// Begin no world after so many seconds
    #[arg(long)]
    seconds: Option<u64>,
    /// Tell the story of every world that breaks an invariant
    #[arg(long)]
    verbose: bool,
}

/// A [`Profile`] as people name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Worlds {
    /// As varied as the semantics ask.
    Default,
    /// One account, one or two records, few operations.
    Small,
    /// Much goes wrong, and somebody edits under every write.
    Hostile,
    /// NetSuite is written to by PATCH, with its system notes for a guard.
    Patch,
}

impl From<Worlds> for Profile {
    fn from(worlds: Worlds) -> Self {
        match worlds {
            Worlds::Default => Self::Default,
            Worlds::Small => Self::Small,
            Worlds::Hostile => Self::Hostile,
            Worlds::Patch => Self::Patch,
        }
    }
}

impl Sim {
    fn args(&self) -> SimArgs {
        SimArgs {
            profile: self.profile.into(),
            time_limit: self.seconds.map(Duration::from_secs),
            verbose: self.verbose,
            ..SimArgs::of(self.seed, self.runs)
        }
    }
}

/// Runs the worlds on all processors. True: every invariant held, and everything that should happen did.
pub fn run(sim: &Sim) -> bool {
    let report = run_parallel(&sim.args());
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
    // Smaller worlds and worse ones meet less, or meet it more rarely.
    let missing =
        if report.runs >= ENOUGH && sim.profile == Worlds::Default { report.coverage.missing() } else { Vec::new() };
    if !missing.is_empty() {
        say(format!("never happened: {}; these worlds show less than they should", missing.join(", ")));
    }
    let (runs, broken, pace) = (report.runs, report.broken_runs, report.per_minute());
    say(format!("{runs} worlds from seed {}, {pace:.0} a minute: {broken} broke an invariant", sim.seed));
    broken == 0 && missing.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::sim::run as one_after_another;

    #[test]
    fn every_world_asked_for_is_run_once_whatever_the_processors() {
        for (runs, profile) in
            [(0, Worlds::Default), (1, Worlds::Small), (5, Worlds::Hostile), (5, Worlds::Patch), (16, Worlds::Default)]
        {
            let sim = Sim { seed: 3, runs, profile, seconds: None, verbose: false };
            let report = run_parallel(&sim.args());
            assert_eq!(report.runs, runs);
            let alone = one_after_another(&sim.args());
            assert_eq!(report.coverage, alone.coverage, "the same worlds, in whatever order");
        }
    }
}
