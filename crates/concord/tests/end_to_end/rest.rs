//! Waiting until an account is at rest: both sides equal, nothing owed, dirty, in flight, unpublished or undecided.

use std::time::{Duration, Instant};

use concord::dev::manifest::Manifest;
use concord::sides::agreement::World;

use crate::accounting;
use crate::arena::Arena;
use crate::decide;

/// Far more than a deadline of a write, its recovery and a sweep take together.
const AT_REST_WITHIN: Duration = Duration::from_secs(180);
/// A sweep of the poller takes 5 s to come round; what it finds must not disturb the rest.
const STILL_FOR: Duration = Duration::from_secs(6);
const LOOK_EVERY: Duration = Duration::from_millis(500);
const SHOWN: usize = 15;

/// Everything that keeps the account busy, with how often.
const BUSY: &str = "
    select 'sides owed, dirty or in flight' as what, count(*) as n from sync.shadow s
     where s.account_id = $1 and (s.owed or s.dirty_seq <> 0 or s.inflight_write_id is not null)
    union all
    select 'rows of the outbox', count(*) from sync.outbox where published_at is null
    union all
    select 'writes in flight', count(*) from sync.idempotency_keys where account_id = $1 and status = 'in_flight'
    union all
    select 'conflicts', count(*) from sync.conflicts where account_id = $1 and status = 'open'
    union all
    select 'locks', count(*) from sync.record_lock where account_id = $1 and released_at is null
    union all
    select 'events without outcome', count(*) from sync.events where account_id = $1 and kind = 'hint' and disposition is null";

/// Waits until every customer and item has a record on the other side.
pub(crate) async fn linked(arena: &Arena) {
    let start = Instant::now();
    loop {
        arena.learn_ids().await;
        let alone: Vec<_> =
            arena.targets().into_iter().filter(|t| t.suitex.is_none() || t.netsuite.is_none()).collect();
        if alone.is_empty() {
            return;
        }
        if start.elapsed() > AT_REST_WITHIN {
            panic!(
                "{} records have not reached the other side, e.g. {:?}\n{}",
                alone.len(),
                alone[0],
                arena.sides.why_not_at_rest().await
            );
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Waits until the account is at rest, deciding conflicts meanwhile.
pub(crate) async fn reached(arena: &Arena, manifest: &Manifest, when: &str) {
    let start = Instant::now();
    // Ingest is there again. The scripts would go on waiting for five minutes, with their events in the outbox.
    arena.sides.netsuite.forget_script_cache().await.expect("the simulator forgets");
    let mut still_since: Option<Instant> = None;
    let mut chance = fastrand::Rng::with_seed(1);
    loop {
        decide::once(arena, manifest, &mut chance).await;
        let unrest = unrest(arena).await;
        if unrest.is_empty() {
            if still_since.get_or_insert_with(Instant::now).elapsed() >= STILL_FOR {
                println!("{} is at rest {when}, {:?} later", arena.sides.account, start.elapsed());
                return;
            }
        } else {
            still_since = None;
            if start.elapsed() > AT_REST_WITHIN {
                let shown: Vec<&str> = unrest.iter().take(SHOWN).map(String::as_str).collect();
                panic!(
                    "{} is not at rest {when}: {} reasons, among them\n  {}\n{}",
                    arena.sides.account,
                    unrest.len(),
                    shown.join("\n  "),
                    arena.sides.why_not_at_rest().await
                );
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Why the account is not at rest; empty when it is.
async fn unrest(arena: &Arena) -> Vec<String> {
    let sides = &arena.sides;
    let busy: Vec<(String, i64)> = sqlx::query_as(BUSY)
        .bind(&sides.account)
        .fetch_all(&sides.concord)
        .await
        .expect("Concord's tables can be read");
    let mut reasons: Vec<String> =
        busy.into_iter().filter(|(_, n)| *n > 0).map(|(what, n)| format!("{n} {what}")).collect();
    let waiting: i64 = sqlx::query_scalar("select count(*) from concord.outbox_events where published_at is null")
        .fetch_one(&sides.suitex)
        .await
        .expect("the tenant's outbox can be read");
    if waiting > 0 {
        reasons.push(format!("{waiting} rows of the tenant's outbox"));
    }
    let ledger = sides.netsuite.ledger().await.expect("the ledger can be read");
    if ledger["ue"]["queued"].as_u64() != Some(0) {
        reasons.push(format!("user-event posts on their way: {}", ledger["ue"]["queued"]));
    }
    // What a user event could not post while ingest was away waits for the flush.
    if ledger["outbox"].as_u64() != Some(0) {
        reasons.push(format!("rows of NetSuite's outbox: {}", ledger["outbox"]));
    }
    // A broker may hand what a killed service held to the next one late, or lose it; then it is published again.
    let on_the_bus = accounting::on_their_way(sides, &ledger).await;
    if on_the_bus > 0 {
        reasons.push(format!("{on_the_bus} events on the bus"));
    }
    // Comparing whole worlds is for when the cheap signs are good.
    if reasons.is_empty() {
        reasons.extend(World::read(sides).await.expect("both sides can be read").differences());
    }
    reasons
}
