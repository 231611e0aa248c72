//! Two steps that meet one thing at the same time, each on its own side of it, must not make two records of it: whoever
//! stores first is there, the other one finds it (semantics §2.8).

use sqlx::PgConnection;
use uuid::Uuid;

use crate::StoreError;
use crate::records::Patch;

/// Leaves out patches whose record is not the only one with its natural key any more. The keys stay locked until the
/// transaction ends; locks are taken in order, after those of heads and before those of links.
pub(super) async fn retain(conn: &mut PgConnection, patches: &mut Vec<Patch>) -> Result<(), StoreError> {
    let claims: Vec<&Patch> = patches.iter().filter(|p| p.alone && p.record.head.natural_key.is_some()).collect();
    if claims.is_empty() {
        return Ok(());
    }
    let accounts: Vec<&str> = claims.iter().map(|p| p.record.key.account.as_str()).collect();
    let types: Vec<&str> = claims.iter().map(|p| p.record.key.record_type.as_str()).collect();
    let keys: Vec<Option<&str>> = claims.iter().map(|p| p.record.head.natural_key.as_deref()).collect();
    let rids: Vec<Uuid> = claims.iter().map(|p| p.record.key.rid.0).collect();
    let what = "see who else has a natural key";
    sqlx::query(
        "select pg_advisory_xact_lock(k.lock) from
            (select distinct hashtextextended(a || '|' || t || '|' || n, 7) as lock
               from unnest($1::text[], $2::text[], $3::text[]) as k (a, t, n) order by 1) k",
    )
    .bind(&accounts)
    .bind(&types)
    .bind(&keys)
    .execute(&mut *conn)
    .await
    .map_err(StoreError::database(what))?;
    // A statement of its own: it sees what was committed before the locks were given.
    let taken: Vec<Uuid> = sqlx::query_scalar(
        "select k.rid from unnest($1::text[], $2::text[], $3::text[], $4::uuid[]) as k (a, t, n, rid)
          where exists (select from sync.record_head h
                         where h.account_id = k.a and h.record_type = k.t and h.natural_key = k.n
                           and h.natural_key is not null and h.alive and h.merged_into is null and h.rid <> all($4))",
    )
    .bind(&accounts)
    .bind(&types)
    .bind(&keys)
    .bind(&rids)
    .fetch_all(&mut *conn)
    .await
    .map_err(StoreError::database(what))?;
    patches.retain(|patch| !(patch.alone && taken.contains(&patch.record.key.rid.0)));
    Ok(())
}
