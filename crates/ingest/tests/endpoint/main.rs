//! The relay from outside: every row of the table in contracts §4, and the service as the chassis hosts it.

#![allow(clippy::unwrap_used)] // helpers of tests may panic, as tests do

mod away;
mod service;
mod table;
mod world;
