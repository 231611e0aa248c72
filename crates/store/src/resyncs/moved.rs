//! Who waits for a request is told when it has moved.

use sqlx::postgres::PgListener;
use sqlx::{PgExecutor, PgPool};
use uuid::Uuid;

use crate::StoreError;

/// Where a request's new status is announced; the payload is its id.
pub const MOVED_CHANNEL: &str = "concord_resync";

/// Tells whoever waits for a request that its status moved, when the transaction commits.
pub(super) async fn notify(executor: impl PgExecutor<'_>, resync_id: Uuid) -> Result<(), StoreError> {
    sqlx::query("select pg_notify($1, $2)")
        .bind(MOVED_CHANNEL)
        .bind(resync_id.to_string())
        .execute(executor)
        .await
        .map(drop)
        .map_err(StoreError::database("tell that a resync moved"))
}

/// Whoever waits for a request to move.
#[derive(Debug)]
pub struct Moved(PgListener);

impl Moved {
    /// Listens from now on, on a connection of the pool's that is kept until this value is dropped.
    ///
    /// # Errors
    /// The database.
    pub async fn listen(pool: &PgPool) -> Result<Self, StoreError> {
        let what = "listen for a resync";
        let mut listener = PgListener::connect_with(pool).await.map_err(StoreError::database(what))?;
        listener.listen(MOVED_CHANNEL).await.map_err(StoreError::database(what))?;
        Ok(Self(listener))
    }

    /// The next request whose status has moved.
    ///
    /// # Errors
    /// The connection was lost: what was announced meanwhile is not told.
    pub async fn next(&mut self) -> Result<Uuid, StoreError> {
        let what = "listen for a resync";
        loop {
            let heard = self.0.try_recv().await.map_err(StoreError::database(what))?;
            let heard = heard.ok_or_else(|| StoreError::database(what)(sqlx::Error::PoolClosed))?;
            if let Ok(id) = heard.payload().parse() {
                return Ok(id);
            }
        }
    }
}
