//! Links follow the native ids of shadows: a new id is linked, an old one retired (it is never given to another record),
//! and the ids of a record that turned out to be another's lead to the other.

use std::sync::LazyLock;

use model::{NativeId, Side};
use sqlx::PgConnection;

use super::save::Change;
use crate::StoreError;
use crate::error::expect_rows;

/// Stores links of changes. First what ends, then what begins, since at any time one id per record and side is current.
pub(super) async fn save(conn: &mut PgConnection, changes: &[Change<'_>]) -> Result<(), StoreError> {
    hand_over(conn, changes).await?;
    let moves: Vec<(&Change<'_>, Side)> = changes
        .iter()
        .flat_map(|change| Side::BOTH.into_iter().map(move |side| (change, side)))
        .filter(|(change, side)| id_before(change, *side) != id_after(change, *side))
        .collect();
    let ended: Vec<_> =
        moves.iter().filter_map(|(change, side)| Some((*change, *side, id_before(change, *side)?))).collect();
    retire(conn, &ended).await?;
    let begun: Vec<_> =
        moves.iter().filter_map(|(change, side)| Some((*change, *side, id_after(change, *side)?))).collect();
    link(conn, &begun).await
}

fn id_before<'a>(change: &Change<'a>, side: Side) -> Option<&'a NativeId> {
    change.before().shadows[side].native_id.as_ref()
}

fn id_after<'a>(change: &Change<'a>, side: Side) -> Option<&'a NativeId> {
    change.after().shadows[side].native_id.as_ref()
}

/// A part of a statement: the heirs of `taken` are told who they were, and who those were. An id that is taken from a
/// provisional record is told at once, since the values that name it speak of the heir from then on.
const FORMERLY: &str = "
    told as (
        update sync.record_head h
        set formerly = array(select unnest(h.formerly) union select unnest(k.more) order by 1)
        from (select t.account_id, t.record_type, t.heir, array_agg(x.rid) as more
              from taken t
              join sync.record_head p
                on p.account_id = t.account_id and p.record_type = t.record_type and p.rid = t.rid
              cross join lateral unnest(array_append(p.formerly, p.rid)) as x (rid)
              group by 1, 2, 3) k
        where h.account_id = k.account_id and h.record_type = k.record_type and h.rid = k.heir
    )";

static HAND_OVER: LazyLock<String> = LazyLock::new(|| {
    format!(
        "with taken as (
             select account_id, record_type, rid, heir
             from unnest($1::text[], $2::text[], $3::uuid[], $4::uuid[]) as k (account_id, record_type, rid, heir)
         ), {FORMERLY}
         update sync.links l set rid = k.heir, current = false, retired_at = coalesce(l.retired_at, now())
         from taken k
         where l.account_id = k.account_id and l.rid = k.rid"
    )
});

static LINK: LazyLock<String> = LazyLock::new(|| {
    format!(
        "with k as (
             select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::uuid[], $6::integer[])
                as k (account_id, record_type, side, native_id, rid, generation)
         ), taken as (
             select k.account_id, k.record_type, l.rid, k.rid as heir
             from k join sync.links l using (account_id, record_type, side, native_id)
             where l.rid <> k.rid
         ), {FORMERLY}
         insert into sync.links as l (account_id, record_type, side, native_id, rid, generation)
         select account_id, record_type, side, native_id, rid, generation from k
         order by account_id, record_type, side, native_id
         on conflict (account_id, record_type, side, native_id) do update
            set rid = excluded.rid, generation = excluded.generation, current = true, retired_at = null
            -- A hint may have come before the answer to our own create, and with it a provisional record. It has no
            -- claim to the id: its first observation names ours, and what it holds moves there.
            where l.rid = excluded.rid
               or exists (select from sync.record_head h
                          where h.account_id = l.account_id and h.record_type = l.record_type and h.rid = l.rid
                            and h.version = 0 and h.merged_into is null)"
    )
});

