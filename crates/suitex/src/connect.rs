//! Opening a tenant's database.

use std::str::FromStr;
use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use crate::SuitexError;

/// Longest wait for a connection of a tenant's pool. A tenant that is down must not hold up the others for long.
const ACQUIRE_LIMIT: Duration = Duration::from_secs(5);
/// Connections nobody used for this long are given back to the tenant.
const IDLE_LIMIT: Duration = Duration::from_secs(60);

/// A pool of at most `size` connections to a tenant's database. Nothing is connected before the first use.
///
/// # Errors
/// [`SuitexError::Url`] for a connection string that cannot be read.
pub fn connect(database_url: &str, size: u32) -> Result<PgPool, SuitexError> {
    let scheme = database_url.split("://").next();
    if !matches!(scheme, Some("postgres" | "postgresql")) {
        return Err(SuitexError::Url(None));
    }
    let options = PgConnectOptions::from_str(database_url).map_err(|error| SuitexError::Url(Some(error)))?;
    let options = options.application_name("concord");
    let pool = PgPoolOptions::new().max_connections(size).acquire_timeout(ACQUIRE_LIMIT).idle_timeout(IDLE_LIMIT);
    Ok(pool.connect_lazy_with(options))
}
