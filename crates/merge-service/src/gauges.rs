//! What waits, as gauges. Every replica tells the same of all accounts: a dashboard takes the maximum.

use std::time::Duration;

use chassis::Parts;
use model::AccountId;
use store::waiting::waiting;

/// From one look to the next.
const EVERY: Duration = Duration::from_secs(10);

/// Looks until shutdown. A look that fails leaves the gauges as they were; the next one follows.
pub(crate) async fn run(parts: &Parts, accounts: &[AccountId]) {
    while !parts.shutdown.is_cancelled() {
        match parts.shutdown.run_until_cancelled(waiting(&parts.pool, accounts, parts.clock.now())).await {
            None => return,
            Some(Ok(looked)) => looked.into_iter().for_each(|account| show(&account)),
            Some(Err(error)) => tracing::warn!(%error, "what waits could not be counted: {error}"),
        }
        parts.shutdown.run_until_cancelled(tokio::time::sleep(EVERY)).await;
    }
}

fn show(waiting: &store::waiting::Waiting) {
    let account = || waiting.account.to_string();
    metrics::gauge!("concord_backlog_events", "account" => account()).set(waiting.events as f64);
    metrics::gauge!("concord_oldest_pending_seconds", "account" => account()).set(waiting.oldest_seconds);
    metrics::gauge!("concord_conflicts_open", "account" => account()).set(waiting.open_conflicts as f64);
}
