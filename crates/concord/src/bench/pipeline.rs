//! `concord bench pipeline`: events from the bus to their stored disposition, through the real merge-service.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use jiff_sqlx::ToSqlx;
use model::{AccountId, Clock, SystemClock, Timestamp};
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::ceilings::{self, Ceiling};
use super::feed::Feed;
use super::pace::Pace;
use super::report::{Figure, Report, Rows, Target, rounded};
use super::stand::{Stand, Tools};
use super::usage::{Snapshot, Used};
use super::{Pipeline, Surroundings, seed, statements};
use crate::dev::programs::Programs;

/// How often the services' counters are read: at ten thousand events a second, every few hundred events.
const LOOK_EVERY: Duration = Duration::from_millis(50);
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// What the figures should be (issue: now, not the aim).
const SHARE_OF_CEILING: f64 = 0.5;
const CPU_MICROS: f64 = 150.0;
const SERVICE_MIB: f64 = 100.0;

/// Measures.
///
/// # Errors
/// When the stack does not start, a process dies, or an event does not end as it must.
pub async fn measure(
    asked: &Pipeline,
    around: &Surroundings,
    programs: &Programs,
    folder: &Path,
    load: &Handle,
) -> Result<Report> {
    ensure!(
        asked.in_flight <= asked.records / 2,
        "--in-flight may be at most half of --records, or events of one record meet"
    );
    let mut stand = Stand::start(&asked.common, around, programs, folder, asked.statements).await?;
    let measured = on_stand(asked, &mut stand, load).await;
    stand.end().await;
    measured
}

async fn on_stand(asked: &Pipeline, stand: &mut Stand, load: &Handle) -> Result<Report> {
    let tools = stand.tools();
    let tools = stand.beside(load.spawn(tools)).await?;
    let lanes = tools.core.topics.lanes;
    let feed = Feed::new(AccountId::parse(stand.account())?, asked.records, asked.event_bytes, lanes)?;
    eprintln!("making {} records, linked and known on both sides", asked.records);
    let prepared = load.spawn(prepare(tools.clone(), feed.clone()));
    stand.beside(prepared).await?;
    eprintln!("ceilings: the bare transaction, the bus alone");
    let ceilings = load.spawn(both_ceilings(tools.clone(), feed.clone(), asked.in_flight));
    let (transaction, bus) = stand.beside(ceilings).await?;
    let roots = stand.start_service().await?;
    eprintln!("the pipeline: one round to warm up, then {} s", asked.seconds);
    let run = Run { tools, feed, roots, asked: asked.clone() };
    let measured = stand.beside(load.spawn(run.measure())).await?;
    Ok(report(asked, stand, &transaction, &bus, measured))
}

async fn prepare(tools: Tools, feed: Feed) -> Result<()> {
    seed::make(&tools.pool, &feed).await?;
    // What making them left behind is not to be cleaned up on the measurement's account.
    sqlx::raw_sql("vacuum (analyze)").execute(&tools.pool).await?;
    sqlx::raw_sql("checkpoint").execute(&tools.pool).await?;
    Ok(())
}

async fn both_ceilings(tools: Tools, feed: Feed, in_flight: u32) -> Result<(Ceiling, Ceiling)> {
    let transaction = ceilings::transaction(&tools.pool, &feed).await?;
    let bus = ceilings::bus(&tools, &feed, in_flight).await?;
    Ok((transaction, bus))
}

/// The measured part.
struct Run {
    tools: Tools,
    feed: Feed,
    roots: Vec<String>,
    asked: Pipeline,
}

/// What was measured.
struct Measured {
    used: Used,
    counts: Counts,
    checked: Checked,
    wal_bytes: f64,
    statements: Option<Rows>,
}

/// What happened in the interval, by the database.
#[derive(Debug, Clone, Copy)]
struct Counts {
    /// Hints stored.
    hints: u64,
    /// Folds: a fold of several hints counts as one.
    folds: u64,
}

/// What became of everything that was published.
#[derive(Debug, Clone, Copy)]
struct Checked {
    published: u64,
    folds: u64,
}

