//! The port `Remote` for every account's tenant database.

use secrecy::ExposeSecret;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures::{StreamExt, stream};
use model::accounts::AccountSettings;
use model::spec::{TypeSpec, World};
use model::{
    AccountId, Clock, NativeId, Observed, ReadRequest, RecordType, Remote, RemoteError, Side, WriteOutcome,
    WriteRequest,
};
use sqlx::{PgPool, Row};
use tokio::time::timeout;

use crate::SuitexError;
use crate::layout::{self, Layout, statement};
use crate::read::{native_id, observe};
use crate::refusal::{Moment, outcome, read_error};
use crate::write::{Written, write};

/// Records per read transaction.
const READ_CHUNK: usize = 1000;
/// Longest a read may take, waiting for a connection included.
const READ_LIMIT: Duration = Duration::from_secs(30);
/// Writes of one call that are under way at once: each holds one connection of the tenant's pool.
const WRITES_AT_ONCE: usize = 4;

/// All accounts' tenant databases as one side.
pub struct SuitexRemote {
    pools: BTreeMap<AccountId, PgPool>,
    clock: Arc<dyn Clock>,
    layouts: Mutex<HashMap<(AccountId, RecordType), Arc<Layout>>>,
}

impl std::fmt::Debug for SuitexRemote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SuitexRemote").field("accounts", &self.pools.keys()).finish_non_exhaustive()
    }
}

impl SuitexRemote {
    /// The side with these accounts. Nothing is connected yet: a tenant that is down stops nobody else's start.
    pub fn new(pools: BTreeMap<AccountId, PgPool>, clock: Arc<dyn Clock>) -> Self {
        Self { pools, clock, layouts: Mutex::new(HashMap::new()) }
    }

    /// The side with the accounts that have a tenant database, at most `pool_size` connections to each.
    ///
    /// # Errors
    /// [`SuitexError::Url`] for a connection string that cannot be read.
    pub fn open<'a>(
        accounts: impl IntoIterator<Item = &'a AccountSettings>,
        pool_size: u32,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, SuitexError> {
        let mut pools = BTreeMap::new();
        for account in accounts {
            if let Some(url) = &account.suitex_database_url {
                pools.insert(account.id.clone(), crate::connect(url.expose_secret(), pool_size)?);
            }
        }
        Ok(Self::new(pools, clock))
    }

    /// The account's database, for whoever looks beside the port (capture).
    pub fn pool(&self, account: &AccountId) -> Option<&PgPool> {
        self.pools.get(account)
    }

    /// Checks an account's tables against the record types, so that a wrong mapping is told at the start.
    ///
    /// # Errors
    /// [`SuitexError::Layout`] naming type, field, column, what was found and what is accepted;
    /// [`SuitexError::Database`] when the database does not answer.
    pub async fn validate(&self, account: &AccountId, world: &World) -> Result<(), SuitexError> {
        for spec in &world.types {
            self.layout(account, spec).await?;
        }
        Ok(())
    }

    async fn layout(&self, account: &AccountId, spec: &TypeSpec) -> Result<Arc<Layout>, SuitexError> {
        let key = (account.clone(), spec.name.clone());
        let known = self.layouts.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        if let Some(layout) = known {
            return Ok(layout);
        }
        let pool = self.pools.get(account).ok_or_else(|| unknown(account))?;
        let mut conn = pool.acquire().await?;
        let layout = Arc::new(layout::layout(&mut conn, spec).await?);
        self.layouts.lock().unwrap_or_else(PoisonError::into_inner).insert(key, Arc::clone(&layout));
        Ok(layout)
    }

    /// The tables were altered under us: the next call looks at them again.
    fn forget(&self, account: &AccountId, spec: &TypeSpec) {
        let key = (account.clone(), spec.name.clone());
        self.layouts.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
    }

    async fn read_chunk(
        &self,
        account: &AccountId,
        spec: &TypeSpec,
        wants: &[ReadRequest],
    ) -> Result<Vec<Result<Observed, RemoteError>>, SuitexError> {
        let layout = self.layout(account, spec).await?;
        let pool = self.pools.get(account).ok_or_else(|| unknown(account))?;
        let opening = format!(
            "begin isolation level repeatable read, read only; set local statement_timeout = {}",
            READ_LIMIT.as_millis()
        );
        let mut tx = pool.begin_with(statement(opening)).await?;
        let answers = observe(&mut tx, &layout, wants).await?;
        tx.commit().await?;
        Ok(answers.into_iter().map(Ok).collect())
    }

