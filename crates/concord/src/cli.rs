//! The command line: what can be asked for, and how an answer ends as an exit code.

use std::env;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};

use crate::bench;
use crate::console::{self, Console, Output};
use crate::dev::{self, BusChoice, programs::Hints};
use crate::replay::{self, Replay};
use crate::sim::{self, Sim};
use crate::{doctor, migrate};

/// Everything went well.
const OK: u8 = 0;
/// Something failed; the sentence is on standard error.
const FAILED: u8 = 1;
/// A plan would change something.
const DIFFERENCES: u8 = 2;

/// A plan, or a comparison, has differences.
const DIFFERS: u8 = 2;

/// Variables of our own environment that the processes of a stack get too; all others are kept from them.
const INHERITED: &[&str] = &[
    "PATH",
    "HOME",
    "USER",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "RUST_LOG",
    "RUST_BACKTRACE",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "JAVA_HOME",
];
const QUIET_LOG: &str = "info";

/// Keeps NetSuite and an application in agreement.
#[derive(Debug, Parser)]
#[command(name = "concord", version)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    common: Common,
}

/// What every verb understands.
#[derive(Debug, Args)]
struct Common {
    /// Folder of the local stack: data, keys, logs, and `dev.json` with its addresses
    #[arg(long, global = true, default_value = ".concord")]
    state_dir: PathBuf,
    /// Root of the console's API; default: the local stack's
    #[arg(long, global = true, env = "CONCORD_URL")]
    url: Option<String>,
    /// Bearer token for the console's API; default: the local stack's
    #[arg(long, global = true, env = "CONCORD_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// How to print
    #[arg(long, global = true, value_enum, default_value = "table")]
    output: Output,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run the whole suite on this machine
    Dev(Dev),
    /// Bring the database schema up to date
    Migrate(Migrate),
    /// Check settings, database, bus and accounts
    Doctor,
    /// Measure throughput and latency, beside their ceilings
    Bench(Bench),
    /// Run seeded worlds with faults over the real steps, and check the invariants
    Sim(Sim),
    /// Fold the log anew: hold records against it, or see what a period would have come to under other policies
    Replay(Replay),
    #[command(flatten)]
    Console(console::Verb),
}

#[derive(Debug, Args)]
struct Dev {
    /// Which bus to run on
    #[arg(long, value_enum, default_value = "auto")]
    bus: BusChoice,
    /// Neither story nor traffic: start, and run until stopped
    #[arg(long)]
    headless: bool,
    /// No traffic after the story
    #[arg(long)]
    no_traffic: bool,
    /// Chance of the story and the traffic
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many NetSuite accounts, each with its own application database
    #[arg(long, default_value_t = 2)]
    accounts: usize,
    /// Several processes of one service; may be repeated
    #[arg(long, value_name = "SERVICE=N", value_parser = replicas)]
    replicas: Vec<(String, usize)>,
    /// A setting of the services
    #[arg(long, value_name = "NAME=VALUE", value_parser = bench::setting, hide = true)]
    set: Vec<(String, String)>,
    #[command(flatten)]
    places: Places,
}

#[derive(Debug, Args)]
struct Bench {
    #[command(subcommand)]
    verb: bench::Verb,
    #[command(flatten)]
    places: Places,
}

/// What a stack is made of, where it is not in its usual place.
#[derive(Debug, Args)]
struct Places {
    /// An emulator that runs already
    #[arg(long, env = "PUBSUB_EMULATOR_HOST", hide = true)]
    emulator_host: Option<String>,
    /// Folder of the Postgres programs
    #[arg(long, env = "CONCORD_PG_BIN", hide = true)]
    pg_bin: Option<PathBuf>,
    /// Google's emulator
    #[arg(long, env = "CONCORD_PUBSUB_EMULATOR_JAR", hide = true)]
    emulator_jar: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct Migrate {
    /// Concord's database
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    database_url: String,
    /// Also the schema `concord` of every tenant in the accounts file (CONCORD_ACCOUNTS)
    #[arg(long)]
    tenants: bool,
}

pub(crate) fn replicas(text: &str) -> Result<(String, usize), String> {
    let (service, count) = text.split_once('=').ok_or("accepted is SERVICE=N, for example merge-service=2")?;
    let count = count.parse().map_err(|_| format!("{count:?} is not a number of processes"))?;
    Ok((service.to_owned(), count))
}

/// Reads the command line, does what it says, and answers with an exit code: 0, 1 when it failed, 2 when the command
/// line was not understood or a plan has differences.
pub fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("concord: {error:#}");
            ExitCode::from(FAILED)
        }
    }
}

