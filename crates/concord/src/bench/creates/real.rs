//! Creates on real processes: users insert customers into the application's table, two netsuite-writers bring them to
//! NetSuite, four answers in a hundred get lost after the write landed, and now and then a writer is killed.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tokio::runtime::Handle;

use super::MOST_CALLS;
use super::count::{self, Count};
use crate::bench::report::{Figure, Report, Target};
use crate::bench::rest::{Standing, last_sweep};
use crate::bench::{Creates, Surroundings};
use crate::dev::Options;
use crate::dev::manifest::Manifest;
use crate::dev::programs::Programs;
use crate::dev::stack::Stack;
use crate::sides::Sides;

/// Records, unless told otherwise.
const COUNT: u64 = 10_000;
/// Fewest records: among fewer it may happen that nothing goes wrong.
const LEAST: u64 = 200;
/// Most records: the simulator and the bench hold all of them in memory.
const MOST: u64 = 1_000_000;
/// Rows of one of the users' statements.
const ROWS: u64 = 1_000;
/// Share of write requests whose answer gets lost after they landed.
const LOST_ANSWERS: f64 = 0.04;
/// A writer is killed each time so many further creates have landed: a fortieth of all, and never fewer than these.
const KILLS: u64 = 40;
const LEAST_BETWEEN_KILLS: u64 = 100;
const WRITER: &str = "netsuite-writer";
const WRITERS: usize = 2;
/// Longest wait without any progress.
const STUCK_AFTER: Duration = Duration::from_secs(120);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Makes the records and counts.
///
/// # Errors
/// When the stack does not start, a statement is refused, or nothing goes on for two minutes.
pub async fn measure(
    asked: &Creates,
    around: &Surroundings,
    programs: &Programs,
    folder: &Path,
    load: &Handle,
) -> Result<Report> {
    let made = asked.count.unwrap_or(COUNT);
    ensure!((LEAST..=MOST).contains(&made), "--count is {made}, accepted with --real is {LEAST} to {MOST}");
    let mut stack = Stack::take(folder)?;
    let options = options(asked, around, folder);
    let measured = on_stack(made, &mut stack, &options, programs, load).await;
    stack.end().await;
    measured
}

fn options(asked: &Creates, around: &Surroundings, folder: &Path) -> Options {
    let mut replicas = asked.common.replicas.clone();
    if !replicas.iter().any(|(service, _)| service == WRITER) {
        replicas.push((WRITER.to_owned(), WRITERS));
    }
    // One create a call, as calls per create are counted (contracts §12).
    let batch = ("WRITE_BATCH".to_owned(), "1".to_owned());
    Options {
        state_dir: folder.to_owned(),
        bus: asked.common.bus,
        headless: true,
        accounts: 1,
        replicas,
        emulator_host: around.emulator_host.clone(),
        inherited: around.inherited.clone(),
        settings: [vec![batch], asked.common.settings.clone()].concat(),
        ..Options::default()
    }
}

async fn on_stack(
    made: u64,
    stack: &mut Stack,
    options: &Options,
    programs: &Programs,
    load: &Handle,
) -> Result<Report> {
    let manifest = stack.start(options, programs).await?;
    let bus = manifest.bus.clone();
    let run = Run { made, manifest, addresses: options.state_dir.join("dev.json") };
    let measured = stack.beside(load.spawn(run.make())).await?;
    Ok(report(made, &bus, options, &measured))
}

struct Run {
    made: u64,
    manifest: Manifest,
    /// Where the stack says which processes run now.
    addresses: PathBuf,
}

/// What was counted.
struct Measured {
    count: Count,
    ledger: Value,
    killed: u64,
    took: Duration,
}

impl Run {
    async fn make(self) -> Result<Measured> {
        let account = self.manifest.accounts.first().context("the stack has an account")?;
        let sides = Sides::open(&self.manifest, account).await?;
        let lost = json!({ "match": { "path": "customscript_concord_write", "probability": LOST_ANSWERS },
            "fault": "lost_response" });
        sides.netsuite.set_faults(json!([lost])).await?;
        sides.netsuite.clear_ledger().await?;
        eprintln!("users make {} customers; {WRITER} is killed now and then", self.made);
        let begin = Instant::now();
        users_make(&sides, self.made).await?;
        let killed = self.killing_until_agreed(&sides).await?;
        let took = begin.elapsed();
        eprintln!("all are agreed after {:.0} s; the poller looks once more", took.as_secs_f64());
        swept(&sides).await?;
        agreed(&sides, self.made).await?;
        let (netsuite, suitex) = count::read(&sides).await?;
        let count = count::count(self.made, &netsuite, &suitex);
        Ok(Measured { count, ledger: sides.netsuite.ledger().await?, killed, took })
    }

