//! NetSuite as one side of Concord: the port `model::Remote`, for as many accounts as there are.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use model::spec::{TypeSpec, World};
use model::{
    AccountId, Clock, Ids, NativeId, Observed, ReadRequest, Remote, RemoteError, Side, Timestamp, WriteOutcome,
    WriteRequest,
};

use crate::config::{ConfigError, NetsuiteConfig};
use crate::connection::{Connection, http_client};
use crate::poll::{self, Cursor, DeletedRow, LineRow, ModifiedRow, Page};
use crate::{patch, read, write};

/// The code of a call for an account that is not configured.
const UNKNOWN_ACCOUNT: &str = "unknown_account";

/// NetSuite, all configured accounts of it.
pub struct NetsuiteRemote {
    accounts: BTreeMap<AccountId, Arc<Connection>>,
}

impl NetsuiteRemote {
    /// Opens the accounts: checks their settings; sends nothing. They share sockets' settings, not pace or tokens.
    ///
    /// # Errors
    /// [`ConfigError`] naming account and setting.
    pub fn open(configs: &[NetsuiteConfig], clock: Arc<dyn Clock>, ids: Arc<dyn Ids>) -> Result<Self, ConfigError> {
        let http = http_client()?;
        let mut accounts = BTreeMap::new();
        for config in configs {
            let connection = Connection::open(config, http.clone(), Arc::clone(&clock), Arc::clone(&ids))?;
            accounts.insert(config.account.clone(), Arc::new(connection));
        }
        Ok(Self { accounts })
    }

    /// Holds the accounts to the record types they serve: where one is written by PATCH, somebody's notes must be ours.
    ///
    /// # Errors
    /// [`ConfigError::IntegrationUser`].
    pub fn serving(self, world: &World) -> Result<Self, ConfigError> {
        let by_patch = world.types.iter().find(|spec| spec.netsuite.notes.is_some());
        let unnamed = self.accounts.iter().find(|(_, connection)| connection.integration_user().is_none());
        match (by_patch, unnamed) {
            (Some(spec), Some((account, _))) => {
                Err(ConfigError::IntegrationUser { account: account.clone(), record_type: spec.name.clone() })
            }
            _ => Ok(self),
        }
    }

    /// One account's connection, for its pace.
    pub fn connection(&self, account: &AccountId) -> Option<&Arc<Connection>> {
        self.accounts.get(account)
    }

    /// Records of the type modified after the cursor, oldest first, at most `limit` (1 to [`crate::PAGE_ROWS`]).
    ///
    /// # Errors
    /// As of any read.
    pub async fn modified_since(
        &self,
        account: &AccountId,
        spec: &TypeSpec,
        cursor: Cursor,
        limit: usize,
    ) -> Result<Page<ModifiedRow>, RemoteError> {
        poll::modified_since(self.known(account)?, spec, cursor, limit).await
    }

    /// Deletions of the type after the cursor, oldest first. Hints only: not every deletion leaves a row.
    ///
    /// # Errors
    /// As of any read.
    pub async fn deleted_since(
        &self,
        account: &AccountId,
        spec: &TypeSpec,
        cursor: Cursor,
        limit: usize,
    ) -> Result<Page<DeletedRow>, RemoteError> {
        poll::deleted_since(self.known(account)?, spec, cursor, limit).await
    }

    /// Records of the type whose lines were modified after the cursor, each once with what it holds now, oldest first;
    /// none for types without a sublist. A page is `limit` lines, however few records they are of. The cursor's id
    /// is the line's table-wide key, so this stream needs a watermark of its own.
    ///
    /// # Errors
    /// As of any read.
    pub async fn lines_modified_since(
        &self,
        account: &AccountId,
        spec: &TypeSpec,
        cursor: Cursor,
        limit: usize,
    ) -> Result<Page<LineRow>, RemoteError> {
        poll::lines_modified_since(self.known(account)?, spec, cursor, limit).await
    }

    /// NetSuite's clock, for the first watermark of a stream.
    ///
    /// # Errors
    /// As of any read.
    pub async fn now(&self, account: &AccountId) -> Result<Timestamp, RemoteError> {
        poll::now(self.known(account)?).await
    }

    fn known(&self, account: &AccountId) -> Result<&Arc<Connection>, RemoteError> {
        let forbidden = || RemoteError::Forbidden { side: Side::Netsuite, code: UNKNOWN_ACCOUNT.to_owned() };
        self.accounts.get(account).ok_or_else(forbidden)
    }
}

#[async_trait]
impl Remote for NetsuiteRemote {
    fn side(&self) -> Side {
        Side::Netsuite
    }

    async fn read(
        &self,
        account: &AccountId,
        spec: &TypeSpec,
        wants: &[ReadRequest],
    ) -> Vec<Result<Observed, RemoteError>> {
        match self.known(account) {
            Ok(connection) => read::read(connection, spec, wants).await,
            Err(error) => wants.iter().map(|_| Err(error.clone())).collect(),
        }
    }

    async fn write(&self, account: &AccountId, spec: &TypeSpec, writes: &[WriteRequest]) -> Vec<WriteOutcome> {
        match self.known(account) {
            Ok(connection) => match &spec.netsuite.notes {
                Some(notes) => patch::write(connection, spec, notes, writes).await,
                None => write::write(connection, spec, writes).await,
            },
            Err(_) => writes.iter().map(|_| WriteOutcome::Refused { code: UNKNOWN_ACCOUNT.to_owned() }).collect(),
        }
    }

    fn quarantine(&self, account: &AccountId, spec: &TypeSpec) -> Duration {
        match (&spec.netsuite.notes, self.known(account)) {
            (Some(_), Ok(connection)) => patch::quarantine(connection),
            (Some(_), Err(_)) | (None, _) => Duration::ZERO,
        }
    }

    async fn list(
        &self,
        account: &AccountId,
        spec: &TypeSpec,
        after: Option<&NativeId>,
        limit: usize,
    ) -> Result<Vec<NativeId>, RemoteError> {
        // An id that is no number of NetSuite's cannot have been given by us: begin at the beginning.
        poll::list(self.known(account)?, spec, after.and_then(read::internal_id), limit).await
    }
}
