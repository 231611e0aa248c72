//! Points at which the seeded world may switch to another task, or kill this one.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use async_trait::async_trait;
use model::limits::DeleteBrake;
use model::record::Windows;
use model::{AccountId, NativeId, RecordRef, RecordType, Rid, Side, Timestamp};
use store::StoreError;
use store::records::{Hint, Intake, Link, LogRow, Pick, Plan, Records, View};

/// Gives way once: pending at the first poll, ready at the second.
#[derive(Debug, Default)]
pub struct Pause(bool);

/// A point where the scheduler decides what goes on.
pub fn pause() -> Pause {
    Pause::default()
}

impl Future for Pause {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if self.0 {
            return Poll::Ready(());
        }
        self.0 = true;
        Poll::Pending
    }
}

/// Transactions with a point before each one (not begun yet) and after it (committed, but the caller has not heard).
pub struct Paced<'a>(pub &'a dyn Records);

#[async_trait]
impl Records for Paced<'_> {
    async fn take_in(
        &self,
        hints: &[&Hint],
        now: Timestamp,
        windows: &Windows,
        plan: &mut Plan<'_>,
    ) -> Result<Vec<Intake>, StoreError> {
        pause().await;
        let done = self.0.take_in(hints, now, windows, plan).await;
        pause().await;
        done
    }

    async fn transact(&self, pick: &Pick, pending: bool, plan: &mut Plan<'_>) -> Result<usize, StoreError> {
        pause().await;
        let done = self.0.transact(pick, pending, plan).await;
        pause().await;
        done
    }

    async fn views(&self, records: &[RecordRef], pending: bool) -> Result<Vec<View>, StoreError> {
        pause().await;
        self.0.views(records, pending).await
    }

    async fn links(
        &self,
        account: &AccountId,
        side: Side,
        ids: &[(RecordType, NativeId)],
    ) -> Result<HashMap<(RecordType, NativeId), Link>, StoreError> {
        pause().await;
        self.0.links(account, side, ids).await
    }

    async fn native_ids(
        &self,
        account: &AccountId,
        side: Side,
        rids: &[(RecordType, Rid)],
    ) -> Result<HashMap<(RecordType, Rid), NativeId>, StoreError> {
        pause().await;
        self.0.native_ids(account, side, rids).await
    }

    async fn candidates(
        &self,
        account: &AccountId,
        record_type: &RecordType,
        natural_key: &str,
    ) -> Result<Vec<Rid>, StoreError> {
        pause().await;
        self.0.candidates(account, record_type, natural_key).await
    }

    async fn may_delete(
        &self,
        account: &AccountId,
        record_type: &RecordType,
        brake: &DeleteBrake,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        pause().await;
        self.0.may_delete(account, record_type, brake, now).await
    }

    async fn writes_by_themselves(&self, record: &RecordRef, since: Timestamp) -> Result<Option<u64>, StoreError> {
        pause().await;
        self.0.writes_by_themselves(record, since).await
    }

    async fn next_due(&self, accounts: &[AccountId], side: Option<Side>) -> Result<Option<Timestamp>, StoreError> {
        self.0.next_due(accounts, side).await
    }

    async fn log(&self, record: &RecordRef) -> Result<Vec<LogRow>, StoreError> {
        self.0.log(record).await
    }
}
