//! The account's SuiteScripts: the very files of the project, run by an embedded JavaScript engine on the account's
//! records.
//!
//! A run happens on the thread of whoever made it necessary, as in NetSuite: a save waits for its user events. No run
//! holds the world's writer while it waits for anything; what it saves is one transaction of its own.

mod cache;
mod calls;
mod courier;
mod engine;
mod events;
mod fault;
mod journal;
mod mapreduce;
mod objects;
mod project;
mod records;
mod run;
mod shape;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value as Json;
use tokio::runtime::Handle;

use crate::config::{AccountConfig, IngestConfig, Secret};
use crate::ledger::Ledger;
use crate::world::{Author, INTEGRATION_USER, World};
use cache::Cache;
use courier::Courier;
use engine::{Outcome, Pool};
use journal::{Entry, Journal};
use objects::{Script, ScriptKind};
use project::Project;
use run::{Allowance, Cause, Run};

pub(crate) use fault::Fault;
pub use objects::ObjectFault;
pub use project::ProjectError;

/// The API secret that holds the signing secret of the account's ingest.
const SIGNING_SECRET: &str = "custsecret_concord";
/// Prefixes of the parameters by which our scripts find ingest: those of the user event and of the flush.
const CAPTURE: &str = "custscript_concord_ue";
const FLUSH: &str = "custscript_concord_mr";
/// Contexts that are ready before the first call, per script.
const WARM: usize = 2;

const RESTLET: Allowance = Allowance { units: 5_000, seconds: 300 };

