//! Reading rows column by column, into words of the model.

use model::{AccountId, NativeId, RecordRef, RecordType, Rid};
use sqlx::postgres::PgRow;
use sqlx::{Decode, Postgres, Row, Type};

use crate::StoreError;
use crate::instant::Instant;

/// Reads a row column by column.
pub(crate) struct Cells<'r> {
    row: &'r PgRow,
    at: usize,
}

impl<'r> Cells<'r> {
    pub(crate) fn of(row: &'r PgRow) -> Self {
        Self { row, at: 0 }
    }

    /// The next column.
    pub(crate) fn next<T: Decode<'r, Postgres> + Type<Postgres>>(&mut self) -> Result<T, StoreError> {
        let at = self.at;
        self.at += 1;
        self.row.try_get(at).map_err(StoreError::database("reading a row"))
    }

    /// The next column, a count that is never negative.
    pub(crate) fn count(&mut self) -> Result<u64, StoreError> {
        let count: i64 = self.next()?;
        u64::try_from(count).map_err(|_| corrupt("a count", &count.to_string(), "a count is not negative"))
    }

    /// The next column, a small count that is never negative.
    pub(crate) fn small_count(&mut self) -> Result<u32, StoreError> {
        let count: i32 = self.next()?;
        u32::try_from(count).map_err(|_| corrupt("a count", &count.to_string(), "a count is not negative"))
    }

    /// The next column, an instant or null.
    pub(crate) fn instant(&mut self) -> Result<Option<model::Timestamp>, StoreError> {
        Ok(self.next::<Option<Instant>>()?.map(|at| at.0))
    }

    /// The next column, a word of the model.
    pub(crate) fn word<T>(&mut self, column: &'static str, parse: impl Fn(&str) -> Option<T>) -> Result<T, StoreError> {
        let word: &str = self.next()?;
        parse(word).ok_or_else(|| corrupt(column, word, "the model has no such word"))
    }

    /// The next column, JSON of a value of the model.
    pub(crate) fn json<T: serde::de::DeserializeOwned + 'r>(&mut self) -> Result<T, StoreError> {
        Ok(self.next::<sqlx::types::Json<T>>()?.0)
    }

    /// The next column, JSON of a value of the model or null.
    pub(crate) fn maybe_json<T: serde::de::DeserializeOwned + 'r>(&mut self) -> Result<Option<T>, StoreError> {
        Ok(self.next::<Option<sqlx::types::Json<T>>>()?.map(|json| json.0))
    }
}

/// A stored value the model cannot hold.
pub(crate) fn corrupt(column: &'static str, row: &str, reason: &str) -> StoreError {
    StoreError::Corrupt { table: "sync", column, row: row.to_owned(), reason: reason.to_owned() }
}

/// Reads account, type and rid.
pub(crate) fn read_key(cells: &mut Cells<'_>) -> Result<RecordRef, StoreError> {
    let account: &str = cells.next()?;
    let record_type: &str = cells.next()?;
    Ok(RecordRef {
        account: AccountId::parse(account).map_err(|bad| corrupt("account_id", account, bad.accepted))?,
        record_type: RecordType::parse(record_type).map_err(|bad| corrupt("record_type", record_type, bad.accepted))?,
        rid: Rid(cells.next()?),
    })
}

/// Reads a native id or null.
pub(crate) fn read_native_id(cells: &mut Cells<'_>) -> Result<Option<NativeId>, StoreError> {
    let id: Option<&str> = cells.next()?;
    id.map(|id| NativeId::parse(id).map_err(|bad| corrupt("native_id", id, bad.accepted))).transpose()
}
