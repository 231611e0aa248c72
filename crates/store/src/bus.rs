//! Schema `bus`: the embedded bus. What the statements mean is written in `migrations/0002_bus.sql`.
//!
//! Order of a lane: messages are numbered when published; a lane is handed out by one lease at a time, from its lowest
//! number. Claims of one subscription are serialised by an advisory lock for the length of one short transaction: a
//! claim that saw a lane free before another claim took *and finished* it would otherwise hand out deleted messages.

use std::collections::BTreeMap;
use std::time::Duration;

use sqlx::types::Json;
use sqlx::{PgPool, Row};

use crate::StoreError;
use crate::instant::interval;

/// The channel on which publishing rings; the payload is the subscription's id.
pub const CHANNEL: &str = "concord_bus";
/// Lanes over which messages without an ordering key are spread.
const KEYLESS_LANES: i64 = 16;
/// Class of the advisory locks that serialise claims (the second key is the subscription).
const CLAIM_LOCK: i32 = 0x0062_7573;
/// Class of the advisory lock of the sweep.
const SWEEP_LOCK: i64 = 0x0062_7573_7377_6570;

/// A message to publish.
#[derive(Debug, Clone, Copy)]
pub struct NewMessage<'a> {
    /// Payload.
    pub data: &'a [u8],
    /// Attributes, without NUL.
    pub attributes: &'a BTreeMap<String, String>,
    /// Ordering key; `None` asks for no order.
    pub ordering_key: Option<&'a str>,
}

/// A message handed out under a lease.
#[derive(Debug, Clone)]
pub struct Claimed {
    /// The lane as stored: pass it back to [`settle`].
    pub lane: String,
    /// The message's number.
    pub id: i64,
    /// The lease of the lane.
    pub lease: i64,
    /// Payload.
    pub data: Vec<u8>,
    /// Attributes.
    pub attributes: BTreeMap<String, String>,
    /// Earlier deliveries that ended without an acknowledgement.
    pub failed_attempts: i32,
}

impl Claimed {
    /// The ordering key the message was published with.
    pub fn ordering_key(&self) -> Option<&str> {
        self.lane.strip_prefix('=')
    }
}

/// What becomes of deliveries: done messages go, failed ones stay with an attempt more, lanes are let go.
#[derive(Debug, Default, Clone)]
pub struct Settlement {
    /// Lane and id of messages that are done.
    pub done: Vec<(String, i64)>,
    /// Lane and id of messages to be delivered again.
    pub failed: Vec<(String, i64)>,
    /// Lane and lease of lanes that have nothing left in delivery.
    pub released: Vec<(String, i64)>,
}

/// Creates a subscription, or gives an existing one this topic and filter; returns its id.
pub async fn ensure_subscription(
    pool: &PgPool,
    name: &str,
    topic: &str,
    filter: Option<(&str, &str)>,
) -> Result<i32, StoreError> {
    sqlx::query_scalar(
        "insert into bus.subscriptions (name, topic, filter_attribute, filter_value) values ($1, $2, $3, $4)
         on conflict (name) do update
            set topic = excluded.topic, filter_attribute = excluded.filter_attribute, filter_value = excluded.filter_value
         returning id",
    )
    .bind(name)
    .bind(topic)
    .bind(filter.map(|f| f.0))
    .bind(filter.map(|f| f.1))
    .fetch_one(pool)
    .await
    .map_err(StoreError::database("ensure subscription"))
}

/// The id of a subscription, if it exists.
pub async fn find_subscription(pool: &PgPool, name: &str) -> Result<Option<i32>, StoreError> {
    sqlx::query_scalar("select id from bus.subscriptions where name = $1")
        .bind(name)
        .fetch_optional(pool)
        .await
        .map_err(StoreError::database("find subscription"))
}

/// Publishes all messages or none, in order, one copy to each subscription of the topic whose filter admits it.
/// Returns their numbers, in order; a topic without subscriptions takes messages and keeps none.
pub async fn publish(pool: &PgPool, topic: &str, messages: &[NewMessage<'_>]) -> Result<Vec<i64>, StoreError> {
    let data: Vec<&[u8]> = messages.iter().map(|m| m.data).collect();
    let attributes: Vec<Json<&BTreeMap<String, String>>> = messages.iter().map(|m| Json(m.attributes)).collect();
    let keys: Vec<Option<&str>> = messages.iter().map(|m| m.ordering_key).collect();
    sqlx::query_scalar(
        "with numbered as materialized (
            select nextval('bus.message_ids') as id, data, attributes, key
            from (select * from unnest($2::bytea[], $3::jsonb[], $4::text[]) with ordinality
                    as m (data, attributes, key, place) order by place) ordered
         ), copied as (
            insert into bus.messages (subscription_id, lane, id, data, attributes)
            select s.id, coalesce('=' || n.key, '~' || (n.id % $5)::text), n.id, n.data, n.attributes
            from bus.subscriptions s
            join numbered n on s.filter_attribute is null or n.attributes ->> s.filter_attribute = s.filter_value
            where s.topic = $1
            returning subscription_id, lane
         ), touched as materialized (
            select distinct subscription_id, lane from copied
         ), opened as (
            insert into bus.lanes (subscription_id, lane)
            select t.subscription_id, t.lane from touched t
            where not exists (select from bus.lanes l where (l.subscription_id, l.lane) = (t.subscription_id, t.lane))
            order by 1, 2
            on conflict do nothing
         ), rung as materialized (
            select count(pg_notify('concord_bus', subscription_id::text)) as calls
            from (select distinct subscription_id from touched) s
         )
         select id from numbered, rung where rung.calls >= 0 order by id",
    )
    .bind(topic)
    .bind(data)
    .bind(attributes)
    .bind(keys)
    .bind(KEYLESS_LANES)
    .fetch_all(pool)
    .await
    .map_err(StoreError::database("publish messages"))
}

