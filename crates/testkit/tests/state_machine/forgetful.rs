//! A known mutation as a port: a store in which an answered bell is silent, also when a newer one rang meanwhile.

use async_trait::async_trait;
use model::Side;
use store::StoreError;
use store::records::{Around, Patch, Pick, Plan, Records, View};
use testkit::memory::MemRecords;

/// Clears every bell of a record when it settles one ("dirty flag cleared unconditionally").
pub(crate) struct Forgetful<'a>(pub(crate) &'a MemRecords);

#[async_trait]
impl Around for Forgetful<'_> {
    fn within(&self) -> &dyn Records {
        self.0
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
}
