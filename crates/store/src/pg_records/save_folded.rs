//! Storing heads of records whose deltas were folded as they came: a few columns, and in the steady state no index.

use std::sync::LazyLock;

use model::Side;
use model::record::{Record, Shadow};
use sqlx::PgConnection;

use super::WORK_CHANNEL;
use super::doorbell::due_word;
use super::load::signed;
use super::save::Change;
use super::save_head::{act_at, modified_at, settled_seq};
use crate::StoreError;
use crate::error::expect_rows;
use crate::instant::{Instant, maybe};

static UPDATE: LazyLock<String> = LazyLock::new(|| {
    format!(
        "with saved as (
            update sync.record_head h
            set modified_at = coalesce(k.modified_at, h.modified_at), version = k.version, record_seq = k.record_seq,
                natural_key = k.natural_key, sx_token = k.token, sx_hint_seq = k.hint_seq,
                sx_settled_seq = k.settled_seq, sx_dirty_since = k.dirty_since, sx_last_hint_at = k.last_hint_at,
                sx_hints = k.hints, ns_retry_at = k.retry_at, ns_owed = k.owed, ns_act_at = k.act_at
            from unnest($1::text[], $2::text[], $3::uuid[], $4::timestamptz[], $5::bigint[], $6::bigint[], $7::text[],
                        $8::bigint[], $9::bigint[], $10::bigint[], $11::timestamptz[], $12::timestamptz[],
                        $13::integer[], $14::timestamptz[], $15::boolean[], $16::timestamptz[])
                as k (account_id, record_type, rid, modified_at, version, record_seq, natural_key, token, hint_seq,
                      settled_seq, dirty_since, last_hint_at, hints, retry_at, owed, act_at)
            where h.account_id = k.account_id and h.record_type = k.record_type and h.rid = k.rid
              and h.version <= k.version and h.record_seq <= k.record_seq
            returning h.ns_act_at
         ), work as (select count(*) as saved, {} as word from saved)
         select saved, case when word is not null then pg_notify('{WORK_CHANNEL}', word)::text end from work",
        due_word("netsuite", "min(ns_act_at)"),
    )
});

/// The columns of [`UPDATE`] are all that moves: the record was at rest before, and is but for what NetSuite is owed.
pub(super) fn fits(change: &Change<'_>) -> bool {
    let (before, after) = (change.before(), change.after());
    let of_head = |r: &Record| (r.head.alive, r.head.last_stamp, r.head.lease_token, r.head.merged_into);
    let nothing_open =
        |r: &Record| r.unresolved.is_empty() && r.conflicts.is_empty() && r.locks.is_empty() && r.head.lease.is_none();
    let of_side = |s: &Shadow| (s.exists, s.complete, s.stamp, s.note, s.generation, s.epoch, s.inflight, s.attempts);
    let same = |side: Side| {
        let (old, new) = (&before.shadows[side], &after.shadows[side]);
        of_side(old) == of_side(new) && old.native_id == new.native_id
    };
    let at_rest = |s: &Shadow| !s.dirty() && !s.urgent && !s.must_read && s.ready_at.is_none();
    let (suitex, netsuite) = (&after.shadows.suitex, &after.shadows.netsuite);
    let old_netsuite = &before.shadows.netsuite;
    let queue = |s: &Shadow| (s.owed, s.retry_at);
    let bell = |s: &Shadow| (s.hint_seq, s.dirty_since, s.last_hint_at, s.hints, s.token);
    change.by_intake
        && nothing_open(before)
        && nothing_open(after)
        && of_head(before) == of_head(after)
        && Side::BOTH.into_iter().all(same)
        && at_rest(suitex)
        && at_rest(netsuite)
        && at_rest(old_netsuite)
        && bell(netsuite) == bell(old_netsuite)
        && queue(suitex) == queue(&before.shadows.suitex)
}

/// Stores those heads. Versions and log numbers never move back: a row that would is refused.
pub(super) async fn update_folded(conn: &mut PgConnection, heads: &[&Change<'_>]) -> Result<(), StoreError> {
    if heads.is_empty() {
        return Ok(());
    }
    fn each<'q, T>(heads: &[&Change<'q>], side: Side, f: impl Fn(&'q Shadow) -> T) -> Vec<T> {
        heads.iter().map(|change| f(&change.after().shadows[side])).collect()
    }
    let (sx, ns) = (Side::Suitex, Side::Netsuite);
    let (updated, _): (i64, Option<String>) = sqlx::query_as(UPDATE.as_str())
        .bind(heads.iter().map(|c| c.key().account.as_str()).collect::<Vec<_>>())
        .bind(heads.iter().map(|c| c.key().record_type.as_str()).collect::<Vec<_>>())
        .bind(heads.iter().map(|c| c.key().rid.0).collect::<Vec<_>>())
        .bind(heads.iter().map(|c| maybe(modified_at(c))).collect::<Vec<Option<Instant>>>())
        .bind(heads.iter().map(|c| signed(c.after().head.version)).collect::<Vec<_>>())
        .bind(heads.iter().map(|c| signed(c.after().head.record_seq)).collect::<Vec<_>>())
        .bind(heads.iter().map(|c| c.after().head.natural_key.as_deref()).collect::<Vec<_>>())
        .bind(each(heads, sx, |s| s.token))
        .bind(each(heads, sx, |s| signed(s.hint_seq)))
        .bind(heads.iter().map(|change| signed(settled_seq(change, sx))).collect::<Vec<_>>())
        .bind(each(heads, sx, |s| maybe(s.dirty_since)))
        .bind(each(heads, sx, |s| maybe(s.last_hint_at)))
        .bind(each(heads, sx, |s| s.hints.cast_signed()))
        .bind(each(heads, ns, |s| maybe(s.retry_at)))
        .bind(each(heads, ns, |s| s.owed))
        .bind(heads.iter().map(|change| maybe(act_at(change, ns))).collect::<Vec<_>>())
        .fetch_one(conn)
        .await
        .map_err(StoreError::database("store folded records"))?;
    expect_rows("store folded records", heads.len(), u64::try_from(updated).unwrap_or(0))
}
