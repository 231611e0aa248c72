#![doc = include_str!("../README.md")]

mod agreement;
mod attribution;
mod existence;
mod field;
mod fold;
mod form;
mod lines;
pub mod normal;
mod owed;
mod policy;
mod references;
pub mod replay;
mod resolution;
mod schedule;
pub mod undo;

pub use agreement::{agreed_part, differs};
pub use fold::{Effects, FoldError, fold};
pub use form::{form, renamed, renormalisation};
pub use lines::key_lines;
pub use owed::{Owed, owed};
pub use policy::OSCILLATION_WINDOW;
pub use references::{each_reference, map_references};
pub use schedule::{held_until, settle_columns};
