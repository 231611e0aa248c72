//! A duty: work that waits in Postgres rather than on the bus. It is done until nothing is due, then woken at the next due
//! instant, or by the sweep — a net, not the motor. NOTIFY moves that instant forward: its payload says when the new work
//! falls due, so a bell costs no look into the database before there is something to find.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use model::Timestamp;
use sqlx::postgres::PgListener;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::service::Parts;

/// Longest sleep of a duty that knows of nothing due.
const SWEEP: Duration = Duration::from_secs(5);
/// Shortest sleep after a turn that was not full: what falls due meanwhile is done together, and work held by another
/// replica does not spin the loop.
const BREATH: Duration = Duration::from_millis(20);
/// Wait after a failure of our own parts.
const OUTAGE: Duration = Duration::from_secs(1);
/// How long one turn may take before the process is unready.
const STALE_AFTER: Duration = Duration::from_secs(120);
/// Due at once.
const NOW: i64 = i64::MIN;
/// Nothing was heard.
const SILENCE: i64 = i64::MAX;

/// What a turn found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Turn {
    /// As much was done as one turn does: come again at once.
    pub full: bool,
    /// When something falls due.
    pub next_due: Option<Timestamp>,
}

/// Work that waits in Postgres.
#[async_trait]
pub trait Duty: Send + Sync + 'static {
    /// Does one batch of what is due.
    ///
    /// # Errors
    /// Our own parts fail; nothing is lost, the loop waits and tries again, and the process is not ready meanwhile.
    async fn turn(&self) -> anyhow::Result<Turn>;
}

/// What one duty hears.
#[derive(Debug)]
pub struct Bell {
    rung: Notify,
    /// The earliest due instant heard since the last turn began, in milliseconds since 1970.
    due: AtomicI64,
}

impl Bell {
    fn new() -> Self {
        Self { rung: Notify::new(), due: AtomicI64::new(SILENCE) }
    }

    fn ring(&self, due: i64) {
        self.due.fetch_min(due, Ordering::AcqRel);
        self.rung.notify_one();
    }

    /// How long until the earliest that was heard; `None` when nothing was.
    fn wait(&self, now: Timestamp) -> Option<Duration> {
        match self.due.load(Ordering::Acquire) {
            SILENCE => None,
            due => Some(Duration::from_millis(due.saturating_sub(now.as_millisecond()).max(0).unsigned_abs())),
        }
    }
}

/// Wakes a process's duties when work appears on a NOTIFY channel.
#[derive(Clone, Default)]
pub struct Waker {
    bells: Arc<Mutex<Vec<Arc<Bell>>>>,
}

impl Waker {
    /// Listens on `channel` for `word` until shutdown; a lost connection wakes everybody and is replaced.
    pub fn listen(parts: &Parts, channel: &'static str, word: &'static str) -> Self {
        let waker = Self::silent();
        tokio::spawn(listen(parts.clone(), channel, word, waker.clone()));
        waker
    }

    /// A waker that only [`Waker::wake`] pulls.
    pub fn silent() -> Self {
        Self::default()
    }

    /// Wakes the waiting duties at once.
    pub fn wake(&self) {
        self.ring(NOW);
    }

    /// What one duty waits on; each has its own.
    pub fn bell(&self) -> Arc<Bell> {
        let bell = Arc::new(Bell::new());
        self.bells.lock().unwrap_or_else(PoisonError::into_inner).push(bell.clone());
        bell
    }

    fn ring(&self, due: i64) {
        for bell in self.bells.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            bell.ring(due);
        }
    }
}

async fn listen(parts: Parts, channel: &'static str, word: &'static str, waker: Waker) {
    while !parts.shutdown.is_cancelled() {
        let heard = parts.shutdown.run_until_cancelled(hear(&parts, channel, word, &waker)).await;
        waker.wake();
        if let Some(Err(error)) = heard {
            tracing::warn!(channel, %error, "the connection that listens on {channel} was lost: {error}");
            parts.shutdown.run_until_cancelled(tokio::time::sleep(OUTAGE)).await;
        }
    }
}

