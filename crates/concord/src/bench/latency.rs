//! `concord bench latency`: the whole suite on one account, edits on both sides at a steady rate, and how long each takes
//! until a user across can see it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use model::{Clock, Side, SystemClock, Timestamp};
use serde_json::{Value, json};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::report::{Figure, Report, Rows, Target, percentile, rounded};
use super::rest::Standing;
use super::usage::{Snapshot, Used};
use super::{Latency, Surroundings, Windows};
use crate::dev::Options;
use crate::dev::manifest::Manifest;
use crate::dev::programs::Programs;
use crate::dev::stack::Stack;
use crate::sides::Sides;

pub mod board;
pub mod stages;
pub mod users;

use board::Board;
use users::{Pair, Users};

/// Edits of the first seconds are made but not counted.
const WARM_UP: Duration = Duration::from_secs(10);
/// Longest wait for the records to be on both sides.
const LINKED_WITHIN: Duration = Duration::from_secs(600);
/// Longest wait for the last edits to arrive.
const ARRIVED_WITHIN: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// What the slowest hundredth may take, in seconds.
const P99_SECONDS: f64 = 5.0;
const SERVICE_MIB: f64 = 100.0;
const SEED: u64 = 11;

/// Measures.
///
/// # Errors
/// When the stack does not start, a process dies, an edit is refused or does not arrive.
pub async fn measure(
    asked: &Latency,
    around: &Surroundings,
    programs: &Programs,
    folder: &Path,
    load: &Handle,
) -> Result<Report> {
    let mut stack = Stack::take(folder)?;
    let options = Options {
        state_dir: folder.to_owned(),
        bus: asked.common.bus,
        headless: true,
        accounts: 1,
        replicas: asked.common.replicas.clone(),
        emulator_host: around.emulator_host.clone(),
        inherited: around.inherited.clone(),
        settings: [settings(asked.windows), asked.common.settings.clone()].concat(),
        ..Options::default()
    };
    let measured = on_stack(asked, &mut stack, &options, programs, load).await;
    stack.end().await;
    measured
}

fn settings(windows: Windows) -> Vec<(String, String)> {
    let (window, idle) = match windows {
        Windows::Dev => ("200", "50"),
        Windows::Default => ("2000", "500"),
    };
    [("COALESCE_WINDOW_MS", window), ("COALESCE_IDLE_MS", idle)].map(|(n, v)| (n.to_owned(), v.to_owned())).into()
}

async fn on_stack(
    asked: &Latency,
    stack: &mut Stack,
    options: &Options,
    programs: &Programs,
    load: &Handle,
) -> Result<Report> {
    let manifest = stack.start(options, programs).await?;
    let (bus, run) = (manifest.bus.clone(), Run { asked: asked.clone(), manifest });
    let measured = stack.beside(load.spawn(run.measure())).await?;
    Ok(report(asked, &bus, &options.settings, measured))
}

struct Run {
    asked: Latency,
    manifest: Manifest,
}

/// What was measured.
struct Measured {
    used: Used,
    /// Edits made a minute on both sides together.
    rate: f64,
    to_netsuite: Waits,
    to_suitex: Waits,
    to_netsuite_stages: Vec<stages::Stage>,
    to_suitex_stages: Vec<stages::Stage>,
    ledger: Value,
    /// Mean time between two looks at NetSuite, in milliseconds.
    look_ms: f64,
    backlog: usize,
}

/// Waits of one direction, in seconds.
struct Waits {
    sorted: Vec<f64>,
    superseded: usize,
}

impl Waits {
    fn of(board: &Board, from: Instant, to: Instant) -> Self {
        let seen: Vec<_> = board.seen().into_iter().filter(|seen| (from..to).contains(&seen.made_at)).collect();
        let mut sorted: Vec<f64> = seen.iter().map(|seen| seen.seconds).collect();
        sorted.sort_by(f64::total_cmp);
        Self { sorted, superseded: seen.iter().filter(|seen| seen.superseded).count() }
    }
}

