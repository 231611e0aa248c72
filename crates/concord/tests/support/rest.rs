//! What keeps an account from being at rest.

use std::time::Instant;

use concord::sides::Sides;
use concord::sides::agreement::World;
use uuid::Uuid;

use crate::play::{LOOK_EVERY, Play};

/// Everything that is under way, with how often; what waits behind a lock of the whole record may.
const BUSY: &str = "
    with locked as (select rid from sync.record_lock where account_id = $1 and coalesce(field, '*') = '*' and released_at is null)
    select 'sides owed, dirty or in flight' as what, count(*) as n from sync.shadow s
     where s.account_id = $1 and (s.owed or s.dirty_seq <> 0 or s.inflight_write_id is not null)
       and s.rid not in (select rid from locked)
    union all
    select 'rows of the outbox', count(*) from sync.outbox where published_at is null
    union all
    select 'writes in flight', count(*) from sync.idempotency_keys where account_id = $1 and status = 'in_flight'
    union all
    select 'events without outcome', count(*) from sync.events
     where account_id = $1 and kind = 'hint' and disposition is null and rid not in (select rid from locked)";

/// Why the account is not at rest; empty when it is.
async fn unrest(sides: &Sides) -> Vec<String> {
    // What is on its way is looked at first: it may arrive meanwhile, but nothing can slip past.
    let ledger = sides.netsuite.ledger().await.unwrap();
    let mut reasons = Vec::new();
    for (what, n) in [("posts of NetSuite", &ledger["ue"]["queued"]), ("rows of NetSuite's outbox", &ledger["outbox"])]
    {
        if n.as_u64() != Some(0) {
            reasons.push(format!("{n} {what}"));
        }
    }
    let sent: Vec<(Uuid, bool)> = sqlx::query_as(
        "select event_id, published_at is null from concord.outbox_events
         where record_type in ('customer', 'item', 'salesorder')",
    )
    .fetch_all(&sides.suitex)
    .await
    .unwrap();
    let waiting = sent.iter().filter(|(_, waits)| *waits).count();
    let sent: Vec<Uuid> = sent.into_iter().map(|(id, _)| id).collect();
    let (arrived, posts): (i64, i64) = sqlx::query_as(
        "select count(*) filter (where event_id = any($2)), count(*) filter (where source = 'netsuite-ue' and auth_context->>'again' is null)
         from sync.event_log where account_id = $1 and kind = 'hint'",
    )
    .bind(&sides.account)
    .bind(&sent)
    .fetch_one(&sides.concord)
    .await
    .unwrap();
    let missing = sent.len() as i64 - arrived + (ledger["ue"]["sent"].as_i64().unwrap() - posts).max(0);
    for (what, n) in [("rows of the tenant's outbox", waiting as i64), ("events on the bus", missing)] {
        if n > 0 {
            reasons.push(format!("{n} {what}"));
        }
    }
    let busy: Vec<(String, i64)> = sqlx::query_as(BUSY).bind(&sides.account).fetch_all(&sides.concord).await.unwrap();
    reasons.extend(busy.into_iter().filter(|(_, n)| *n > 0).map(|(what, n)| format!("{n} {what}")));
    reasons
}

impl Play {
    /// Waits until nothing is on its way in any account; what people locked may wait.
    pub(crate) async fn calm(&self) {
        let start = Instant::now();
        loop {
            let mut reasons = Vec::new();
            for sides in &self.sides {
                reasons.extend(unrest(sides).await);
            }
            if reasons.is_empty() {
                return;
            }
            if start.elapsed() > self.within {
                let why = self.sides[0].why_not_at_rest().await;
                panic!("not at rest in {:?}: {}\n{why}", self.within, reasons.join(", "));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Waits until nothing is on its way, and still is not after the poller has looked everywhere once more.
    pub(crate) async fn rest(&self) {
        self.calm().await;
        // The first may have begun before.
        for _ in 0..2 {
            self.swept().await;
        }
        self.calm().await;
    }

    /// Waits until a sweep of every account has ended.
    pub(crate) async fn swept(&self) {
        for sides in &self.sides {
            // The last of a sweep's streams.
            let query = "select last_polled::text from sync.sync_watermark
                 where account_id = $1 and record_type = 'salesorder' and stream = 'deleted'";
            let last = || async {
                let query = sqlx::query_scalar::<_, String>(query).bind(&sides.account);
                query.fetch_optional(&sides.concord).await.unwrap()
            };
            let before = last().await;
            self.fact("a sweep of the poller", || async { (last().await != before).then_some(()) }).await;
        }
    }

    /// What failed and waits for a person.
    pub(crate) async fn errors(&self) -> Vec<String> {
        let query =
            "select coalesce(record_type, '?') || ' ' || coalesce(record_id, '?') || ': ' || code || ', ' || reason
             from sync.sync_error_queue where status = 'open' order by id";
        sqlx::query_scalar(query).fetch_all(&self.sides[0].concord).await.unwrap()
    }

    /// What differs between the sides.
    pub(crate) async fn differences(&self) -> Vec<String> {
        let mut found = Vec::new();
        for sides in &self.sides {
            found.extend(World::read(sides).await.unwrap().differences());
        }
        found
    }
}
