//! One guarded write = one transaction in the tenant's database: the inbox row, the change under the version guard,
//! and the record read back (semantics §2.9, guard 3). Its outcome is exact but for a connection lost at COMMIT.

use std::time::Duration;

use model::{Clock, Timestamp, WriteKind, WriteOutcome, WriteRequest};
use sqlx::{Connection, PgConnection, PgPool};
use tokio::time::timeout;

use crate::apply::{self, Stop};
use crate::identifier::literal;
use crate::layout::{Layout, statement};
use crate::refusal::{Moment, layout_changed, outcome};

/// Longest wait for the answer to COMMIT. After it the outcome is unknown, and the inbox will tell.
const COMMIT_LIMIT: Duration = Duration::from_secs(10);
/// Longest wait for the answer to ROLLBACK. After it the connection is closed, which rolls back as well.
const ROLLBACK_LIMIT: Duration = Duration::from_secs(2);
/// The server ends our transaction this long after the deadline when we fall silent (a paused process holds locks on
/// the tenant's rows).
const SILENCE_LIMIT: Duration = Duration::from_secs(5);

/// What became of a write, and what it told about the tenant's tables.
pub(crate) struct Written {
    /// The answer.
    pub(crate) outcome: WriteOutcome,
    /// Tables are not as the layout says: it has to be read again.
    pub(crate) layout_changed: bool,
}

impl From<WriteOutcome> for Written {
    fn from(outcome: WriteOutcome) -> Self {
        Self { outcome, layout_changed: false }
    }
}

/// Carries out one write.
pub(crate) async fn write(pool: &PgPool, layout: &Layout, clock: &dyn Clock, request: &WriteRequest) -> Written {
    let Some(limit) = time_left(clock, request.deadline) else { return WriteOutcome::NotSent.into() };
    let mut conn = match timeout(limit, pool.acquire()).await {
        Ok(Ok(conn)) => conn,
        Ok(Err(error)) => return outcome(&error, Moment::BeforeCommit).into(),
        Err(_) => return WriteOutcome::NotSent.into(),
    };
    let (written, usable) = attempt(&mut conn, layout, clock, request).await;
    if !usable {
        conn.close_on_drop();
    }
    written
}

fn time_left(clock: &dyn Clock, deadline: Timestamp) -> Option<Duration> {
    let left = Duration::try_from(deadline.duration_since(clock.now())).ok()?;
    (left >= Duration::from_millis(1)).then_some(left)
}

/// The transaction from BEGIN to its end; the second value says whether the connection may be used again.
async fn attempt(
    conn: &mut PgConnection,
    layout: &Layout,
    clock: &dyn Clock,
    request: &WriteRequest,
) -> (Written, bool) {
    let Some(limit) = time_left(clock, request.deadline) else { return (WriteOutcome::NotSent.into(), true) };
    let mut tx = match timeout(limit, conn.begin_with(statement(opening(layout, request, limit)))).await {
        Ok(Ok(tx)) => tx,
        Ok(Err(error)) => return (outcome(&error, Moment::BeforeCommit).into(), false),
        Err(_) => return (WriteOutcome::NotSent.into(), false),
    };
    let stop = match timeout(limit, apply::apply(&mut tx, layout, request)).await {
        // COMMIT after the deadline could meet a recovery that has already looked.
        Ok(Ok(ok)) if time_left(clock, request.deadline).is_some() => {
            return match timeout(COMMIT_LIMIT, tx.commit()).await {
                Ok(Ok(())) => (ok.into(), true),
                Ok(Err(error)) => (outcome(&error, Moment::AtCommit).into(), false),
                Err(_) => (WriteOutcome::Unknown.into(), false),
            };
        }
        Ok(Ok(_)) => WriteOutcome::NotSent.into(),
        Ok(Err(Stop::Outcome(outcome))) => outcome.into(),
        Ok(Err(Stop::Database(error))) => {
            Written { outcome: outcome(&error, Moment::BeforeCommit), layout_changed: layout_changed(&error) }
        }
        Err(_) => return (WriteOutcome::NotSent.into(), false),
    };
    let rolled_back = matches!(timeout(ROLLBACK_LIMIT, tx.rollback()).await, Ok(Ok(())));
    (stop, rolled_back)
}

/// BEGIN with its limits, and the marks by which the triggers know the change for ours.
fn opening(layout: &Layout, request: &WriteRequest, limit: Duration) -> String {
    let about = match (&request.native_id, request.kind) {
        (Some(id), WriteKind::Update | WriteKind::Delete) => format!("{}|{id}", layout.record_type),
        (_, kind) => format!("{} {}", layout.record_type, kind.as_str()),
    };
    format!(
        "begin; set local statement_timeout = {}; set local idle_in_transaction_session_timeout = {}; \
         set local concord.write_id = '{}'; set local concord.write_for = {}; set local concord.actor = 'concord'",
        limit.as_millis().clamp(1, i32::MAX as u128),
        (limit + SILENCE_LIMIT).as_millis().clamp(1, i32::MAX as u128),
        request.write_id.hyphenated(),
        literal(&about),
    )
}
