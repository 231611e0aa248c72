//! How far Concord is with the customers of an account: what a bench waits for before it looks at the sides.

use anyhow::Result;

use crate::sides::Sides;

/// Where the customers stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Those that both sides have and Concord has read on both.
    pub linked: u64,
    /// Those with something owed, unread or on its way. A write given up as lost may land later and is no unrest.
    pub busy: u64,
}

impl Standing {
    /// As it is now.
    ///
    /// # Errors
    /// When Concord's database does not answer.
    pub async fn of(sides: &Sides) -> Result<Self> {
        let (linked, busy): (i64, i64) = sqlx::query_as(
            "select count(*) filter (where sx_native_id is not null and ns_native_id is not null and sx_complete and ns_complete),
                    count(*) filter (where sx_owed or ns_owed or sx_dirty_seq <> 0 or ns_dirty_seq <> 0
                                     or sx_inflight_write_id is not null or ns_inflight_write_id is not null)
             from sync.record_head where account_id = $1 and record_type = 'customer' and merged_into is null",
        )
        .bind(&sides.account)
        .fetch_one(&sides.concord)
        .await?;
        Ok(Self { linked: linked.unsigned_abs(), busy: busy.unsigned_abs() })
    }
}

/// When the poller last ended a sweep of NetSuite's customers; changes with every sweep.
///
/// # Errors
/// When Concord's database does not answer.
pub async fn last_sweep(sides: &Sides) -> Result<Option<String>> {
    let last = sqlx::query_scalar(
        "select last_polled::text from sync.sync_watermark
         where account_id = $1 and record_type = 'customer' and stream = 'modified'",
    );
    Ok(last.bind(&sides.account).fetch_optional(&sides.concord).await?)
}