/// Why an account's scripts cannot run.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    /// The project cannot be deployed.
    #[error(transparent)]
    Project(#[from] ProjectError),
    /// A script cannot be loaded.
    #[error("the script {script} cannot be loaded: {reason}")]
    Load {
        /// Script id.
        script: String,
        /// What the engine said.
        reason: String,
    },
    /// The signing secret is no Standard Webhooks secret.
    #[error("ingest.signing_secret is not accepted: it is `whsec_` and base64")]
    Secret,
    /// A parameter that no script has.
    #[error("scripts.parameters names {0}, which no script has")]
    Parameter(String),
    /// The HTTP client could not be built.
    #[error("the HTTP client cannot be built")]
    Client(#[source] reqwest::Error),
}

/// The scripts of one account.
pub(crate) struct Scripts {
    account: String,
    world: Arc<World>,
    ledger: Arc<Ledger>,
    project: Arc<Project>,
    /// By script id.
    pools: BTreeMap<String, Pool>,
    /// Entry points by script id.
    entries: BTreeMap<String, Vec<String>>,
    /// Values of script parameters, where they are not the defaults.
    parameters: BTreeMap<String, String>,
    secrets: BTreeMap<String, Secret>,
    cache: Cache,
    journal: Journal,
    courier: Courier,
    /// Deployments of map/reduce scripts that are not finished.
    busy: Mutex<BTreeSet<String>>,
    serial: AtomicU64,
    /// Internal id of the user that API calls and scheduled scripts run as.
    integration: i64,
    schedule_seconds: Option<u64>,
}

/// What a RESTlet's caller gets.
#[derive(Debug)]
pub(crate) enum Reply {
    /// There is no such script or deployment.
    NoScript,
    /// The script has no function for that method.
    NoHandler,
    /// The function's answer, as text.
    Said(String),
    Threw(Fault),
}

impl Scripts {
    /// Deploys the account's project.
    ///
    /// # Errors
    /// A project, script or setting that is not accepted.
    pub(crate) fn open(
        config: &AccountConfig,
        world: Arc<World>,
        ledger: Arc<Ledger>,
        runtime: Handle,
    ) -> Result<Arc<Self>, ScriptError> {
        let settings = &config.scripts;
        let project = Arc::new(Project::read(settings.folder.as_deref())?);
        let mut pools = BTreeMap::new();
        let mut entries = BTreeMap::new();
        for script in &project.scripts {
            let pool = Pool::new(project.clone(), script.clone());
            let found = pool
                .warm(WARM)
                .map_err(|fault| ScriptError::Load { script: script.id.clone(), reason: fault.to_string() })?;
            entries.insert(script.id.clone(), found);
            pools.insert(script.id.clone(), pool);
        }
        let integration = world
            .user(INTEGRATION_USER)
            .map_err(|error| ScriptError::Load { script: INTEGRATION_USER.to_owned(), reason: error.to_string() })?;
        Ok(Arc::new(Self {
            account: config.account_id.clone(),
            secrets: secrets(config.ingest.as_ref())?,
            parameters: parameters(config, &project)?,
            courier: Courier::new(settings, runtime).map_err(ScriptError::Client)?,
            schedule_seconds: settings.flush_every_seconds,
            world,
            ledger,
            project,
            pools,
            entries,
            cache: Cache::default(),
            journal: Journal::default(),
            busy: Mutex::default(),
            serial: AtomicU64::new(1),
            integration,
        }))
    }

    /// Ends what scripts wait for outside, so that the process can stop.
    pub(crate) fn close(&self) {
        self.courier.close();
    }

    /// What the scripts said and threw.
    pub(crate) fn journal(&self) -> &Journal {
        &self.journal
    }

    /// What scripts keep for a while.
    pub(crate) fn cache(&self) -> &Cache {
        &self.cache
    }

    /// Calls a RESTlet's function for a method with JSON; the units it used stand beside its reply.
    pub(crate) fn restlet(self: &Arc<Self>, script: &str, deployment: &str, method: &str, body: &str) -> (Reply, u32) {
        let script = self.project.script(script).filter(|script| script.kind == ScriptKind::Restlet);
        let deployed = script.and_then(|script| script.deployments.iter().find(|own| own.id == deployment));
        let (Some(script), Some(deployment)) = (script, deployed.filter(|own| own.is_released)) else {
            return (Reply::NoScript, 0);
        };
        if !self.has_entry(script, method) {
            return (Reply::NoHandler, 0);
        }
        let cause = Cause {
            script: script.clone(),
            deployment: deployment.id.clone(),
            author: Author { user: INTEGRATION_USER.to_owned(), context: "RESTLET".to_owned() },
            user: self.integration,
            allowance: RESTLET,
            is_user_event: false,
        };
        let (outcome, used) = self.call(cause, method, "restlet", body);
        self.ledger.units(used);
        let reply = match outcome {
            Outcome::Done(Json::String(text)) => Reply::Said(text),
            Outcome::Done(_) => Reply::Said(String::new()),
            Outcome::Absent => Reply::NoHandler,
            Outcome::Failed(fault) => Reply::Threw(fault),
        };
        (reply, used)
    }

    fn has_entry(&self, script: &Script, entry: &str) -> bool {
        self.entries.get(&script.id).is_some_and(|entries| entries.iter().any(|own| own == entry))
    }

    /// One run of a script; the units it used stand beside what came of it.
    fn call(self: &Arc<Self>, cause: Cause, entry: &str, shape: &str, argument: &str) -> (Outcome, u32) {
        let (script, deployment) = (cause.script.clone(), cause.deployment.clone());
        let Some(pool) = self.pools.get(&script.id) else { return (Outcome::Absent, 0) };
        let (outcome, run) = pool.call(Run::new(self.clone(), cause), entry, shape, argument);
        let used = run.used();
        let has_failed = matches!(outcome, Outcome::Failed(_));
        self.ledger.script_run(&script.id, used, has_failed);
        if let Outcome::Failed(fault) = &outcome {
            self.journal.note(Entry {
                at: self.world.now(),
                script: script.id.clone(),
                deployment,
                level: "system".to_owned(),
                title: format!("{entry}: {}", fault.name),
                details: fault.message.clone(),
            });
        }
        (outcome, used)
    }

    fn next_serial(&self) -> u64 {
        self.serial.fetch_add(1, Ordering::Relaxed)
    }

    fn busy(&self) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The secret store: the signing secret as our scripts expect it, without its prefix.
fn secrets(ingest: Option<&IngestConfig>) -> Result<BTreeMap<String, Secret>, ScriptError> {
    let Some(ingest) = ingest else { return Ok(BTreeMap::new()) };
    let bare = ingest.signing_secret.reveal().strip_prefix("whsec_").ok_or(ScriptError::Secret)?;
    base64::Engine::decode(&base64::engine::general_purpose::STANDARD, bare).map_err(|_| ScriptError::Secret)?;
    Ok(BTreeMap::from([(SIGNING_SECRET.to_owned(), Secret::from(bare))]))
}

/// What an administrator would enter under Custom Preferences.
fn parameters(config: &AccountConfig, project: &Project) -> Result<BTreeMap<String, String>, ScriptError> {
    let mut parameters = BTreeMap::new();
    for prefix in [CAPTURE, FLUSH] {
        parameters.insert(format!("{prefix}_account"), config.account_id.clone());
        if let Some(ingest) = &config.ingest {
            parameters.insert(format!("{prefix}_url"), ingest.url.clone());
            parameters.insert(format!("{prefix}_secret"), SIGNING_SECRET.to_owned());
        }
    }
    let usual = if config.ingest.is_some() { "direct" } else { "off" };
    parameters.insert(format!("{CAPTURE}_mode"), config.scripts.mode.as_deref().unwrap_or(usual).to_owned());
    let known = |name: &String| project.scripts.iter().any(|script| script.parameters.contains_key(name));
    if let Some(name) = config.scripts.parameters.keys().find(|name| !known(name)) {
        return Err(ScriptError::Parameter(name.clone()));
    }
    parameters.extend(config.scripts.parameters.clone());
    Ok(parameters)
}
