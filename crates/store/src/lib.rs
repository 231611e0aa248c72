#![doc = include_str!("../README.md")]

pub mod bus;
mod cells;
mod connect;
mod error;
pub mod errors;
mod instant;
mod json_text;
pub mod outbox;
mod pg_records;
pub mod records;

pub use connect::{connect, migrate};
pub use error::StoreError;
pub use pg_records::{PgRecords, WORK_CHANNEL};
