//! The columns of `record_head` in one order, for reading and for writing.

use model::record::{Existence, Head, Lease, Record, Shadow};
use model::{PerSide, Rid, Side};
use sqlx::postgres::PgRow;

use crate::StoreError;
use crate::cells::{Cells, read_key, read_native_id};
use crate::records::at_rest;

/// Columns of a side, each behind `sx_` or `ns_`, with their types; read by [`read_side`] and written in this order.
pub(super) const SIDE_COLUMNS: [(&str, &str); 21] = [
    ("exists", "text"),
    ("complete", "boolean"),
    ("token", "bigint"),
    ("stamp", "bigint"),
    ("note", "bigint"),
    ("native_id", "text"),
    ("generation", "integer"),
    ("epoch", "bigint"),
    ("inflight_write_id", "uuid"),
    ("dirty_seq", "bigint"),
    ("hint_seq", "bigint"),
    ("settled_seq", "bigint"),
    ("dirty_since", "timestamptz"),
    ("last_hint_at", "timestamptz"),
    ("hints", "integer"),
    ("urgent", "boolean"),
    ("must_read", "boolean"),
    ("ready_at", "timestamptz"),
    ("retry_at", "timestamptz"),
    ("attempts", "integer"),
    ("owed", "boolean"),
];

/// Columns of the head itself that are read.
const HEAD_COLUMNS: &str = "h.account_id, h.record_type, h.rid, h.version, h.alive, h.record_seq, h.last_stamp, \
     h.merged_into, h.natural_key, h.lease_token, h.lease_owner, h.lease_until, h.has_unresolved, h.has_conflicts, \
     h.has_locks";

/// The prefix of a side's columns.
pub(super) fn prefix(side: Side) -> &'static str {
    match side {
        Side::Suitex => "sx",
        Side::Netsuite => "ns",
    }
}

/// The select list that [`read_head`] reads, of a table called `h`.
pub(super) fn head_columns() -> String {
    let sides = Side::BOTH
        .into_iter()
        .flat_map(|side| SIDE_COLUMNS.iter().map(move |(name, _)| format!("h.{}_{name}", prefix(side))));
    std::iter::once(HEAD_COLUMNS.to_owned()).chain(sides).collect::<Vec<_>>().join(", ")
}

/// A row of `record_head` as it was read.
#[derive(Debug, Clone)]
pub(super) struct HeadRow {
    /// Everything but what lies in `record_body` and in the tables behind the flags.
    pub(super) record: Record,
    /// Rows of this record stand in `idempotency_keys` as unresolved.
    pub(super) has_unresolved: bool,
    /// Rows of this record stand in `conflicts` as open.
    pub(super) has_conflicts: bool,
    /// Rows of this record stand in `record_lock` as in force.
    pub(super) has_locks: bool,
    /// Every hint up to here is settled.
    pub(super) settled_seq: PerSide<u64>,
}

impl HeadRow {
    /// A record of which nothing else is known.
    pub(super) fn of(record: Record) -> Self {
        let settled_seq = PerSide::default();
        Self { record, has_unresolved: false, has_conflicts: false, has_locks: false, settled_seq }
    }

    /// [`at_rest`], by what stands on the head.
    pub(super) fn at_rest(&self) -> bool {
        let settled = Side::BOTH.into_iter().all(|side| self.settled_seq[side] == self.record.shadows[side].hint_seq);
        settled && !self.has_unresolved && !self.has_conflicts && !self.has_locks && at_rest(&self.record)
    }
}

/// Reads [`head_columns`]; answers also the cells behind them.
pub(super) fn read_head(row: &PgRow) -> Result<(HeadRow, Cells<'_>), StoreError> {
    let mut cells = Cells::of(row);
    let key = read_key(&mut cells)?;
    let head = Head {
        version: cells.count()?,
        alive: cells.next()?,
        record_seq: cells.count()?,
        last_stamp: cells.count()?,
        merged_into: cells.next::<Option<uuid::Uuid>>()?.map(Rid),
        natural_key: cells.next()?,
        lease_token: cells.next()?,
        lease: read_lease(&mut cells)?,
        ..Head::default()
    };
    let (has_unresolved, has_conflicts, has_locks) = (cells.next()?, cells.next()?, cells.next()?);
    let mut record = Record { head, ..Record::new(key) };
    let mut settled_seq = PerSide::default();
    for side in Side::BOTH {
        (record.shadows[side], settled_seq[side]) = read_side(&mut cells)?;
    }
    Ok((HeadRow { record, has_unresolved, has_conflicts, has_locks, settled_seq }, cells))
}

fn read_lease(cells: &mut Cells<'_>) -> Result<Option<Lease>, StoreError> {
    let owner: Option<String> = cells.next()?;
    let until = cells.instant()?;
    Ok(owner.zip(until).map(|(owner, until)| Lease { owner, until }))
}

/// Reads [`SIDE_COLUMNS`]: the shadow but for its state and line ids, and its `settled_seq`.
fn read_side(cells: &mut Cells<'_>) -> Result<(Shadow, u64), StoreError> {
    let mut shadow = Shadow {
        exists: cells.word("exists", Existence::parse)?,
        complete: cells.next()?,
        token: cells.next()?,
        stamp: cells.count()?,
        note: cells.count()?,
        native_id: read_native_id(cells)?,
        generation: cells.small_count()?,
        epoch: cells.count()?,
        inflight: cells.next()?,
        dirty_seq: cells.count()?,
        hint_seq: cells.count()?,
        ..Shadow::default()
    };
    let settled_seq = cells.count()?;
    shadow.dirty_since = cells.instant()?;
    shadow.last_hint_at = cells.instant()?;
    shadow.hints = cells.small_count()?;
    shadow.urgent = cells.next()?;
    shadow.must_read = cells.next()?;
    shadow.ready_at = cells.instant()?;
    shadow.retry_at = cells.instant()?;
    shadow.attempts = cells.small_count()?;
    shadow.owed = cells.next()?;
    Ok((shadow, settled_seq))
}