    /// Kills a writer after every so many creates, one replica after the other; returns when all records are agreed.
    async fn killing_until_agreed(&self, sides: &Sides) -> Result<u64> {
        let every = (self.made / KILLS).max(LEAST_BETWEEN_KILLS);
        let (mut next, mut killed) = (every / 2, 0);
        let mut patience = Patience::new();
        loop {
            let landed = number(&sides.netsuite.ledger().await?, "creates");
            if landed >= next && self.kill(killed)? {
                killed += 1;
                next = landed + every;
            }
            let standing = Standing::of(sides).await?;
            if is_agreed(&standing, self.made) {
                return Ok(killed);
            }
            patience.look((landed, standing), sides).await?;
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Kills the `n`th victim among the writers that run. Answers false when it was gone already.
    fn kill(&self, n: u64) -> Result<bool> {
        let running = Manifest::read(&self.addresses)?.processes;
        let writers: Vec<_> = running.into_iter().filter(|process| process.name == WRITER).collect();
        let Some(at) = n.checked_rem(writers.len() as u64) else { return Ok(false) };
        let pid = writers[usize::try_from(at).unwrap_or(0)].pid;
        match kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL) {
            Ok(()) => Ok(true),
            Err(Errno::ESRCH) => Ok(false),
            Err(error) => Err(error).context("a writer cannot be killed"),
        }
    }
}

/// Plain statements of the application's users.
async fn users_make(sides: &Sides, made: u64) -> Result<()> {
    for first in (1..=made).step_by(usize::try_from(ROWS).unwrap_or(1)) {
        let numbers = first..=made.min(first + ROWS - 1);
        let names: Vec<String> = numbers.clone().map(count::name).collect();
        let (mails, phones): (Vec<String>, Vec<String>) = numbers.map(|n| count::typed(n).into()).unzip();
        sqlx::query(
            "insert into app.customers (company_name, email, phone) select * from unnest($1::text[], $2::text[], $3::text[])",
        )
        .bind(names)
        .bind(mails)
        .bind(phones)
        .execute(&sides.suitex)
        .await
        .context("the application's users")?;
    }
    Ok(())
}

fn is_agreed(standing: &Standing, made: u64) -> bool {
    standing.linked >= made && standing.busy == 0
}

async fn agreed(sides: &Sides, made: u64) -> Result<()> {
    let mut patience = Patience::new();
    loop {
        let standing = Standing::of(sides).await?;
        if is_agreed(&standing, made) {
            return Ok(());
        }
        patience.look((made, standing), sides).await?;
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Two sweeps of the poller: the first may have begun before. Whatever stood twice in NetSuite would come over now.
async fn swept(sides: &Sides) -> Result<()> {
    let begin = Instant::now();
    for _ in 0..2 {
        let before = last_sweep(sides).await?;
        while last_sweep(sides).await? == before {
            ensure!(begin.elapsed() <= STUCK_AFTER, "the poller has not swept in {STUCK_AFTER:?}");
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
    Ok(())
}

/// Waits as long as something goes on.
struct Patience {
    seen: Option<(u64, Standing)>,
    since: Instant,
}

impl Patience {
    fn new() -> Self {
        Self { seen: None, since: Instant::now() }
    }

    async fn look(&mut self, now: (u64, Standing), sides: &Sides) -> Result<()> {
        if self.seen != Some(now) {
            (self.seen, self.since) = (Some(now), Instant::now());
        }
        if self.since.elapsed() > STUCK_AFTER {
            let (landed, Standing { linked, busy }) = now;
            let why = sides.why_not_at_rest().await;
            bail!("{landed} creates landed, {linked} are linked, {busy} not at rest, and nothing goes on\n{why}");
        }
        Ok(())
    }
}

fn number(ledger: &Value, name: &str) -> u64 {
    ledger[name].as_u64().unwrap_or(0)
}

fn report(made: u64, bus: &str, options: &Options, measured: &Measured) -> Report {
    let Measured { count, ledger, killed, took } = measured;
    let calls = number(ledger, "create_requests");
    let lost_answers = number(&ledger["faults"], "lost_response");
    let requests: u64 =
        ["create_requests", "update_requests", "delete_requests"].map(|n| number(ledger, n)).iter().sum();
    let share = lost_answers as f64 / requests.max(1) as f64 * 100.0;
    let (none, some) = (Target::AtMost(0.0), Target::AtLeast(1.0));
    let figure = |name, what: &str, value: u64| Figure::new(name, what, value as f64, "");
    let seconds = took.as_secs_f64();
    Report {
        bench: "creates",
        settings: json!({
            "creates": made,
            "bus": bus,
            "replicas": options.replicas,
            "accounts": 1,
            "services": options.settings.iter().cloned().collect::<std::collections::BTreeMap<_, _>>(),
        }),
        figures: vec![
            Figure::new("calls_per_create", "create requests for each record made", calls as f64 / made as f64, "")
                .held_to(Target::AtMost(MOST_CALLS)),
            figure("lost", "records that NetSuite does not have", count.lost).held_to(none),
            figure("duplicates_netsuite", "rows of NetSuite too many", count.twice_in_netsuite).held_to(none),
            figure("duplicates_suitex", "rows of SuiteX too many", count.twice_in_suitex).held_to(none),
            figure("differing", "records that do not read what was typed", count.differing).held_to(none),
            figure("landed", "creates that NetSuite carried out", number(ledger, "creates"))
                .held_to(Target::AtMost(made as f64)),
            figure("calls", "create requests", calls),
            figure("lost_answers", "answers to writes that got lost", lost_answers).held_to(some),
            Figure::new("lost_answers_share", "of all write requests", share, "%"),
            figure("writers_killed", "writers killed", *killed).held_to(some),
            Figure::new("seconds", "until all were agreed", seconds, "s"),
            Figure::new("creates_per_s", "creates agreed per second", made as f64 / seconds, "/s"),
        ],
        tables: Vec::new(),
        notes: vec![
            "Counted in NetSuite's ledger and records and in the application's table, by the names users gave."
                .to_owned(),
        ],
    }
}
