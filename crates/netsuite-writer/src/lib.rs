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
use netsuite::{NetsuiteConfig, NetsuiteRemote};
use steps::{Absent, Engine, Writer};
use store::PgRecords;

pub use config::Config;
use handler::{Due, Writing};

/// Builds the parts and works until shutdown: doorbells, writes and recoveries that fall due, and the relay.
///
/// # Errors
/// Settings of an account that cannot be used, or a subscription that cannot be opened.
pub async fn start(parts: Parts, config: Config) -> anyhow::Result<()> {
    let accounts: Vec<AccountId> = parts.accounts.iter().map(|account| account.id.clone()).collect();
    let with_timeout =
        |account: &model::accounts::AccountSettings| NetsuiteConfig { timeout: config.timeout, ..account.into() };
    let netsuite: Vec<NetsuiteConfig> = parts.accounts.iter().map(|account| with_timeout(account)).collect();
    let world = chassis::sync::world(&parts.core)?;
    let netsuite = NetsuiteRemote::open(&netsuite, parts.clock.clone(), parts.ids.clone())?.serving(&world)?;
    let (handoff, handed) = store::handoff::handoff();
    let mut engine = Engine {
        records: crash::records(Arc::new(PgRecords::new(parts.pool.clone()).handing_to(handoff))),
        remotes: PerSide { suitex: Arc::new(Absent(Side::Suitex)), netsuite: crash::remote(Arc::new(netsuite)) },
        world: Arc::new(world),
        clock: parts.clock.clone(),
        ids: parts.ids.clone(),
        settings: config.limits.clone(),
    };
    let Some(limits) = chassis::rules::numbered(&parts, engine.settings.clone()).await? else { return Ok(()) };
    engine.settings = limits;
    let Some(gate) = Gate::open(&parts).await else { return Ok(()) };
    let writer = Writer { engine, side: Side::Netsuite, accounts, per_account: config.batch };
    let writing = Arc::new(Writing { writer, gate: gate.clone() });
    let limits = WorkerLimits { batch: config.batch, concurrency: config.loops, ..WorkerLimits::default() };
    let waker = Waker::listen(&parts, store::WORK_CHANNEL, Side::Netsuite.as_str());
    let due: Arc<dyn Duty> = Arc::new(Due(writing.clone()));
    // Bursts end on time, not on a doorbell: what is due needs as many hands as what is rung for.
    let dues = (0..config.loops).map(|number| {
        let (parts, bell, due) = (parts.clone(), waker.bell(), due.clone());
        async move { chassis::duty::run(&parts, &format!("writes that are due, loop {number}"), bell, due).await }
    });
    let (worked, (), _, ()) = tokio::join!(
        parts.work(parts.core.topics.netsuite_writer(), writing, limits),
        parts.relay_own(handed),
        futures::future::join_all(dues),
        chassis::duty::run(&parts, "suspended accounts", Waker::silent().bell(), gate),
    );
    worked
}
