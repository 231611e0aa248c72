#![doc = include_str!("../README.md")]

pub mod bench;
pub mod cli;
pub mod console;
pub mod dev;
pub mod doctor;
pub mod migrate;
pub mod replay;
mod say;
pub mod sides;
pub mod sim;
