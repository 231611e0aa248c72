//! A stack from nothing to ready, and back.

use std::path::Path;

use anyhow::{Context, Result, bail};
use model::spec::World;
use tokio::task::JoinHandle;

use super::Options;
use super::children::Maker;
use super::databases;
use super::files;
use super::identity::Identity;
use super::leftovers;
use super::manifest::Manifest;
use super::plan::{DATABASE, Plan, tenant_database};
use super::postgres::{self, Cluster};
use super::programs::Programs;
use super::state::StateDir;
use super::supervisor::{Stage, Supervisor};
use crate::say::say;

/// Share of the machine's memory for the emulator's heap, beside everything else that runs.
const EMULATOR_HEAP_PERCENT: u8 = 20;

/// A stack that is being started or runs.
#[derive(Debug)]
pub struct Stack {
    state: StateDir,
    supervisor: Supervisor,
    // Its ports are held against other stacks as long as this one lives.
    plan: Option<Plan>,
}

impl Stack {
    /// Takes the state folder and ends what an earlier stack left in it. Nothing runs yet.
    ///
    /// # Errors
    /// When the folder cannot be used.
    pub fn take(folder: &Path) -> Result<Self> {
        let state = StateDir::take(folder)?;
        // A `dev.json` from before would claim that something runs.
        match std::fs::remove_file(state.manifest()) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).context("an old dev.json cannot be removed");
            }
            _ => {}
        }
        Ok(Self { state, supervisor: Supervisor::new()?, plan: None })
    }

    /// Starts everything and returns once every process is ready and `dev.json` says so.
    ///
    /// # Errors
    /// When a part cannot be made, started, or does not get ready. [`Stack::end`] then still ends what was started.
    pub async fn start(&mut self, options: &Options, programs: &Programs) -> Result<Manifest> {
        let state = &self.state;
        let plan = Plan::decide(options, programs)?;
        let identity = Identity::load_or_make(state, &plan.accounts)?;
        let cluster = Cluster::locate(state, programs, &identity)?;
        let ended = leftovers::clear(state.root(), cluster.data()).await?;
        if ended > 0 {
            say(format_args!("ended {ended} processes that an earlier stack left behind"));
        }
        state.rotate_logs()?;
        postgres::sweep_outside();
        cluster.prepare(state).await?;
        let maker = Maker { state, programs, inherited: &options.inherited, settings: &options.settings };
        let database = |name: &str| cluster.url(plan.postgres_port, name);
        let manifest = plan.manifest(state, &identity, &database);
        let files = files::write(state, &plan, &manifest, &identity)?;

        // What needs nothing starts first; Java takes its second while the databases are made.
        self.supervisor.run(Stage::Database, cluster.child(plan.postgres_port, state.log("postgres", 0), programs));
        if let Some(emulator) = maker.emulator(&plan, EMULATOR_HEAP_PERCENT) {
            self.supervisor.run(Stage::World, emulator);
        }
        self.supervisor.run(Stage::World, maker.simulator(&plan, &files));
        prepare_databases(&cluster, &plan, &manifest)
            .await
            .with_context(|| format!("the databases are not ready (log: {})", state.log("postgres", 0).display()))?;
        for service in &plan.services {
            self.supervisor.run(Stage::Service, maker.service(service, &plan, &manifest, &files));
        }
        self.supervisor.ready().await?;
        self.supervisor.publish(manifest, state.manifest())?;
        self.plan = Some(plan);
        Manifest::read(&state.manifest())
    }

    /// Watches the children until something goes wrong that cannot be put right.
    ///
    /// # Errors
    /// When `dev.json` cannot be kept true.
    pub async fn watch(&mut self) -> Result<()> {
        loop {
            self.supervisor.turn().await?;
        }
    }

    /// What a task comes to while all children are watched.
    ///
    /// # Errors
    /// The task's own; when it panics; when the stack ends before it.
    pub async fn beside<T>(&mut self, task: JoinHandle<Result<T>>) -> Result<T> {
        tokio::select! {
            done = task => done.context("a task beside the stack broke")?,
            watched = self.watch() => { watched?; bail!("the stack ended by itself") }
        }
    }

    /// Ends all children, services first and Postgres last.
    pub async fn end(self) {
        self.supervisor.end().await;
    }
}

async fn prepare_databases(cluster: &Cluster, plan: &Plan, manifest: &Manifest) -> Result<()> {
    let mut connection = databases::wait_for(cluster, plan.postgres_port).await?;
    let tenants = plan.accounts.iter().map(|account| tenant_database(account));
    let names: Vec<String> = [DATABASE.to_owned()].into_iter().chain(tenants).collect();
    databases::create(&mut connection, &names).await?;
    drop(connection);
    let world = World::sample();
    let own = databases::migrate(&manifest.database_url);
    let tenants = manifest.accounts.iter().map(|a| databases::prepare_tenant(&a.suitex.database_url, &world));
    let (own, tenants) = futures::future::join(own, futures::future::join_all(tenants)).await;
    own?;
    tenants.into_iter().collect()
}
