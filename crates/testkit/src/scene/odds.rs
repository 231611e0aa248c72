//! What a scenario makes go wrong, or does out of turn.

use model::record::Record;
use model::{Clock, Side, Value};
use store::records::{Patch, Pick, View};

use super::{Scene, wait};
use crate::world::bus::Doorbell;
use crate::world::ledger::Place;
use crate::world::stage::{Author, Fate};

impl Scene<'_, '_> {
    /// The next request meets this fate.
    pub fn fate(&mut self, fate: Fate) {
        self.stage(|stage| stage.fates.push_back(fate));
    }

    /// What this side makes of every text written into its field `b` from now on.
    pub fn rewrite(&mut self, side: Side, rule: Option<fn(&str) -> String>) {
        self.stage(|stage| stage.rewrites[side] = rule);
    }

    /// This side fills a field in when we create a record without it.
    pub fn fill_in(&mut self, side: Side, field: &str, value: Value) {
        self.stage(|stage| stage.defaults[side].insert(field.to_owned(), value));
    }

    /// The next change of NetSuite carries a time this many seconds before it can be seen.
    pub fn visible_late(&mut self, seconds: i64) {
        self.stage(|stage| stage.late = Some(seconds));
    }

    /// A user's Make Copy in NetSuite: custom fields are copied, our stamp among them; the external id is not.
    ///
    /// # Panics
    /// When the row is gone.
    pub fn copy(&mut self, place: &Place) -> Place {
        self.stage(|stage| {
            let (fields, stamp) = (stage.rows[place].fields.clone(), stage.rows[place].stamp);
            let copy = stage.new_place(place.side, &place.account, &place.record_type);
            stage.ledger.operations += 1;
            stage.put(&copy, fields, Author::User);
            if let Some(row) = stage.rows.get_mut(&copy) {
                row.stamp = stamp;
            }
            copy
        })
    }

    /// A bell rings on a side for a reason of no importance.
    pub fn make_dirty(&mut self, place: &Place, side: Side) {
        let now = self.run.clock.now();
        self.change(place, |record| {
            let shadow = &mut record.shadows[side];
            shadow.ring(now, true, true);
            shadow.ready_at = Some(now);
        });
    }

    /// The stored record is changed by somebody the scenario does not show.
    ///
    /// # Panics
    /// When the store refuses it.
    pub fn change(&mut self, place: &Place, change: impl Fn(&mut Record) + Send + Sync) {
        let key = self.record(place).key;
        let mut plan = |views: &[View]| -> Vec<Patch> {
            let changed = |view: &View| {
                let mut patch = Patch::of(view.record.clone());
                change(&mut patch.record);
                patch
            };
            views.iter().map(changed).collect()
        };
        let stored = wait(self.run.core.records.transact(&Pick::These(vec![key]), false, &mut plan));
        stored.expect("the change can be stored");
    }

    /// Doorbells of a side that wait on the bus.
    pub fn doorbells(&self, side: Side) -> Vec<(u64, Doorbell)> {
        self.stage(|stage| {
            let ready = stage.bus.merged.ready(false).into_iter();
            ready.filter(|m| m.body.target == side).map(|m| (m.id, m.body.clone())).collect()
        })
    }

    /// The oldest request that is still on its way arrives.
    pub fn late_requests_land_first(&mut self) {
        self.stage(|stage| {
            if let Some(id) = stage.network.iter().find(|p| p.answer.is_none()).map(|p| p.id) {
                stage.land(id);
            }
        });
    }

    /// Every request that is still on its way arrives, the oldest first.
    pub fn late_requests_land(&mut self) {
        let open: Vec<u64> =
            self.stage(|stage| stage.network.iter().filter(|p| p.answer.is_none()).map(|p| p.id).collect());
        self.stage(|stage| {
            for id in open {
                stage.land(id);
            }
        });
    }
}