impl Run {
    async fn measure(self) -> Result<Measured> {
        let begun = SystemClock.now();
        let pace = Arc::new(Pace::new(u64::from(self.asked.in_flight)));
        let (stop_feeding, stop_watching) = (CancellationToken::new(), CancellationToken::new());
        let watching = tokio::spawn(watch(self.roots.clone(), pace.clone(), stop_watching.clone()));
        let feeding = {
            let (tools, feed, pace, stop) = (self.tools.clone(), self.feed.clone(), pace.clone(), stop_feeding.clone());
            tokio::spawn(async move {
                let topic = tools.core.topics.raw.clone();
                feed.publish(tools.bus.as_ref(), &topic, &pace, &stop).await
            })
        };
        let interval = self.interval(&pace);
        let (used, span, wal_bytes, statements) = tokio::select! {
            biased;
            measured = interval => measured?,
            ended = watch_over(feeding, &stop_feeding) => return Err(ended),
        };
        stop_feeding.cancel();
        pace.reached(pace.published()).await.context("the last events were not settled")?;
        stop_watching.cancel();
        watching.await.context("watching broke")??;
        let counts = count(&self.tools.pool, self.feed.account(), span).await?;
        let checked = self.check(begun, pace.published()).await?;
        Ok(Measured { used, counts, checked, wal_bytes, statements })
    }

    /// One round to warm up, then the interval: what was used, its ends, the bytes of log it wrote.
    async fn interval(&self, pace: &Pace) -> Result<(Used, (Timestamp, Timestamp), f64, Option<Rows>)> {
        let round = u64::from(self.asked.records);
        pace.reached(round).await?;
        if self.asked.statements {
            statements::reset(&self.tools.pool).await?;
        }
        let wal_before = wal(&self.tools.pool).await?;
        let (before, start, settled) = (Snapshot::take()?, SystemClock.now(), pace.settled());
        let time = tokio::time::sleep(Duration::from_secs(u64::from(self.asked.seconds)));
        match self.asked.rounds {
            None => time.await,
            Some(rounds) => tokio::select! {
                () = time => {}
                reached = pace.reached(settled + round * u64::from(rounds)) => reached?,
            },
        }
        let (after, end, settled) = (Snapshot::take()?, SystemClock.now(), pace.settled() - settled);
        let wal_bytes = wal(&self.tools.pool).await? - wal_before;
        let statements = match self.asked.statements {
            true => Some(statements::top(&self.tools.pool, settled).await?),
            false => None,
        };
        Ok((Used::between(&before, &after)?, (start, end), wal_bytes, statements))
    }

    /// Every event is in the log, applied, and nothing went to a person.
    async fn check(&self, begun: Timestamp, published: u64) -> Result<Checked> {
        let (hints, applied, folds, errors): (i64, i64, i64, i64) = sqlx::query_as(
            "select (select count(*) from sync.event_log where account_id = $1 and received_at >= $2 and kind = 'hint'),
                    (select count(*) from sync.events
                      where account_id = $1 and received_at >= $2 and kind = 'hint' and disposition = 'applied'),
                    (select count(*) from sync.event_log
                      where account_id = $1 and received_at >= $2 and kind in ('hint', 'observation')
                        and record_seq is not null),
                    (select count(*) from sync.sync_error_queue)
                  + (select count(*) from sync.record_head where account_id = $1 and (locked or not alive))",
        )
        .bind(self.feed.account().as_str())
        .bind(begun.to_sqlx())
        .fetch_one(&self.tools.pool)
        .await?;
        let published = i64::try_from(published)?;
        ensure!(hints == published, "{published} events were published, {hints} are in the log");
        ensure!(applied == published, "{published} events were published, {applied} are applied");
        ensure!(errors == 0, "{errors} records or events went wrong");
        Ok(Checked { published: u64::try_from(published)?, folds: u64::try_from(folds)? })
    }
}

/// Resolves only when feeding ends before it was told to: then with why.
async fn watch_over(feeding: tokio::task::JoinHandle<Result<()>>, stop: &CancellationToken) -> anyhow::Error {
    match feeding.await {
        Ok(Err(error)) => error,
        Ok(Ok(())) if stop.is_cancelled() => std::future::pending().await,
        Ok(Ok(())) => anyhow::anyhow!("publishing ended by itself"),
        Err(error) => error.into(),
    }
}

