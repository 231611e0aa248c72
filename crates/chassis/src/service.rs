//! What turns a `start` function into a process: settings, telemetry, pool, bus, health, signals, drain.
//!
//! A binary is `fn main() -> ExitCode { chassis::service::main("poller", Config::from_settings, poller::start) }`.
//! testkit builds [`Parts`] itself and calls the same `start`.

use std::future::Future;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use model::{Clock, Ids, RandomIds, SystemClock};
use secrecy::ExposeSecret;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::accounts::Accounts;
use crate::bus::postgres::{PostgresBus, PostgresBusLimits};
use crate::bus::pubsub::PubSubBus;
use crate::bus::{Bus, SubscriptionSpec};
use crate::crash;
use crate::health::{self, Health, Routes};
use crate::relay::{self, RelayLimits};
use crate::settings::{BusSettings, CoreSettings, SettingError, Settings};
use crate::telemetry;
use crate::worker::{self, Handler, WorkerLimits};

/// How long a service may take to finish what it has begun.
pub const DRAIN_DEADLINE: Duration = Duration::from_secs(20);
/// Longest wait for a database connection before the caller is told that Postgres is away.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// Wait between attempts to create topics and subscriptions at start.
const ENSURE_RETRY: Duration = Duration::from_secs(1);
/// How often metric samples are folded.
const METRICS_UPKEEP: Duration = Duration::from_secs(5);

/// What a service is built from. Every field may be supplied by a test.
#[derive(Clone)]
pub struct Parts {
    /// The service's one name.
    pub name: &'static str,
    /// The shared settings.
    pub core: Arc<CoreSettings>,
    /// The accounts.
    pub accounts: Arc<Accounts>,
    /// Concord's Postgres. Connects when first used.
    pub pool: PgPool,
    /// The bus; topology ensured before `start` is called.
    pub bus: Arc<dyn Bus>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Where ids come from.
    pub ids: Arc<dyn Ids>,
    /// Readiness: register dependencies and progress here.
    pub health: Health,
    /// The service's own HTTP routes.
    pub routes: Routes,
    /// Cancelled when the service must stop. `start` returns soon after.
    pub shutdown: CancellationToken,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts").field("name", &self.name).field("bus", &self.bus).finish_non_exhaustive()
    }
}

impl Parts {
    /// Runs the worker loop on a subscription until shutdown; see [`worker::run`].
    pub async fn work<H: Handler>(
        &self,
        spec: SubscriptionSpec,
        handler: Arc<H>,
        limits: WorkerLimits,
    ) -> anyhow::Result<()> {
        worker::run(self, spec, handler, limits).await
    }

    /// Runs the outbox relay until shutdown; see [`relay::run`].
    pub async fn relay(&self) {
        let (pool, bus, topics) = (self.pool.clone(), self.bus.clone(), self.core.topics.clone());
        relay::run(pool, bus, topics, RelayLimits::default(), self.shutdown.clone()).await;
    }

    /// Runs the relay of what this process commits, and the sweep beside it, until shutdown.
    pub async fn relay_own(&self, handed: store::handoff::Handed) {
        let (pool, bus, topics) = (self.pool.clone(), self.bus.clone(), self.core.topics.clone());
        tokio::join!(self.relay(), relay::run_committed(pool, bus, topics, handed, self.shutdown.clone()));
    }
}