/// Records that became another's: all their ids are the other's from now on. Which one is current is for the other's
/// own patch to say.
async fn hand_over(conn: &mut PgConnection, changes: &[Change<'_>]) -> Result<(), StoreError> {
    let merged: Vec<_> = changes
        .iter()
        .filter(|change| change.before().head.merged_into != change.after().head.merged_into)
        .filter_map(|change| Some((change.key(), change.after().head.merged_into?)))
        .collect();
    if merged.is_empty() {
        return Ok(());
    }
    sqlx::query(HAND_OVER.as_str())
        .bind(merged.iter().map(|(key, _)| key.account.as_str()).collect::<Vec<_>>())
        .bind(merged.iter().map(|(key, _)| key.record_type.as_str()).collect::<Vec<_>>())
        .bind(merged.iter().map(|(key, _)| key.rid.0).collect::<Vec<_>>())
        .bind(merged.iter().map(|(_, heir)| heir.0).collect::<Vec<_>>())
        .execute(conn)
        .await
        .map(drop)
        .map_err(StoreError::database("hand links over"))
}

async fn retire(conn: &mut PgConnection, ended: &[(&Change<'_>, Side, &NativeId)]) -> Result<(), StoreError> {
    if ended.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "update sync.links l set current = false, retired_at = now()
         from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::uuid[])
            as k (account_id, record_type, side, native_id, rid)
         where l.account_id = k.account_id and l.record_type = k.record_type and l.side = k.side
           and l.native_id = k.native_id and l.rid = k.rid and l.current",
    )
    .bind(ended.iter().map(|(change, ..)| change.key().account.as_str()).collect::<Vec<_>>())
    .bind(ended.iter().map(|(change, ..)| change.key().record_type.as_str()).collect::<Vec<_>>())
    .bind(ended.iter().map(|(_, side, _)| side.as_str()).collect::<Vec<_>>())
    .bind(ended.iter().map(|(.., id)| id.as_str()).collect::<Vec<_>>())
    .bind(ended.iter().map(|(change, ..)| change.key().rid.0).collect::<Vec<_>>())
    .execute(conn)
    .await
    .map(drop)
    .map_err(StoreError::database("retire links"))
}

/// Links what begins. Asked again when fewer rows were linked: the statement may have waited for an intake that gave
/// the id to a provisional record, which its own snapshot, taken before the wait, does not show.
async fn link(conn: &mut PgConnection, begun: &[(&Change<'_>, Side, &NativeId)]) -> Result<(), StoreError> {
    if begun.is_empty() || link_once(conn, begun).await? == begun.len() as u64 {
        return Ok(());
    }
    // Fewer rows again: an id is another record's, and that one did not become this one.
    let linked = link_once(conn, begun).await?;
    expect_rows("link native ids", begun.len(), linked)
}

async fn link_once(conn: &mut PgConnection, begun: &[(&Change<'_>, Side, &NativeId)]) -> Result<u64, StoreError> {
    let generation =
        |(change, side, _): &(&Change<'_>, Side, &NativeId)| change.after().shadows[*side].generation.cast_signed();
    let done = sqlx::query(LINK.as_str())
        .bind(begun.iter().map(|(change, ..)| change.key().account.as_str()).collect::<Vec<_>>())
        .bind(begun.iter().map(|(change, ..)| change.key().record_type.as_str()).collect::<Vec<_>>())
        .bind(begun.iter().map(|(_, side, _)| side.as_str()).collect::<Vec<_>>())
        .bind(begun.iter().map(|(.., id)| id.as_str()).collect::<Vec<_>>())
        .bind(begun.iter().map(|(change, ..)| change.key().rid.0).collect::<Vec<_>>())
        .bind(begun.iter().map(generation).collect::<Vec<_>>())
        .execute(conn)
        .await
        .map_err(StoreError::database("link native ids"))?;
    Ok(done.rows_affected())
}
