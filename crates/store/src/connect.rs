//! The way in: a pool of connections, and the schema they expect.

use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, PgPool};

use crate::StoreError;

/// The schema, forward only. `migrations/tenant` belongs to the tenants' databases and is another crate's.
static MIGRATIONS: Migrator = sqlx::migrate!("../../migrations");

/// Brings the schema up to date. Several processes may call it at once: one migrates under Postgres' advisory lock, the
/// others wait and find nothing to do. A database that is newer than this program is refused.
///
/// # Errors
/// [`StoreError::Migration`] when a migration fails or an applied one differs from the one built in.
pub async fn migrate(pool: &PgPool) -> Result<(), StoreError> {
    MIGRATIONS.run(pool).await.map_err(StoreError::Migration)
}

/// Opens a pool of at most `max_connections` to `url`; `application_name` is what `pg_stat_activity` shows.
///
/// # Errors
/// [`StoreError::Database`] when the url is unreadable or Postgres does not answer.
pub async fn connect(url: &str, max_connections: u32, application_name: &str) -> Result<PgPool, StoreError> {
    let options: PgConnectOptions = url.parse().map_err(StoreError::database("reading the database url"))?;
    let options = options
        .application_name(application_name)
        // Compiling a plan costs more than any statement of ours takes.
        .options([("jit", "off"), ("timezone", "UTC")])
        .disable_statement_logging();
    PgPoolOptions::new()
        .max_connections(max_connections)
        .connect_with(options)
        .await
        .map_err(StoreError::database("connecting"))
}
