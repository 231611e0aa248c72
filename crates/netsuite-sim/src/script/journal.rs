//! The execution log of an account's scripts: what they said, and what they threw.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use serde::Serialize;

const MOST_ENTRIES: usize = 1_000;
/// NetSuite's bounds of a title and its details.
const MOST_TITLE: usize = 99;
const MOST_DETAILS: usize = 3_999;

/// One entry.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Entry {
    pub(crate) at: Timestamp,
    pub(crate) script: String,
    pub(crate) deployment: String,
    /// `debug`, `audit`, `error`, `emergency`; `system` for what the script itself did not say.
    pub(crate) level: String,
    pub(crate) title: String,
    pub(crate) details: String,
}

/// The latest entries.
#[derive(Debug, Default)]
pub(crate) struct Journal(Mutex<VecDeque<Entry>>);

impl Journal {
    pub(crate) fn note(&self, mut entry: Entry) {
        cut(&mut entry.title, MOST_TITLE);
        cut(&mut entry.details, MOST_DETAILS);
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= MOST_ENTRIES {
            entries.pop_front();
        }
        entries.push_back(entry);
    }

    /// All entries there still are, oldest first.
    pub(crate) fn read(&self) -> Vec<Entry> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    pub(crate) fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

fn cut(text: &mut String, chars: usize) {
    if let Some((end, _)) = text.char_indices().nth(chars) {
        text.truncate(end);
    }
}