/// Leases free lanes that have messages, longest unserved first, and hands out up to `max` messages: whole lanes first,
/// so that another claimer finds lanes left. Messages of a lane are in order. A lease that ran out counts as a failed
/// attempt of what it had handed out.
pub async fn claim(
    pool: &PgPool,
    subscription: i32,
    max: usize,
    lease_for: Duration,
) -> Result<Vec<Claimed>, StoreError> {
    let failed = StoreError::database;
    let mut tx = pool.begin().await.map_err(failed("claim messages"))?;
    sqlx::query("select pg_advisory_xact_lock($1, $2)")
        .bind(CLAIM_LOCK)
        .bind(subscription)
        .execute(&mut *tx)
        .await
        .map_err(failed("serialise claims"))?;
    let rows = sqlx::query(CLAIM)
        .bind(subscription)
        .bind(i64::try_from(max).unwrap_or(i64::MAX))
        .bind(interval(lease_for))
        .fetch_all(&mut *tx)
        .await
        .map_err(failed("claim messages"))?;
    tx.commit().await.map_err(failed("claim messages"))?;
    rows.iter().map(read_claimed).collect()
}

const CLAIM: &str = "
with ready as materialized (
    select l.lane, l.leased_until, l.leased_through, l.served_at
    from bus.lanes l
    where l.subscription_id = $1 and (l.leased_until is null or l.leased_until < now())
      and exists (select from bus.messages m where m.subscription_id = $1 and m.lane = l.lane)
    order by l.served_at, l.lane
    limit $2
    for update skip locked
), picked as materialized (
    select r.lane, r.served_at, m.id, m.data, m.attributes,
           m.attempts + (r.leased_until is not null and m.id <= r.leased_through)::int as attempts
    from ready r
    cross join lateral (
        select * from bus.messages m where m.subscription_id = $1 and m.lane = r.lane order by m.id limit $2
    ) m
    order by r.served_at, r.lane, m.id
    limit $2
), counted as (
    update bus.messages m set attempts = m.attempts + 1
    from ready r
    where r.leased_until is not null and m.subscription_id = $1 and m.lane = r.lane and m.id <= r.leased_through
), taken as (
    update bus.lanes l
    set leased_until = now() + $3, lease = nextval('bus.lease_ids'), leased_through = p.through, served_at = now()
    from (select lane, max(id) as through from picked group by lane) p
    where l.subscription_id = $1 and l.lane = p.lane
    returning l.lane, l.lease
)
select p.lane, p.id, t.lease, p.data, p.attributes, p.attempts
from picked p join taken t using (lane)
order by p.served_at, p.lane, p.id";

fn read_claimed(row: &sqlx::postgres::PgRow) -> Result<Claimed, StoreError> {
    let read = || -> Result<Claimed, sqlx::Error> {
        Ok(Claimed {
            lane: row.try_get(0)?,
            id: row.try_get(1)?,
            lease: row.try_get(2)?,
            data: row.try_get(3)?,
            attributes: row.try_get::<Json<BTreeMap<String, String>>, _>(4)?.0,
            failed_attempts: row.try_get(5)?,
        })
    };
    read().map_err(StoreError::database("read claimed message"))
}

/// Carries out a settlement in one statement. Messages and leases that are no longer there are passed over: somebody
/// else has them now.
pub async fn settle(pool: &PgPool, subscription: i32, settlement: &Settlement) -> Result<(), StoreError> {
    let (done_lanes, done_ids) = columns(&settlement.done);
    let (failed_lanes, failed_ids) = columns(&settlement.failed);
    let (free_lanes, free_leases) = columns(&settlement.released);
    sqlx::query(
        "with gone as (
            delete from bus.messages m using unnest($2::text[], $3::bigint[]) as d (lane, id)
            where m.subscription_id = $1 and m.lane = d.lane and m.id = d.id
         ), back as (
            update bus.messages m set attempts = m.attempts + 1
            from unnest($4::text[], $5::bigint[]) as f (lane, id)
            where m.subscription_id = $1 and m.lane = f.lane and m.id = f.id
         )
         update bus.lanes l set leased_until = null, lease = null, leased_through = null
         from unnest($6::text[], $7::bigint[]) as r (lane, lease)
         where l.subscription_id = $1 and l.lane = r.lane and l.lease = r.lease",
    )
    .bind(subscription)
    .bind(done_lanes)
    .bind(done_ids)
    .bind(failed_lanes)
    .bind(failed_ids)
    .bind(free_lanes)
    .bind(free_leases)
    .execute(pool)
    .await
    .map_err(StoreError::database("settle messages"))?;
    Ok(())
}

