//! Ids only a side knows, in a request for a whole type: SuiteX's page by page, then NetSuite's, then the records. What is
//! new on both sides under one natural key is planned as one record (semantics §2.8).

use std::collections::{BTreeMap, HashMap, HashSet};

use model::{NativeId, PerSide, Rid, Side};
use steps::{Look, LookError, Meeting, Planned, Stranger, Whose};
use store::resyncs::{Item, Job, Met};
use store::sweeps::Phase;

use crate::resyncs::{Done, Resyncs, item};

/// The side whose ids are gone through; `None` when it is the records' turn.
pub(crate) fn side_of(phase: Phase) -> Option<Side> {
    match phase {
        Phase::Suitex => Some(Side::Suitex),
        Phase::Netsuite => Some(Side::Netsuite),
        Phase::Records => None,
    }
}

/// What a plan has made of strangers so far, as far as this page may have to do with it.
struct Book {
    /// By the rid of the record, or the name of a record to be.
    met: HashMap<Rid, Met>,
    /// The records to be, by natural key.
    by_key: HashMap<String, Rid>,
}

impl Resyncs {
    /// The next page of a side's ids: those nobody knows. Moves on behind it.
    async fn unknown(&self, look: &Look<'_>, job: &mut Job, side: Side) -> Result<Vec<NativeId>, LookError> {
        let after = job.id_position.as_deref().and_then(|at| NativeId::parse(at).ok());
        let (ids, last) = look.unknown_ids(side, after.as_ref(), self.config.page).await?;
        job.phase = match (&last, side) {
            (Some(_), _) => job.phase,
            (None, Side::Suitex) => Phase::Netsuite,
            (None, Side::Netsuite) => Phase::Records,
        };
        job.id_position = last.map(|id| id.to_string());
        Ok(ids)
    }

    pub(crate) async fn ring_unknown(&self, look: &Look<'_>, job: &mut Job, side: Side) -> Result<Done, LookError> {
        let ids = self.unknown(look, job, side).await?;
        job.records += ids.len() as u64;
        let meetings: Vec<Meeting> =
            ids.into_iter().map(|id| Meeting { ids: one(side, id), ..Meeting::default() }).collect();
        look.ring_strangers(&meetings).await?;
        Ok(Done { items: Vec::new(), status: None })
    }

    pub(crate) async fn plan_unknown(&self, look: &Look<'_>, job: &mut Job, side: Side) -> Result<Done, LookError> {
        let ids = self.unknown(look, job, side).await?;
        job.records += ids.len() as u64;
        let met = look.meet(side, &ids).await?;
        let mut book = self.book(job, &met).await?;
        let before: HashSet<Rid> = book.met.keys().copied().collect();
        let mut wanted: BTreeMap<Rid, (Meeting, Option<String>)> = BTreeMap::new();
        for stranger in met {
            let (meeting, natural_key) = place(&book, side, &stranger);
            let rid = meeting.into.unwrap_or_else(|| look.name_of(&meeting.ids));
            // What the next one belongs to may be on this very page; a question is nobody's to join.
            if meeting.twins.is_empty() {
                book.by_key.extend(natural_key.clone().map(|key| (key, rid)));
                book.met.insert(rid, Met { ids: meeting.ids.clone(), natural_key: natural_key.clone() });
            }
            wanted.insert(rid, (meeting, natural_key));
        }
        let meetings: Vec<Meeting> = wanted.values().map(|(meeting, _)| meeting.clone()).collect();
        let planned = look.plan_strangers(&meetings).await?;
        let of_strangers = |planned: &Planned| {
            let (meeting, natural_key) = wanted.get(&planned.rid).cloned().unwrap_or_default();
            Item { met: Met { ids: meeting.ids, natural_key }, ..item(planned) }
        };
        let items: Vec<Item> = planned.iter().map(of_strangers).collect();
        job.differences += items.iter().filter(|item| !before.contains(&item.rid)).count() as u64;
        for record in &planned {
            job.digest.add_bytes(format!("{} {}", record.rid, record.stand).as_bytes());
        }
        Ok(Done { items, status: None })
    }

    async fn book(&self, job: &Job, met: &[Stranger]) -> Result<Book, LookError> {
        let rids: Vec<Rid> =
            met.iter().filter_map(|s| if let Whose::Record(rid) = s.whose { Some(rid) } else { None }).collect();
        let keys: Vec<String> = met.iter().filter_map(|stranger| stranger.natural_key.clone()).collect();
        let items = store::resyncs::planned(&self.parts.pool, job.resync_id, &rids, &keys).await?;
        let by_key = items.iter().filter_map(|item| Some((item.met.natural_key.clone()?, item.rid))).collect();
        Ok(Book { by_key, met: items.into_iter().map(|item| (item.rid, item.met)).collect() })
    }
}

/// As what a stranger is planned, and under which natural key the other side's may still join it.
fn place(book: &Book, side: Side, stranger: &Stranger) -> (Meeting, Option<String>) {
    let alone = || Meeting { ids: one(side, stranger.native_id.clone()), ..Meeting::default() };
    let question = |twins: Vec<Rid>| (Meeting { twins, ..alone() }, None);
    match &stranger.whose {
        // One id of a side only: a second one is a question, as it will be when the first is linked.
        Whose::Record(rid) => match book.met.get(rid) {
            Some(met) if met.ids[side].is_some() => question(vec![*rid]),
            Some(met) => (Meeting { ids: both(met, side, stranger), into: Some(*rid), twins: Vec::new() }, None),
            None => (Meeting { into: Some(*rid), ..alone() }, None),
        },
        Whose::Several(rids) => question(rids.clone()),
        Whose::Unclear | Whose::Unreadable => (alone(), None),
        Whose::Nobodys => {
            let Some(key) = &stranger.natural_key else { return (alone(), None) };
            let Some(first) = book.by_key.get(key) else { return (alone(), Some(key.clone())) };
            match book.met.get(first) {
                Some(met) if met.ids[side].is_none() => {
                    (Meeting { ids: both(met, side, stranger), ..Meeting::default() }, Some(key.clone()))
                }
                Some(_) | None => question(vec![*first]),
            }
        }
    }
}

/// The ids nobody knew that an item is about, as they were planned.
pub(crate) fn meeting(item: &Item) -> Meeting {
    let body = item.body.as_ref();
    let rids = |name: &str| body.and_then(|body| serde_json::from_value::<Vec<Rid>>(body[name].clone()).ok());
    let into = body.is_some_and(|body| body["becomes"] == "adopted").then_some(item.rid);
    Meeting { ids: item.met.ids.clone(), into, twins: rids("candidates").unwrap_or_default() }
}

fn both(met: &Met, side: Side, stranger: &Stranger) -> PerSide<Option<NativeId>> {
    let mut ids = met.ids.clone();
    ids[side] = Some(stranger.native_id.clone());
    ids
}

fn one(side: Side, id: NativeId) -> PerSide<Option<NativeId>> {
    let mut ids = PerSide::default();
    ids[side] = Some(id);
    ids
}
