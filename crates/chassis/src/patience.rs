//! What a process must know before it begins, asked of the database as long as it takes.

use std::time::Duration;

use futures::future::BoxFuture;
use store::StoreError;

use crate::service::Parts;

/// Wait before a database that does not answer is asked again.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// How long the first answer may take before the process is unready.
const STALE_AFTER: Duration = Duration::from_secs(60);

/// The answer; `None` when told to stop meanwhile. `what`: what is asked for, in the health report; `meanwhile`: what does
/// not happen before.
pub(crate) async fn ask<'a, T>(
    parts: &Parts,
    what: &str,
    meanwhile: &str,
    question: impl Fn() -> BoxFuture<'a, Result<T, StoreError>> + Send + Sync,
) -> Option<T> {
    let progress = parts.health.progress(format!("{what} (asking)"), STALE_AFTER);
    while !parts.shutdown.is_cancelled() {
        match parts.shutdown.run_until_cancelled(question()).await? {
            Ok(answer) => return Some(answer),
            Err(error) => {
                tracing::warn!(%error, "{meanwhile}: {error}");
                progress.block(format!("the database has not told the {what} yet"));
            }
        }
        parts.shutdown.run_until_cancelled(tokio::time::sleep(ASK_AGAIN)).await;
    }
    None
}
