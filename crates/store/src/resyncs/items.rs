//! `sync.resync_item`: a plan, record by record; records to be have a place of their own among them.

use model::{NativeId, PerSide, Rid, Side, SumHash};
use serde_json::Value;
use sqlx::PgExecutor;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use uuid::Uuid;

use super::digest;
use crate::StoreError;
use crate::cells::{Cells, read_native_id};

/// Ids of a plan that no record was known by when it was made.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Met {
    /// The ids.
    pub ids: PerSide<Option<NativeId>>,
    /// Their natural key, where they would become a record of their own.
    pub natural_key: Option<String>,
}

/// A plan's record.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// The record, or the plan's own name for ids that would become one.
    pub rid: Rid,
    /// The ids of it that nobody knew.
    pub met: Met,
    /// What its plan stands on.
    pub stand: SumHash,
    /// What would change; `None` = nothing.
    pub body: Option<Value>,
}

impl Item {
    /// A record Concord knows, by all its ids.
    pub fn known(rid: Rid, stand: SumHash, body: Option<Value>) -> Self {
        Self { rid, met: Met::default(), stand, body }
    }

    /// True where the plan is about ids nobody knew.
    pub fn of_strangers(&self) -> bool {
        self.met.ids != PerSide::default()
    }
}

/// Stores items; one that turned out to be more than it was thought to be takes its own place.
pub(super) async fn insert_items(
    executor: impl PgExecutor<'_>,
    resync_id: Uuid,
    items: &[Item],
) -> Result<(), StoreError> {
    let ids =
        |side: Side| items.iter().map(|item| item.met.ids[side].as_ref().map(NativeId::as_str)).collect::<Vec<_>>();
    sqlx::query(
        "insert into sync.resync_item (resync_id, rid, stand, body, suitex_id, netsuite_id, natural_key)
         select $1, i.* from unnest($2::uuid[], $3::text[], $4::json[], $5::text[], $6::text[], $7::text[]) as i
         on conflict (resync_id, rid) do update
            set stand = excluded.stand, body = excluded.body, suitex_id = excluded.suitex_id,
                netsuite_id = excluded.netsuite_id, natural_key = excluded.natural_key",
    )
    .bind(resync_id)
    .bind(items.iter().map(|item| item.rid.0).collect::<Vec<_>>())
    .bind(items.iter().map(|item| item.stand.to_string()).collect::<Vec<_>>())
    .bind(items.iter().map(|item| item.body.as_ref().map(Json)).collect::<Vec<_>>())
    .bind(ids(Side::Suitex))
    .bind(ids(Side::Netsuite))
    .bind(items.iter().map(|item| item.met.natural_key.as_deref()).collect::<Vec<_>>())
    .execute(executor)
    .await
    .map(drop)
    .map_err(StoreError::database("store a plan's records"))
}

/// Items of a plan made so far: those of these rids, and those that would become records of these natural keys.
///
/// # Errors
/// The database, or an item that cannot be read.
pub async fn planned(
    executor: impl PgExecutor<'_>,
    resync_id: Uuid,
    rids: &[Rid],
    natural_keys: &[String],
) -> Result<Vec<Item>, StoreError> {
    let rows = sqlx::query(
        "select rid, stand, body, suitex_id, netsuite_id, natural_key from sync.resync_item
          where resync_id = $1 and rid = any($2)
         union all
         select rid, stand, body, suitex_id, netsuite_id, natural_key from sync.resync_item
          where resync_id = $1 and natural_key = any($3) and rid <> all($2)",
    )
    .bind(resync_id)
    .bind(rids.iter().map(|rid| rid.0).collect::<Vec<_>>())
    .bind(natural_keys)
    .fetch_all(executor)
    .await
    .map_err(StoreError::database("read a plan"))?;
    rows.iter().map(read_item).collect()
}

fn read_item(row: &PgRow) -> Result<Item, StoreError> {
    let mut cells = Cells::of(row);
    let (rid, stand, body) = (Rid(cells.next()?), digest(Some(cells.next()?))?, cells.maybe_json()?);
    let ids = PerSide { suitex: read_native_id(&mut cells)?, netsuite: read_native_id(&mut cells)? };
    Ok(Item { rid, met: Met { ids, natural_key: cells.next()? }, stand, body })
}

/// A plan's records from `after`, at most `limit`; `differing`: only those that would change.
///
/// # Errors
/// The database, or a stand that cannot be read.
pub async fn items(
    executor: impl PgExecutor<'_>,
    resync_id: Uuid,
    after: Option<Rid>,
    differing: bool,
    limit: usize,
) -> Result<Vec<Item>, StoreError> {
    let rows = sqlx::query(
        "select rid, stand, body, suitex_id, netsuite_id, natural_key from sync.resync_item
          where resync_id = $1 and rid > $2 and (not $3 or body is not null) order by rid limit $4",
    )
    .bind(resync_id)
    .bind(after.map_or(Uuid::nil(), |rid| rid.0))
    .bind(differing)
    .bind(i64::try_from(limit).unwrap_or(i64::MAX))
    .fetch_all(executor)
    .await
    .map_err(StoreError::database("read a plan"))?;
    rows.iter().map(read_item).collect()
}
