//! The relay from outside: every row of the table in contracts §4, and the service as the chassis hosts it.

mod service;
mod table;
mod world;
