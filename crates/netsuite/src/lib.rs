#![doc = include_str!("../README.md")]

mod auth;
mod columns;
mod config;
mod connection;
mod encode;
mod errors;
mod notes;
mod pace;
mod patch;
mod poll;
mod read;
mod remote;
mod snapshot;
mod suiteql;
mod write;

pub use config::{Auth, ConfigError, DEFAULT_CONCURRENCY_LIMIT, DEFAULT_TIMEOUT, NetsuiteConfig, QueryVia};
pub use connection::{CONNECT_TIMEOUT, Connection, LARGEST_ANSWER, LEAST_TIME_TO_SEND, check};
pub use errors::{Meaning, Refusal, Surface, refusal};
pub use pace::{CLEAN_MINUTE, Gate, LONGEST_RETRY_AFTER, Pace, Permit, Shut};
pub use poll::{Cursor, DeletedRow, LineRow, ModifiedRow, Page};
pub use remote::NetsuiteRemote;
pub use suiteql::{IN_LIST, PAGE_ROWS};
pub use write::WRITES_PER_CALL;