    async fn list_page(
        &self,
        account: &AccountId,
        spec: &TypeSpec,
        after: Option<&NativeId>,
        limit: usize,
    ) -> Result<Vec<NativeId>, SuitexError> {
        let layout = self.layout(account, spec).await?;
        let pool = self.pools.get(account).ok_or_else(|| unknown(account))?;
        let order = layout.id.order();
        // Two statements: with "or the first page" in one, every page would walk the index from its start.
        let beyond = after.map_or(String::new(), |_| format!("where {order} > {}", layout.id.parameter(2)));
        let page = format!(
            "select t.{id}::text from {table} t {beyond} order by {order} limit $1",
            id = layout.id.quoted,
            table = layout.table,
        );
        let query = sqlx::query(statement(page)).bind(i64::try_from(limit).unwrap_or(i64::MAX));
        let rows = after.into_iter().fold(query, |query, after| query.bind(after.as_str())).fetch_all(pool).await?;
        let ids: Result<Vec<_>, sqlx::Error> = rows.into_iter().map(|row| native_id(row.try_get(0)?)).collect();
        Ok(ids?)
    }

    /// Bounds a read in time and translates its failure; altered tables are looked at again next time.
    async fn bounded<T>(
        &self,
        account: &AccountId,
        spec: &TypeSpec,
        read: impl Future<Output = Result<T, SuitexError>>,
    ) -> Result<T, RemoteError> {
        match timeout(READ_LIMIT, read).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => {
                let error = read_error(&error);
                if matches!(error, RemoteError::Unreadable { .. }) {
                    self.forget(account, spec);
                }
                Err(error)
            }
            Err(_) => {
                let code = "timeout".to_owned();
                Err(RemoteError::Unavailable { side: Side::Suitex, code, retry_after: None })
            }
        }
    }
}

fn unknown(account: &AccountId) -> SuitexError {
    SuitexError::Account(account.clone())
}

#[async_trait]
impl Remote for SuitexRemote {
    fn side(&self) -> Side {
        Side::Suitex
    }

    async fn read(
        &self,
        account: &AccountId,
        spec: &TypeSpec,
        wants: &[ReadRequest],
    ) -> Vec<Result<Observed, RemoteError>> {
        let mut answers = Vec::with_capacity(wants.len());
        for chunk in wants.chunks(READ_CHUNK) {
            match self.bounded(account, spec, self.read_chunk(account, spec, chunk)).await {
                Ok(read) => answers.extend(read),
                Err(error) => answers.extend(chunk.iter().map(|_| Err(error.clone()))),
            }
        }
        answers
    }

    async fn write(&self, account: &AccountId, spec: &TypeSpec, writes: &[WriteRequest]) -> Vec<WriteOutcome> {
        let Some(pool) = self.pools.get(account) else {
            return vec![WriteOutcome::Refused { code: "unknown_account".to_owned() }; writes.len()];
        };
        let layout = match timeout(READ_LIMIT, self.layout(account, spec)).await {
            Ok(Ok(layout)) => layout,
            Ok(Err(error)) => return vec![without_layout(&error); writes.len()],
            Err(_) => return vec![WriteOutcome::NotSent; writes.len()],
        };
        let mut under_way = Vec::with_capacity(writes.len());
        for request in writes {
            under_way.push(write(pool, &layout, &*self.clock, request));
        }
        let written: Vec<Written> = stream::iter(under_way).buffered(WRITES_AT_ONCE).collect().await;
        if written.iter().any(|written| written.layout_changed) {
            self.forget(account, spec);
        }
        written.into_iter().map(|written| written.outcome).collect()
    }

    fn quarantine(&self, _: &AccountId, _: &TypeSpec) -> Duration {
        Duration::ZERO // the row's version refuses what comes late
    }

    async fn list(
        &self,
        account: &AccountId,
        spec: &TypeSpec,
        after: Option<&NativeId>,
        limit: usize,
    ) -> Result<Vec<NativeId>, RemoteError> {
        self.bounded(account, spec, self.list_page(account, spec, after, limit)).await
    }
}

fn without_layout(error: &SuitexError) -> WriteOutcome {
    match error {
        SuitexError::Database(error) => outcome(error, Moment::BeforeCommit),
        SuitexError::Layout { .. }
        | SuitexError::Name { .. }
        | SuitexError::Account(_)
        | SuitexError::Migrate(_)
        | SuitexError::Url(_)
        | SuitexError::Outbox { .. } => WriteOutcome::Refused { code: "suitex_layout".to_owned() },
    }
}
