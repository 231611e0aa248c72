#![doc = include_str!("../README.md")]

mod claim;
mod core;
mod fast_delta;
mod gather;
mod identity;
mod intake;
mod merging;
mod observe;
mod poll;
mod reconcile;
mod recover;
mod resolve;
mod resync;
mod ring;
mod settle;
mod strangers;
mod swap;
mod tally;
mod undo;
mod write;
mod writer;

pub use core::{Absent, Core, Engine, Settings, StepError};
pub use intake::{intake, to_hint};
pub use merging::{Merged, merge_step};
pub use poll::{News, Swept, news, news_of_deletion};
pub use reconcile::{Look, LookError};
pub use recover::{Recovered, recover_step};
pub use resolve::{Choice, ResolveError, ResolveRequest, lock_record, resolve, ring_records, unlock};
pub use resync::{Change, Held, Loss, Planned, PlannedWrite};
pub use strangers::{Becomes, Meeting, Stranger, Whose};
pub use swap::{Swapped, swap};
pub use tally::{Example, MAX_EXAMPLES, Sum, Tally, Why};
pub use undo::{UndoError, UndoRequest, undo};
pub use write::{Written, write_step};
pub use writer::{Worked, Writer};
