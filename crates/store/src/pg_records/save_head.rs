//! Storing heads: leases alone, heads with all their working columns, bodies.

use std::sync::LazyLock;

use model::record::Shadow;
use model::{Side, Timestamp};
use sqlx::PgConnection;
use sqlx::postgres::PgArguments;
use sqlx::query::QueryAs;
use sqlx::{Postgres, query_as};
use uuid::Uuid;

use super::WORK_CHANNEL;
use super::columns::{SIDE_COLUMNS, prefix};
use super::doorbell::due_word;
use super::kept;
use super::load::signed;
use super::save::Change;
use super::save_folded;
use crate::StoreError;
use crate::error::expect_rows;
use crate::instant::{Instant, maybe};
use crate::json_text::{self, JsonText};
use crate::records::MAX_PENDING;

type Statement<'q, O> = QueryAs<'q, Postgres, O, PgArguments>;

/// Columns of the head itself that are written, with their types.
const HEAD_COLUMNS: [(&str, &str); 14] = [
    ("version", "bigint"),
    ("alive", "boolean"),
    ("record_seq", "bigint"),
    ("last_stamp", "bigint"),
    ("merged_into", "uuid"),
    ("natural_key", "text"),
    ("lease_token", "bigint"),
    ("lease_owner", "text"),
    ("lease_until", "timestamptz"),
    ("has_unresolved", "boolean"),
    ("has_conflicts", "boolean"),
    ("has_locks", "boolean"),
    ("locked", "boolean"),
    ("merge_at", "timestamptz"),
];

/// Work that was left rings once a transaction. A leased record is somebody's already.
static UPDATE: LazyLock<String> = LazyLock::new(|| {
    let sides = Side::BOTH.into_iter().flat_map(|side| {
        let due = [("act_at", "timestamptz")];
        SIDE_COLUMNS.into_iter().chain(due).map(move |(name, kind)| (format!("{}_{name}", prefix(side)), kind))
    });
    let columns: Vec<(String, &str)> =
        HEAD_COLUMNS.into_iter().map(|(name, kind)| (name.to_owned(), kind)).chain(sides).collect();
    let names = columns.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
    let arrays: Vec<String> =
        columns.iter().enumerate().map(|(at, (_, kind))| format!("${}::{kind}[]", at + 5)).collect();
    let sets: Vec<String> = columns.iter().map(|(name, _)| format!("{name} = k.{name}")).collect();
    format!(
        "with saved as (
            update sync.record_head h
            set modified_at = coalesce(k.modified_at, h.modified_at), {}
            from unnest($1::text[], $2::text[], $3::uuid[], $4::timestamptz[], {})
                as k (account_id, record_type, rid, modified_at, {names})
            where h.account_id = k.account_id and h.record_type = k.record_type and h.rid = k.rid
              and h.version <= k.version and h.record_seq <= k.record_seq and h.last_stamp <= k.last_stamp
            returning case when h.lease_owner is null then h.merge_at end as merge_at, h.sx_act_at, h.ns_act_at
         ), work as (
            select count(*) as saved, concat_ws(' ', {}, {}, {}) as words from saved
         )
         select saved, case when words <> '' then pg_notify('{WORK_CHANNEL}', words)::text end from work",
        sets.join(", "),
        arrays.join(", "),
        due_word("merge", "min(merge_at)"),
        due_word("suitex", "min(sx_act_at)"),
        due_word("netsuite", "min(ns_act_at)"),
    )
});