async fn hear(parts: &Parts, channel: &str, word: &str, waker: &Waker) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(&parts.pool).await?;
    listener.listen(channel).await?;
    // What was left while nobody listened.
    waker.wake();
    while let Some(heard) = listener.try_recv().await? {
        if let Some(due) = due_of(heard.payload(), word) {
            waker.ring(due);
        }
    }
    Ok(())
}

/// When the work for `word` falls due, by a payload such as `merge=1764126000000 netsuite=1764126002000`. `None`: there
/// is none for it. A time that cannot be read is now.
fn due_of(payload: &str, word: &str) -> Option<i64> {
    let of_word = |part: &str| part.split_once('=').filter(|(name, _)| *name == word).map(|(_, at)| at.parse());
    payload.split(' ').find_map(of_word).map(|at| at.unwrap_or(NOW))
}

/// Runs a duty until shutdown.
pub async fn run(parts: &Parts, name: &str, bell: Arc<Bell>, duty: Arc<dyn Duty>) {
    let progress = parts.health.progress(name, STALE_AFTER);
    let stop: &CancellationToken = &parts.shutdown;
    while !stop.is_cancelled() {
        progress.tick();
        // What rang before the turn is found by it; what rings during it counts afterwards.
        bell.due.store(SILENCE, Ordering::Release);
        match duty.turn().await {
            Ok(turn) => {
                progress.unblock();
                if !turn.full {
                    let until = Instant::now() + wait(parts.clock.now(), turn.next_due);
                    stop.run_until_cancelled(rest(parts, &bell, until)).await;
                }
            }
            Err(error) => {
                tracing::error!(duty = name, error = format!("{error:#}"), "{name} waits: {error:#}");
                progress.block("its own parts fail");
                stop.run_until_cancelled(tokio::time::sleep(OUTAGE)).await;
            }
        }
    }
}

/// Sleeps until then, or until what is heard meanwhile falls due.
async fn rest(parts: &Parts, bell: &Bell, mut until: Instant) {
    loop {
        if let Some(wait) = bell.wait(parts.clock.now()) {
            until = until.min(Instant::now() + wait);
        }
        tokio::select! {
            () = tokio::time::sleep_until(until) => return,
            () = bell.rung.notified() => {}
        }
    }
}

fn wait(now: Timestamp, due: Option<Timestamp>) -> Duration {
    let until = due.map_or(SWEEP, |due| due.duration_since(now).try_into().unwrap_or(Duration::ZERO));
    until.clamp(BREATH, SWEEP)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duty_sleeps_until_the_next_due_instant_within_its_bounds() {
        let now = Timestamp::UNIX_EPOCH;
        let at = |millis| Timestamp::from_millisecond(millis).ok();
        assert_eq!(wait(now, None), SWEEP);
        assert_eq!(wait(now, at(250)), Duration::from_millis(250));
        assert_eq!(wait(now, at(-250)), BREATH);
        assert_eq!(wait(now, at(3_600_000)), SWEEP);
    }

    #[test]
    fn a_bell_says_for_whom_and_when() {
        let payload = "merge=1764126000000 netsuite=soon";
        assert_eq!(due_of(payload, "merge"), Some(1_764_126_000_000));
        assert_eq!(due_of(payload, "netsuite"), Some(NOW), "better too early than never");
        assert_eq!(due_of(payload, "suitex"), None);
        assert_eq!(due_of("", "merge"), None);
    }

    #[test]
    fn a_bell_remembers_the_earliest_and_every_duty_has_its_own() {
        let now = Timestamp::UNIX_EPOCH;
        let waker = Waker::silent();
        let (one, other) = (waker.bell(), waker.bell());
        waker.ring(300);
        waker.ring(200);
        waker.ring(400);
        one.due.store(SILENCE, Ordering::Release);
        assert_eq!(one.wait(now), None);
        assert_eq!(other.wait(now), Some(Duration::from_millis(200)));
        waker.wake();
        assert_eq!(other.wait(now), Some(Duration::ZERO));
    }
}
