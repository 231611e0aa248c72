//! How many requests at once an account gets from us.
//!
//! NetSuite's pool is shared with the customer's other integrations (fact sheet §6.1), so the share is found out:
//! start at half, one more for every clean minute, half of it after a refusal, never less than one.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use model::{AccountId, Clock, Timestamp};
use tokio::sync::Notify;

/// The limit rises by one after this long without a refusal.
pub const CLEAN_MINUTE: Duration = Duration::from_secs(60);
/// Longest `Retry-After` that is obeyed; a longer one is cut, since the header is not documented at all.
pub const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(600);

const LIMIT: &str = "concord_netsuite_concurrency_limit";
const IN_FLIGHT: &str = "concord_netsuite_in_flight";
const REQUESTS: &str = "concord_netsuite_requests_total";

/// The concurrency gate of one account.
pub struct Gate {
    account: AccountId,
    ceiling: u32,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    freed: Notify,
}

struct State {
    limit: u32,
    in_flight: u32,
    /// Raised with every halving: a refusal of a call that began before it says nothing new.
    round: u64,
    clean_since: Timestamp,
    shut_until: Option<Timestamp>,
}

/// The gate as it stands, for metrics and the console.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Requests at once allowed at present.
    pub limit: u32,
    /// Requests under way.
    pub in_flight: u32,
}

/// The right to have one request under way; given back when dropped.
pub struct Permit {
    gate: Arc<Gate>,
    round: u64,
}

/// The remote asked for a pause that is not over yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shut {
    /// What is left of it.
    pub rest: Duration,
}

impl Gate {
    /// A gate that starts at half the account's limit. `ceiling` is that limit, at least 1.
    pub fn new(account: AccountId, ceiling: u32, clock: Arc<dyn Clock>) -> Arc<Self> {
        let clean_since = clock.now();
        let state = State { limit: (ceiling / 2).max(1), in_flight: 0, round: 0, clean_since, shut_until: None };
        let gate = Self { account, ceiling: ceiling.max(1), clock, state: Mutex::new(state), freed: Notify::new() };
        gate.publish(&gate.state());
        Arc::new(gate)
    }

    /// Waits for a place. While the remote's own pause lasts nobody waits: every caller has work that can be put off.
    ///
    /// # Errors
    /// [`Shut`] with the rest of the pause.
    pub async fn enter(self: &Arc<Self>) -> Result<Permit, Shut> {
        loop {
            let freed = self.freed.notified();
            tokio::pin!(freed);
            // Registered before the look, so that a place freed in between is not missed.
            freed.as_mut().enable();
            if let Some(permit) = self.try_enter()? {
                return Ok(permit);
            }
            freed.await;
        }
    }

    fn try_enter(self: &Arc<Self>) -> Result<Option<Permit>, Shut> {
        let now = self.clock.now();
        let mut state = self.state();
        if let Some(until) = state.shut_until {
            match Duration::try_from(until.duration_since(now)) {
                Ok(rest) if !rest.is_zero() => return Err(Shut { rest }),
                _ => state.shut_until = None,
            }
        }
        self.rise(&mut state, now);
        if state.in_flight >= state.limit {
            return Ok(None);
        }
        state.in_flight += 1;
        self.publish(&state);
        Ok(Some(Permit { gate: Arc::clone(self), round: state.round }))
    }

    fn rise(&self, state: &mut State, now: Timestamp) {
        let clean = Duration::try_from(now.duration_since(state.clean_since)).unwrap_or_default();
        if state.limit < self.ceiling && clean >= CLEAN_MINUTE {
            state.limit += 1;
            state.clean_since = now;
            self.publish(state);
            self.freed.notify_one();
        }
    }

    /// The gate as it stands.
    pub fn pace(&self) -> Pace {
        let state = self.state();
        Pace { limit: state.limit, in_flight: state.in_flight }
    }

    /// Counts one answer, or its absence, under a bounded word (an HTTP status, `timeout`, `reset`, `connect`).
    pub fn count(&self, code: &str) {
        metrics::counter!(REQUESTS, "account" => self.account.to_string(), "code" => code.to_owned()).increment(1);
    }

