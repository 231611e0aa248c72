#![doc = include_str!("../README.md")]

mod config;
mod handler;

use std::sync::Arc;

use chassis::Parts;
use chassis::settings::topic;
use chassis::worker::WorkerLimits;
use model::{PerSide, Side};
use steps::{Absent, Engine};
use store::PgRecords;

pub use config::Config;

/// Turns errors and dead letters into rows, locks and notices until shutdown.
///
/// # Errors
/// A subscription that cannot be opened.
pub async fn start(parts: Parts, config: Config) -> anyhow::Result<()> {
    let mut engine = Engine {
        records: Arc::new(PgRecords::new(parts.pool.clone())),
        remotes: PerSide { suitex: Arc::new(Absent(Side::Suitex)), netsuite: Arc::new(Absent(Side::Netsuite)) },
        world: Arc::new(chassis::sync::world(&parts.core)?),
        clock: parts.clock.clone(),
        ids: parts.ids.clone(),
        settings: config.limits.clone(),
    };
    let Some(limits) = chassis::rules::numbered(&parts, engine.settings.clone()).await? else { return Ok(()) };
    engine.settings = limits;
    let limits = WorkerLimits { batch: config.batch, concurrency: 1, ..WorkerLimits::default() };
    let queue = |topic| Arc::new(handler::Queue { topic, engine: engine.clone(), pool: parts.pool.clone() });
    let topics = &parts.core.topics;
    let (errors, dead_letters, ()) = tokio::join!(
        parts.work(topics.dlq_handler_errors(), queue(topic::ERROR), limits),
        parts.work(topics.dlq_handler_dead_letters(), queue(topic::DLQ), limits),
        parts.relay(),
    );
    errors.and(dead_letters)
}
