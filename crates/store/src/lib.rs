#![doc = include_str!("../README.md")]

pub mod accounts;
pub mod audit;
pub mod bus;
mod cells;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod connect;
mod error;
pub mod errors;
pub mod events;
pub mod forms;
pub mod handoff;
mod instant;
mod json_text;
pub mod listing;
pub mod outbox;
mod pg_records;
pub mod records;
pub mod replay;
pub mod resyncs;
pub mod rules;
pub mod slots;
pub mod sweeps;
pub mod waiting;
pub mod watermark;

pub use connect::{connect, migrate};
pub use error::StoreError;
pub use pg_records::{PgRecords, WORK_CHANNEL};
