//! A duty: work that waits in Postgres rather than on the bus. It is done until nothing is due, then woken by NOTIFY, by
//! the next due instant, or by the sweep — a net, not the motor.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use model::Timestamp;
use sqlx::postgres::PgListener;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::service::Parts;

/// Longest sleep of a duty that knows of nothing due.
const SWEEP: Duration = Duration::from_secs(5);
/// Shortest sleep, so that work held by another replica does not spin the loop.
const BREATH: Duration = Duration::from_millis(5);
/// Wait after a failure of our own parts.
const OUTAGE: Duration = Duration::from_secs(1);
/// How long one turn may take before the process is unready.
const STALE_AFTER: Duration = Duration::from_secs(120);

/// What a turn found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Turn {
    /// Something was done: come again at once.
    pub worked: bool,
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

/// Wakes a process's duties when work appears on a NOTIFY channel.
pub struct Waker {
    notify: Arc<Notify>,
}

impl Waker {
    /// Listens on `channel` until shutdown; a lost connection wakes everybody and is replaced.
    pub fn listen(parts: &Parts, channel: &'static str) -> Self {
        let notify = Arc::new(Notify::new());
        tokio::spawn(listen(parts.clone(), channel, notify.clone()));
        Self { notify }
    }

    /// A waker that only [`Waker::wake`] pulls.
    pub fn silent() -> Self {
        Self { notify: Arc::new(Notify::new()) }
    }

    /// Wakes the waiting duties.
    pub fn wake(&self) {
        self.notify.notify_waiters();
    }

    /// What duties wait on.
    pub fn handle(&self) -> Arc<Notify> {
        self.notify.clone()
    }
}

async fn listen(parts: Parts, channel: &'static str, notify: Arc<Notify>) {
    while !parts.shutdown.is_cancelled() {
        let heard = parts.shutdown.run_until_cancelled(hear(&parts, channel, &notify)).await;
        notify.notify_waiters();
        if let Some(Err(error)) = heard {
            tracing::warn!(channel, %error, "the connection that listens on {channel} was lost: {error}");
            parts.shutdown.run_until_cancelled(tokio::time::sleep(OUTAGE)).await;
        }
    }
}

async fn hear(parts: &Parts, channel: &str, notify: &Notify) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(&parts.pool).await?;
    listener.listen(channel).await?;
    loop {
        if listener.try_recv().await?.is_none() {
            return Ok(());
        }
        while listener.next_buffered().is_some() {}
        notify.notify_waiters();
    }
}

/// Runs a duty until shutdown.
pub async fn run(parts: &Parts, name: &str, wake: Arc<Notify>, duty: Arc<dyn Duty>) {
    let progress = parts.health.progress(name, STALE_AFTER);
    let stop: &CancellationToken = &parts.shutdown;
    while !stop.is_cancelled() {
        progress.tick();
        // Registered before the work is looked for: a bell that rings in between is not missed.
        let woken = wake.notified();
        tokio::pin!(woken);
        woken.as_mut().enable();
        match duty.turn().await {
            Ok(turn) if turn.worked => progress.unblock(),
            Ok(turn) => {
                progress.unblock();
                let wait = wait(parts.clock.now(), turn.next_due);
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = woken => {}
                    () = tokio::time::sleep(wait) => {}
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
}
