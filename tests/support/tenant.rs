//! A tenant of SuiteX: the sample application in a database of its own, captured.

use pgtest::TestDb;
use sqlx::PgPool;

/// The tenant.
pub(crate) struct Tenant {
    pub(crate) pool: PgPool,
    db: TestDb,
}

impl Tenant {
    pub(crate) async fn new() -> Self {
        let db = pgtest::empty().await;
        let pool = db.pool(4).await;
        suitex::install_sample(&pool).await.unwrap();
        suitex::install_capture(&pool, &model::spec::World::sample()).await.unwrap();
        Self { pool, db }
    }

    pub(crate) fn url(&self) -> &str {
        &self.db.url
    }

    /// Runs plain SQL, as any user of the application might.
    pub(crate) async fn sql(&self, sql: &'static str) {
        sqlx::raw_sql(sql).execute(&self.pool).await.unwrap();
    }

    pub(crate) async fn one<T>(&self, sql: &'static str) -> T
    where
        T: Send + Unpin + for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
        (T,): for<'r> sqlx::FromRow<'r, sqlx::postgres::PgRow>,
    {
        sqlx::query_scalar(sql).fetch_one(&self.pool).await.unwrap()
    }

    /// Waits until a statement answers true.
    pub(crate) async fn until(&self, sql: &'static str) {
        crate::stage::until(sql, async || self.one::<Option<bool>>(sql).await == Some(true)).await;
    }
}
