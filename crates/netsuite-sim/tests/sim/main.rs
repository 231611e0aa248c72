//! The simulator over HTTP, as its callers see it.

#![allow(clippy::unwrap_used, reason = "a broken expectation ends the test")]

mod clients;
mod harness;
mod relay;

mod control;
mod costs;
mod errors;
mod faults;
mod generator;
mod limits;
mod logins;
mod outbox;
mod persistence;
mod pitfalls;
mod projects;
mod records;
mod resources;
mod scripts;
mod settings;
mod suiteql;
mod tables;
mod third_party;
mod world;
mod writes;
