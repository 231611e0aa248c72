#![doc = include_str!("../README.md")]

mod config;
mod duty;
mod gauges;
mod intake;

use std::sync::Arc;

use chassis::Parts;
use chassis::crash;
use chassis::duty::Waker;
use chassis::worker::WorkerLimits;
use model::{AccountId, PerSide};
use netsuite::{NetsuiteConfig, NetsuiteRemote};
use steps::Engine;
use store::PgRecords;
use suitex::SuitexRemote;

pub use config::Config;

/// Builds the parts and works until shutdown: intake of `events.raw`, merge steps over what is due, and the relay of
/// what those leave in the outbox.
///
/// # Errors
/// Settings of an account that cannot be used, or a subscription that cannot be opened.
pub async fn start(parts: Parts, config: Config) -> anyhow::Result<()> {
    let world = Arc::new(chassis::sync::world(&parts.core)?);
    let netsuite: Vec<NetsuiteConfig> = parts.accounts.iter().map(|account| account.as_ref().into()).collect();
    let netsuite = NetsuiteRemote::open(&netsuite, parts.clock.clone(), parts.ids.clone())?.serving(&world)?;
    let (handoff, handed) = store::handoff::handoff();
    let mut engine = Engine {
        records: crash::records(Arc::new(PgRecords::new(parts.pool.clone()).handing_to(handoff))),
        remotes: PerSide {
            suitex: crash::remote(Arc::new(SuitexRemote::open(
                parts.accounts.iter().map(AsRef::as_ref),
                config.tenant_pool,
                parts.clock.clone(),
            )?)),
            netsuite: crash::remote(Arc::new(netsuite)),
        },
        world,
        clock: parts.clock.clone(),
        ids: parts.ids.clone(),
        settings: config.limits.clone(),
    };
    let Some(limits) = chassis::rules::numbered(&parts, engine.settings.clone()).await? else { return Ok(()) };
    engine.settings = limits;
    let accounts: Vec<AccountId> = parts.accounts.iter().map(|account| account.id.clone()).collect();
    let handler = Arc::new(intake::Intake::new(engine.clone(), accounts.clone()));
    let waker = Waker::listen(&parts, store::WORK_CHANNEL, "merge");
    let limits = WorkerLimits { batch: config.batch, ..WorkerLimits::default() };
    let duties = (0..config.loops).map(|number| {
        let duty =
            Arc::new(duty::Merging { engine: engine.clone(), accounts: accounts.clone(), per_account: config.batch });
        let (parts, wake) = (parts.clone(), waker.bell());
        async move { chassis::duty::run(&parts, &format!("merge loop {number}"), wake, duty).await }
    });
    let (worked, (), (), _) = tokio::join!(
        parts.work(parts.core.topics.merge_service(), handler, limits),
        parts.relay_own(handed),
        gauges::run(&parts, &accounts),
        futures::future::join_all(duties),
    );
    worked
}
