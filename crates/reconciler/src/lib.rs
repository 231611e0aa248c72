#![doc = include_str!("../README.md")]

mod config;
mod round;

use std::sync::Arc;

use chassis::Parts;
use model::{PerSide, Side};
use secrecy::ExposeSecret;
use steps::{Absent, Engine};
use store::PgRecords;

pub use config::Config;

/// Goes its rounds until shutdown. Accounts do not wait for each other.
///
/// # Errors
/// Settings of an account that cannot be used.
pub async fn start(parts: Parts, config: Config) -> anyhow::Result<()> {
    let Some(limits) = chassis::rules::numbered(&parts, config.limits.clone()).await? else { return Ok(()) };
    let engine = Engine {
        records: Arc::new(PgRecords::new(parts.pool.clone())),
        remotes: PerSide { suitex: Arc::new(Absent(Side::Suitex)), netsuite: Arc::new(Absent(Side::Netsuite)) },
        world: Arc::new(chassis::sync::world(&parts.core)?),
        clock: parts.clock.clone(),
        ids: parts.ids.clone(),
        settings: limits,
    };
    let mut rounds = Vec::new();
    for account in parts.accounts.iter() {
        let tenant = match &account.suitex_database_url {
            Some(url) => Some(suitex::connect(url.expose_secret(), 1)?),
            None => None,
        };
        let round = round::Round {
            account: account.id.clone(),
            tenant,
            engine: engine.clone(),
            parts: parts.clone(),
            config: config.clone(),
        };
        rounds.push(async move { round.run().await });
    }
    tokio::join!(futures::future::join_all(rounds), parts.relay());
    Ok(())
}
