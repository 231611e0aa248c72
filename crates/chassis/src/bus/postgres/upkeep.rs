//! What runs beside the subscribers of a process: the listener, the sweep, the vacuum.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use sqlx::postgres::PgListener;

use super::Inner;

/// Pause before listening again after the connection was lost.
const RECONNECT: Duration = Duration::from_secs(1);
/// How often expired messages are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(60);
/// Most expired messages deleted in one sweep.
const SWEEP_LIMIT: i64 = 10_000;
/// How often it is asked whether enough was acknowledged to vacuum.
const VACUUM_CHECK: Duration = Duration::from_secs(5);

/// Starts listening, sweeping and vacuuming until the bus is closed or dropped.
pub(super) fn spawn(inner: &Arc<Inner>) {
    let closed = inner.closed.clone();
    let weak = Arc::downgrade(inner);
    tokio::spawn({
        let (closed, weak) = (closed.clone(), weak.clone());
        async move { closed.run_until_cancelled(listen(weak)).await }
    });
    tokio::spawn(async move { closed.run_until_cancelled(maintain(weak)).await });
}

async fn listen(weak: Weak<Inner>) {
    loop {
        let Some(pool) = weak.upgrade().map(|inner| inner.pool.clone()) else { return };
        if let Err(error) = hear(&pool, &weak).await {
            tracing::warn!(%error, "the embedded bus is not listening; subscribers poll until it is again");
        }
        tokio::time::sleep(RECONNECT).await;
    }
}

async fn hear(pool: &sqlx::PgPool, weak: &Weak<Inner>) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen(store::bus::CHANNEL).await?;
    loop {
        let heard = listener.try_recv().await?;
        let Some(inner) = weak.upgrade() else { return Ok(()) };
        match heard.as_ref().map(|notification| notification.payload().parse::<i32>()) {
            Some(Ok(subscription)) => {
                if let Some(arrivals) = inner.arrivals().get(&subscription) {
                    arrivals.ring();
                }
            }
            // The connection was lost and made again: anything may have been missed.
            None | Some(Err(_)) => inner.arrivals().values().for_each(|arrivals| arrivals.ring()),
        }
    }
}

async fn maintain(weak: Weak<Inner>) {
    let mut until_sweep = Duration::ZERO;
    let mut vacuumed_at = 0;
    loop {
        tokio::time::sleep(VACUUM_CHECK).await;
        let Some(inner) = weak.upgrade() else { return };
        let acked = inner.acked.load(Ordering::Relaxed);
        if acked - vacuumed_at >= inner.limits.vacuum_after {
            vacuumed_at = acked;
            if let Err(error) = store::bus::vacuum(&inner.pool).await {
                tracing::warn!(%error, "the embedded bus was not vacuumed");
            }
        }
        until_sweep = until_sweep.saturating_sub(VACUUM_CHECK);
        if until_sweep.is_zero() {
            until_sweep = SWEEP_EVERY;
            sweep(&inner).await;
        }
    }
}

async fn sweep(inner: &Inner) {
    match store::bus::sweep(&inner.pool, inner.limits.retention, SWEEP_LIMIT).await {
        Ok(Some(swept)) if swept.expired > 0 || swept.reopened > 0 => {
            let store::bus::Swept { expired, lanes, reopened } = swept;
            tracing::warn!(
                expired,
                lanes,
                reopened,
                "the embedded bus dropped {expired} messages past their retention"
            );
        }
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, "the embedded bus was not swept"),
    }
}
