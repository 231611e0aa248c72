//! The log as it is folded anew: in pages, record by record, each record's entries in the order of the fold. And the side
//! projection that a rebuild keeps (`sync.replay_run`, `sync.replay_record`).

use std::sync::LazyLock;

use model::{AccountId, RecordRef, RecordType, Rid, Timestamp};
use sqlx::{PgConnection, PgExecutor, PgPool, Postgres, Transaction};
use uuid::Uuid;

use crate::StoreError;
use crate::cells::{Cells, corrupt, read_key};
use crate::instant::Instant;
use crate::pg_records::{LOG_COLUMNS, read_log_row};
use crate::records::LogRow;

mod run;

pub use run::{Kept, Run, begin, differing, finish, keep, run, swapped};

/// One entry and whose it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Logged {
    /// The record.
    pub record: RecordRef,
    /// The entry.
    pub row: LogRow,
}

/// Which logs of an account.
#[derive(Debug, Clone, PartialEq)]
pub enum Which<'a> {
    /// All.
    All,
    /// Of one type.
    Type(&'a RecordType),
    /// Of these records.
    Records(&'a [Rid]),
}

/// Accounts that have records, in order.
///
/// # Errors
/// The database.
pub async fn accounts(executor: impl PgExecutor<'_>) -> Result<Vec<AccountId>, StoreError> {
    let ids: Vec<String> = sqlx::query_scalar("select distinct account_id from sync.record_head order by 1")
        .fetch_all(executor)
        .await
        .map_err(StoreError::database("list accounts with records"))?;
    ids.iter().map(|id| AccountId::parse(id).map_err(|bad| corrupt("account_id", id, bad.accepted))).collect()
}

/// One statement each: what is asked for is known before it is planned, so every page is a walk along the index.
static PAGES: LazyLock<[String; 3]> = LazyLock::new(|| {
    ["$5::text is null", "record_type = $5", "rid = any($5)"].map(|filter| {
        format!(
            "select account_id, record_type, rid, {LOG_COLUMNS} from sync.event_log
              where account_id = $1 and record_seq is not null and (rid, record_seq) > ($2, $3) and {filter}
              order by rid, record_seq limit $4"
        )
    })
});

/// Entries of an account's logs after a place, by record and number; fewer than `limit` on the last page.
///
/// # Errors
/// The database, or a row the model cannot hold.
pub async fn page(
    executor: impl PgExecutor<'_>,
    account: &AccountId,
    which: &Which<'_>,
    after: Option<(Rid, u64)>,
    limit: usize,
) -> Result<Vec<Logged>, StoreError> {
    let (rid, seq) = after.map_or((Uuid::nil(), 0), |(rid, seq)| (rid.0, seq));
    let [all, of_type, these] = &*PAGES;
    let sql = match which {
        Which::All => all,
        Which::Type(_) => of_type,
        Which::Records(_) => these,
    };
    let query = sqlx::query(sql.as_str())
        .bind(account.as_str())
        .bind(rid)
        .bind(i64::try_from(seq).unwrap_or(i64::MAX))
        .bind(i64::try_from(limit).unwrap_or(i64::MAX));
    let query = match which {
        Which::All => query.bind(None::<String>),
        Which::Type(record_type) => query.bind(record_type.as_str().to_owned()),
        Which::Records(rids) => query.bind(rids.iter().map(|rid| rid.0).collect::<Vec<_>>()),
    };
    let rows = query.fetch_all(executor).await.map_err(StoreError::database("read the log"))?;
    rows.iter()
        .map(|row| {
            let mut cells = Cells::of(row);
            let record = read_key(&mut cells)?;
            let row = read_log_row(&mut cells, record.rid)?;
            Ok(Logged { record, row })
        })
        .collect()
}

/// Records that say they have entries and have none in the log, after a rid, in order.
///
/// # Errors
/// The database.
pub async fn without_log(
    executor: impl PgExecutor<'_>,
    account: &AccountId,
    record_type: Option<&RecordType>,
    after: Option<&RecordRef>,
    limit: usize,
) -> Result<Vec<RecordRef>, StoreError> {
    let rows = sqlx::query(
        "select h.account_id, h.record_type, h.rid from sync.record_head h
          where h.account_id = $1 and ($2::text is null or h.record_type = $2) and (h.record_type, h.rid) > ($3, $4)
            and h.record_seq > 0 and h.merged_into is null
            and not exists (select from sync.event_log e
                             where e.account_id = h.account_id and e.rid = h.rid and e.record_seq is not null)
          order by h.record_type, h.rid limit $5",
    )
    .bind(account.as_str())
    .bind(record_type.map(RecordType::as_str))
    .bind(after.map_or("", |record| record.record_type.as_str()))
    .bind(after.map_or(Uuid::nil(), |record| record.rid.0))
    .bind(i64::try_from(limit).unwrap_or(i64::MAX))
    .fetch_all(executor)
    .await
    .map_err(StoreError::database("look for records without a log"))?;
    rows.iter().map(|row| read_key(&mut Cells::of(row))).collect()
}

/// The database as it stood at one instant, for reading alone: Postgres itself refuses a write here.
#[derive(Debug)]
pub struct Snapshot {
    tx: Transaction<'static, Postgres>,
}

impl Snapshot {
    /// Takes it.
    ///
    /// # Errors
    /// The database.
    pub async fn take(pool: &PgPool) -> Result<Self, StoreError> {
        let begin = "begin isolation level repeatable read read only";
        Ok(Self { tx: pool.begin_with(begin).await.map_err(StoreError::database("begin a reading"))? })
    }

    /// What reads in it.
    pub fn connection(&mut self) -> &mut PgConnection {
        &mut self.tx
    }

    /// Records with entries in `[from, to)` and the number of the last entry each says it has, by rid.
    ///
    /// # Errors
    /// The database.
    pub async fn touched(
        &mut self,
        account: &AccountId,
        from: Timestamp,
        to: Timestamp,
        limit: usize,
    ) -> Result<Vec<(RecordRef, u64)>, StoreError> {
        let rows = sqlx::query(
            "select h.account_id, h.record_type, h.rid, h.record_seq
               from (select distinct record_type, rid from sync.event_log
                      where account_id = $1 and received_at >= $2 and received_at < $3 and record_seq is not null) e
               join sync.record_head h on h.account_id = $1 and h.record_type = e.record_type and h.rid = e.rid
              where h.merged_into is null
              order by h.rid limit $4",
        )
        .bind(account.as_str())
        .bind(Instant(from))
        .bind(Instant(to))
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(&mut *self.tx)
        .await
        .map_err(StoreError::database("list the records of a period"))?;
        rows.iter()
            .map(|row| {
                let mut cells = Cells::of(row);
                Ok((read_key(&mut cells)?, cells.count()?))
            })
            .collect()
    }

    /// Is this account one that is operated, or one with records?
    ///
    /// # Errors
    /// The database.
    pub async fn knows(&mut self, account: &AccountId) -> Result<bool, StoreError> {
        sqlx::query_scalar(
            "select exists (select from sync.account where account_id = $1)
                 or exists (select from sync.record_head where account_id = $1)",
        )
        .bind(account.as_str())
        .fetch_one(&mut *self.tx)
        .await
        .map_err(StoreError::database("look for an account"))
    }
}

#[cfg(test)]
mod tests;
