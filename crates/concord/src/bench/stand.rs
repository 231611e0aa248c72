//! The stack of `bench pipeline`: Postgres, the bus and merge-service. Nothing else runs, so that nothing else is measured:
//! events come straight from the bench, and what the merge owes NetSuite waits, as it would behind a suspended account.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use chassis::bus::{Bus, Topology};
use chassis::service::open_bus;
use chassis::settings::{CoreSettings, Settings};
use model::spec::World;
use sqlx::PgPool;
use tokio::task::JoinHandle;

use super::{Common, Surroundings};
use crate::dev::Options;
use crate::dev::children::Maker;
use crate::dev::databases;
use crate::dev::files::{self, Files};
use crate::dev::identity::Identity;
use crate::dev::manifest::Manifest;
use crate::dev::plan::{DATABASE, PROJECT, Plan, tenant_database};
use crate::dev::postgres::Cluster;
use crate::dev::programs::Programs;
use crate::dev::state::StateDir;
use crate::dev::supervisor::{Stage, Supervisor};

/// More than on the local stack: messages that nobody takes pile up there during a measurement, and making room again and
/// again is none of what is measured.
const EMULATOR_HEAP_PERCENT: u8 = 40;

/// The one service that is measured.
const SERVICE: &str = "merge-service";
/// Longest wait for the bus; Java takes its second.
const BUS_WITHIN: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Connections of the bench itself.
const CONNECTIONS: u32 = 12;

/// The stack.
pub struct Stand {
    state: StateDir,
    supervisor: Supervisor,
    plan: Plan,
    manifest: Manifest,
    files: Files,
    options: Options,
    programs: Programs,
}

/// What load is made with; belongs to the runtime that made it.
#[derive(Clone)]
pub struct Tools {
    /// Concord's database.
    pub pool: PgPool,
    /// The bus.
    pub bus: Arc<dyn Bus>,
    /// What services would be told.
    pub core: Arc<CoreSettings>,
}

impl Stand {
    /// Starts Postgres and the bus, with all schemas in place. `statements` has Postgres count its statements.
    ///
    /// # Errors
    /// When something cannot be made or started.
    pub async fn start(
        common: &Common,
        around: &Surroundings,
        programs: &Programs,
        folder: &Path,
        statements: bool,
    ) -> Result<Self> {
        let state = StateDir::take(folder)?;
        let options = Options {
            state_dir: folder.to_owned(),
            bus: common.bus,
            accounts: 1,
            replicas: common.replicas.clone(),
            emulator_host: around.emulator_host.clone(),
            inherited: around.inherited.clone(),
            settings: common.settings.clone(),
            ..Options::default()
        };
        let plan = Plan::decide(&options, programs)?;
        let identity = Identity::load_or_make(&state, &plan.accounts)?;
        let cluster = Cluster::locate(&state, programs, &identity)?;
        cluster.prepare(&state).await?;
        let manifest = plan.manifest(&state, &identity, &|name| cluster.url(plan.postgres_port, name));
        let files = files::write(&state, &plan, &manifest, &identity)?;
        let mut supervisor = Supervisor::new()?;
        let mut postgres = cluster.child(plan.postgres_port, state.log("postgres", 0), programs);
        if statements {
            postgres.args.extend(["-c".to_owned(), "shared_preload_libraries=pg_stat_statements".to_owned()]);
        }
        supervisor.run(Stage::Database, postgres);
        let maker = Maker { state: &state, programs, inherited: &options.inherited, settings: &options.settings };
        if let Some(emulator) = maker.emulator(&plan, EMULATOR_HEAP_PERCENT) {
            supervisor.run(Stage::World, emulator);
        }
        let mut connection = databases::wait_for(&cluster, plan.postgres_port).await?;
        let tenant = tenant_database(&plan.accounts[0]);
        databases::create(&mut connection, &[DATABASE.to_owned(), tenant]).await?;
        drop(connection);
        databases::migrate(&manifest.database_url).await?;
        databases::prepare_tenant(&manifest.accounts[0].suitex.database_url, &World::sample()).await?;
        Ok(Self { state, supervisor, plan, manifest, files, options, programs: programs.clone() })
    }

