//! What users did: every value typed, with the value it replaced on their screen.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use model::Side;

/// The other side's change is this fresh when an edit counts as contended.
const FRESH: Duration = Duration::from_secs(2);

/// A record by the id of the side on which somebody acted.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) record_type: &'static str,
    pub(crate) side: Side,
    pub(crate) id: String,
}

/// One thing a user did to one field in the application. What users did in NetSuite stands in its system notes.
#[derive(Debug, Clone)]
pub(crate) enum Deed {
    /// Typed a value over another; none means empty.
    Typed { field: &'static str, old: Option<String>, new: Option<String> },
    /// Added to a number.
    Added { field: &'static str, amount: i64 },
    /// Put an element into a set.
    Put { field: &'static str, element: String },
    /// Took an element out of a set that it was in.
    Took { field: &'static str, element: String },
    /// Deleted the record.
    Deleted,
}

/// When somebody last edited, and the text field if it was one.
type Trace = (Instant, Option<&'static str>);

#[derive(Debug, Default)]
struct Pages {
    deeds: Vec<(Place, Deed)>,
    last: HashMap<(usize, Side), Trace>,
    edits: usize,
    contended: usize,
    refused: usize,
}

/// Everything that users of one account did.
#[derive(Debug, Default)]
pub(crate) struct Diary(Mutex<Pages>);

impl Diary {
    fn pages(&self) -> std::sync::MutexGuard<'_, Pages> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A deed.
    pub(crate) fn write(&self, place: &Place, deed: Deed) {
        self.pages().deeds.push((place.clone(), deed));
    }

    /// An edit of target `n` by a user of `side` succeeded just now; of this text field, if of one.
    pub(crate) fn edited(&self, n: usize, side: Side, field: Option<&'static str>) {
        let now = Instant::now();
        let mut pages = self.pages();
        pages.edits += 1;
        if pages.last.get(&(n, side.other())).is_some_and(|(at, _)| now.duration_since(*at) < FRESH) {
            pages.contended += 1;
        }
        pages.last.insert((n, side), (now, field));
    }

    /// A user was refused.
    pub(crate) fn refused(&self) {
        self.pages().refused += 1;
    }

    /// Targets that the other side changed lately, the latest first, with the text field it typed into: where to edit
    /// for contention.
    pub(crate) fn fresh(&self, other: Side) -> Vec<(usize, Option<&'static str>)> {
        let now = Instant::now();
        let pages = self.pages();
        let mut fresh: Vec<(usize, Trace)> = pages
            .last
            .iter()
            .filter(|((_, side), (at, _))| *side == other && now.duration_since(*at) < FRESH)
            .map(|((n, _), trace)| (*n, *trace))
            .collect();
        fresh.sort_by_key(|(n, (at, _))| (std::cmp::Reverse(*at), *n));
        fresh.into_iter().map(|(n, (_, field))| (n, field)).collect()
    }

    /// All deeds.
    pub(crate) fn deeds(&self) -> Vec<(Place, Deed)> {
        self.pages().deeds.clone()
    }

    /// Edits, and how many of them were contended.
    pub(crate) fn pressure(&self) -> (usize, usize) {
        let pages = self.pages();
        assert!(pages.refused * 5 < pages.edits.max(5), "{} of {} edits were refused", pages.refused, pages.edits);
        (pages.edits, pages.contended)
    }
}
