#![doc = include_str!("../README.md")]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

mod cluster;

pub use cluster::{Cluster, PgTestError, stop};

/// Key of the advisory lock under which templates are made.
const TEMPLATE_LOCK: i64 = 0x7067_7465_7374;

static COUNTER: AtomicU64 = AtomicU64::new(0);

/// A database of one test; dropped with its connections when this value is.
#[derive(Debug)]
pub struct TestDb {
    /// `postgres://` URL of the database, for a superuser.
    pub url: String,
    name: String,
    cluster: Cluster,
}

impl TestDb {
    /// A pool of up to `connections` on the database.
    ///
    /// # Panics
    /// When Postgres does not answer: a test cannot go on.
    pub async fn pool(&self, connections: u32) -> PgPool {
        let pool = PgPoolOptions::new().max_connections(connections).connect(&self.url).await;
        pool.expect("the test's own Postgres accepts connections")
    }

    /// The database's name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for TestDb {
    fn drop(&mut self) {
        let (cluster, name) = (self.cluster.clone(), self.name.clone());
        // A thread of its own: this may run inside an async runtime, where blocking on another is not allowed.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.map(|runtime| runtime.block_on(drop_database(&cluster, &name)))
        });
        // Whatever goes wrong here: the next test process drops what this one left.
        let _ = dropped.join();
    }
}

/// A fresh database with the workspace's migrations applied.
///
/// # Panics
/// When there is no Postgres, it does not start, or a migration fails; the message says which.
pub async fn database() -> TestDb {
    match make(true).await {
        Ok(db) => db,
        Err(error) => panic!("{}", chain(&error)),
    }
}

/// A fresh database with nothing in it.
///
/// # Panics
/// As [`database`].
pub async fn empty() -> TestDb {
    match make(false).await {
        Ok(db) => db,
        Err(error) => panic!("{}", chain(&error)),
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", chain(source)),
        None => error.to_string(),
    }
}

async fn make(migrated: bool) -> Result<TestDb, PgTestError> {
    let cluster = tokio::task::spawn_blocking(Cluster::ensure).await.map_err(PgTestError::task)??;
    let mut admin = connect(&cluster, "postgres").await?;
    drop_orphans(&cluster, &mut admin).await?;
    let template = match migrated {
        true => Some(template(&cluster, &mut admin).await?),
        false => None,
    };
    let name = format!("t_{}_{}", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed));
    let statement = match template {
        Some(template) => format!("create database {name} template {template}"),
        None => format!("create database {name}"),
    };
    execute(&mut admin, statement).await?;
    let url = cluster.url(&name);
    Ok(TestDb { url, name, cluster })
}

async fn connect(cluster: &Cluster, database: &str) -> Result<PgConnection, PgTestError> {
    let options: PgConnectOptions = cluster.url(database).parse().map_err(PgTestError::database)?;
    PgConnection::connect_with(&options).await.map_err(PgTestError::database)
}

async fn execute(connection: &mut PgConnection, statement: String) -> Result<(), PgTestError> {
    // Every name in these statements is made in this file from numbers.
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(connection).await.map_err(PgTestError::database)?;
    Ok(())
}

async fn drop_database(cluster: &Cluster, name: &str) -> Result<(), PgTestError> {
    let mut admin = connect(cluster, "postgres").await?;
    execute(&mut admin, format!("drop database if exists {name} with (force)")).await
}

/// Drops databases whose test process is gone.
async fn drop_orphans(cluster: &Cluster, admin: &mut PgConnection) -> Result<(), PgTestError> {
    let names: Vec<String> = sqlx::query_scalar("select datname from pg_database where datname ~ '^t_[0-9]+_[0-9]+$'")
        .fetch_all(admin)
        .await
        .map_err(PgTestError::database)?;
    for name in names {
        let owner = name.split('_').nth(1).unwrap_or_default();
        if !Path::new("/proc").join(owner).exists() {
            // Another test process may be dropping the same one: either of us succeeds.
            let _ = drop_database(cluster, &name).await;
        }
    }
    Ok(())
}

/// The template with the workspace's migrations; made when it is not there, under a lock over all test processes.
async fn template(cluster: &Cluster, admin: &mut PgConnection) -> Result<String, PgTestError> {
    let folder = migrations_folder();
    let name = format!("template_{:016x}", fingerprint(&folder)?);
    sqlx::query("select pg_advisory_lock($1)")
        .bind(TEMPLATE_LOCK)
        .execute(&mut *admin)
        .await
        .map_err(PgTestError::database)?;
    let made = make_template(cluster, admin, &name, &folder).await;
    sqlx::query("select pg_advisory_unlock($1)")
        .bind(TEMPLATE_LOCK)
        .execute(admin)
        .await
        .map_err(PgTestError::database)?;
    made.map(|()| name)
}

async fn make_template(
    cluster: &Cluster,
    admin: &mut PgConnection,
    name: &str,
    folder: &Path,
) -> Result<(), PgTestError> {
    let ready: bool =
        sqlx::query_scalar("select exists (select from pg_database where datname = $1 and datistemplate)")
            .bind(name)
            .fetch_one(&mut *admin)
            .await
            .map_err(PgTestError::database)?;
    if ready {
        return Ok(());
    }
    // Not marked as a template: a process was killed half-way.
    execute(admin, format!("drop database if exists {name} with (force)")).await?;
    execute(admin, format!("create database {name}")).await?;
    let mut connection = connect(cluster, name).await?;
    let migrator = Migrator::new(folder).await.map_err(PgTestError::migration)?;
    migrator.run(&mut connection).await.map_err(PgTestError::migration)?;
    connection.close().await.map_err(PgTestError::database)?;
    execute(admin, format!("alter database {name} is_template true")).await
}

fn migrations_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../migrations")
}

/// A number that changes when any migration's name or text does (FNV-1a; nobody attacks a test).
fn fingerprint(folder: &Path) -> Result<u64, PgTestError> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| entry.map(|e| e.path())).collect())
        .map_err(|error| PgTestError::file(folder, error))?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "sql"));
    files.sort();
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for file in &files {
        let text = std::fs::read(file).map_err(|error| PgTestError::file(file, error))?;
        let name = file.file_name().unwrap_or_default().as_encoded_bytes();
        for byte in name.iter().chain(&text) {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    Ok(hash)
}
