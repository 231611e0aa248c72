//! Waiting for the reconciler: it announces each new status of a request, and one connection of this process listens.

use std::time::Duration;

use chassis::Parts;
use store::StoreError;
use store::resyncs::Moved as Announcements;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// Wait before a lost connection is replaced.
const OUTAGE: Duration = Duration::from_secs(1);

/// Wakes everybody who waits for a request to move. Announcements may be lost with the connection: whoever waits looks
/// again when it is replaced, and has a patience of its own.
#[derive(Debug, Default)]
pub(crate) struct Moved {
    heard: Notify,
}

impl Moved {
    /// What is announced from this call on, whether it is awaited already or not.
    pub(crate) fn heard(&self) -> Notified<'_> {
        self.heard.notified()
    }

    /// Listens until shutdown.
    pub(crate) async fn listen(&self, parts: &Parts) {
        while !parts.shutdown.is_cancelled() {
            if let Some(Err(error)) = parts.shutdown.run_until_cancelled(self.hear(parts)).await {
                tracing::warn!(%error, "the connection that listens for the reconciler was lost: {error}");
                parts.shutdown.run_until_cancelled(tokio::time::sleep(OUTAGE)).await;
            }
        }
    }

    async fn hear(&self, parts: &Parts) -> Result<(), StoreError> {
        let mut announcements = Announcements::listen(&parts.pool).await?;
        loop {
            // Also at first: what was announced while nobody listened.
            self.heard.notify_waiters();
            announcements.next().await?;
        }
    }
}
