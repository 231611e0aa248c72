//! `concord bench`: how fast the two-way core is on this machine, beside the ceilings of the same run, and what limits it
//! (contracts §12). Every run starts a stack of its own in a temporary folder and removes it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use tokio::runtime::{Builder, Runtime};

use crate::dev::BusChoice;
use crate::dev::programs::{Hints, Programs};

pub mod ceilings;
pub mod creates;
pub mod feed;
pub mod latency;
pub mod machine;
pub mod pace;
pub mod pipeline;
pub mod replay;
pub mod report;
pub mod rest;
pub mod seed;
pub mod stand;
pub mod statements;
pub mod usage;

/// What can be measured.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Events merged per second and what one costs, beside the bus alone and the bare batch transaction
    Pipeline(Pipeline),
    /// From an edit on one side to the same value on the other, at a steady rate on both sides
    Latency(Latency),
    /// Log entries folded anew and compared per second, beside the bare scan of the same table
    Replay(Replay),
    /// Creates with lost answers, dying writers and two writers at once: duplicates, losses, calls per create; in virtual time,
    /// or on real processes
    Creates(Creates),
}

/// `concord bench replay`.
#[derive(Debug, Clone, Args)]
pub struct Replay {
    /// Log entries, at least
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1_000..=100_000_000))]
    pub events: u32,
    /// Records they belong to
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(100..=1_000_000))]
    pub records: u32,
    /// Bytes of one event's protobuf
    #[arg(long, default_value_t = 1_024, value_parser = clap::value_parser!(u32).range(600..=4_000))]
    pub event_bytes: u32,
    /// What all measurements understand.
    #[command(flatten)]
    pub common: Common,
}

/// `concord bench creates`.
#[derive(Debug, Clone, Args)]
pub struct Creates {
    /// Records to make [default: 1000000; with --real 10000]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub count: Option<u64>,
    /// The first world's seed; the same seed and count give the same run
    #[arg(long, default_value_t = 1, conflicts_with = "real")]
    pub seed: u64,
    /// On a stack of real processes, two of them netsuite-writer, instead of in virtual time
    #[arg(long)]
    pub real: bool,
    /// What all measurements understand; in virtual time `--json` alone.
    #[command(flatten)]
    pub common: Common,
}

/// `concord bench pipeline`.
#[derive(Debug, Clone, Args)]
pub struct Pipeline {
    /// Distinct records, linked and known on both sides before the measurement
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1_000..=1_000_000))]
    pub records: u32,
    /// End the measurement after this many rounds of one event per record
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub rounds: Option<u32>,
    /// End the measurement after this many seconds
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=3_600))]
    pub seconds: u32,
    /// Bytes of one event's protobuf
    #[arg(long, default_value_t = 1_024, value_parser = clap::value_parser!(u32).range(600..=4_000))]
    pub event_bytes: u32,
    /// Most events published and not yet settled
    #[arg(long, default_value_t = 4_000, value_parser = clap::value_parser!(u32).range(100..=500_000))]
    pub in_flight: u32,
    /// Show the statements that took most of Postgres' time (needs pg_stat_statements, and costs a little)
    #[arg(long)]
    pub statements: bool,
    /// What both measurements understand.
    #[command(flatten)]
    pub common: Common,
}

/// `concord bench latency`.
#[derive(Debug, Clone, Args)]
pub struct Latency {
    /// Changes a minute, both sides together
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(60..=1_000_000))]
    pub rate: u32,
    /// Records that are edited
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(10..=100_000))]
    pub records: u32,
    /// Length of the measurement, after ten seconds that are not counted
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(5..=3_600))]
    pub seconds: u32,
    /// Coalescing windows: those of `concord dev` (200 ms, idle 50 ms), or the defaults of the services (2 s, idle 500 ms)
    #[arg(long, value_enum, default_value = "default")]
    pub windows: Windows,
    /// What both measurements understand.
    #[command(flatten)]
    pub common: Common,
}

/// Coalescing windows of the services.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Windows {
    /// 200 ms, idle 50 ms.
    Dev,
    /// 2 s, idle 500 ms.
    Default,
}

