//! What people ask to be looked at again, and plans of what that would write: a page at a time, leased like a sweep.

use async_trait::async_trait;
use chassis::Parts;
use chassis::duty::{Duty, Turn};
use model::spec::TypeSpec;
use model::{AccountId, Rid};
use std::collections::{HashMap, HashSet};
use steps::{Engine, Look, LookError, Meeting, Planned, StepError};
use store::resyncs::{Item, Job, MAX_NAMED, Stage};
use store::sweeps::Lease;

use crate::config::Config;
use crate::strangers::{meeting, side_of};

/// The requests of one account.
pub(crate) struct Resyncs {
    pub(crate) account: AccountId,
    pub(crate) engine: Engine,
    pub(crate) parts: Parts,
    pub(crate) config: Config,
}

/// What a page leads to.
pub(crate) struct Done {
    pub(crate) items: Vec<Item>,
    pub(crate) status: Option<&'static str>,
}

#[async_trait]
impl Duty for Resyncs {
    async fn turn(&self) -> anyhow::Result<Turn> {
        let (pool, now) = (&self.parts.pool, self.engine.clock.now());
        let lease = Lease { owner: &self.config.limits.owner, now, length: self.config.lease };
        let Some(mut job) = store::resyncs::take(pool, &self.account, lease).await? else { return Ok(Turn::default()) };
        let Some(spec) = self.engine.world.get(&job.record_type) else {
            store::resyncs::advance(pool, &job, &[], Some("failed"), now).await?;
            return Ok(Turn { full: true, next_due: None });
        };
        match self.page(spec, &mut job).await {
            Ok(Done { items, status }) => {
                store::resyncs::advance(pool, &job, &items, status, self.engine.clock.now()).await?;
            }
            Err(LookError::Step(StepError::Store(error))) => return Err(error.into()),
            Err(LookError::Remote(error)) => {
                let wait = self.config.limits.backoff_after(job.attempts);
                let (account, id) = (&self.account, job.resync_id);
                tracing::warn!(%account, resync_id = %id, %error, "resync {id} of {account} waits: {error}");
                store::resyncs::put_off(pool, &job, now.checked_add(wait).unwrap_or(now)).await?;
            }
        }
        Ok(Turn { full: true, next_due: None })
    }
}

impl Resyncs {
    async fn page(&self, spec: &TypeSpec, job: &mut Job) -> Result<Done, LookError> {
        let look = Look { core: self.engine.core(), account: &self.account, spec, grace: self.config.grace };
        match (job.stage, side_of(job.phase)) {
            (Stage::Ring, Some(side)) => self.ring_unknown(&look, job, side).await,
            (Stage::Plan, Some(side)) => self.plan_unknown(&look, job, side).await,
            (Stage::Ring, None) => self.ring(&look, job).await,
            (Stage::Plan, None) => self.plan(&look, job).await,
            (Stage::Check, _) => self.check(&look, job).await,
            (Stage::Apply, _) => self.apply(&look, job).await,
        }
    }

    /// The next records of the request.
    async fn next(&self, look: &Look<'_>, job: &Job) -> Result<Vec<Rid>, LookError> {
        let (pool, page) = (&self.parts.pool, self.config.page);
        match &job.rids {
            Some(rids) => {
                let rest = rids.iter().copied().filter(|rid| Some(*rid) > job.position);
                Ok(rest.take(page).collect())
            }
            None => Ok(store::sweeps::rids(pool, look.account, &look.spec.name, job.position, page).await?),
        }
    }

    /// Moves on behind this page; answers the status its end leads to.
    fn pass(&self, job: &mut Job, last: Option<Rid>, count: usize, end: &'static str) -> Option<&'static str> {
        job.position = last.or(job.position);
        (count < self.config.page).then_some(end)
    }

    async fn ring(&self, look: &Look<'_>, job: &mut Job) -> Result<Done, LookError> {
        let rids = self.next(look, job).await?;
        job.records += look.ring_again(&rids).await? as u64;
        Ok(Done { items: Vec::new(), status: self.pass(job, rids.last().copied(), rids.len(), "done") })
    }

    async fn plan(&self, look: &Look<'_>, job: &mut Job) -> Result<Done, LookError> {
        let rids = self.next(look, job).await?;
        // Those that strangers would be adopted by are planned with them.
        let adopting = store::resyncs::planned(&self.parts.pool, job.resync_id, &rids, &[]).await?;
        let adopting: HashSet<Rid> = adopting.into_iter().map(|item| item.rid).collect();
        let alone: Vec<Rid> = rids.iter().copied().filter(|rid| !adopting.contains(rid)).collect();
        let planned = look.plan(&alone).await?;
        job.records += (planned.len() + adopting.len()) as u64;
        job.differences += planned.iter().filter(|record| record.differs()).count() as u64;
        for record in &planned {
            job.digest.add_bytes(format!("{} {}", record.rid, record.stand).as_bytes());
        }
        let items = planned.iter().map(item).collect();
        Ok(Done { items, status: self.pass(job, rids.last().copied(), rids.len(), "ready") })
    }

    /// Do the records that would change still stand where the plan found them? Nothing is rung before all were looked at.
    async fn check(&self, look: &Look<'_>, job: &mut Job) -> Result<Done, LookError> {
        let items = self.items(job).await?;
        let rids: Vec<Rid> = items.iter().map(|item| item.rid).collect();
        let known: Vec<Rid> = items.iter().filter(|item| !item.of_strangers()).map(|item| item.rid).collect();
        let strangers: Vec<Meeting> = items.iter().filter(|item| item.of_strangers()).map(meeting).collect();
        let mut fresh = look.plan(&known).await?;
        fresh.extend(look.plan_strangers(&strangers).await?);
        let stands: HashMap<Rid, _> = fresh.iter().map(|record| (record.rid, record.stand)).collect();
        let moved = items.iter().filter(|item| stands.get(&item.rid) != Some(&item.stand)).map(|item| item.rid);
        job.moved.extend(moved);
        job.moved.truncate(MAX_NAMED);
        let mut status = self.pass(job, rids.last().copied(), rids.len(), "applying");
        if status.is_some() {
            job.position = None;
            status = Some(if job.moved.is_empty() { "applying" } else { "moved" });
        }
        Ok(Done { items: Vec::new(), status })
    }

    /// What is written then is what is owed then: the merge step reads each record once more.
    async fn apply(&self, look: &Look<'_>, job: &mut Job) -> Result<Done, LookError> {
        let items = self.items(job).await?;
        let rids: Vec<Rid> = items.iter().map(|item| item.rid).collect();
        let strangers: Vec<Meeting> = items.iter().filter(|item| item.of_strangers()).map(meeting).collect();
        let adopting = strangers.iter().filter_map(|meeting| meeting.into);
        let known: Vec<Rid> =
            items.iter().filter(|item| !item.of_strangers()).map(|item| item.rid).chain(adopting).collect();
        look.ring_strangers(&strangers).await?;
        look.ring_again(&known).await?;
        Ok(Done { items: Vec::new(), status: self.pass(job, rids.last().copied(), rids.len(), "applied") })
    }

    /// The next records of a plan that would change.
    async fn items(&self, job: &Job) -> Result<Vec<Item>, LookError> {
        let pool = &self.parts.pool;
        Ok(store::resyncs::items(pool, job.resync_id, job.position, true, self.config.page).await?)
    }
}

pub(crate) fn item(planned: &Planned) -> Item {
    let body = planned.differs().then(|| serde_json::to_value(planned).expect("a plan is plain JSON"));
    Item::known(planned.rid, planned.stand, body)
}
