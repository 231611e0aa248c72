//! `concord replay`: the log folded anew. With `--verify`, `--rebuild` and `--swap` over Concord's own database; else a
//! period under other policies, asked of the console.

use std::path::Path;

use anyhow::{Context, Result, bail};
use chassis::settings::CoreSettings;
use clap::Args;
use console::operations::replay::{Finding, Scope, rebuild, swap, verify};
use model::{AccountId, PerSide, RandomIds, RecordType, Side, SystemClock};
use reqwest::Method;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use sqlx::PgPool;
use std::sync::Arc;
use steps::{Absent, Engine, Swapped};
use store::PgRecords;
use store::audit::{self, Action};
use uuid::Uuid;

use crate::console::{Console, Output, print};
use crate::doctor;
use crate::say::say;

/// Findings said one by one; the count is of all.
const MAX_SAID: usize = 1_000;

/// `concord replay`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("mode").args(["verify", "rebuild", "swap"]))]
pub struct Replay {
    /// Hold every record against the fold of its log (over DATABASE_URL); exit code 2 when one differs
    #[arg(long)]
    verify: bool,
    /// The same, and keep what each log folds to in the side projection, under a run's id
    #[arg(long)]
    rebuild: bool,
    /// Make the records of a run that differ what their logs fold to; one whose log has grown since is left
    #[arg(long, value_name = "RUN")]
    swap: Option<Uuid>,
    /// Only this account
    #[arg(long, required_unless_present = "mode")]
    account: Option<String>,
    /// Only this record type
    #[arg(long = "type", requires = "mode", conflicts_with = "swap")]
    record_type: Option<String>,
    /// Begin of the period (RFC 3339)
    #[arg(long, required_unless_present = "mode", conflicts_with = "mode")]
    from: Option<String>,
    /// End of the period, not in it
    #[arg(long, required_unless_present = "mode", conflicts_with = "mode")]
    to: Option<String>,
    /// Policies as JSON: {"customer": {"phone": "netsuite_wins"}}
    #[arg(long, conflicts_with = "mode")]
    policies: Option<String>,
}

impl Replay {
    /// True when the console is asked.
    pub fn is_remote(&self) -> bool {
        !self.verify && !self.rebuild && self.swap.is_none()
    }
}

/// Asks the console what a period would have come to; true when nothing would have come out otherwise.
///
/// # Errors
/// When the console refuses or does not answer.
pub async fn ask(console: &Console, asked: &Replay, output: Output) -> Result<bool> {
    let mut body = json!({ "account": asked.account, "from": asked.from, "to": asked.to });
    if let Some(policies) = &asked.policies {
        body["policies"] = serde_json::from_str(policies).context("--policies is not JSON")?;
    }
    let answer = console.call(Method::POST, "/api/v1/replay", &[], Some(body)).await?;
    print::answer(&answer, output)?;
    Ok(answer["differing"] == 0)
}

/// Verifies, rebuilds or swaps; true when nothing differs (any more).
///
/// # Errors
/// When settings are wrong or the database does not answer.
pub async fn run(state_dir: &Path, asked: &Replay, output: Output) -> Result<bool> {
    let settings = doctor::settings(state_dir)?;
    let core = CoreSettings::from_settings(&settings)?;
    let world = chassis::sync::world(&core)?;
    let pool = store::connect(core.database_url.expose_secret(), 4, "concord-replay").await?;
    let engine = Engine {
        records: Arc::new(PgRecords::new(pool.clone())),
        remotes: PerSide { suitex: Arc::new(Absent(Side::Suitex)), netsuite: Arc::new(Absent(Side::Netsuite)) },
        world: Arc::new(world),
        clock: Arc::new(SystemClock),
        ids: Arc::new(RandomIds),
        settings: chassis::sync::limits(&settings, "replay")?,
    };
    let scope = Scope {
        account: asked.account.as_deref().map(AccountId::parse).transpose()?,
        record_type: asked.record_type.as_deref().map(RecordType::parse).transpose()?,
    };
    if let Some(record_type) = scope.record_type.as_ref().filter(|name| engine.world.get(name).is_none()) {
        bail!("--type {record_type} is not among the record types");
    }
    match asked.swap {
        Some(run_id) => put_in_place(&pool, &engine, run_id, scope.account.as_ref(), output).await,
        None => fold(&pool, &engine, &scope, asked.rebuild, output).await,
    }
}