/// What all measurements understand.
#[derive(Debug, Clone, Args)]
pub struct Common {
    /// Which bus to run on
    #[arg(long, value_enum, default_value = "auto")]
    pub bus: BusChoice,
    /// Several processes of one service; may be repeated
    #[arg(long, value_name = "SERVICE=N", value_parser = crate::cli::replicas)]
    pub replicas: Vec<(String, usize)>,
    /// A setting of the services, as they read it from the environment; may be repeated
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = setting)]
    pub settings: Vec<(String, String)>,
    /// Print JSON alone
    #[arg(long)]
    pub json: bool,
    /// Keep the folder with data and logs
    #[arg(long)]
    pub keep: bool,
}

pub(crate) fn setting(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("accepted is NAME=VALUE, for example MERGE_LOOPS=4")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// What a measurement takes from the outside.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// Where programs may lie.
    pub hints: Hints,
    /// `PUBSUB_EMULATOR_HOST`.
    pub emulator_host: Option<String>,
    /// Variables that children get from our own environment.
    pub inherited: Vec<(String, String)>,
}

/// Measures and prints.
///
/// The stack's children belong to the calling thread, which must be the program's first (see [`crate::dev::run`]); load
/// is made on threads of its own.
///
/// # Errors
/// When the stack cannot be started, an event is not settled as it must be, or a process dies meanwhile.
pub fn run(verb: &Verb, around: &Surroundings) -> Result<()> {
    let common = match verb {
        Verb::Pipeline(asked) => &asked.common,
        Verb::Latency(asked) => &asked.common,
        Verb::Replay(asked) => &asked.common,
        Verb::Creates(asked) if !asked.real => return creates::run(asked),
        Verb::Creates(asked) => &asked.common,
    };
    let programs = Programs::find(&around.hints)?;
    let place = Place::make()?;
    let front = Builder::new_current_thread().enable_all().build().context("no runtime")?;
    let load = Builder::new_multi_thread().worker_threads(2).thread_name("load").enable_all().build();
    let load: Runtime = load.context("no runtime")?;
    let measured = front.block_on(async {
        tokio::select! {
            biased;
            _ = tokio::signal::ctrl_c() => anyhow::bail!("interrupted"),
            measured = measure(verb, around, &programs, place.path(), load.handle()) => measured,
        }
    });
    load.shutdown_background();
    match measured {
        Ok(result) => {
            if common.keep {
                eprintln!("data and logs are in {}", place.keep().display());
            }
            report::print(&result, common.json)?;
            match verb {
                // What is counted here is promised on any machine.
                Verb::Creates(_) => result.kept(),
                Verb::Pipeline(_) | Verb::Latency(_) | Verb::Replay(_) => Ok(()),
            }
        }
        Err(error) => Err(error.context(format!("data and logs are in {}", place.keep().display()))),
    }
}

async fn measure(
    verb: &Verb,
    around: &Surroundings,
    programs: &Programs,
    folder: &Path,
    load: &tokio::runtime::Handle,
) -> Result<report::Report> {
    match verb {
        Verb::Pipeline(asked) => pipeline::measure(asked, around, programs, folder, load).await,
        Verb::Latency(asked) => latency::measure(asked, around, programs, folder, load).await,
        Verb::Replay(asked) => replay::measure(asked, around, programs, folder, load).await,
        Verb::Creates(asked) => creates::real::measure(asked, around, programs, folder, load).await,
    }
}

/// The temporary folder of a run.
struct Place(tempfile::TempDir);

impl Place {
    /// Open to others' eyes, so that Postgres may run in it as another account; what is secret lies in a closed folder.
    fn make() -> Result<Self> {
        use std::os::unix::fs::PermissionsExt;
        let open = std::fs::Permissions::from_mode(0o755);
        let made = tempfile::Builder::new().prefix("concord-bench-").permissions(open).tempdir();
        made.map(Self).context("no temporary folder could be made")
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn keep(self) -> PathBuf {
        self.0.keep()
    }
}
