//! `concord doctor`: does what the services will need answer, from here, with these settings? It changes nothing.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use chassis::accounts::Accounts;
use chassis::service::open_bus;
use chassis::settings::{CoreSettings, Settings};
use comfy_table::{Table, presets};
use model::{RandomIds, SystemClock};
use netsuite::{NetsuiteConfig, NetsuiteRemote};
use secrecy::ExposeSecret;
use serde_json::json;

use crate::console::Output;
use crate::dev::manifest::Manifest;
use crate::say::say;

/// Longest wait for one answer.
const PATIENCE: Duration = Duration::from_secs(15);

/// One thing that was looked at.
#[derive(Debug)]
struct Finding {
    what: String,
    well: bool,
    said: String,
}

/// Looks at everything and prints it; true when all is well.
///
/// Settings come from the environment, as services read them; without `DATABASE_URL`, from the local stack.
///
/// # Errors
/// When there are no settings to look at.
pub async fn run(state_dir: &Path, output: Output) -> Result<bool> {
    let settings = settings(state_dir)?;
    let mut findings = Vec::new();
    match CoreSettings::from_settings(&settings) {
        Ok(core) => {
            findings.push(good("settings", "understood"));
            look_at_core(&core, &mut findings).await;
        }
        Err(error) => findings.push(bad("settings", &error)),
    }
    match Accounts::from_settings(&settings) {
        Ok(accounts) => look_at_accounts(&accounts, &mut findings).await,
        Err(error) => findings.push(bad("accounts", &error)),
    }
    print(&findings, output)?;
    Ok(findings.iter().all(|finding| finding.well))
}

/// Settings as services read them from the environment; without `DATABASE_URL`, the local stack's.
///
/// # Errors
/// When there are none.
pub(crate) fn settings(state_dir: &Path) -> Result<Settings> {
    // The doctor serves nothing: where it would listen does not matter, but services may not leave it out.
    let listen = ("CONCORD_HTTP".to_owned(), "127.0.0.1:1".to_owned());
    let own = Settings::from_process()?;
    if own.text("DATABASE_URL").is_some() {
        let environment = std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)));
        return Ok(Settings::from_environment([listen].into_iter().chain(environment).collect())?);
    }
    let manifest = Manifest::read(&state_dir.join("dev.json"))
        .context("DATABASE_URL is not set, and no local stack was found instead")?;
    let accounts = state_dir.join("accounts.toml").to_string_lossy().into_owned();
    let mut pairs = vec![
        listen,
        ("DATABASE_URL".to_owned(), manifest.database_url),
        ("CONCORD_BUS".to_owned(), manifest.bus),
        ("CONCORD_ACCOUNTS".to_owned(), accounts),
    ];
    if let Some(pubsub) = manifest.pubsub {
        pairs.push(("PUBSUB_EMULATOR_HOST".to_owned(), pubsub.emulator_host));
        pairs.push(("PUBSUB_PROJECT".to_owned(), pubsub.project));
    }
    Ok(Settings::from_pairs(pairs))
}

async fn look_at_core(core: &CoreSettings, findings: &mut Vec<Finding>) {
    let connecting = store::connect(core.database_url.expose_secret(), 2, "concord-doctor");
    let pool = match patiently(connecting).await {
        Ok(pool) => pool,
        Err(said) => return findings.push(Finding { what: "database".to_owned(), well: false, said }),
    };
    findings.push(good("database", "answers"));
    let asked = async {
        let bus = open_bus(core, pool.clone()).await?;
        bus.ping().await?;
        anyhow::Ok(())
    };
    findings.push(match patiently(asked).await {
        Ok(()) => good("bus", "answers"),
        Err(said) => Finding { what: "bus".to_owned(), well: false, said },
    });
    pool.close().await;
}

async fn look_at_accounts(accounts: &Accounts, findings: &mut Vec<Finding>) {
    if accounts.is_empty() {
        findings.push(Finding { what: "accounts".to_owned(), well: false, said: "there is none".to_owned() });
    }
    for account in accounts.iter() {
        let what = format!("{} NetSuite", account.id);
        let config = NetsuiteConfig::from(account.as_ref());
        findings.push(match NetsuiteRemote::open(&[config], Arc::new(SystemClock), Arc::new(RandomIds)) {
            Ok(remote) => match patiently(remote.now(&account.id)).await {
                Ok(now) => good(&what, &format!("answers; its clock says {now}")),
                Err(said) => Finding { what, well: false, said },
            },
            Err(error) => bad(&what, &error),
        });
        let Some(url) = &account.suitex_database_url else { continue };
        let what = format!("{} SuiteX", account.id);
        findings.push(match patiently(store::connect(url.expose_secret(), 1, "concord-doctor")).await {
            Ok(pool) => {
                pool.close().await;
                good(&what, "answers")
            }
            Err(said) => Finding { what, well: false, said },
        });
    }
}

/// The outcome within [`PATIENCE`], an error as its whole chain in words.
async fn patiently<T, E: Into<anyhow::Error>>(asked: impl Future<Output = Result<T, E>>) -> Result<T, String> {
    match tokio::time::timeout(PATIENCE, asked).await {
        Ok(outcome) => outcome.map_err(|error| format!("{:#}", error.into())),
        Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
    }
}

fn good(what: &str, said: &str) -> Finding {
    Finding { what: what.to_owned(), well: true, said: said.to_owned() }
}

fn bad(what: &str, error: &dyn std::error::Error) -> Finding {
    Finding { what: what.to_owned(), well: false, said: error.to_string() }
}

fn print(findings: &[Finding], output: Output) -> Result<()> {
    match output {
        Output::Json => {
            let rows: Vec<_> =
                findings.iter().map(|f| json!({ "what": f.what, "well": f.well, "said": f.said })).collect();
            say(serde_json::to_string_pretty(&rows)?);
        }
        Output::Table => {
            let mut table = Table::new();
            table.load_style(presets::UTF8_FULL_CONDENSED).set_header(["", "what", "said"]);
            for finding in findings {
                table.add_row([if finding.well { "ok" } else { "!!" }, &finding.what, &finding.said]);
            }
            say(format_args!("{table}"));
        }
    }
    Ok(())
}