/// Runs a service as a process. Settings are read before anything asynchronous exists; a wrong one ends the process with
/// one sentence and exit code 2. Any other failure ends it with exit code 1; a drained shutdown with 0.
pub fn main<C, S, F>(name: &'static str, read: impl FnOnce(&Settings) -> Result<C, SettingError>, start: S) -> ExitCode
where
    S: FnOnce(Parts, C) -> F,
    F: Future<Output = anyhow::Result<()>>,
{
    let settings = read_all(name, read);
    let (core, accounts, config) = match settings {
        Ok(settings) => settings,
        Err(error) => {
            eprintln!("{name}: {error}");
            return ExitCode::from(2);
        }
    };
    // Two crypto providers are linked (the database client's and Google's); TLS asks for a decision. An error means that
    // somebody decided before, which is as good.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("{name}: the runtime did not start: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run(name, core, accounts, |parts| start(parts, config))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{name}: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn read_all<C>(
    name: &str,
    read: impl FnOnce(&Settings) -> Result<C, SettingError>,
) -> Result<(CoreSettings, Accounts, C), SettingError> {
    let settings = Settings::from_process()?;
    crash::arm(name, &settings)?;
    let core = CoreSettings::from_settings(&settings)?;
    // Services read the file again when they start; by then it is too late to say "at once" that it is wrong.
    crate::sync::world(&core)?;
    let accounts = Accounts::from_settings(&settings)?;
    if accounts.is_empty() {
        let accepted =
            "the path of a TOML file with one [[account]] per account (or NETSUITE_ACCOUNT, for a single one)";
        return Err(SettingError::missing("CONCORD_ACCOUNTS", accepted));
    }
    Ok((core, accounts, read(&settings)?))
}

async fn run<F>(
    name: &'static str,
    core: CoreSettings,
    accounts: Accounts,
    start: impl FnOnce(Parts) -> F,
) -> anyhow::Result<()>
where
    F: Future<Output = anyhow::Result<()>>,
{
    let telemetry = telemetry::install(name, &core)?;
    let shutdown = CancellationToken::new();
    let listener = TcpListener::bind(core.http)
        .await
        .map_err(|error| anyhow::anyhow!("CONCORD_HTTP: cannot listen on {}: {error}", core.http))?;
    let parts = assemble(name, core, accounts, shutdown.clone()).await?;
    tokio::spawn(stop_on_signal(shutdown));
    let outcome = host(parts, listener, start).await;
    telemetry.shutdown();
    outcome
}

/// Builds the parts of a process from its settings.
pub async fn assemble(
    name: &'static str,
    core: CoreSettings,
    accounts: Accounts,
    shutdown: CancellationToken,
) -> anyhow::Result<Parts> {
    let pool = connect(name, &core)?;
    let bus = crash::bus(open_bus(&core, pool.clone()).await?, &core.topics);
    Ok(Parts {
        name,
        core: Arc::new(core),
        accounts: Arc::new(accounts),
        pool,
        bus,
        clock: Arc::new(SystemClock),
        ids: Arc::new(RandomIds),
        health: Health::new(),
        routes: Routes::default(),
        shutdown,
    })
}

/// The pool of `DATABASE_URL`. Connects when first used: a service that starts before Postgres waits, unready.
fn connect(name: &str, core: &CoreSettings) -> anyhow::Result<PgPool> {
    let options: PgConnectOptions = core.database_url.expose_secret().parse()?;
    let options = options.application_name(&format!("concord-{name}-{}", core.replica));
    Ok(PgPoolOptions::new()
        .max_connections(core.database_pool_size)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .connect_lazy_with(options))
}

/// The bus the settings ask for. The embedded one shares the service's pool.
pub async fn open_bus(core: &CoreSettings, pool: PgPool) -> anyhow::Result<Arc<dyn Bus>> {
    Ok(match &core.bus {
        BusSettings::Postgres => Arc::new(PostgresBus::new(pool, PostgresBusLimits::default())),
        BusSettings::PubSub(pubsub) => Arc::new(PubSubBus::connect(pubsub).await?),
    })
}

/// Runs `start` with everything around it: health server, topology, metrics upkeep, drain. Installs nothing global, so
/// several services may be hosted in one process.
pub async fn host<F>(parts: Parts, listener: TcpListener, start: impl FnOnce(Parts) -> F) -> anyhow::Result<()>
where
    F: Future<Output = anyhow::Result<()>>,
{
    let name = parts.name;
    depend_on_core(&parts);
    let served = CancellationToken::new();
    let server = health::serve(listener, name, parts.health.clone(), parts.routes.clone(), served.clone());
    let server = tokio::spawn(server);
    let upkeep = tokio::spawn(keep_metrics(served.clone()));
    let outcome = match ensure_topology(&parts).await {
        true => {
            tracing::info!(service = name, "{name} starts");
            // What a service registers before its first await keeps it from being ready from the beginning on.
            let service = start(parts.clone());
            parts.health.started();
            drain(&parts, service).await
        }
        false => Ok(()), // told to stop while the broker was away
    };
    parts.shutdown.cancel();
    parts.bus.close().await;
    served.cancel();
    let closed = tokio::time::timeout(Duration::from_secs(2), server).await;
    if !matches!(closed, Ok(Ok(Ok(())))) {
        tracing::warn!(service = name, "{name} closed its port with requests under way");
    }
    upkeep.abort();
    parts.pool.close().await;
    tracing::info!(service = name, "{name} ended");
    outcome
}

fn depend_on_core(parts: &Parts) {
    let pool = parts.pool.clone();
    parts.health.depend("the database", move || {
        let pool = pool.clone();
        Box::pin(async move {
            use sqlx::Connection;
            let mut connection = pool.acquire().await.map_err(|_| "no connection".to_owned())?;
            connection.ping().await.map_err(|_| "the connection is broken".to_owned())
        })
    });
    let bus = parts.bus.clone();
    parts.health.depend("the bus", move || {
        let bus = bus.clone();
        Box::pin(async move { bus.ping().await.map_err(|error| error.to_string()) })
    });
}

/// Creates topics and subscriptions, waiting for the broker as long as it takes. False when told to stop meanwhile.
async fn ensure_topology(parts: &Parts) -> bool {
    let topology = parts.core.topics.topology();
    loop {
        let ensured = parts.shutdown.run_until_cancelled(parts.bus.ensure(&topology)).await;
        match ensured {
            None => return false,
            Some(Ok(())) => return true,
            Some(Err(error)) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
                tracing::warn!(service = parts.name, %error, cause, "{} waits for the bus: {error}", parts.name);
            }
        }
        parts.shutdown.run_until_cancelled(tokio::time::sleep(ENSURE_RETRY)).await;
    }
}

/// Runs the service until it ends; after the call to stop it has [`DRAIN_DEADLINE`] left.
async fn drain(parts: &Parts, service: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let mut service = std::pin::pin!(service);
    tokio::select! {
        biased;
        outcome = &mut service => return outcome,
        () = parts.shutdown.cancelled() => {}
    }
    parts.health.draining();
    tracing::info!(service = parts.name, "{} stops and finishes what it has begun", parts.name);
    match tokio::time::timeout(DRAIN_DEADLINE, service).await {
        Ok(outcome) => outcome,
        Err(_) => anyhow::bail!("work was still under way {} s after the call to stop", DRAIN_DEADLINE.as_secs()),
    }
}

async fn keep_metrics(stop: CancellationToken) {
    while stop.run_until_cancelled(tokio::time::sleep(METRICS_UPKEEP)).await.is_some() {
        telemetry::upkeep();
    }
}

async fn stop_on_signal(shutdown: CancellationToken) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        tracing::error!("signals cannot be heard; only a kill will stop this process");
        return;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    shutdown.cancel();
}