fn run(cli: Cli) -> Result<u8> {
    let Common { state_dir, url, token, output } = cli.common;
    match cli.verb {
        Verb::Dev(dev) => {
            let hints = dev.places.hints();
            dev::run(&dev.into_options(state_dir), &hints)?;
            Ok(OK)
        }
        Verb::Bench(Bench { verb, places }) => {
            let (hints, emulator_host) = (places.hints(), places.emulator_host());
            bench::run(&verb, &bench::Surroundings { hints, emulator_host, inherited: inherited() })?;
            Ok(OK)
        }
        Verb::Sim(sim) => Ok(if sim::run(&sim) { OK } else { FAILED }),
        Verb::Migrate(migrate) => {
            block_on(migrate::run(&migrate.database_url, migrate.tenants))?;
            Ok(OK)
        }
        Verb::Doctor => Ok(if block_on(doctor::run(&state_dir, output))? { OK } else { FAILED }),
        Verb::Replay(asked) => {
            let agrees = if asked.is_remote() {
                let console = Console::reach(url, token, &state_dir)?;
                block_on(replay::ask(&console, &asked, output))?
            } else {
                block_on(replay::run(&state_dir, &asked, output))?
            };
            Ok(if agrees { OK } else { DIFFERS })
        }
        Verb::Console(verb) => {
            let console = Console::reach(url, token, &state_dir)?;
            Ok(if block_on(console::run(&console, verb, output))? { DIFFERENCES } else { OK })
        }
    }
}

fn block_on<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?.block_on(future)
}

/// What children get of our own environment.
fn inherited() -> Vec<(String, String)> {
    let mut inherited: Vec<(String, String)> = INHERITED
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), env::var_os(name)?.into_string().ok()?)))
        .collect();
    if !inherited.iter().any(|(name, _)| name == "RUST_LOG") {
        inherited.push(("RUST_LOG".to_owned(), QUIET_LOG.to_owned()));
    }
    inherited
}

impl Places {
    fn hints(&self) -> Hints {
        Hints {
            postgres: self.pg_bin.clone().filter(|p| !p.as_os_str().is_empty()),
            emulator_jar: self.emulator_jar.clone().filter(|p| !p.as_os_str().is_empty()),
            path: env::var_os("PATH").map(|path| env::split_paths(&path).collect()).unwrap_or_default(),
            home: env::home_dir(),
        }
    }

    fn emulator_host(&self) -> Option<String> {
        self.emulator_host.clone().filter(|host| !host.is_empty())
    }
}

impl Dev {
    fn into_options(self, state_dir: PathBuf) -> dev::Options {
        dev::Options {
            state_dir,
            bus: self.bus,
            headless: self.headless,
            no_traffic: self.no_traffic,
            seed: self.seed,
            accounts: self.accounts,
            replicas: self.replicas,
            emulator_host: self.places.emulator_host(),
            inherited: inherited(),
            settings: self.set,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn replicas_are_repeated_and_read_as_written() {
        let cli =
            Cli::try_parse_from(["concord", "dev", "--replicas", "merge-service=2", "--replicas", "netsuite-writer=3"]);
        let Verb::Dev(dev) = cli.unwrap().verb else { panic!("dev was asked for") };
        assert_eq!(dev.replicas, [("merge-service".to_owned(), 2), ("netsuite-writer".to_owned(), 3)]);
        assert!(Cli::try_parse_from(["concord", "dev", "--replicas", "merge-service"]).is_err());
    }
}
