//! The console's API over a real database: every call, every role, every refusal.
#![allow(clippy::unwrap_used, unreachable_pub)] // a test that cannot go on has failed

#[path = "../../../../tests/support/given.rs"]
#[allow(dead_code)]
mod given;
#[path = "../../../../tests/support/stage.rs"]
#[allow(dead_code)] // every service's tests use a part of it
mod stage;

mod decisions;
mod past;
mod queue;
mod reading;
mod resync;
mod roles;
mod world;
