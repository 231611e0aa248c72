//! Instants on the wire: Postgres' own form, microseconds since 2000, without a detour over calendars.
//!
//! Instants are kept to the microsecond; an instant outside Postgres' range is moved to its nearest end (years before
//! 4713 BC can only come from a producer's broken clock, and nothing decides by them).

use std::time::Duration;

use jiff::Timestamp;
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::types::{Oid, PgInterval};
use sqlx::postgres::{PgArgumentBuffer, PgHasArrayType, PgTypeInfo, PgValueFormat, PgValueRef, Postgres};
use sqlx::{Decode, Encode, Type};

/// 2000-01-01T00:00:00Z in microseconds since 1970.
const EPOCH_2000: i64 = 946_684_800_000_000;
/// 4713-01-01 BC, where Postgres' calendar begins, rounded up to a whole day.
const EARLIEST: i64 = -210_866_716_800_000_000;

/// A [`Timestamp`] as `timestamptz`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Instant(pub(crate) Timestamp);

impl Type<Postgres> for Instant {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(Oid(1184))
    }
}

impl PgHasArrayType for Instant {
    fn array_type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(Oid(1185))
    }
}

impl Encode<'_, Postgres> for Instant {
    fn encode_by_ref(&self, buf: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        let micros = self.0.as_microsecond() - EPOCH_2000;
        Encode::<Postgres>::encode(micros.max(EARLIEST), buf)
    }

    fn size_hint(&self) -> usize {
        size_of::<i64>()
    }
}

impl<'r> Decode<'r, Postgres> for Instant {
    fn decode(value: PgValueRef<'r>) -> Result<Self, BoxDynError> {
        if value.format() == PgValueFormat::Text {
            return Err("instants are read in Postgres' binary form".into());
        }
        let micros: i64 = Decode::<Postgres>::decode(value)?;
        let since_1970 = micros.checked_add(EPOCH_2000).ok_or("an infinite instant")?;
        Ok(Self(Timestamp::from_microsecond(since_1970)?))
    }
}

/// Wraps an optional instant for binding.
pub(crate) fn maybe(at: Option<Timestamp>) -> Option<Instant> {
    at.map(Instant)
}

/// A length of time for binding.
pub(crate) fn interval(length: Duration) -> PgInterval {
    PgInterval { months: 0, days: 0, microseconds: i64::try_from(length.as_micros()).unwrap_or(i64::MAX) }
}