/// Stores leases of records of which nothing else changed: a narrow update that touches no index.
pub(super) async fn update_leases(conn: &mut PgConnection, changes: &[Change<'_>]) -> Result<(), StoreError> {
    let leases: Vec<&Change<'_>> = changes.iter().filter(|c| c.lease_changed() && !c.head_changed()).collect();
    if leases.is_empty() {
        return Ok(());
    }
    let head = |c: &&Change<'_>| c.patch.record.head.lease.clone();
    let updated = sqlx::query(
        "update sync.record_head h
         set lease_token = k.lease_token, lease_owner = k.lease_owner, lease_until = k.lease_until
         from unnest($1::text[], $2::text[], $3::uuid[], $4::bigint[], $5::text[], $6::timestamptz[])
            as k (account_id, record_type, rid, lease_token, lease_owner, lease_until)
         where h.account_id = k.account_id and h.record_type = k.record_type and h.rid = k.rid",
    )
    .bind(leases.iter().map(|c| c.key().account.as_str()).collect::<Vec<_>>())
    .bind(leases.iter().map(|c| c.key().record_type.as_str()).collect::<Vec<_>>())
    .bind(leases.iter().map(|c| c.key().rid.0).collect::<Vec<_>>())
    .bind(leases.iter().map(|c| c.after().head.lease_token).collect::<Vec<_>>())
    .bind(leases.iter().map(|c| head(c).map(|lease| lease.owner)).collect::<Vec<_>>())
    .bind(leases.iter().map(|c| head(c).map(|lease| Instant(lease.until))).collect::<Vec<_>>())
    .execute(conn)
    .await
    .map_err(StoreError::database("store leases"))?
    .rows_affected();
    expect_rows("store leases", leases.len(), updated)
}

/// Stores heads. Versions, log numbers and stamps never move back: a row that would is refused.
pub(super) async fn update_heads(conn: &mut PgConnection, changes: &[Change<'_>]) -> Result<(), StoreError> {
    let changed = changes.iter().filter(|c| c.head_changed());
    let (folded, heads): (Vec<&Change<'_>>, Vec<&Change<'_>>) = changed.partition(|c| save_folded::fits(c));
    save_folded::update_folded(conn, &folded).await?;
    if heads.is_empty() {
        return Ok(());
    }
    let query = query_as::<_, (i64, Option<String>)>(UPDATE.as_str())
        .bind(heads.iter().map(|c| c.key().account.as_str()).collect::<Vec<_>>())
        .bind(heads.iter().map(|c| c.key().record_type.as_str()).collect::<Vec<_>>())
        .bind(heads.iter().map(|c| c.key().rid.0).collect::<Vec<_>>())
        .bind(heads.iter().map(|c| maybe(modified_at(c))).collect::<Vec<_>>());
    let query = bind_head(query, &heads);
    let query = Side::BOTH.into_iter().fold(query, |query, side| bind_side(query, &heads, side));
    let (updated, _) = query.fetch_one(conn).await.map_err(StoreError::database("store records"))?;
    expect_rows("store records", heads.len(), u64::try_from(updated).unwrap_or(0))
}

/// When the canonical version moved, by the clock of whoever moved it.
pub(super) fn modified_at(change: &Change<'_>) -> Option<Timestamp> {
    if change.before().head.version == change.after().head.version {
        return None;
    }
    let version = change.patch.versions.last().map(|version| version.created_at);
    version.or(change.patch.log.last().map(|row| row.at))
}

fn bind_head<'q, O>(query: Statement<'q, O>, heads: &[&Change<'q>]) -> Statement<'q, O> {
    let all = |f: &dyn Fn(&model::record::Head) -> i64| heads.iter().map(|c| f(&c.after().head)).collect::<Vec<_>>();
    query
        .bind(all(&|head| signed(head.version)))
        .bind(heads.iter().map(|c| c.after().head.alive).collect::<Vec<_>>())
        .bind(all(&|head| signed(head.record_seq)))
        .bind(all(&|head| signed(head.last_stamp)))
        .bind(heads.iter().map(|c| c.after().head.merged_into.map(|rid| rid.0)).collect::<Vec<Option<Uuid>>>())
        .bind(heads.iter().map(|c| c.after().head.natural_key.as_deref()).collect::<Vec<_>>())
        .bind(all(&|head| head.lease_token))
        .bind(heads.iter().map(|c| c.after().head.lease.as_ref().map(|l| l.owner.as_str())).collect::<Vec<_>>())
        .bind(heads.iter().map(|c| c.after().head.lease.as_ref().map(|l| Instant(l.until))).collect::<Vec<_>>())
        .bind(heads.iter().map(|c| !c.after().unresolved.is_empty()).collect::<Vec<_>>())
        .bind(heads.iter().map(|c| !c.after().conflicts.is_empty()).collect::<Vec<_>>())
        .bind(heads.iter().map(|c| !c.after().locks.is_empty()).collect::<Vec<_>>())
        .bind(heads.iter().map(|c| c.after().locked()).collect::<Vec<_>>())
        .bind(heads.iter().map(|c| maybe(merge_at(c))).collect::<Vec<_>>())
}

fn merge_at(change: &Change<'_>) -> Option<Timestamp> {
    let record = change.after();
    let due = Side::BOTH
        .into_iter()
        .filter_map(|side| record.shadows[side].ready_at.filter(|_| record.shadows[side].dirty()));
    due.min().filter(|_| !record.locked())
}

/// When a side's writer may take the record: with a write in flight at its deadline (R8); else, where something is owed
/// and may be written (clean, R7; no lock on the record), when it may try.
pub(super) fn act_at(change: &Change<'_>, side: Side) -> Option<Timestamp> {
    let record = change.after();
    if let Some(intent) = record.inflight(side) {
        return Some(intent.deadline);
    }
    let shadow = &record.shadows[side];
    shadow.retry_at.filter(|_| shadow.owed && !shadow.dirty() && !record.locked())
}

fn bind_side<'q, O>(query: Statement<'q, O>, heads: &[&Change<'q>], side: Side) -> Statement<'q, O> {
    fn each<'q, T>(heads: &[&Change<'q>], side: Side, f: impl Fn(&'q Shadow) -> T) -> Vec<T> {
        heads.iter().map(|change| f(&change.after().shadows[side])).collect()
    }
    query
        .bind(each(heads, side, |s| s.exists.as_str()))
        .bind(each(heads, side, |s| s.complete))
        .bind(each(heads, side, |s| s.token))
        .bind(each(heads, side, |s| signed(s.stamp)))
        .bind(each(heads, side, |s| signed(s.note)))
        .bind(each(heads, side, |s| s.native_id.as_ref().map(model::NativeId::as_str)))
        .bind(each(heads, side, |s| s.generation.cast_signed()))
        .bind(each(heads, side, |s| signed(s.epoch)))
        .bind(each(heads, side, |s| s.inflight))
        .bind(each(heads, side, |s| signed(s.dirty_seq)))
        .bind(each(heads, side, |s| signed(s.hint_seq)))
        .bind(heads.iter().map(|change| signed(settled_seq(change, side))).collect::<Vec<_>>())
        .bind(each(heads, side, |s| maybe(s.dirty_since)))
        .bind(each(heads, side, |s| maybe(s.last_hint_at)))
        .bind(each(heads, side, |s| s.hints.cast_signed()))
        .bind(each(heads, side, |s| s.urgent))
        .bind(each(heads, side, |s| s.must_read))
        .bind(each(heads, side, |s| maybe(s.ready_at)))
        .bind(each(heads, side, |s| maybe(s.retry_at)))
        .bind(each(heads, side, |s| s.attempts.cast_signed()))
        .bind(each(heads, side, |s| s.owed))
        .bind(heads.iter().map(|change| maybe(act_at(change, side))).collect::<Vec<_>>())
}

/// Where the search for unsettled hints may begin after this patch. Numbers may be missing, never come twice, and only
/// grow, so everything below the first unsettled one is settled for good.
pub(super) fn settled_seq(change: &Change<'_>, side: Side) -> u64 {
    let known = change.remembered.settled_seq[side];
    if !change.remembered.pending_loaded {
        return known;
    }
    let settled = |id: Uuid| change.patch.settled.iter().any(|(settled, _)| *settled == id);
    let mut of_side = change.view.pending.iter().filter(|hint| hint.side == side);
    let first_left = of_side.clone().find(|hint| !settled(hint.event_id));
    match first_left {
        Some(hint) => hint.seq - 1,
        // More may lie behind what was loaded.
        None if of_side.clone().count() >= MAX_PENDING => of_side.next_back().map_or(known, |hint| hint.seq),
        None => change.before().shadows[side].hint_seq,
    }
}

/// Stores bodies. Four texts at most a record, and only what changed is written at all.
pub(super) async fn save_bodies(conn: &mut PgConnection, changes: &[Change<'_>]) -> Result<(), StoreError> {
    let bodies = changes.iter().filter(|c| c.body_changed()).map(Body::of).collect::<Result<Vec<_>, _>>()?;
    let (known, new): (Vec<&Body<'_>>, Vec<&Body<'_>>) =
        bodies.iter().partition(|body| body.change.remembered.has_body);
    for (sql, bodies) in [(UPDATE_BODIES, known), (INSERT_BODIES, new)] {
        if bodies.is_empty() {
            continue;
        }
        let saved = sqlx::query(sql)
            .bind(bodies.iter().map(|b| b.change.key().account.as_str()).collect::<Vec<_>>())
            .bind(bodies.iter().map(|b| b.change.key().rid.0).collect::<Vec<_>>())
            .bind(bodies.iter().map(|b| JsonText(&b.state)).collect::<Vec<_>>())
            .bind(bodies.iter().map(|b| JsonText(&b.meta)).collect::<Vec<_>>())
            .bind(bodies.iter().map(|b| b.sides.suitex.as_deref().map(JsonText)).collect::<Vec<_>>())
            .bind(bodies.iter().map(|b| b.sides.netsuite.as_deref().map(JsonText)).collect::<Vec<_>>())
            .bind(bodies.iter().map(|b| b.line_ids.suitex.as_deref().map(JsonText)).collect::<Vec<_>>())
            .bind(bodies.iter().map(|b| b.line_ids.netsuite.as_deref().map(JsonText)).collect::<Vec<_>>())
            .execute(&mut *conn)
            .await
            .map_err(StoreError::database("store states"))?
            .rows_affected();
        expect_rows("store states", bodies.len(), saved)?;
    }
    Ok(())
}

const UPDATE_BODIES: &str = "
    update sync.record_body b
    set state = k.state, field_meta = k.field_meta, sx_state = k.sx_state,
        ns_state = k.ns_state, sx_line_ids = k.sx_line_ids, ns_line_ids = k.ns_line_ids
    from unnest($1::text[], $2::uuid[], $3::json[], $4::json[], $5::json[], $6::json[], $7::json[], $8::json[])
        as k (account_id, rid, state, field_meta, sx_state, ns_state, sx_line_ids, ns_line_ids)
    where b.account_id = k.account_id and b.rid = k.rid";

const INSERT_BODIES: &str = "
    insert into sync.record_body (account_id, rid, state, field_meta, sx_state, ns_state, sx_line_ids, ns_line_ids)
    select account_id, rid, state, field_meta, sx_state, ns_state, sx_line_ids,
           ns_line_ids
    from unnest($1::text[], $2::uuid[], $3::json[], $4::json[], $5::json[], $6::json[], $7::json[], $8::json[])
        as k (account_id, rid, state, field_meta, sx_state, ns_state, sx_line_ids, ns_line_ids)";

/// A body as text.
struct Body<'a> {
    change: &'a Change<'a>,
    state: String,
    meta: String,
    sides: model::PerSide<Option<String>>,
    line_ids: model::PerSide<Option<String>>,
}

impl<'a> Body<'a> {
    fn of(change: &'a Change<'a>) -> Result<Self, StoreError> {
        let record = change.after();
        let nul = || change.refused("a value holds a NUL, which Postgres has no text for");
        let (mut sides, mut line_ids) = (model::PerSide::default(), model::PerSide::default());
        for side in Side::BOTH {
            let shadow = &record.shadows[side];
            sides[side] = match kept::keep(&record.head.state, &shadow.state) {
                Some(kept) => Some(kept.ok_or_else(nul)?),
                None => None,
            };
            line_ids[side] = match shadow.line_ids.is_empty() {
                true => None,
                false => Some(json_text::write_clean(&shadow.line_ids).ok_or_else(nul)?),
            };
        }
        Ok(Self {
            change,
            state: json_text::write_clean(&*record.head.state).ok_or_else(nul)?,
            meta: kept::keep_meta(&record.head.meta).ok_or_else(nul)?,
            sides,
            line_ids,
        })
    }
}
