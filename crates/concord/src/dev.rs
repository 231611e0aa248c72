//! `concord dev`: the whole suite on one machine, from one command.
//!
//! [`plan`] decides what will run, [`stack`] brings it up and down, [`supervisor`] keeps it running, [`story`] and
//! [`traffic`] play on it. Everything the outside may read stands in `dev.json` ([`manifest`]).

use std::path::PathBuf;

use anyhow::{Context, Result};
use model::{Ids, RandomIds};
use tokio::signal::unix::{Signal, SignalKind, signal};

pub mod child;
pub mod children;
pub mod databases;
pub mod files;
pub mod identity;
pub mod leftovers;
pub mod manifest;
pub mod plan;
pub mod ports;
pub mod postgres;
pub mod programs;
pub mod stack;
pub mod state;
pub mod story;
pub mod supervisor;
pub mod traffic;

use crate::say::say;
use manifest::Manifest;
use programs::{Hints, Programs};
use stack::Stack;

/// Which bus to run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum BusChoice {
    /// Pub/Sub where an emulator is named or installed, else Postgres.
    #[default]
    Auto,
    /// Pub/Sub's emulator.
    Pubsub,
    /// The embedded Postgres bus.
    Postgres,
}

/// What was asked for.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Where state is kept.
    pub state_dir: PathBuf,
    /// Which bus.
    pub bus: BusChoice,
    /// Without story and traffic.
    pub headless: bool,
    /// Without traffic after the story.
    pub no_traffic: bool,
    /// Chance of the story and the traffic.
    pub seed: u64,
    /// How many accounts.
    pub accounts: usize,
    /// Service and how many of it, where not one.
    pub replicas: Vec<(String, usize)>,
    /// `PUBSUB_EMULATOR_HOST`: an emulator that runs already.
    pub emulator_host: Option<String>,
    /// Variables that children get from our own environment.
    pub inherited: Vec<(String, String)>,
    /// Settings of the services that differ from the stack's own.
    pub settings: Vec<(String, String)>,
}

/// Runs a stack until SIGINT or SIGTERM.
///
/// Everything happens on the calling thread, which must be the program's first: children are bound to the life of the
/// thread that started them.
///
/// # Errors
/// When the stack cannot be started or the story fails. Whatever was started has ended by then.
pub fn run(options: &Options, hints: &Hints) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
    runtime.block_on(session(options, hints))
}

/// SIGINT and SIGTERM alike.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn listen() -> Result<Self> {
        let listen = |kind| signal(kind).context("signals cannot be heard");
        Ok(Self { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

async fn session(options: &Options, hints: &Hints) -> Result<()> {
    let mut signals = Signals::listen()?;
    let programs = Programs::find(hints)?;
    if programs.setpriv.is_none() {
        say("setpriv is not on PATH: should this program be killed, its children go on until the next start");
    }
    let mut stack = Stack::take(&options.state_dir)?;
    let outcome = tokio::select! {
        biased;
        () = signals.next() => Ok(()),
        outcome = live(&mut stack, options, &programs) => outcome,
    };
    say("stopping: services finish what they have begun; a second signal kills");
    tokio::select! {
        () = stack.end() => say("everything has stopped"),
        // Dropping a child kills it.
        () = signals.next() => say("killed"),
    }
    outcome
}

async fn live(stack: &mut Stack, options: &Options, programs: &Programs) -> Result<()> {
    let manifest = stack.start(options, programs).await?;
    say(addresses(&manifest, options));
    let visit = async {
        if !options.headless {
            story::play(&manifest, &run_tag(&RandomIds)).await.context("the story went wrong")?;
            say(addresses(&manifest, options));
            if !options.no_traffic {
                say("Gentle traffic goes on until Ctrl-C.");
                traffic::run(&manifest, options.seed).await?;
            }
        }
        std::future::pending().await
    };
    tokio::select! {
        outcome = stack.watch() => outcome,
        outcome = visit => outcome,
    }
}

/// Names of this run alone: state survives, and an item's name is taken for good. The random end of an id: its beginning
/// is the time, and the same for a minute.
fn run_tag(ids: &dyn Ids) -> String {
    ids.uuid().simple().to_string()[24..].to_owned()
}

fn addresses(manifest: &Manifest, options: &Options) -> String {
    let file = options.state_dir.join("dev.json");
    let accounts: Vec<&str> = manifest.accounts.iter().map(|a| a.account_id.as_str()).collect();
    format!(
        "ready: {} processes, bus {}\n  console   {}\n  ingest    {}\n  NetSuite  {}\n  accounts  {}\n  all else  {}",
        manifest.processes.len(),
        manifest.bus,
        manifest.console_url,
        manifest.ingest_url,
        manifest.netsuite_sim_url,
        accounts.join(", "),
        file.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_stories_within_a_minute_have_names_of_their_own() {
        assert_ne!(run_tag(&RandomIds), run_tag(&RandomIds));
    }
}