impl Run {
    async fn measure(self) -> Result<Measured> {
        let account = self.manifest.accounts.first().context("the stack has an account")?;
        let sides = Arc::new(Sides::open(&self.manifest, account).await?);
        eprintln!("making {} customers in NetSuite and waiting until SuiteX has them all", self.asked.records);
        sides.netsuite.generate_customers(self.asked.records, SEED).await?;
        let pairs = linked(&sides, self.asked.records).await?;
        for pool in [&sides.concord, &sides.suitex] {
            sqlx::raw_sql("vacuum (analyze)").execute(pool).await?;
        }
        let users = Users {
            sides: Arc::clone(&sides),
            to_netsuite: Arc::default(),
            to_suitex: Arc::default(),
            looks: Arc::default(),
        };
        self.edits(&users, &pairs).await
    }

    async fn edits(&self, users: &Users, pairs: &[Pair]) -> Result<Measured> {
        let (stop_editing, stop_watching) = (CancellationToken::new(), CancellationToken::new());
        let mut watching = tokio::task::JoinSet::new();
        watching.spawn(users.clone().watch_suitex(stop_watching.clone()));
        watching.spawn(users.clone().watch_netsuite(stop_watching.clone()));
        let per_second = f64::from(self.asked.rate) / 60.0 / 2.0;
        let mut editing = tokio::task::JoinSet::new();
        for (side, seed) in [(Side::Suitex, SEED), (Side::Netsuite, SEED + 1)] {
            // Each side goes through the records in an order of its own.
            let mut order = pairs.to_vec();
            fastrand::Rng::with_seed(seed).shuffle(&mut order);
            editing.spawn(users.clone().edit(side, order, per_second, stop_editing.clone()));
        }
        eprintln!(
            "{} edits a minute, {} s to warm up, then {} s",
            self.asked.rate,
            WARM_UP.as_secs(),
            self.asked.seconds
        );
        let interval = self.interval(users);
        let (used, span, instants, look_ms, ledger, backlog) = tokio::select! {
            biased;
            done = interval => done?,
            Some(ended) = editing.join_next() => { ended??; bail!("editing ended by itself") }
            Some(ended) = watching.join_next() => { ended??; bail!("watching ended by itself") }
        };
        stop_editing.cancel();
        while let Some(ended) = editing.join_next().await {
            ended??;
        }
        arrived(users).await?;
        stop_watching.cancel();
        let account = &users.sides.account;
        let concord = &users.sides.concord;
        let (from, to) = instants;
        let waits = |board: &Board| Waits::of(board, from, to);
        let (to_netsuite, to_suitex) = (waits(&users.to_netsuite), waits(&users.to_suitex));
        let made = (to_netsuite.sorted.len() + to_suitex.sorted.len()) as f64;
        Ok(Measured {
            rate: made / used.wall.as_secs_f64() * 60.0,
            to_netsuite,
            to_suitex,
            to_netsuite_stages: stages::of(concord, account, span, Side::Suitex).await?,
            to_suitex_stages: stages::of(concord, account, span, Side::Netsuite).await?,
            ledger,
            look_ms,
            backlog,
            used,
        })
    }

    /// The counted part: what was used, its ends by both clocks, time between looks, NetSuite's ledger, what is open.
    async fn interval(
        &self,
        users: &Users,
    ) -> Result<(Used, (Timestamp, Timestamp), (Instant, Instant), f64, Value, usize)> {
        tokio::time::sleep(WARM_UP).await;
        users.sides.netsuite.clear_ledger().await?;
        let looks = users.looks.load(Ordering::Relaxed);
        let (before, start, from) = (Snapshot::take()?, SystemClock.now(), Instant::now());
        tokio::time::sleep(Duration::from_secs(u64::from(self.asked.seconds))).await;
        let (after, end, to) = (Snapshot::take()?, SystemClock.now(), Instant::now());
        let looks = users.looks.load(Ordering::Relaxed) - looks;
        let ledger = users.sides.netsuite.ledger().await?;
        let backlog = users.to_netsuite.open() + users.to_suitex.open();
        let used = Used::between(&before, &after)?;
        let look_ms = used.wall.as_secs_f64() * 1e3 / looks.max(1) as f64;
        Ok((used, (start, end), (from, to), look_ms, ledger, backlog))
    }
}

