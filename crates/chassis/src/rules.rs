//! The number of the rules a process folds under: entries of the log carry it, so that they can be folded anew under the
//! rules of their time (semantics §2.14).

use std::time::Duration;

use model::limits::Limits;
use store::rules::{Rules, register};

use crate::service::Parts;
use crate::sync;

/// Wait before a database that does not answer is asked again.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// How long the first answer may take before the process is unready.
const STALE_AFTER: Duration = Duration::from_secs(60);

/// The limits with the number of this process' rules, as long as it takes: nothing is folded under rules without a number.
/// `None` when told to stop meanwhile.
///
/// # Errors
/// The record types' file.
pub async fn numbered(parts: &Parts, limits: Limits) -> anyhow::Result<Option<Limits>> {
    let rules = Rules { types: sync::types(&parts.core)?, normalisation: merge::normal::VERSION };
    let progress = parts.health.progress("rules (asking for their number)", STALE_AFTER);
    while !parts.shutdown.is_cancelled() {
        match parts.shutdown.run_until_cancelled(register(&parts.pool, &rules)).await {
            None => return Ok(None),
            Some(Ok(number)) => return Ok(Some(Limits { rules: Some(number.0), ..limits })),
            Some(Err(error)) => {
                tracing::warn!(%error, "nothing is folded before the rules have a number: {error}");
                progress.block("the database does not answer");
            }
        }
        parts.shutdown.run_until_cancelled(tokio::time::sleep(ASK_AGAIN)).await;
    }
    Ok(None)
}
