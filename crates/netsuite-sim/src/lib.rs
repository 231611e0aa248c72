#![doc = include_str!("../README.md")]

mod account;
mod app;
mod auth;
mod catalog;
mod clock;
mod config;
mod control;
mod faults;
mod format;
mod gate;
mod ledger;
mod pool;
mod rest;
mod restlet;
mod script;
mod server;
mod suiteql;
mod token;
mod wire;
mod world;

#[doc(hidden)]
pub mod fuzzing;

pub use auth::MappingError;
pub use config::{AccountConfig, Config, ConfigError, IngestConfig, OAuth2Config, ScriptsConfig, Secret, TbaConfig};
pub use script::{ObjectFault, ProjectError, ScriptError};
pub use server::{GenerateError, Running, StartError, start};
pub use world::{Amounts, Generated, INTEGRATION_USER, Tier};