/// Prolongs leases that are still ours; returns how many were.
pub async fn extend(
    pool: &PgPool,
    subscription: i32,
    leases: &[(String, i64)],
    lease_for: Duration,
) -> Result<u64, StoreError> {
    let (lanes, numbers) = columns(leases);
    let done = sqlx::query(
        "update bus.lanes l set leased_until = now() + $4
         from unnest($2::text[], $3::bigint[]) as r (lane, lease)
         where l.subscription_id = $1 and l.lane = r.lane and l.lease = r.lease",
    )
    .bind(subscription)
    .bind(lanes)
    .bind(numbers)
    .bind(interval(lease_for))
    .execute(pool)
    .await
    .map_err(StoreError::database("extend leases"))?;
    Ok(done.rows_affected())
}

/// What one sweep removed and mended.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Swept {
    /// Messages older than the retention.
    pub expired: u64,
    /// Empty lanes nobody used for a day.
    pub lanes: u64,
    /// Lanes that had messages and no row (a publisher met the removal of an unused lane).
    pub reopened: u64,
}

/// Deletes up to `limit` messages older than `retention` and lanes unused for a day. One process sweeps at a time; the
/// others get `None`.
pub async fn sweep(pool: &PgPool, retention: Duration, limit: i64) -> Result<Option<Swept>, StoreError> {
    let failed = StoreError::database;
    let mut tx = pool.begin().await.map_err(failed("sweep the bus"))?;
    let mine: bool = sqlx::query_scalar("select pg_try_advisory_xact_lock($1)")
        .bind(SWEEP_LOCK)
        .fetch_one(&mut *tx)
        .await
        .map_err(failed("sweep the bus"))?;
    if !mine {
        return Ok(None);
    }
    let expired = sqlx::query(
        "delete from bus.messages m using (
            select subscription_id, lane, id from bus.messages where published_at < now() - $1 limit $2
         ) old where (m.subscription_id, m.lane, m.id) = (old.subscription_id, old.lane, old.id)",
    )
    .bind(interval(retention))
    .bind(limit)
    .execute(&mut *tx)
    .await
    .map_err(failed("delete expired messages"))?
    .rows_affected();
    let lanes = sqlx::query(
        "delete from bus.lanes l where l.served_at < now() - interval '1 day' and l.served_at > '-infinity' and l.lease is null
            and not exists (select from bus.messages m where (m.subscription_id, m.lane) = (l.subscription_id, l.lane))",
    )
    .execute(&mut *tx)
    .await
    .map_err(failed("delete unused lanes"))?
    .rows_affected();
    let reopened = sqlx::query(
        "insert into bus.lanes (subscription_id, lane)
         select distinct m.subscription_id, m.lane from bus.messages m
         where not exists (select from bus.lanes l where (l.subscription_id, l.lane) = (m.subscription_id, m.lane))
         on conflict do nothing",
    )
    .execute(&mut *tx)
    .await
    .map_err(failed("reopen lanes"))?
    .rows_affected();
    tx.commit().await.map_err(failed("sweep the bus"))?;
    Ok(Some(Swept { expired, lanes, reopened }))
}

/// Gives the space of acknowledged messages back to new ones. Autovacuum wakes at most once a minute, which at ten
/// thousand messages a second leaves half a million dead index entries in front of every claim.
pub async fn vacuum(pool: &PgPool) -> Result<(), StoreError> {
    sqlx::raw_sql("vacuum (skip_locked, truncate off, parallel 0) bus.messages")
        .execute(pool)
        .await
        .map_err(StoreError::database("vacuum the bus"))?;
    Ok(())
}

/// Messages of a subscription that are waiting or in delivery; `None` when there is no such subscription.
pub async fn backlog(pool: &PgPool, name: &str) -> Result<Option<i64>, StoreError> {
    sqlx::query_scalar(
        "select (select count(*) from bus.messages m where m.subscription_id = s.id)
         from bus.subscriptions s where s.name = $1",
    )
    .bind(name)
    .fetch_optional(pool)
    .await
    .map_err(StoreError::database("count backlog"))
}

fn columns<N: Copy>(pairs: &[(String, N)]) -> (Vec<&str>, Vec<N>) {
    pairs.iter().map(|(lane, number)| (lane.as_str(), *number)).unzip()
}
