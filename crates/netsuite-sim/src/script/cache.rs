//! N/cache: what scripts keep for a while, in memory and without any promise.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};

use super::fault::Fault;

const LEAST_SECONDS: i64 = 300;
/// A value in characters; NetSuite takes half a megabyte.
const MOST_CHARS: usize = 500_000;
const MOST_ENTRIES: usize = 10_000;

/// Scope, cache and key.
type Place<'a> = (&'a str, &'a str, &'a str);

/// The caches of an account. Their entries end by NetSuite's clock.
#[derive(Debug, Default)]
pub(crate) struct Cache(Mutex<HashMap<(String, String, String), Kept>>);

#[derive(Debug)]
struct Kept {
    value: String,
    /// When it ends, if it does.
    until: Option<Timestamp>,
}

impl Cache {
    pub(super) fn get(&self, place: Place<'_>, now: Timestamp) -> Option<String> {
        let mut entries = self.lock();
        let place = owned(place);
        if entries.get(&place).is_some_and(|kept| kept.until.is_some_and(|until| until <= now)) {
            entries.remove(&place);
        }
        entries.get(&place).map(|kept| kept.value.clone())
    }

    /// # Errors
    /// A value too long, or a time to live shorter than NetSuite allows.
    pub(super) fn put(&self, place: Place<'_>, value: &str, ttl: Option<i64>, now: Timestamp) -> Result<(), Fault> {
        if value.len() > MOST_CHARS {
            return Err(Fault::new(
                "SSS_CACHE_VALUE_TOO_LARGE",
                &format!("a value has at most {MOST_CHARS} characters"),
            ));
        }
        if ttl.is_some_and(|seconds| seconds < LEAST_SECONDS) {
            return Err(Fault::new("SSS_INVALID_TTL", &format!("ttl is {LEAST_SECONDS} seconds or more")));
        }
        let until = ttl.and_then(|seconds| now.checked_add(SignedDuration::from_secs(seconds)).ok());
        let mut entries = self.lock();
        // A cache may lose anything at any time, so it may lose everything when it is full.
        if entries.len() >= MOST_ENTRIES {
            entries.clear();
        }
        entries.insert(owned(place), Kept { value: value.to_owned(), until });
        Ok(())
    }

    pub(super) fn remove(&self, place: Place<'_>) {
        self.lock().remove(&owned(place));
    }

    /// Loses everything, as NetSuite's cache may.
    pub(crate) fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(String, String, String), Kept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn owned((scope, name, key): Place<'_>) -> (String, String, String) {
    (scope.to_owned(), name.to_owned(), key.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place<'static> = ("PROTECTED", "concord", "k");

    #[test]
    fn an_entry_ends_by_the_clock_and_may_be_lost_before() {
        let cache = Cache::default();
        let now: Timestamp = "2026-03-02T10:00:00Z".parse().unwrap();
        let later = |seconds| now.checked_add(SignedDuration::from_secs(seconds)).unwrap();
        cache.put(PLACE, "v", Some(300), now).unwrap();
        assert_eq!(cache.get(PLACE, later(299)).as_deref(), Some("v"));
        assert_eq!(cache.get(PLACE, later(300)), None);
        cache.put(PLACE, "v", None, now).unwrap();
        cache.clear();
        assert_eq!(cache.get(PLACE, now), None);
        assert_eq!(cache.put(PLACE, "v", Some(299), now).unwrap_err().name, "SSS_INVALID_TTL");
    }
}
