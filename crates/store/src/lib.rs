#![doc = include_str!("../README.md")]

pub mod bus;
mod error;
pub mod outbox;
pub mod records;

pub use error::StoreError;
