//! Every human action leaves a row in `console.audit`, also one that is refused: who, what, when, on which record, with
//! which note. Values of fields are not in it.

use store::audit::{self, Action};

use crate::Console;
use crate::answer::{Answer, store_failed};

/// Notes the action, carries it out, and notes how it ended. Nothing is done that could not be noted.
pub(crate) async fn audited(console: &Console, action: &Action<'_>, deed: impl Future<Output = Answer>) -> Answer {
    let id = audit::begin(&console.pool, action).await.map_err(|error| store_failed(&error))?;
    let answer = deed.await;
    let outcome = match &answer {
        Ok(_) => "done",
        Err(problem) => problem.code(),
    };
    if let Err(error) = audit::end(&console.pool, id, outcome).await {
        // The deed is done, or refused: that stands whether or not its end is noted.
        tracing::error!(%error, action_id = id, "the end of action {id} could not be noted: {error}");
    }
    answer
}
