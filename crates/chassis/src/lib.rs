#![doc = include_str!("../README.md")]

// A batch is many small values, made on one thread and freed on another, and the C library's allocator spends a third of
// a service's processor time on them. How it holds memory is set in `.cargo/config.toml`.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

pub mod accounts;
pub mod bus;
pub mod crash;
pub mod duty;
pub mod gate;
pub mod health;
mod patience;
pub mod policy;
pub mod problem;
pub mod relay;
pub mod rules;
pub mod service;
pub mod settings;
pub mod snapshots;
pub mod sync;
pub mod telemetry;
pub mod trace;
pub mod worker;

pub use service::Parts;
