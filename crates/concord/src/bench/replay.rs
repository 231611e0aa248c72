//! Folding the log anew: how many entries a second are read, folded and compared with what is stored, and how many are
//! rebuilt into the side projection, beside the bare scan of the same table.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use console::operations::replay::{Finding, Scope, rebuild, verify};
use futures::TryStreamExt;
use model::spec::World;
use model::{AccountId, Ids, RandomIds, SystemClock};
use serde_json::json;
use sqlx::{PgPool, Row};
use tokio::runtime::Handle;

use super::feed::Feed;
use super::report::{Figure, Report, rounded};
use super::stand::{Stand, Tools};
use super::{Replay, Surroundings, seed, usage};
use crate::dev::programs::Programs;

/// How often each pass is made; the best counts.
const PASSES: usize = 2;

/// Measures.
///
/// # Errors
/// When the stack cannot be started, or a record is not what its log folds to.
pub async fn measure(
    asked: &Replay,
    around: &Surroundings,
    programs: &Programs,
    folder: &Path,
    load: &Handle,
) -> Result<Report> {
    let mut stand = Stand::start(&asked.common, around, programs, folder, false).await?;
    let measured = on_stand(asked, &mut stand, load).await;
    stand.end().await;
    measured
}

async fn on_stand(asked: &Replay, stand: &mut Stand, load: &Handle) -> Result<Report> {
    let tools = stand.tools();
    let tools = stand.beside(load.spawn(tools)).await?;
    let lanes = tools.core.topics.lanes;
    let feed = Feed::new(AccountId::parse(stand.account())?, asked.records, asked.event_bytes, lanes)?;
    eprintln!("making {} records with {} log entries in all", asked.records, asked.events);
    stand.beside(load.spawn(make(tools.clone(), feed, asked.events))).await?;
    eprintln!("the bare scan, verify, rebuild");
    let before = usage::Snapshot::take()?;
    let measured = stand.beside(load.spawn(passes(tools.pool.clone()))).await?;
    let used = usage::Used::between(&before, &usage::Snapshot::take()?)?;
    Ok(report(asked, &measured, &used))
}

/// Records, then one edit of each per round, until the log is as long as was asked.
async fn make(tools: Tools, feed: Feed, events: u32) -> Result<()> {
    seed::make(&tools.pool, &feed).await?;
    let mut version = 2;
    while entries(&tools.pool).await? < i64::from(events) {
        seed::edit(&tools.pool, &feed, version).await?;
        version += 1;
    }
    sqlx::raw_sql("vacuum (analyze)").execute(&tools.pool).await?;
    sqlx::raw_sql("checkpoint").execute(&tools.pool).await?;
    Ok(())
}

async fn entries(pool: &PgPool) -> Result<i64> {
    let sql = "select count(*) from sync.event_log where record_seq is not null";
    Ok(sqlx::query_scalar(sql).fetch_one(pool).await?)
}

/// The best of the passes of each kind.
#[derive(Debug, Clone, Copy)]
struct Measured {
    entries: u64,
    bytes: u64,
    scan: Duration,
    verify: Duration,
    rebuild: Duration,
}

async fn passes(pool: PgPool) -> Result<Measured> {
    let mut best =
        Measured { entries: 0, bytes: 0, scan: Duration::MAX, verify: Duration::MAX, rebuild: Duration::MAX };
    let world = World::sample();
    for _ in 0..PASSES {
        let began = Instant::now();
        (best.entries, best.bytes) = scan(&pool).await?;
        best.scan = best.scan.min(began.elapsed());

        let mut found: Vec<Finding> = Vec::new();
        let began = Instant::now();
        let tally = verify(&pool, &world, &Scope::default(), None, &mut |finding| found.push(finding)).await?;
        best.verify = best.verify.min(began.elapsed());
        ensure!(found.is_empty(), "{} records are not what their logs fold to", found.len());
        ensure!(tally.events == best.entries, "{} of {} entries were folded", tally.events, best.entries);

        let began = Instant::now();
        let mut tell = |finding| found.push(finding);
        let run = rebuild(&pool, &world, &Scope::default(), RandomIds.uuid(), &SystemClock, &mut tell).await?;
        best.rebuild = best.rebuild.min(began.elapsed());
        ensure!(run.events == best.entries && run.differing == 0, "the rebuild found otherwise than the verification");
        sqlx::raw_sql("truncate sync.replay_run cascade").execute(&pool).await?;
    }
    Ok(best)
}

/// All entries in the order of the table, as they lie: no order, no JSON read, nothing folded. Rows and bytes.
async fn scan(pool: &PgPool) -> Result<(u64, u64)> {
    let mut rows = sqlx::query(
        "select account_id, record_type, rid, event_id, record_seq, received_at, entry::text, record_id, side, seq,
                operation, source, changes::text, remote_version, write_id, occurred_at
           from sync.event_log where record_seq is not null",
    )
    .fetch(pool);
    let (mut count, mut bytes) = (0, 0);
    while let Some(row) = rows.try_next().await? {
        count += 1;
        for column in [6, 12] {
            bytes += row.try_get::<Option<&str>, _>(column)?.map_or(0, |text| text.len() as u64);
        }
    }
    Ok((count, bytes))
}

fn report(asked: &Replay, measured: &Measured, used: &usage::Used) -> Report {
    let rate = |took: Duration| measured.entries as f64 / took.as_secs_f64();
    let (scan, verify, rebuild) = (rate(measured.scan), rate(measured.verify), rate(measured.rebuild));
    Report {
        bench: "replay",
        settings: json!({
            "events": measured.entries,
            "records": asked.records,
            "event_bytes": asked.event_bytes,
            "bytes_of_json_per_event": rounded(measured.bytes as f64 / measured.entries.max(1) as f64, 0),
        }),
        figures: vec![
            Figure::new("verify_per_s", "entries folded and compared with what is stored", verify, "/s"),
            Figure::new("rebuild_per_s", "entries rebuilt into the side projection and compared", rebuild, "/s"),
            Figure::new("scan_per_s", "the bare scan of the same table", scan, "/s"),
            Figure::new("verify_share", "verify ÷ bare scan", verify / scan, ""),
            Figure::new("rebuild_share", "rebuild ÷ bare scan", rebuild / scan, ""),
            Figure::new("machine_busy", "processors of the machine busy", used.machine_busy * 100.0, "%"),
        ],
        tables: Vec::new(),
        notes: used
            .disturbed()
            .into_iter()
            .chain([format!(
                "Each figure is the best of {PASSES} passes. Every record was what its log folds to. Running: Postgres; the \
                 scan and the folds run in the bench, on one thread."
            )])
            .collect(),
    }
}
