//! Stores that stand around another one.

use std::collections::HashMap;

use async_trait::async_trait;
use model::limits::DeleteBrake;
use model::record::Windows;
use model::{AccountId, NativeId, RecordRef, RecordType, Rid, Side, Timestamp};

use super::{Hint, Intake, Link, LogRow, Pick, Plan, Records, View};
use crate::StoreError;

/// A store that does something more, or something less, than the one it stands around: whoever implements this is one of
/// [`Records`], and writes down only in which transactions it differs.
#[async_trait]
pub trait Around: Send + Sync {
    /// The store within.
    fn within(&self) -> &dyn Records;

    /// [`Records::take_in`].
    async fn take_in(
        &self,
        hints: &[&Hint],
        now: Timestamp,
        windows: &Windows,
        plan: &mut Plan<'_>,
    ) -> Result<Vec<Intake>, StoreError> {
        self.within().take_in(hints, now, windows, plan).await
    }

    /// [`Records::transact`].
    async fn transact(&self, pick: &Pick, pending: bool, plan: &mut Plan<'_>) -> Result<usize, StoreError> {
        self.within().transact(pick, pending, plan).await
    }
}

#[async_trait]
impl<T: Around> Records for T {
    async fn take_in(
        &self,
        hints: &[&Hint],
        now: Timestamp,
        windows: &Windows,
        plan: &mut Plan<'_>,
    ) -> Result<Vec<Intake>, StoreError> {
        Around::take_in(self, hints, now, windows, plan).await
    }

    async fn transact(&self, pick: &Pick, pending: bool, plan: &mut Plan<'_>) -> Result<usize, StoreError> {
        Around::transact(self, pick, pending, plan).await
    }

    async fn views(&self, records: &[RecordRef], pending: bool) -> Result<Vec<View>, StoreError> {
        self.within().views(records, pending).await
    }

    async fn links(
        &self,
        account: &AccountId,
        side: Side,
        ids: &[(RecordType, NativeId)],
    ) -> Result<HashMap<(RecordType, NativeId), Link>, StoreError> {
        self.within().links(account, side, ids).await
    }

    async fn native_ids(
        &self,
        account: &AccountId,
        side: Side,
        rids: &[(RecordType, Rid)],
    ) -> Result<HashMap<(RecordType, Rid), NativeId>, StoreError> {
        self.within().native_ids(account, side, rids).await
    }

    async fn candidates(
        &self,
        account: &AccountId,
        record_type: &RecordType,
        natural_key: &str,
    ) -> Result<Vec<Rid>, StoreError> {
        self.within().candidates(account, record_type, natural_key).await
    }

    async fn may_delete(
        &self,
        account: &AccountId,
        record_type: &RecordType,
        brake: &DeleteBrake,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.within().may_delete(account, record_type, brake, now).await
    }

    async fn writes_by_themselves(&self, record: &RecordRef, since: Timestamp) -> Result<Option<u64>, StoreError> {
        self.within().writes_by_themselves(record, since).await
    }

    async fn next_due(&self, accounts: &[AccountId], side: Option<Side>) -> Result<Option<Timestamp>, StoreError> {
        self.within().next_due(accounts, side).await
    }

    async fn log(&self, record: &RecordRef) -> Result<Vec<LogRow>, StoreError> {
        self.within().log(record).await
    }
}
