#![doc = include_str!("../README.md")]

pub mod accounts;
pub mod bus;
pub mod duty;
pub mod gate;
pub mod health;
pub mod policy;
pub mod problem;
pub mod relay;
pub mod service;
pub mod settings;
pub mod sync;
pub mod telemetry;
pub mod trace;
pub mod worker;

pub use service::Parts;
