#![doc = include_str!("../README.md")]

mod config;
mod forms;
mod resyncs;
mod round;
mod schedule;
mod strangers;
mod sweeps;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use chassis::Parts;
use chassis::duty::{Duty, Waker};
use model::PerSide;
use model::accounts::AccountSettings;
use netsuite::{NetsuiteConfig, NetsuiteRemote};
use secrecy::ExposeSecret;
use steps::Engine;
use store::PgRecords;
use suitex::SuitexRemote;

pub use config::Config;
pub use schedule::Schedule;

/// Goes its rounds, sweeps what is due and does what people ask for until shutdown. Accounts do not wait for each other.
///
/// # Errors
/// Settings of an account that cannot be used.
pub async fn start(parts: Parts, config: Config) -> anyhow::Result<()> {
    let configs: Vec<NetsuiteConfig> = parts.accounts.iter().map(|account| account.as_ref().into()).collect();
    let netsuite = Arc::new(NetsuiteRemote::open(&configs, parts.clock.clone(), parts.ids.clone())?);
    let tenants = parts.accounts.iter().map(AsRef::as_ref);
    let suitex = Arc::new(SuitexRemote::open(tenants, config.tenant_pool, parts.clock.clone())?);
    let mut engine = Engine {
        records: Arc::new(PgRecords::new(parts.pool.clone())),
        remotes: PerSide { suitex, netsuite: netsuite.clone() },
        world: Arc::new(chassis::sync::world(&parts.core)?),
        clock: parts.clock.clone(),
        ids: parts.ids.clone(),
        settings: config.limits.clone(),
    };
    let Some(limits) = chassis::rules::numbered(&parts, engine.settings.clone()).await? else { return Ok(()) };
    engine.settings = limits;
    let sweep_waker = Waker::listen(&parts, store::sweeps::CHANNEL, "sweep");
    let resync_waker = Waker::listen(&parts, store::sweeps::CHANNEL, "resync");
    let mut accounts = Vec::new();
    for account in parts.accounts.iter() {
        let round = round::Round {
            account: account.id.clone(),
            tenant: tenant(account)?,
            engine: engine.clone(),
            parts: parts.clone(),
            config: config.clone(),
        };
        let sweeps = sweeps::Sweeps {
            account: account.id.clone(),
            netsuite: netsuite.clone(),
            engine: engine.clone(),
            parts: parts.clone(),
            config: config.clone(),
            introduced: AtomicBool::new(false),
        };
        let resyncs = resyncs::Resyncs {
            account: account.id.clone(),
            engine: engine.clone(),
            parts: parts.clone(),
            config: config.clone(),
        };
        let forms = forms::Forms {
            account: account.id.clone(),
            engine: engine.clone(),
            parts: parts.clone(),
            config: config.clone(),
            through: AtomicBool::new(false),
        };
        let forms_name = format!("forms of {}", account.id);
        let forms_bell = Waker::silent().bell();
        // Without a tenant there are no two sides to compare.
        let both_sides = account.suitex_database_url.is_some();
        let duties = [
            (format!("sweeps of {}", account.id), sweep_waker.bell(), Arc::new(sweeps) as Arc<dyn Duty>),
            (format!("resyncs of {}", account.id), resync_waker.bell(), Arc::new(resyncs)),
        ];
        let parts = &parts;
        accounts.push(async move {
            let duties = duties.into_iter().filter(|_| both_sides);
            let duties =
                duties.map(|(name, bell, duty)| async move { chassis::duty::run(parts, &name, bell, duty).await });
            let forms = chassis::duty::run(parts, &forms_name, forms_bell, Arc::new(forms));
            tokio::join!(round.run(), forms, futures::future::join_all(duties))
        });
    }
    tokio::join!(futures::future::join_all(accounts), parts.relay());
    Ok(())
}

fn tenant(account: &AccountSettings) -> anyhow::Result<Option<sqlx::PgPool>> {
    let url = account.suitex_database_url.as_ref();
    Ok(url.map(|url| suitex::connect(url.expose_secret(), 1)).transpose()?)
}
