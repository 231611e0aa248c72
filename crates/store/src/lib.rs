#![doc = include_str!("../README.md")]

pub mod bus;
mod cells;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod connect;
mod error;
pub mod errors;
mod instant;
mod json_text;
pub mod outbox;
mod pg_records;
pub mod watermark;
pub mod events;
pub mod accounts;
pub mod records;

pub use connect::{connect, migrate};
pub use error::StoreError;
pub use pg_records::{PgRecords, WORK_CHANNEL};