/// Waits until all records are on both sides and at rest.
async fn linked(sides: &Sides, records: u32) -> Result<Vec<Pair>> {
    let start = Instant::now();
    loop {
        let Standing { linked, busy } = Standing::of(sides).await?;
        if linked >= u64::from(records) && busy == 0 {
            break;
        }
        if start.elapsed() > LINKED_WITHIN {
            let why = sides.why_not_at_rest().await;
            bail!(
                "{linked} of {records} customers are linked, {busy} are not at rest after {:?}\n{why}",
                start.elapsed()
            );
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    eprintln!("all are on both sides after {:.0} s", start.elapsed().as_secs_f64());
    let rows: Vec<(String, String)> = sqlx::query_as(
        "select sx_native_id, ns_native_id from sync.record_head
         where account_id = $1 and record_type = 'customer' and merged_into is null order by rid limit $2",
    )
    .bind(&sides.account)
    .bind(i64::from(records))
    .fetch_all(&sides.concord)
    .await?;
    Ok(rows.into_iter().map(|(suitex, netsuite)| Pair { suitex, netsuite }).collect())
}

/// Waits until no edit is open.
async fn arrived(users: &Users) -> Result<()> {
    let start = Instant::now();
    while users.to_netsuite.open() + users.to_suitex.open() > 0 {
        ensure!(
            start.elapsed() <= ARRIVED_WITHIN,
            "{} edits have not reached NetSuite and {} not SuiteX after {} s\n{}",
            users.to_netsuite.open(),
            users.to_suitex.open(),
            ARRIVED_WITHIN.as_secs(),
            users.sides.why_not_at_rest().await
        );
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(())
}

fn report(asked: &Latency, bus: &str, settings: &[(String, String)], measured: Measured) -> Report {
    let figure =
        |name, what: &str, waits: &Waits, share| Figure::new(name, what, percentile(&waits.sorted, share), "s");
    let p99 = Target::AtMost(P99_SECONDS);
    let figures = vec![
        Figure::new("changes_per_minute", "edits made, both sides together", measured.rate, "/min")
            .held_to(Target::AtLeast(f64::from(asked.rate) * 0.98)),
        figure("netsuite_to_suitex_p50_s", "NetSuite edit → SuiteX, median", &measured.to_suitex, 0.5),
        figure("netsuite_to_suitex_p99_s", "NetSuite edit → SuiteX, 99 %", &measured.to_suitex, 0.99).held_to(p99),
        figure("netsuite_to_suitex_max_s", "NetSuite edit → SuiteX, slowest", &measured.to_suitex, 1.0),
        figure("suitex_to_netsuite_p50_s", "SuiteX edit → NetSuite, median", &measured.to_netsuite, 0.5),
        figure("suitex_to_netsuite_p99_s", "SuiteX edit → NetSuite, 99 %", &measured.to_netsuite, 0.99).held_to(p99),
        figure("suitex_to_netsuite_max_s", "SuiteX edit → NetSuite, slowest", &measured.to_netsuite, 1.0),
        Figure::new("peak_service_mib", "most memory of a service", measured.used.peak_service_mib(), "MiB")
            .held_to(Target::AtMost(SERVICE_MIB)),
        Figure::new("machine_busy", "processors of the machine busy", measured.used.machine_busy * 100.0, "%"),
        Figure::new("open_at_end", "edits on their way at the end", measured.backlog as f64, ""),
    ];
    let mut times = stages::rows("NetSuite → SuiteX", &measured.to_suitex_stages);
    times.extend(stages::rows("SuiteX → NetSuite", &measured.to_netsuite_stages));
    Report {
        bench: "latency",
        settings: json!({
            "rate_per_minute": asked.rate,
            "records": asked.records,
            "seconds": asked.seconds,
            "bus": bus,
            "replicas": asked.common.replicas,
            "accounts": 1,
            "netsuite_concurrency": measured.ledger["concurrency_limit"],
            "services": settings.iter().cloned().collect::<std::collections::BTreeMap<_, _>>(),
        }),
        figures,
        tables: vec![
            Rows { title: "stages", columns: &["direction", "stage", "p50_ms", "p99_ms", "count"], rows: times },
            Rows {
                title: "netsuite",
                columns: &["what", "count", "per_s"],
                rows: ledger_rows(&measured.ledger, &measured.used),
            },
            measured.used.table(None),
        ],
        notes: notes(&measured),
    }
}

/// What NetSuite was asked for, and what it refused.
fn ledger_rows(ledger: &Value, used: &Used) -> Vec<Value> {
    let seconds = used.wall.as_secs_f64();
    let count = |name: &str| ledger[name].as_u64().unwrap_or(0);
    let mut rows: Vec<Value> = ["calls", "writes", "over_limit", "user_edits"]
        .into_iter()
        .map(|name| json!({ "what": name.replace('_', " "), "count": count(name), "per_s": rounded(count(name) as f64 / seconds, 1) }))
        .collect();
    rows.push(json!({ "what": "peak concurrency", "count": count("peak_concurrency") }));
    for (title, member) in [("answered", "refusals"), ("guarded write", "outcomes")] {
        for (word, n) in ledger[member].as_object().into_iter().flatten() {
            let per_second = rounded(n.as_f64().unwrap_or(0.0) / seconds, 1);
            rows.push(json!({ "what": format!("{title} {word}"), "count": n, "per_s": per_second }));
        }
    }
    for (path, counts) in ledger["paths"].as_object().into_iter().flatten() {
        let per_second = rounded(counts["calls"].as_f64().unwrap_or(0.0) / seconds, 1);
        rows.push(json!({ "what": path, "count": counts["calls"], "per_s": per_second }));
    }
    rows
}

fn notes(measured: &Measured) -> Vec<String> {
    let limit = |direction: &str, stages: &[stages::Stage]| {
        stages::longest(stages).map(|stage| {
            format!(
                "{direction}: most of the usual time is \"{}\" (median {:.0} ms of the stages' {:.0} ms).",
                stage.name,
                stage.p50,
                stages.iter().map(|s| s.p50).sum::<f64>()
            )
        })
    };
    let refused = measured.ledger["over_limit"].as_u64().unwrap_or(0);
    let superseded = measured.to_netsuite.superseded + measured.to_suitex.superseded;
    let busy = measured.used.machine_busy;
    let processors =
        if busy >= 0.9 { "the processors of this machine are the limit" } else { "processors were left over" };
    let mut notes: Vec<String> = [
        measured.used.disturbed(),
        limit("NetSuite → SuiteX", &measured.to_suitex_stages),
        limit("SuiteX → NetSuite", &measured.to_netsuite_stages),
    ]
    .into_iter()
    .flatten()
    .collect();
    notes.push(format!(
        "{refused} requests were refused for NetSuite's concurrency limit; {processors} ({:.0} % busy).",
        busy * 100.0
    ));
    notes.push(format!(
        "Every edit arrived. {superseded} were replaced by a later edit of the same field before they were seen; they count until \
         that one was seen."
    ));
    notes.push(
        "NetSuite stamps whole seconds, so \"edit → stored by intake\" shows up to a second too much there.".to_owned(),
    );
    notes.push(format!(
        "A wait ends when a user across sees the value: SuiteX is looked at every 20 ms, NetSuite every {:.0} ms.",
        measured.look_ms
    ));
    notes
}