    fn publish(&self, state: &State) {
        metrics::gauge!(LIMIT, "account" => self.account.to_string()).set(f64::from(state.limit));
        metrics::gauge!(IN_FLIGHT, "account" => self.account.to_string()).set(f64::from(state.in_flight));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit {
    /// The call was refused for load: half the pace, and a pause where the remote asked for one.
    pub fn refused(&self, retry_after: Option<Duration>) {
        let now = self.gate.clock.now();
        let mut state = self.gate.state();
        if let Some(pause) = retry_after {
            let until = now.checked_add(pause.min(LONGEST_RETRY_AFTER)).ok();
            state.shut_until = state.shut_until.max(until);
            // Whoever waits for a place learns of the pause instead.
            self.gate.freed.notify_waiters();
        }
        state.clean_since = now;
        if state.round == self.round {
            state.round += 1;
            state.limit = (state.limit / 2).max(1);
            self.gate.publish(&state);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = self.gate.state();
        state.in_flight = state.in_flight.saturating_sub(1);
        self.gate.publish(&state);
        drop(state);
        self.gate.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use model::ManualClock;

    use super::*;

    fn gate(ceiling: u32) -> (Arc<Gate>, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::at(Timestamp::UNIX_EPOCH));
        (Gate::new(AccountId::parse("A1").unwrap(), ceiling, Arc::clone(&clock) as Arc<dyn Clock>), clock)
    }

    fn minutes(clock: &ManualClock, minutes: i64) {
        clock.advance_micros(minutes * 60_000_000);
    }

    #[tokio::test]
    async fn it_starts_at_half_and_never_below_one() {
        for (ceiling, start) in [(1, 1), (2, 1), (5, 2), (20, 10)] {
            assert_eq!(gate(ceiling).0.pace().limit, start);
        }
    }

    #[tokio::test]
    async fn one_more_for_every_clean_minute_up_to_the_accounts_limit() {
        let (gate, clock) = gate(4);
        for expected in [3, 4, 4] {
            minutes(&clock, 1);
            drop(gate.enter().await.unwrap());
            assert_eq!(gate.pace().limit, expected);
        }
    }

    #[tokio::test]
    async fn refusals_of_one_round_halve_once() {
        let (gate, _) = gate(8);
        let permits = [gate.enter().await.unwrap(), gate.enter().await.unwrap(), gate.enter().await.unwrap()];
        permits.iter().for_each(|permit| permit.refused(None));
        assert_eq!(gate.pace(), Pace { limit: 2, in_flight: 3 });
        drop(permits);
        for expected in [1, 1] {
            gate.enter().await.unwrap().refused(None);
            assert_eq!(gate.pace().limit, expected);
        }
    }

    #[tokio::test]
    async fn a_refusal_begins_the_clean_minute_again() {
        let (gate, clock) = gate(8);
        clock.advance_micros(59_000_000);
        gate.enter().await.unwrap().refused(None);
        clock.advance_micros(59_000_000);
        drop(gate.enter().await.unwrap());
        assert_eq!(gate.pace().limit, 2);
    }

    #[tokio::test]
    async fn who_finds_no_place_waits_until_one_is_freed() {
        let (gate, _) = gate(1);
        let first = gate.enter().await.unwrap();
        let second = tokio::spawn({
            let gate = Arc::clone(&gate);
            async move { gate.enter().await.map(|_| ()) }
        });
        tokio::task::yield_now().await;
        assert!(!second.is_finished());
        drop(first);
        assert_eq!(second.await.unwrap(), Ok(()));
    }

    #[tokio::test]
    async fn while_the_remotes_pause_lasts_nobody_is_let_in_and_nobody_waits() {
        let (gate, clock) = gate(1);
        let first = gate.enter().await.unwrap();
        let waiting = tokio::spawn({
            let gate = Arc::clone(&gate);
            async move { gate.enter().await.map(|_| ()) }
        });
        tokio::task::yield_now().await;
        first.refused(Some(Duration::from_secs(7)));
        assert_eq!(waiting.await.unwrap(), Err(Shut { rest: Duration::from_secs(7) }));
        drop(first);
        clock.advance_micros(7_000_000);
        assert!(gate.enter().await.is_ok());
    }

    /// Remembers which families were touched, with which labels.
    #[derive(Default)]
    struct Touched(Mutex<std::collections::BTreeSet<String>>);

    impl Touched {
        fn note(&self, key: &metrics::Key) {
            let labels: Vec<String> = key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
            self.0.lock().unwrap().insert(format!("{}{{{}}}", key.name(), labels.join(",")));
        }
    }

    impl metrics::Recorder for Touched {
        fn describe_counter(&self, _: metrics::KeyName, _: Option<metrics::Unit>, _: metrics::SharedString) {}
        fn describe_gauge(&self, _: metrics::KeyName, _: Option<metrics::Unit>, _: metrics::SharedString) {}
        fn describe_histogram(&self, _: metrics::KeyName, _: Option<metrics::Unit>, _: metrics::SharedString) {}
        fn register_counter(&self, key: &metrics::Key, _: &metrics::Metadata<'_>) -> metrics::Counter {
            self.note(key);
            metrics::Counter::noop()
        }
        fn register_gauge(&self, key: &metrics::Key, _: &metrics::Metadata<'_>) -> metrics::Gauge {
            self.note(key);
            metrics::Gauge::noop()
        }
        fn register_histogram(&self, key: &metrics::Key, _: &metrics::Metadata<'_>) -> metrics::Histogram {
            self.note(key);
            metrics::Histogram::noop()
        }
    }

    #[test]
    fn the_gate_publishes_its_pace_and_counts_every_answer() {
        let touched = Touched::default();
        metrics::with_local_recorder(&touched, || gate(5).0.count("429"));
        let touched: Vec<String> = touched.0.into_inner().unwrap().into_iter().collect();
        assert_eq!(
            touched,
            [
                "concord_netsuite_concurrency_limit{account=A1}",
                "concord_netsuite_in_flight{account=A1}",
                "concord_netsuite_requests_total{account=A1,code=429}",
            ]
        );
    }
}