/// Reads the services' counters until told to stop.
async fn watch(roots: Vec<String>, pace: Arc<Pace>, stop: CancellationToken) -> Result<()> {
    let http = reqwest::Client::builder().timeout(ANSWER_WITHIN).no_proxy().build()?;
    while !stop.is_cancelled() {
        let mut settled = 0;
        for root in &roots {
            let text = http.get(format!("{root}/metrics")).send().await?.error_for_status()?.text().await?;
            settled += counter(&text, "concord_events_merged_total");
        }
        pace.settled_in_all(settled);
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(())
}

/// The sum of a counter over all its labels but `unreadable`, which settles nothing.
fn counter(text: &str, name: &str) -> u64 {
    let samples = text.lines().filter(|line| line.starts_with(name) && !line.contains("unreadable"));
    samples.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum::<f64>() as u64
}

async fn count(pool: &PgPool, account: &AccountId, (start, end): (Timestamp, Timestamp)) -> Result<Counts> {
    let (hints, folds): (i64, i64) = sqlx::query_as(
        "select count(*) filter (where kind = 'hint'),
                count(*) filter (where kind in ('hint', 'observation') and record_seq is not null)
         from sync.event_log where account_id = $1 and received_at >= $2 and received_at < $3",
    )
    .bind(account.as_str())
    .bind(start.to_sqlx())
    .bind(end.to_sqlx())
    .fetch_one(pool)
    .await?;
    Ok(Counts { hints: u64::try_from(hints)?, folds: u64::try_from(folds)? })
}

async fn wal(pool: &PgPool) -> Result<f64> {
    let bytes: f64 = sqlx::query_scalar("select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::float8")
        .fetch_one(pool)
        .await?;
    Ok(bytes)
}

fn report(asked: &Pipeline, stand: &Stand, transaction: &Ceiling, bus: &Ceiling, measured: Measured) -> Report {
    let Measured { used, counts, checked, wal_bytes, statements } = measured;
    let seconds = used.wall.as_secs_f64();
    let (intake, merged) = (counts.hints as f64 / seconds, counts.folds as f64 / seconds);
    let ceiling = transaction.per_second.min(bus.per_second);
    let each = |time: Duration| time.as_secs_f64() * 1e6 / counts.folds.max(1) as f64;
    let lower = if bus.per_second < transaction.per_second { "the bus alone" } else { "the bare transaction" };
    let figures = vec![
        Figure::new("intake_per_s", "intake: events stored", intake, "/s"),
        Figure::new("merged_per_s", "merged: dispositions stored", merged, "/s"),
        Figure::new("ceiling_bus_per_s", "ceiling: the bus alone", bus.per_second, "/s"),
        Figure::new("ceiling_transaction_per_s", "ceiling: the bare batch transaction", transaction.per_second, "/s"),
        Figure::new("e", format!("E = merged ÷ lower ceiling ({lower})"), merged / ceiling, "")
            .held_to(Target::AtLeast(SHARE_OF_CEILING)),
        Figure::new("cpu_us_per_event", "processor time of Concord per event", each(used.concord()), "µs")
            .held_to(Target::AtMost(CPU_MICROS)),
        Figure::new("postgres_us_per_event", "processor time of Postgres per event", each(used.postgres()), "µs"),
        Figure::new("peak_service_mib", "most memory of a service", used.peak_service_mib(), "MiB")
            .held_to(Target::AtMost(SERVICE_MIB)),
        Figure::new("wal_bytes_per_event", "write-ahead log per event", wal_bytes / counts.folds.max(1) as f64, "B"),
        Figure::new("machine_busy", "processors of the machine busy", used.machine_busy * 100.0, "%"),
    ];
    let ceilings: Vec<Value> = transaction.variants.iter().chain(&bus.variants).cloned().collect();
    let mut tables = vec![
        used.table(Some(counts.folds)),
        Rows { title: "ceilings", columns: &["variant", "events_per_s"], rows: ceilings },
    ];
    tables.extend(statements);
    let disturbed = used.disturbed();
    let coalesced = checked.published.saturating_sub(checked.folds);
    Report {
        bench: "pipeline",
        settings: json!({
            "records": asked.records,
            "event_bytes": asked.event_bytes,
            "in_flight": asked.in_flight,
            "bus": stand.bus_name(),
            "replicas": asked.common.replicas,
            "measured_seconds": rounded(seconds, 1),
            "services": stand.service_settings(),
        }),
        figures,
        tables,
        notes: disturbed
            .into_iter()
            .chain([
                format!(
                    "{} events were published in all; every one is in the log and applied; {coalesced} were folded together \
                     with another and not counted.",
                    checked.published
                ),
                "Running: Postgres, the bus, merge-service. Not running: the writers and NetSuite, so doorbells wait on the \
                 bus; ingest and outbox-relay, since the bench publishes on events.raw itself."
                    .to_owned(),
            ])
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_summed_over_their_labels() {
        let text = "# TYPE concord_events_merged_total counter\nconcord_events_merged_total{outcome=\"applied\"} 40\n\
                    concord_events_merged_total{outcome=\"settled\"} 2\nconcord_events_merged_total{outcome=\"unreadable\"} 9\n\
                    concord_events_ingested_total{source=\"suitex\"} 77\n";
        assert_eq!(counter(text, "concord_events_merged_total"), 42);
    }
}
