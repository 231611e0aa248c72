//! What waits, for the gauges.

use model::{AccountId, Timestamp};
use sqlx::{PgExecutor, Row};

use crate::StoreError;
use crate::instant::Instant;

/// What waits for one account.
#[derive(Debug, Clone, PartialEq)]
pub struct Waiting {
    /// The tenant.
    pub account: AccountId,
    /// Doorbells that no merge step has answered yet.
    pub events: u64,
    /// Age of the oldest of them in seconds; 0 when there is none.
    pub oldest_seconds: f64,
    /// Conflicts nobody has decided.
    pub open_conflicts: u64,
}

/// What waits for each of these accounts, in their order. Reads only rows that wait, by the partial indexes of the work
/// queue: a dirty record is due, or a write to it is in flight, or it is locked.
///
/// # Errors
/// The database.
pub async fn waiting(
    executor: impl PgExecutor<'_>,
    accounts: &[AccountId],
    now: Timestamp,
) -> Result<Vec<Waiting>, StoreError> {
    let what = "count what waits";
    let ids: Vec<&str> = accounts.iter().map(AccountId::as_str).collect();
    let rows = sqlx::query(
        "with dirty as (
            select account_id, case when sx_dirty_seq > 0 then sx_hints else 0 end + ns_hints as hints,
                   least(case when sx_dirty_seq > 0 then sx_dirty_since end, ns_dirty_since) as since
              from sync.record_head where account_id = any($1) and merge_at is not null
            union all
            select account_id, case when sx_dirty_seq > 0 then sx_hints else 0 end + ns_hints,
                   least(case when sx_dirty_seq > 0 then sx_dirty_since end, ns_dirty_since)
              from sync.record_head where account_id = any($1) and merge_at is null and not locked
               and (sx_act_at is not null or ns_act_at is not null) and (sx_dirty_seq > 0 or ns_dirty_seq > 0)
            union all
            select h.account_id, case when h.sx_dirty_seq > 0 then h.sx_hints else 0 end + h.ns_hints,
                   least(case when h.sx_dirty_seq > 0 then h.sx_dirty_since end, h.ns_dirty_since)
              from (select distinct account_id, record_type, rid from sync.record_lock
                     where account_id = any($1) and released_at is null) l
              join sync.record_head h using (account_id, record_type, rid)
             where h.locked and h.merge_at is null and (h.sx_dirty_seq > 0 or h.ns_dirty_seq > 0)
         )
         select coalesce(sum(d.hints), 0)::bigint,
                greatest(coalesce(extract(epoch from $2 - min(d.since)), 0), 0)::float8,
                (select count(*) from sync.conflicts c where c.account_id = a.account_id and c.status = 'open')
           from unnest($1::text[]) with ordinality as a (account_id, place)
           left join dirty d on d.account_id = a.account_id
          group by a.account_id, a.place order by a.place",
    )
    .bind(&ids)
    .bind(Instant(now))
    .fetch_all(executor)
    .await
    .map_err(StoreError::database(what))?;
    let number = |n: i64| n.unsigned_abs();
    rows.iter()
        .zip(accounts)
        .map(|(row, account)| {
            Ok(Waiting {
                account: account.clone(),
                events: number(row.try_get(0).map_err(StoreError::database(what))?),
                oldest_seconds: row.try_get(1).map_err(StoreError::database(what))?,
                open_conflicts: number(row.try_get(2).map_err(StoreError::database(what))?),
            })
        })
        .collect()
}
