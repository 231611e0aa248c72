#![doc = include_str!("../README.md")]

mod config;
mod handler;

use std::sync::Arc;

use chassis::Parts;
use chassis::crash;
use chassis::duty::{Duty, Waker};
use chassis::gate::Gate;
use chassis::worker::WorkerLimits;
use model::{AccountId, PerSide, Side};
use steps::{Absent, Engine, Writer};
use store::PgRecords;
use suitex::SuitexRemote;

pub use config::Config;
use handler::{Due, Writing};

/// Builds the parts and works until shutdown: doorbells, writes and recoveries that fall due, and the relay.
///
/// # Errors
/// Settings of an account that cannot be used, or a subscription that cannot be opened.
pub async fn start(parts: Parts, config: Config) -> anyhow::Result<()> {
    let accounts: Vec<AccountId> = parts.accounts.iter().map(|account| account.id.clone()).collect();
    let (handoff, handed) = store::handoff::handoff();
    let mut engine = Engine {
        records: crash::records(Arc::new(PgRecords::new(parts.pool.clone()).handing_to(handoff))),
        remotes: PerSide {
            suitex: crash::remote(Arc::new(SuitexRemote::open(
                parts.accounts.iter().map(AsRef::as_ref),
                config.tenant_pool,
                parts.clock.clone(),
            )?)),
            netsuite: Arc::new(Absent(Side::Netsuite)),
        },
        world: Arc::new(chassis::sync::world(&parts.core)?),
        clock: parts.clock.clone(),
        ids: parts.ids.clone(),
        settings: config.limits.clone(),
    };
    let Some(limits) = chassis::rules::numbered(&parts, engine.settings.clone()).await? else { return Ok(()) };
    engine.settings = limits;
    let Some(gate) = Gate::open(&parts).await else { return Ok(()) };
    let writer = Writer { engine, side: Side::Suitex, accounts, per_account: config.batch };
    let writing = Arc::new(Writing { writer, gate: gate.clone() });
    let limits = WorkerLimits { batch: config.batch, concurrency: config.loops, ..WorkerLimits::default() };
    let waker = Waker::listen(&parts, store::WORK_CHANNEL, Side::Suitex.as_str());
    let due: Arc<dyn Duty> = Arc::new(Due(writing.clone()));
    let (worked, (), (), ()) = tokio::join!(
        parts.work(parts.core.topics.suitex_writer(), writing, limits),
        parts.relay_own(handed),
        chassis::duty::run(&parts, "writes that are due", waker.bell(), due),
        chassis::duty::run(&parts, "suspended accounts", Waker::silent().bell(), gate),
    );
    worked
}
