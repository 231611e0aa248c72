//! The reconciler's sweep of one type of one account, as one task: at each of its awaits anything may happen, or it may be
//! killed. The service stores its position after each page; here a sweep that was killed is begun anew.

use model::{NativeId, RecordRef, Rid, Side};
use steps::{Look, LookError, Tally};

use crate::memory::MemRecords;

/// Sweeps both sides' ids and all records in pages of this size.
///
/// # Errors
/// A side does not answer.
pub async fn reconcile(look: Look<'_>, records: &MemRecords, page: usize) -> Result<Tally, LookError> {
    let mut tally = Tally::default();
    for side in Side::BOTH {
        let mut after: Option<NativeId> = None;
        loop {
            after = look.ids(side, after.as_ref(), page, &mut tally).await?;
            if after.is_none() {
                break;
            }
        }
    }
    let of_type = |key: &&RecordRef| key.account == *look.account && key.record_type == look.spec.name;
    let rids: Vec<Rid> = records.book().records.keys().filter(of_type).map(|key| key.rid).collect();
    for rids in rids.chunks(page) {
        look.records(rids, &mut tally).await?;
    }
    Ok(tally)
}
