//! The client against a NetSuite of a few lines: every answer is scripted, every request is looked at.
#![allow(clippy::unwrap_used)] // helpers outside of test functions

mod account;
mod auth;
mod mock;
mod polls;
mod reads;
mod refusals;
mod troubles;
mod writes;
