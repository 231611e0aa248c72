//! Every event is in the log once, with an outcome; and what a run is meant to provoke has happened.

use std::collections::{BTreeMap, HashSet};

use concord::sides::Sides;
use uuid::Uuid;

use crate::arena::Arena;

/// Events that the broker has and the log has not: rows of the tenant's outbox, and posts that ingest accepted.
pub(crate) async fn on_their_way(sides: &Sides, ledger: &serde_json::Value) -> usize {
    let sent: Vec<Uuid> = sqlx::query_scalar(
        "select event_id from concord.outbox_events
         where confirmed_at is null and record_type in ('customer', 'item', 'salesorder')",
    )
    .fetch_all(&sides.suitex)
    .await
    .expect("the tenant's outbox can be read");
    let (arrived, posts): (i64, i64) = sqlx::query_as(
        "select count(*) filter (where event_id = any($2)), count(*) filter (where source = 'netsuite-ue')
         from sync.event_log where account_id = $1 and kind = 'hint'",
    )
    .bind(&sides.account)
    .bind(&sent)
    .fetch_one(&sides.concord)
    .await
    .expect("the log can be read");
    let accepted = ledger["ue"]["sent"].as_i64().expect("the ledger counts posts");
    let missing = sent.len() as i64 - arrived + (accepted - posts).max(0);
    usize::try_from(missing).expect("no more events arrive than were sent")
}

/// Event ids of the tenant's outbox and posts counted by the simulator against `sync.events`.
pub(crate) async fn every_event_is_accounted_for(arena: &Arena) {
    let sides = &arena.sides;
    let sent: Vec<(Uuid, String)> = sqlx::query_as(
        "select event_id, record_type from concord.outbox_events where record_type in ('customer', 'item', 'salesorder')",
    )
    .fetch_all(&sides.suitex)
    .await
    .expect("the tenant's outbox can be read");
    assert!(sent.len() > 200, "only {} events in the tenant's outbox", sent.len());
    let logged: Vec<(Uuid, Option<String>)> =
        sqlx::query_as("select event_id, disposition from sync.events where account_id = $1 and kind = 'hint'")
            .bind(&sides.account)
            .fetch_all(&sides.concord)
            .await
            .expect("the log can be read");
    let settled: HashSet<Uuid> = logged.iter().filter(|(_, outcome)| outcome.is_some()).map(|(id, _)| *id).collect();
    assert_eq!(settled.len(), logged.len(), "events without outcome, or twice in the log");
    let missing: Vec<&(Uuid, String)> = sent.iter().filter(|(id, _)| !settled.contains(id)).collect();
    assert!(
        missing.is_empty(),
        "{} of {} SuiteX events are not in the log, e.g. {:?}",
        missing.len(),
        sent.len(),
        missing[0]
    );

    let ledger = sides.netsuite.ledger().await.expect("the ledger can be read");
    let posts = |what: &str| ledger["ue"][what].as_u64().expect("the ledger counts posts");
    let received: i64 = sqlx::query_scalar(
        "select count(*) from sync.events where account_id = $1 and kind = 'hint' and source = 'netsuite-ue'",
    )
    .bind(&sides.account)
    .fetch_one(&sides.concord)
    .await
    .expect("the log can be read");
    let received = received.cast_unsigned();
    // A post whose answer was lost counts as failed and may be in the log all the same.
    let (least, most) = (posts("sent"), posts("sent") + posts("failed"));
    assert!(
        (least..=most).contains(&received) && least > 0,
        "ingest accepted {least} posts ({} failed), the log has {received}",
        posts("failed")
    );
}

/// What happened in a run, over all accounts.
#[derive(Debug, Default)]
pub(crate) struct Seen(BTreeMap<&'static str, i64>);

const QUESTIONS: &[(&str, &str)] = &[
    ("conflicts", "select count(*) from sync.conflicts where account_id = $1"),
    ("overrides", "select count(*) from sync.overrides where account_id = $1"),
    ("stale", "select count(*) from sync.event_audit_log where account_id = $1 and outcome = 'stale'"),
    (
        "recovered",
        "select count(*) from sync.event_audit_log where account_id = $1 and outcome in ('recovered', 'unknown')",
    ),
    ("fenced", "select count(*) from sync.idempotency_keys where account_id = $1 and status = 'fenced'"),
    ("errors", "select count(*) from sync.sync_error_queue where account_id = $1 and status = 'open'"),
];

impl Seen {
    /// Adds what one account saw.
    pub(crate) async fn add(&mut self, sides: &Sides) {
        for (what, question) in QUESTIONS {
            let count: i64 = sqlx::query_scalar(*question)
                .bind(&sides.account)
                .fetch_one(&sides.concord)
                .await
                .expect("Concord's tables can be read");
            *self.0.entry(what).or_default() += count;
        }
    }

    /// A run in which one of these never happened proves less than it should.
    pub(crate) fn assert_everything_happened(&self) {
        for (what, count) in &self.0 {
            match *what {
                "errors" => assert_eq!(*count, 0, "rows of the error queue wait for a person: {self:?}"),
                _ => assert!(*count > 0, "no {what} in the whole run: {self:?}"),
            }
        }
    }
}
