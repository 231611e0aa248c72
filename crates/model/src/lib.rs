#![doc = include_str!("../README.md")]

pub mod accounts;
mod clock;
mod digest;
pub mod envelope;
mod error;
mod event;
mod ids;
pub mod limits;
pub mod record;
mod remote;
mod shared;
pub mod spec;
mod value;
pub mod wire;

pub use clock::{Clock, Ids, ManualClock, RandomIds, SeededIds, SystemClock, Timestamp};
pub use digest::{SUM_HASH, SumHash};
pub use error::{ErrorClass, Failure};
pub use event::{ChangeEvent, MergedEvent, Operation, Source, TypedValue};
pub use ids::{
    AccountId, BadId, EventId, NativeId, PerSide, RecordRef, RecordType, Rid, RulesId, Side, WriteId, record_key,
    write_id,
};
pub use remote::{Observed, ReadRequest, Remote, RemoteError, WriteKind, WriteOutcome, WriteRequest};
pub use shared::Shared;
pub use value::{Fields, Line, LineIds, Lines, Value};
