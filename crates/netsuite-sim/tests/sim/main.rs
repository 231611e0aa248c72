//! The simulator over HTTP, as its callers see it.

mod clients;
mod harness;

mod faults;
mod limits;
mod logins;
mod persistence;
mod records;
mod scripts;
mod suiteql;
mod world;
mod writes;
