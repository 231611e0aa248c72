//! The transactions of the core over memory: the second living implementation of [`Records`], for the seeded world.
//!
//! Every method is one atomic step and never really waits. What a plan asks for is checked as the database's
//! constraints would check it, and more strictly where the invariants allow it (I6, I7, I8): a breach is kept in
//! [`Book::breaches`] for the checks at the end of a run, or refused where nothing sensible could be stored.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use model::limits::DeleteBrake;
use model::record::Windows;
use model::{AccountId, NativeId, RecordRef, RecordType, Rid, Side, Timestamp};
use store::StoreError;
use store::records::{Hint, Intake, Link, LogRow, MAX_PENDING, Pick, Plan, Records, View, at_rest};

mod book;
mod constraints;

pub use book::{Book, Kept};

/// The store in memory.
#[derive(Debug, Default)]
pub struct MemRecords {
    book: Mutex<Book>,
}

impl MemRecords {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// The store's content, for checks and for the world's relay. Nothing else may run while it is held.
    pub fn book(&self) -> MutexGuard<'_, Book> {
        // A plan that panicked has stored nothing: the content is whole.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The first unsettled hints of each side, in order.
fn pending(kept: &Kept) -> Vec<store::records::Pending> {
    let mut left = model::PerSide { suitex: MAX_PENDING, netsuite: MAX_PENDING };
    let mut out = Vec::with_capacity(kept.pending.len());
    for hint in &kept.pending {
        if left[hint.side] > 0 {
            left[hint.side] -= 1;
            out.push(hint.clone());
        }
    }
    out
}

fn view(kept: &Kept, with_pending: bool) -> View {
    View { record: kept.record.clone(), pending: if with_pending { pending(kept) } else { Vec::new() } }
}

/// Every hint is settled and nobody works on the record.
fn rests(kept: &Kept) -> bool {
    kept.pending.is_empty() && at_rest(&kept.record)
}

#[async_trait]
impl Records for MemRecords {
    async fn take_in(
        &self,
        hints: &[&Hint],
        now: Timestamp,
        windows: &Windows,
        plan: &mut Plan<'_>,
    ) -> Result<Vec<Intake>, StoreError> {
        let mut book = self.book();
        let rested: HashSet<RecordRef> =
            book.records.values().filter(|k| rests(k)).map(|k| k.record.key.clone()).collect();
        let answers: Vec<Intake> = hints.iter().map(|hint| book.take_in(hint, now, windows)).collect();
        let mut rung: BTreeMap<&RecordRef, bool> = BTreeMap::new();
        for (hint, answer) in hints.iter().zip(&answers) {
            if let Intake::Stored(key) = answer {
                *rung.entry(key).or_insert_with(|| rested.contains(key)) &= !hint.must_read();
            }
        }
        let foldable = rung.iter().filter(|(_, foldable)| **foldable);
        let views: Vec<View> = foldable.map(|(key, _)| view(&book.records[*key], true)).collect();
        let patches = plan(&views);
        book.store(&views, patches)?;
        Ok(answers)
    }

    async fn transact(&self, pick: &Pick, pending: bool, plan: &mut Plan<'_>) -> Result<usize, StoreError> {
        let mut book = self.book();
        let keys = book.due(pick);
        let views: Vec<View> = keys.iter().map(|key| view(&book.records[key], pending)).collect();
        if views.is_empty() {
            return Ok(0);
        }
        let mut patches = plan(&views);
        patches.retain(|patch| !patch.alone || book.is_alone(&patch.record));
        book.store(&views, patches)?;
        Ok(views.len())
    }

    async fn views(&self, records: &[RecordRef], pending: bool) -> Result<Vec<View>, StoreError> {
        let book = self.book();
        Ok(records.iter().filter_map(|key| book.records.get(key)).map(|kept| view(kept, pending)).collect())
    }

    async fn links(
        &self,
        account: &AccountId,
        side: Side,
        ids: &[(RecordType, NativeId)],
    ) -> Result<HashMap<(RecordType, NativeId), Link>, StoreError> {
        let book = self.book();
        let found = ids.iter().filter_map(|(record_type, id)| {
            let link = book.link(account, record_type, side, id)?;
            Some(((record_type.clone(), id.clone()), link))
        });
        Ok(found.collect())
    }

    async fn native_ids(
        &self,
        account: &AccountId,
        side: Side,
        rids: &[(RecordType, Rid)],
    ) -> Result<HashMap<(RecordType, Rid), NativeId>, StoreError> {
        let book = self.book();
        let found = rids.iter().filter_map(|(record_type, rid)| {
            let key = RecordRef { account: account.clone(), record_type: record_type.clone(), rid: *rid };
            let native = book.records.get(&book.heir(key))?.record.shadows[side].native_id.clone()?;
            Some(((record_type.clone(), *rid), native))
        });
        Ok(found.collect())
    }

    async fn candidates(
        &self,
        account: &AccountId,
        record_type: &RecordType,
        natural_key: &str,
    ) -> Result<Vec<Rid>, StoreError> {
        const MOST: usize = 10;
        Ok(self.book().with_natural_key(account, record_type, natural_key).take(MOST).collect())
    }

    async fn may_delete(
        &self,
        account: &AccountId,
        record_type: &RecordType,
        brake: &DeleteBrake,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        Ok(self.book().may_delete(account, record_type, brake, now))
    }

    async fn writes_by_themselves(&self, record: &RecordRef, since: Timestamp) -> Result<Option<u64>, StoreError> {
        Ok(self.book().writes_by_themselves(record, since))
    }

    async fn next_due(&self, accounts: &[AccountId], side: Option<Side>) -> Result<Option<Timestamp>, StoreError> {
        let book = self.book();
        let served = book.records.values().map(|kept| &kept.record).filter(|r| accounts.contains(&r.key.account));
        Ok(match side {
            None => served.filter_map(book::merge_at).min(),
            Some(side) => {
                served.flat_map(|record| [book::write_at(record, side), book::overdue_at(record, side)]).flatten().min()
            }
        })
    }

    async fn log(&self, record: &RecordRef) -> Result<Vec<LogRow>, StoreError> {
        Ok(self.book().records.get(record).map(|kept| kept.log.clone()).unwrap_or_default())
    }
}
