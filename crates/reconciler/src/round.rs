//! One account's round: what is owed and was not written is rung again; what an outbox says it published and nobody
//! received is published again. It writes no values.

use chassis::Parts;
use model::{AccountId, RecordRef, Side};
use sqlx::PgPool;
use steps::{Engine, ring_records};
use store::records::{Patch, Pick, View};

use crate::config::Config;

/// Longest time a round may take before the process is unready.
const STALE_AFTER: std::time::Duration = std::time::Duration::from_secs(600);

/// The rounds of one account.
pub(crate) struct Round {
    pub(crate) account: AccountId,
    pub(crate) tenant: Option<PgPool>,
    pub(crate) engine: Engine,
    pub(crate) parts: Parts,
    pub(crate) config: Config,
}

impl Round {
    pub(crate) async fn run(&self) {
        let progress = self.parts.health.progress(format!("round of {}", self.account), STALE_AFTER);
        let stop = &self.parts.shutdown;
        while !stop.is_cancelled() {
            progress.tick();
            match stop.run_until_cancelled(self.go()).await {
                None => return,
                Some(Ok(())) => progress.unblock(),
                Some(Err(error)) => {
                    tracing::warn!(account = %self.account, error = format!("{error:#}"), "the round of {} ended early: {error:#}", self.account);
                    progress.block("the database or the tenant does not answer");
                }
            }
            stop.run_until_cancelled(tokio::time::sleep(self.config.interval)).await;
        }
    }

    async fn go(&self) -> anyhow::Result<()> {
        self.ring_due().await?;
        self.publish_lost().await
    }

    /// Rings what has been due for a while: a doorbell was lost, or a writer is slow; ringing twice is harmless.
    async fn ring_due(&self) -> anyhow::Result<()> {
        for side in Side::BOTH {
            let pick = Pick::DueWrite {
                accounts: vec![self.account.clone()],
                side,
                per_account: self.config.batch,
                now: self.engine.clock.now(),
            };
            let mut due: Vec<RecordRef> = Vec::new();
            let mut note = |views: &[View]| -> Vec<Patch> {
                due.extend(views.iter().map(|view| view.record.key.clone()));
                Vec::new()
            };
            self.engine.records.transact(&pick, false, &mut note).await?;
            if !due.is_empty() {
                ring_records(&self.engine.core(), &due, false).await?;
            }
        }
        Ok(())
    }

    /// How a lost broker is survived: outbox rows whose event never arrived go out again.
    async fn publish_lost(&self) -> anyhow::Result<()> {
        let Some(tenant) = &self.tenant else { return Ok(()) };
        let limit = u32::try_from(self.config.batch).unwrap_or(u32::MAX);
        loop {
            let rows = suitex::capture::unconfirmed(tenant, self.config.confirm_after, limit).await?;
            if rows.is_empty() {
                return Ok(());
            }
            let ids: Vec<_> = rows.iter().map(|(_, event_id)| *event_id).collect();
            let known = store::events::known(&self.parts.pool, &self.account, &ids).await?;
            let (arrived, lost): (Vec<_>, Vec<_>) = rows.iter().partition(|(_, event_id)| known.contains(event_id));
            let row_ids = |rows: Vec<&(i64, model::EventId)>| rows.into_iter().map(|(id, _)| *id).collect::<Vec<i64>>();
            suitex::capture::confirm(tenant, &row_ids(arrived)).await?;
            let count = lost.len();
            if count > 0 {
                suitex::capture::unmark(tenant, &row_ids(lost)).await?;
                metrics::counter!("concord_drift_found_total", "type" => "outbox").increment(count as u64);
                tracing::warn!(account = %self.account, rows = count, "{count} outbox rows of {} never arrived and are published again", self.account);
            }
            if rows.len() < self.config.batch {
                return Ok(());
            }
        }
    }
}
