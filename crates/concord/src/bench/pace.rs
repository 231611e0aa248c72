//! Keeps a producer so far ahead of its consumer and no further: a backlog without end would measure the backlog.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use tokio::sync::Notify;

/// Nothing settled for this long is a standstill.
const STANDSTILL: Duration = Duration::from_secs(60);

/// How many were published and how many are settled.
#[derive(Debug)]
pub struct Pace {
    limit: u64,
    published: AtomicU64,
    settled: AtomicU64,
    moved: Notify,
}

impl Pace {
    /// Nothing published yet; at most `limit` ahead.
    pub fn new(limit: u64) -> Self {
        Self { limit, published: AtomicU64::new(0), settled: AtomicU64::new(0), moved: Notify::new() }
    }

    /// Published so far.
    pub fn published(&self) -> u64 {
        self.published.load(Ordering::Acquire)
    }

    /// Settled so far.
    pub fn settled(&self) -> u64 {
        self.settled.load(Ordering::Acquire)
    }

    /// Notes that so many more were published.
    pub fn publish(&self, count: u64) {
        self.published.fetch_add(count, Ordering::AcqRel);
    }

    /// Notes that so many more are settled.
    pub fn settle(&self, count: u64) {
        self.settled.fetch_add(count, Ordering::AcqRel);
        self.moved.notify_waiters();
    }

    /// Notes how many are settled in all; fewer than known before is passed over.
    pub fn settled_in_all(&self, count: u64) {
        if self.settled.fetch_max(count, Ordering::AcqRel) < count {
            self.moved.notify_waiters();
        }
    }

    /// Waits until so many more may be published.
    ///
    /// # Errors
    /// When nothing moves for a minute.
    pub async fn room(&self, count: u64) -> Result<()> {
        self.until(|| self.published() + count <= self.settled() + self.limit.max(count)).await
    }

    /// Waits until so many are settled in all.
    ///
    /// # Errors
    /// When nothing moves for a minute.
    pub async fn reached(&self, count: u64) -> Result<()> {
        self.until(|| self.settled() >= count).await
    }

    async fn until(&self, reached: impl Fn() -> bool) -> Result<()> {
        let (mut last, mut moved_at) = (self.settled(), Instant::now());
        loop {
            let moved = self.moved.notified();
            tokio::pin!(moved);
            // Registered before the look, so that nothing that moves in between is missed.
            moved.as_mut().enable();
            if reached() {
                return Ok(());
            }
            if self.settled() != last {
                (last, moved_at) = (self.settled(), Instant::now());
            } else if moved_at.elapsed() >= STANDSTILL {
                bail!(
                    "nothing was settled for {} s, with {} of {} published events settled",
                    STANDSTILL.as_secs(),
                    self.settled(),
                    self.published()
                );
            }
            // The timeout only serves the look at a standstill.
            let _ = tokio::time::timeout(STANDSTILL, moved).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_producer_waits_at_its_limit_until_something_is_settled() {
        let pace = Pace::new(10);
        pace.room(8).await.unwrap();
        pace.publish(8);
        let waiting = tokio::time::timeout(Duration::from_millis(20), pace.room(4)).await;
        assert!(waiting.is_err(), "12 of 10 were let through");
        let (room, ()) = tokio::join!(pace.room(4), async { pace.settle(2) });
        room.unwrap();
        pace.publish(4);
        pace.settled_in_all(12);
        pace.settled_in_all(5);
        pace.reached(12).await.unwrap();
        assert_eq!((pace.published(), pace.settled()), (12, 12));
    }

    #[tokio::test]
    async fn a_batch_larger_than_the_limit_goes_alone() {
        let pace = Pace::new(10);
        pace.room(50).await.unwrap();
    }
}
