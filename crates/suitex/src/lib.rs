#![doc = include_str!("../README.md")]

mod apply;
mod canonical;
pub mod capture;
mod connect;
mod error;
mod identifier;
mod layout;
mod read;
mod refusal;
mod remote;
mod schema;
mod write;

pub use connect::connect;
pub use error::SuitexError;
pub use remote::SuitexRemote;
pub use schema::{CaptureTable, capture_table, install_capture, install_sample, migrate};
