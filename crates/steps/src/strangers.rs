//! Ids only a side knows, in a resync's plan: whose record each would turn out to be (semantics §2.8), and what that would
//! write. Like the rest of a plan this is the merge step on copies, and leaves no trace: nobody is made known by it.

use std::collections::BTreeMap;

use model::record::Record;
use model::{NativeId, PerSide, Rid, Side, SumHash};
use serde::Serialize;
use store::records::View;
use uuid::Uuid;

use crate::gather::Gathered;
use crate::identity::{Identity, identify, natural_key};
use crate::reconcile::{Look, LookError};
use crate::resync::{Held, Planned};

/// An id that only its side knows, as a first look at it tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stranger {
    /// The side's id.
    pub native_id: NativeId,
    /// The type's match fields in one text, where it has all of them.
    pub natural_key: Option<String>,
    /// Whose it is.
    pub whose: Whose,
}

/// Whose record a stranger is, by our mark on it or by its natural key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whose {
    /// Nobody's but its own.
    Nobodys,
    /// This record's, which is not on that side yet.
    Record(Rid),
    /// These records answer its natural key too: a person decides.
    Several(Vec<Rid>),
    /// A create of ours may be on its way there: first its outcome.
    Unclear,
    /// The side did not give it in a form that can be read.
    Unreadable,
}

/// Ids to be planned as one record.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Meeting {
    /// The ids nobody knows: one, or one of each side that are the same thing.
    pub ids: PerSide<Option<NativeId>>,
    /// The record Concord knows that they are.
    pub into: Option<Rid>,
    /// Others that answer the same natural key, where a person must decide.
    pub twins: Vec<Rid>,
}

/// What strangers would become.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Becomes {
    /// A record of their own.
    New,
    /// Ids of the record named.
    Adopted,
    /// A question: others answer the same natural key.
    Duplicate,
}