    /// The account all records belong to.
    pub fn account(&self) -> &str {
        &self.plan.accounts[0]
    }

    /// `postgres` or `pubsub`.
    pub fn bus_name(&self) -> &'static str {
        self.plan.bus_name()
    }

    /// The settings that services get beside addresses and secrets.
    pub fn service_settings(&self) -> BTreeMap<String, String> {
        let told = |name: &str| {
            let outside = self.options.inherited.iter().any(|(own, _)| own == name);
            let place = ["CONCORD_", "DATABASE_URL", "PUBSUB_"].iter().any(|start| name.starts_with(start));
            !outside && !place
        };
        let environment = self.specs().into_iter().next().map(|spec| spec.env).unwrap_or_default();
        environment.into_iter().filter(|(name, _)| told(name)).collect()
    }

    fn specs(&self) -> Vec<crate::dev::child::ChildSpec> {
        let Self { state, programs, plan, options, .. } = self;
        let maker = Maker { state, programs, inherited: &options.inherited, settings: &options.settings };
        let measured = plan.services.iter().filter(|service| service.name == SERVICE);
        measured.map(|service| maker.service(service, plan, &self.manifest, &self.files)).collect()
    }

    /// Starts merge-service and waits until it is ready; the roots of its HTTP endpoints.
    ///
    /// # Errors
    /// When a process does not get ready.
    pub async fn start_service(&mut self) -> Result<Vec<String>> {
        let specs = self.specs();
        let roots = specs.iter().filter_map(|spec| spec.http.clone()).collect();
        for spec in specs {
            self.supervisor.run(Stage::Service, spec);
        }
        self.supervisor.ready().await?;
        Ok(roots)
    }

    /// Waits for a task while children are looked after.
    ///
    /// # Errors
    /// The task's.
    pub async fn beside<T>(&mut self, mut task: JoinHandle<Result<T>>) -> Result<T> {
        loop {
            tokio::select! {
                biased;
                done = &mut task => return done.context("a task of the bench broke")?,
                turned = self.supervisor.turn() => turned?,
            }
        }
    }

    /// How to reach what runs; to be awaited where it will be used.
    pub fn tools(&self) -> impl Future<Output = Result<Tools>> + Send + use<> {
        let mut pairs = vec![
            ("DATABASE_URL".to_owned(), self.manifest.database_url.clone()),
            // The bench serves nothing: where it would listen does not matter.
            ("CONCORD_HTTP".to_owned(), "127.0.0.1:1".to_owned()),
            ("CONCORD_BUS".to_owned(), self.plan.bus_name().to_owned()),
        ];
        if let Some(host) = self.plan.emulator_host() {
            pairs.push(("PUBSUB_EMULATOR_HOST".to_owned(), host));
            pairs.push(("PUBSUB_PROJECT".to_owned(), PROJECT.to_owned()));
        }
        let (settings, url) = (Settings::from_pairs(pairs), self.manifest.database_url.clone());
        async move {
            let core = CoreSettings::from_settings(&settings)?;
            let pool = store::connect(&url, CONNECTIONS, "concord-bench").await?;
            let bus = open_bus(&core, pool.clone()).await?;
            ensure(bus.as_ref(), &core.topics.topology()).await?;
            Ok(Tools { pool, bus, core: Arc::new(core) })
        }
    }

    /// Ends everything.
    pub async fn end(self) {
        self.supervisor.end().await;
    }
}

/// Creates topics and subscriptions, waiting for the broker.
///
/// # Errors
/// When it does not answer within a minute.
pub async fn ensure(bus: &dyn Bus, topology: &Topology) -> Result<()> {
    let start = Instant::now();
    loop {
        match bus.ensure(topology).await {
            Ok(()) => return Ok(()),
            Err(error) if start.elapsed() >= BUS_WITHIN => bail!("the bus does not answer: {error}"),
            Err(_) => tokio::time::sleep(LOOK_EVERY).await,
        }
    }
}
