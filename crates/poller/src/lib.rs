#![doc = include_str!("../README.md")]

mod config;
mod sweep;

use std::sync::Arc;

use chassis::Parts;
use model::{PerSide, Side};
use netsuite::{NetsuiteConfig, NetsuiteRemote};
use steps::{Absent, Engine};
use store::PgRecords;

pub use config::Config;

/// Sweeps every account's record types until shutdown. Accounts do not wait for each other.
///
/// # Errors
/// Settings of an account that cannot be used.
pub async fn start(parts: Parts, config: Config) -> anyhow::Result<()> {
    let configs: Vec<NetsuiteConfig> = parts.accounts.iter().map(|account| account.as_ref().into()).collect();
    let netsuite = Arc::new(NetsuiteRemote::open(&configs, parts.clock.clone(), parts.ids.clone())?);
    let mut engine = Engine {
        records: Arc::new(PgRecords::new(parts.pool.clone())),
        remotes: PerSide { suitex: Arc::new(Absent(Side::Suitex)), netsuite: netsuite.clone() },
        world: Arc::new(chassis::sync::world(&parts.core)?),
        clock: parts.clock.clone(),
        ids: parts.ids.clone(),
        settings: config.limits.clone(),
    };
    let Some(limits) = chassis::rules::numbered(&parts, engine.settings.clone()).await? else { return Ok(()) };
    engine.settings = limits;
    let sweeps = parts.accounts.iter().map(|account| {
        let sweeper = sweep::Sweeper {
            account: account.id.clone(),
            netsuite: netsuite.clone(),
            engine: engine.clone(),
            parts: parts.clone(),
            config: config.clone(),
        };
        async move { sweeper.run().await }
    });
    futures::future::join_all(sweeps).await;
    Ok(())
}
