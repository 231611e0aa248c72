#![doc = include_str!("../README.md")]

pub mod checks;
pub mod creates;
pub mod memory;
pub mod mutants;
pub mod pause;
pub mod scene;
pub mod sim;
pub mod world;
