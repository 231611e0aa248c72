//! The databases of a stack: Concord's own, and one application's per account, each at its newest schema.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use model::spec::World;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions, Connection};

use super::postgres::Cluster;

/// Longest wait for Postgres to accept connections; after a crash it first replays its log.
const ACCEPTS_WITHIN: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Connects to the cluster's maintenance database as soon as it accepts connections.
///
/// # Errors
/// When it does not within a minute.
pub async fn wait_for(cluster: &Cluster, port: u16) -> Result<PgConnection> {
    let options: PgConnectOptions = cluster.url(port, "postgres").parse()?;
    let options = options.application_name("concord-dev").disable_statement_logging();
    let deadline = tokio::time::Instant::now() + ACCEPTS_WITHIN;
    loop {
        match PgConnection::connect_with(&options).await {
            Ok(connection) => return Ok(connection),
            // Wrong from the start: another cluster's password, a stranger on the port.
            Err(sqlx::Error::Database(error)) if error.code().is_some_and(|c| c.starts_with("28")) => {
                return Err(error).context("Postgres refuses the stack's own role; `make clean` starts afresh");
            }
            Err(error) if tokio::time::Instant::now() >= deadline => {
                return Err(error).context("Postgres accepts no connections");
            }
            Err(_) => tokio::time::sleep(LOOK_EVERY).await,
        }
    }
}

/// Creates databases that are missing.
///
/// # Errors
/// When Postgres refuses.
pub async fn create(connection: &mut PgConnection, names: &[String]) -> Result<()> {
    for name in names {
        if !name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_') {
            bail!("{name:?} cannot be the name of a database");
        }
        let there: bool = sqlx::query_scalar("select exists (select from pg_database where datname = $1)")
            .bind(name)
            .fetch_one(&mut *connection)
            .await?;
        if !there {
            // Checked above: nothing in the name needs quoting.
            let statement = format!("create database {name}");
            sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&mut *connection).await?;
        }
    }
    Ok(())
}

/// Brings Concord's own schema up to date.
///
/// # Errors
/// When a migration fails.
pub async fn migrate(url: &str) -> Result<()> {
    let pool = store::connect(url, 2, "concord-migrate").await?;
    let migrated = store::migrate(&pool).await.context("the schema cannot be brought up to date");
    pool.close().await;
    migrated
}

/// Brings a tenant's database up to date: Concord's part of it, the sample application's tables, capture.
///
/// # Errors
/// When a statement fails.
pub async fn prepare_tenant(url: &str, world: &World) -> Result<()> {
    let pool: PgPool = PgPoolOptions::new().max_connections(2).connect(url).await?;
    let prepared = async {
        suitex::migrate(&pool).await.context("schema concord")?;
        suitex::install_sample(&pool).await.context("the sample tables")?;
        suitex::install_capture(&pool, world).await.context("the capture triggers")
    }
    .await;
    pool.close().await;
    prepared.context("a tenant's database cannot be prepared")
}
