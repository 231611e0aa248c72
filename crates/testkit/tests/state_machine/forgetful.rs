//! A known mutation as a port: a store in which an answered bell is silent, also when a newer one rang meanwhile.

use std::collections::HashMap;

use async_trait::async_trait;
use model::limits::DeleteBrake;
use model::record::Windows;
use model::{AccountId, NativeId, RecordRef, RecordType, Rid, Side, Timestamp};
use store::StoreError;
use store::records::{Hint, Intake, LogRow, Patch, Pick, Plan, Records, View};
use testkit::memory::MemRecords;

/// Clears every bell of a record when it settles one ("dirty flag cleared unconditionally").
pub(crate) struct Forgetful<'a>(pub(crate) &'a MemRecords);

#[async_trait]
impl Records for Forgetful<'_> {
    async fn take_in(
        &self,
        hints: &[&Hint],
        now: Timestamp,
        windows: &Windows,
        plan: &mut Plan<'_>,
    ) -> Result<Vec<Intake>, StoreError> {
        self.0.take_in(hints, now, windows, plan).await
    }

    async fn transact(&self, pick: &Pick, pending: bool, plan: &mut Plan<'_>) -> Result<usize, StoreError> {
        let mut forgetting = |views: &[View]| -> Vec<Patch> {
            let mut patches = plan(views);
            for patch in patches.iter_mut().filter(|patch| !patch.settled.is_empty()) {
                let view = views.iter().find(|view| view.record.key == patch.record.key);
                patch.settled.extend(
                    view.into_iter()
                        .flat_map(|view| &view.pending)
                        .filter_map(|hint| {
                            let settled = patch.settled.iter().any(|(id, _)| *id == hint.event_id);
                            (!settled).then_some((hint.event_id, model::record::Disposition::Superseded))
                        })
                        .collect::<Vec<_>>(),
                );
                for side in Side::BOTH {
                    let shadow = &mut patch.record.shadows[side];
                    (shadow.dirty_seq, shadow.ready_at) = (0, None);
                }
            }
            patches
        };
        self.0.transact(pick, pending, &mut forgetting).await
    }

    async fn views(&self, records: &[RecordRef], pending: bool) -> Result<Vec<View>, StoreError> {
        self.0.views(records, pending).await
    }

    async fn lookup(
        &self,
        account: &AccountId,
        side: Side,
        ids: &[(RecordType, NativeId)],
    ) -> Result<HashMap<(RecordType, NativeId), Rid>, StoreError> {
        self.0.lookup(account, side, ids).await
    }

    async fn native_ids(
        &self,
        account: &AccountId,
        side: Side,
        rids: &[(RecordType, Rid)],
    ) -> Result<HashMap<(RecordType, Rid), NativeId>, StoreError> {
        self.0.native_ids(account, side, rids).await
    }

    async fn candidates(
        &self,
        account: &AccountId,
        record_type: &RecordType,
        natural_key: &str,
    ) -> Result<Vec<Rid>, StoreError> {
        self.0.candidates(account, record_type, natural_key).await
    }

    async fn may_delete(
        &self,
        account: &AccountId,
        record_type: &RecordType,
        brake: &DeleteBrake,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.0.may_delete(account, record_type, brake, now).await
    }

    async fn writes_by_themselves(&self, record: &RecordRef, since: Timestamp) -> Result<Option<u64>, StoreError> {
        self.0.writes_by_themselves(record, since).await
    }

    async fn next_due(&self, accounts: &[AccountId], side: Option<Side>) -> Result<Option<Timestamp>, StoreError> {
        self.0.next_due(accounts, side).await
    }

    async fn log(&self, record: &RecordRef) -> Result<Vec<LogRow>, StoreError> {
        self.0.log(record).await
    }
}