impl Look<'_> {
    /// One page of a side's ids, in its order from `after`: those no record was ever known by, and where the next page
    /// begins (`None` after the last).
    ///
    /// # Errors
    /// The side does not list, or our database fails.
    pub async fn unknown_ids(
        &self,
        side: Side,
        after: Option<&NativeId>,
        limit: usize,
    ) -> Result<(Vec<NativeId>, Option<NativeId>), LookError> {
        let ids = self.core.remotes[side].list(self.account, self.spec, after, limit).await?;
        let last = ids.last().filter(|last| ids.len() >= limit && Some(*last) != after).cloned();
        let strange = self.strange(side, ids).await?;
        Ok((strange.into_iter().filter(|(rid, _)| rid.is_none()).map(|(_, id)| id).collect(), last))
    }

    /// Who these strangers are. Those that are gone meanwhile are left out.
    ///
    /// # Errors
    /// The side gives nothing at all, or our database fails.
    pub async fn meet(&self, side: Side, ids: &[NativeId]) -> Result<Vec<Stranger>, LookError> {
        let views: Vec<View> = ids.iter().map(|id| self.stranger(&one(side, id))).collect();
        let gathered = self.read(&views, &|view, side| view.record.shadows[side].native_id.is_some()).await?;
        let mut met = Vec::new();
        for (id, view) in ids.iter().zip(&views) {
            let read = gathered.get(&view.record.key, side);
            if read.is_some_and(|read| !read.observed.exists) {
                continue;
            }
            let natural_key = read.and_then(|read| natural_key(self.spec, &read.observed.fields));
            let whose = self.whose(&view.record, side, &gathered).await?;
            met.push(Stranger { native_id: id.clone(), natural_key, whose });
        }
        Ok(met)
    }

    /// What each of these would write, in their order. Those of which something is gone, or known, by now are left out.
    ///
    /// # Errors
    /// A side gives nothing at all, or our database fails.
    pub async fn plan_strangers(&self, meetings: &[Meeting]) -> Result<Vec<Planned>, LookError> {
        let still = self.still_strange(meetings).await?;
        let known: Vec<_> = still.iter().filter_map(|meeting| meeting.into).map(|rid| self.key(rid)).collect();
        let known = self.core.views_in_form(&known, true).await?;
        let mut views = Vec::new();
        for meeting in still {
            let target = meeting.into.map(|rid| known.iter().find(|view| view.record.key.rid == rid));
            match target {
                None => views.push((meeting, self.stranger(&meeting.ids))),
                Some(Some(target)) => views.extend(adopting(target, &meeting.ids).map(|view| (meeting, view))),
                Some(None) => {}
            }
        }
        let copies: Vec<View> = views.iter().map(|(_, view)| view.clone()).collect();
        let gathered = self.read(&copies, &there).await?;
        let mut planned = Vec::new();
        for (meeting, view) in &views {
            planned.extend(self.plan_stranger(meeting, view, &gathered).await?);
        }
        Ok(planned)
    }

    /// Those of which every id is still nobody's.
    async fn still_strange<'m>(&self, meetings: &'m [Meeting]) -> Result<Vec<&'m Meeting>, LookError> {
        let mut known = PerSide::default();
        for side in Side::BOTH {
            let ids: Vec<_> =
                meetings.iter().filter_map(|m| Some((self.spec.name.clone(), m.ids[side].clone()?))).collect();
            known[side] = self.core.records.lookup(self.account, side, &ids).await?;
        }
        let nobodys = |meeting: &&Meeting| {
            let of = |side: Side| meeting.ids[side].as_ref().map(|id| (self.spec.name.clone(), id.clone()));
            Side::BOTH.into_iter().all(|side| of(side).is_none_or(|id| !known[side].contains_key(&id)))
        };
        Ok(meetings.iter().filter(nobodys).collect())
    }

    async fn plan_stranger(
        &self,
        meeting: &Meeting,
        view: &View,
        gathered: &Gathered,
    ) -> Result<Option<Planned>, LookError> {
        let mut stand = SumHash::default();
        let mut waits = false;
        for side in Side::BOTH {
            let Some(id) = &meeting.ids[side] else { continue };
            let read = gathered.get(&view.record.key, side);
            if read.is_some_and(|read| !read.observed.exists) {
                return Ok(None);
            }
            // By itself, whomever it is planned as: what is not as it was when it was met has moved.
            let alone = self.stranger(&one(side, id)).record;
            let whose = match read {
                None => Whose::Unreadable,
                Some(read) => whose(identify(&self.core, &alone, side, read).await?),
            };
            waits |= whose == Whose::Unclear;
            stand.add_bytes(format!("{side}|{id}|{whose:?}").as_bytes());
        }
        let mut planned = self.plan_one(view, gathered, &meeting.twins, &|side| there(view, side));
        stand.add_bytes(planned.stand.to_string().as_bytes());
        planned.stand = stand;
        if waits {
            (planned.writes, planned.conflicts, planned.overrides) = Default::default();
            planned.held = vec![Held::CreateUnderWay];
        }
        planned.record_id = meeting.into;
        planned.strangers = Side::BOTH
            .into_iter()
            .filter_map(|side| Some((side, meeting.ids[side].clone()?)))
            .collect::<BTreeMap<_, _>>();
        planned.becomes = Some(match (meeting.into, meeting.twins.is_empty()) {
            (Some(_), _) => Becomes::Adopted,
            (None, true) => Becomes::New,
            (None, false) => Becomes::Duplicate,
        });
        planned.candidates.clone_from(&meeting.twins);
        Ok(Some(planned))
    }

    async fn whose(&self, record: &Record, side: Side, gathered: &Gathered) -> Result<Whose, LookError> {
        Ok(match gathered.get(&record.key, side) {
            None => Whose::Unreadable,
            Some(read) => whose(identify(&self.core, record, side, read).await?),
        })
    }

    /// What strangers are called within plans, the same whenever they are met: by the first id of them. Nothing is stored
    /// under it.
    pub fn name_of(&self, ids: &PerSide<Option<NativeId>>) -> Rid {
        let first = Side::BOTH.into_iter().find_map(|side| Some((side, ids[side].as_ref()?)));
        let name = first.map(|(side, id)| format!("{}|{}|{side}|{id}", self.account, self.spec.name));
        Rid(Uuid::new_v5(&Uuid::NAMESPACE_OID, name.unwrap_or_default().as_bytes()))
    }

    /// The record these ids would be provisionally.
    fn stranger(&self, ids: &PerSide<Option<NativeId>>) -> View {
        let mut record = Record::new(self.key(self.name_of(ids)));
        for side in Side::BOTH {
            record.shadows[side].native_id.clone_from(&ids[side]);
        }
        View { record, pending: Vec::new() }
    }

    /// Rings strangers, and the records some of them are planned to be. Those of one page are heard of in one transaction.
    ///
    /// # Errors
    /// Our database fails.
    pub async fn ring_strangers(&self, meetings: &[Meeting]) -> Result<(), LookError> {
        let mut hints = Vec::new();
        for meeting in meetings {
            hints.extend(Side::BOTH.into_iter().filter_map(|side| Some(self.hint(side, meeting.ids[side].as_ref()?))));
        }
        self.ring(&hints).await
    }
}

/// A side that is to be read for a plan.
fn there(view: &View, side: Side) -> bool {
    view.record.shadows[side].native_id.is_some() && view.record.shadows[side].inflight.is_none()
}

/// The known record with the strangers' ids; `None` where it has another id there by now.
fn adopting(target: &View, ids: &PerSide<Option<NativeId>>) -> Option<View> {
    let mut view = target.clone();
    for side in Side::BOTH {
        let Some(id) = &ids[side] else { continue };
        let theirs = &mut view.record.shadows[side].native_id;
        if view.record.head.merged_into.is_some() || theirs.as_ref().is_some_and(|theirs| theirs != id) {
            return None;
        }
        *theirs = Some(id.clone());
    }
    Some(view)
}

fn whose(identity: Identity) -> Whose {
    match identity {
        Identity::Own => Whose::Nobodys,
        Identity::Other(rid) => Whose::Record(rid),
        Identity::Twin(rids) => Whose::Several(rids),
        Identity::Open => Whose::Unclear,
    }
}

fn one(side: Side, id: &NativeId) -> PerSide<Option<NativeId>> {
    let mut ids = PerSide::default();
    ids[side] = Some(id.clone());
    ids
}