async fn fold(pool: &PgPool, engine: &Engine, scope: &Scope, keep: bool, output: Output) -> Result<bool> {
    let mut found: Vec<Value> = Vec::new();
    let mut tell = |finding: Finding| {
        let Finding { record, problem } = finding;
        if output == Output::Table {
            say(format_args!("{record}: {problem}"));
        }
        if found.len() < MAX_SAID {
            found.push(json!({
                "account_id": record.account.as_str(),
                "record_type": record.record_type.as_str(),
                "record_id": record.rid.to_string(),
                "problem": problem.to_string(),
            }));
        }
    };
    let (run_id, events, records, differing) = if keep {
        let run = rebuild(pool, &engine.world, scope, engine.ids.uuid(), engine.clock.as_ref(), &mut tell).await?;
        (Some(run.run_id), run.events, run.records, run.differing)
    } else {
        let tally = verify(pool, &engine.world, scope, None, &mut tell).await?;
        (None, tally.events, tally.records, tally.differing)
    };
    match output {
        Output::Json => say(serde_json::to_string_pretty(&json!({
            "run": run_id, "events": events, "records": records, "differing": differing, "items": found,
        }))?),
        Output::Table => {
            say(format_args!("{events} entries of {records} records folded; {differing} records differ"));
            if let Some(run_id) = run_id {
                say(format_args!("kept as run {run_id}"));
            }
        }
    }
    Ok(differing == 0)
}

async fn put_in_place(
    pool: &PgPool,
    engine: &Engine,
    run_id: Uuid,
    account: Option<&AccountId>,
    output: Output,
) -> Result<bool> {
    let run = store::replay::run(pool, run_id).await?.with_context(|| format!("there is no run {run_id}"))?;
    if run.finished_at.is_none() {
        bail!("run {run_id} has not ended: what it did not look at is not known");
    }
    if account.is_some_and(|account| run.account.as_deref() != Some(account.as_str())) {
        bail!("run {run_id} is not of that account alone");
    }
    let (actor, subject) = (operator(), format!("run {run_id}"));
    let action = Action { actor: &actor, action: "swap", account, subject: &subject, ..Action::default() };
    let noted = audit::begin(pool, &action).await?;
    let mut items = Vec::new();
    let mut left = 0_usize;
    let swapped = swap(pool, &engine.core(), run_id, &mut |record, outcome| {
        let (done, word) = match outcome {
            Swapped::Done => (true, "swapped".to_owned()),
            Swapped::Same => (true, "the same by now".to_owned()),
            Swapped::Moved => (false, "left: its log has grown since".to_owned()),
            Swapped::Refused(part) => (false, format!("left: {part} cannot be put back")),
            Swapped::Gone => (false, "left: there is no such record any more".to_owned()),
        };
        left += usize::from(!done);
        if output == Output::Table {
            say(format_args!("{record}: {word}"));
        }
        items.push(json!({ "record": record.to_string(), "outcome": word }));
    })
    .await;
    audit::end(pool, noted, if swapped.is_ok() { "done" } else { "failed" }).await?;
    swapped?;
    match output {
        Output::Json => say(serde_json::to_string_pretty(&json!({ "run": run_id, "left": left, "items": items }))?),
        Output::Table => say(format_args!("{} records looked at, {left} left as they are", items.len())),
    }
    Ok(left == 0)
}

/// Who runs this program, by the machine's own word.
fn operator() -> String {
    let user = nix::unistd::User::from_uid(nix::unistd::getuid()).ok().flatten();
    format!("cli:{}", user.map_or_else(|| nix::unistd::getuid().to_string(), |user| user.name))
}
