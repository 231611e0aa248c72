//! The seeded world: two systems, their users, a bus, faults, and a scheduler that decides at every await what goes on.

pub mod bus;
pub mod coverage;
pub mod ledger;
pub mod notes;
pub mod poller;
pub mod reconciler;
pub mod remote;
pub mod requests;
pub mod run;
pub mod stage;
pub mod types;
pub mod users;
pub mod vary;
