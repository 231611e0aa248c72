//! One set of mutations: who notices?

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::copy::Copy;

/// A program that has not ended by then has noticed in its own way.
const PATIENCE: Duration = Duration::from_secs(240);

/// Who noticed.
#[derive(Debug)]
pub(crate) struct Verdict {
    /// The mutations, joined by commas.
    pub(crate) set: String,
    /// The first world that broke: profile, seed, the breach.
    world: Option<(&'static str, u64, String)>,
    /// Worlds run and how long it took.
    runs: u64,
    took: Duration,
    /// Tests that failed.
    failed: Vec<String>,
}

impl Verdict {
    pub(crate) fn killed(&self) -> bool {
        self.world.is_some() || !self.failed.is_empty()
    }

    pub(crate) fn word(&self) -> String {
        if self.killed() { "killed".to_owned() } else { "SURVIVED".to_owned() }
    }

    pub(crate) fn worlds(&self) -> String {
        let (runs, seconds) = (self.runs, self.took.as_secs_f64());
        match &self.world {
            Some((_, _, breach)) => format!("{} after {runs} worlds, {seconds:.1} s", short(breach)),
            None => format!("nothing in {runs} worlds, {seconds:.0} s"),
        }
    }

    pub(crate) fn tests(&self) -> String {
        let more = self.failed.len().saturating_sub(2);
        let named = self.failed.iter().take(2).cloned().collect::<Vec<_>>().join("\n");
        if more > 0 { format!("{named}\nand {more} more") } else { named }
    }

    /// The command that repeats the kill.
    pub(crate) fn command(&self, copy: &Copy) -> Option<String> {
        let (profile, seed, _) = self.world.as_ref()?;
        let program = copy.worlds.strip_prefix(copy.folder.parent()?.parent()?).unwrap_or(&copy.worlds);
        Some(format!("MUTATIONS={} {} {seed} 1 {profile}", self.set, program.display()))
    }
}

fn short(breach: &str) -> String {
    breach.split_once(':').map_or(breach, |(invariant, _)| invariant).chars().take(40).collect()
}

/// Worlds until one breaks, and every directed test.
pub(crate) fn judge(copy: &Copy, set: &str, worlds: u64) -> Verdict {
    #[allow(clippy::disallowed_methods)] // how long it took is no part of any run
    let begin = Instant::now();
    let mut verdict = Verdict { set: set.to_owned(), world: None, runs: 0, took: Duration::ZERO, failed: Vec::new() };
    for (profile, worlds) in
        [("default", worlds), ("hostile", worlds / 2), ("small", worlds / 2), ("patch", worlds / 2)]
    {
        let asked = ["1".to_owned(), worlds.to_string(), profile.to_owned(), "--until-broken".to_owned()];
        let (ended_well, told) = run(&copy.worlds, set, &asked);
        verdict.took = begin.elapsed();
        if ended_well {
            verdict.runs += worlds;
            continue;
        }
        let mut lines = told.lines();
        let seed = lines.find_map(|line| line.strip_prefix("seed ")?.parse().ok());
        let breach = lines.next().map(|line| line.trim().to_owned());
        verdict.runs += seed.unwrap_or(0);
        verdict.world = Some((profile, seed.unwrap_or(1), breach.unwrap_or_else(|| "a panic, or no end".to_owned())));
        break;
    }
    for (name, program) in &copy.tests {
        let (ended_well, told) = run(program, set, &["--test-threads=1".to_owned()]);
        if !ended_well {
            let failed = told.lines().filter_map(|line| line.strip_prefix("test ")?.strip_suffix(" ... FAILED"));
            let failed: Vec<String> = failed.map(|test| format!("{name}: {test}")).collect();
            verdict.failed.extend(if failed.is_empty() { vec![format!("{name}: no end")] } else { failed });
        }
    }
    verdict
}

/// Runs a program with these mutations on: did it end well, and what did it print?
fn run(program: &Path, set: &str, args: &[String]) -> (bool, String) {
    #[allow(clippy::disallowed_methods)] // a limit on a program, no part of any run
    let begin = Instant::now();
    let mut child = Command::new(program)
        .args(args)
        .env("MUTATIONS", set)
        .env("RUST_BACKTRACE", "0")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
    let mut out = child.stdout.take().expect("it was asked for");
    let reader = std::thread::spawn(move || {
        let mut told = String::new();
        let _ = std::io::Read::read_to_string(&mut out, &mut told); // what was told so far is what there is
        told
    });
    let ended_well = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status.success(),
            Ok(None) if begin.elapsed() < PATIENCE => std::thread::sleep(Duration::from_millis(5)),
            Ok(None) | Err(_) => {
                let _ = child.kill(); // it may just have ended
                let _ = child.wait();
                break false;
            }
        }
    };
    (ended_well, reader.join().unwrap_or_default())
}
