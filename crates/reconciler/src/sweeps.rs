//! One account's sweeps (semantics §2.14): a page at a time, of whichever type is due, by whichever process has it
//! leased; in the end a certificate.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use chassis::Parts;
use chassis::duty::{Duty, Turn};
use model::spec::TypeSpec;
use model::{AccountId, NativeId, RecordType, Rid, SUM_HASH, Side, Timestamp};
use netsuite::NetsuiteRemote;
use serde_json::{Value, json};
use steps::{Engine, Look, LookError, StepError, Tally};
use store::sweeps::{Lease, Phase, Sweep};

use crate::config::Config;

/// Requests that ended longer ago than this are forgotten.
const REMEMBERED: Duration = Duration::from_secs(7 * 86_400);

/// The sweeps of one account.
pub(crate) struct Sweeps {
    pub(crate) account: AccountId,
    pub(crate) netsuite: Arc<NetsuiteRemote>,
    pub(crate) engine: Engine,
    pub(crate) parts: Parts,
    pub(crate) config: Config,
    /// Whether the database knows this process's schedule.
    pub(crate) introduced: AtomicBool,
}

#[async_trait]
impl Duty for Sweeps {
    async fn turn(&self) -> anyhow::Result<Turn> {
        let (pool, now) = (&self.parts.pool, self.engine.clock.now());
        let types: Vec<RecordType> = self.engine.world.types.iter().map(|spec| spec.name.clone()).collect();
        let next_due = self.config.sweep.after(now);
        if !self.introduced.load(Ordering::Relaxed) {
            store::sweeps::introduce(pool, &self.account, &types, next_due, now).await?;
            self.introduced.store(true, Ordering::Relaxed);
        }
        let lease = Lease { owner: &self.config.limits.owner, now, length: self.config.lease };
        let taken = store::sweeps::take(pool, &self.account, &types, lease, self.engine.ids.uuid(), next_due).await?;
        let Some(mut sweep) = taken else { return Ok(Turn::default()) };
        let found = |tally: &Tally| tally.drift + tally.unknown.suitex + tally.unknown.netsuite;
        let before = found(&sweep.tally);
        match self.page(&mut sweep).await {
            Ok(ended) => {
                let name = sweep.record_type.to_string();
                metrics::counter!("concord_drift_found_total", "type" => name).increment(found(&sweep.tally) - before);
                if ended {
                    self.certify(&sweep).await?;
                } else {
                    store::sweeps::advance(pool, &sweep).await?;
                }
            }
            Err(LookError::Step(StepError::Store(error))) => return Err(error.into()),
            Err(LookError::Remote(error)) => {
                let wait = self.config.limits.backoff_after(sweep.attempts);
                let Sweep { account, record_type, .. } = &sweep;
                tracing::warn!(%account, %record_type, %error, "the sweep of {record_type} of {account} waits: {error}");
                store::sweeps::put_off(pool, &sweep, now.checked_add(wait).unwrap_or(now)).await?;
            }
        }
        Ok(Turn { full: true, next_due: None })
    }
}

impl Sweeps {
    /// Looks at the next page. True: it was the last.
    async fn page(&self, sweep: &mut Sweep<Tally>) -> Result<bool, LookError> {
        let Some(spec) = self.engine.world.get(&sweep.record_type) else { return Ok(true) };
        if sweep.verified_through.is_none() {
            // Before anything is read: what was changed until then is seen by what follows.
            sweep.verified_through = Some(self.netsuite.now(&self.account).await?);
        }
        let look = self.look(spec);
        let at = sweep.position.take();
        match sweep.phase {
            Phase::Suitex => {
                sweep.position = self.ids(&look, Side::Suitex, at.as_deref(), &mut sweep.tally).await?;
                if sweep.position.is_none() {
                    sweep.phase = Phase::Netsuite;
                }
                Ok(false)
            }
            Phase::Netsuite => {
                sweep.position = self.ids(&look, Side::Netsuite, at.as_deref(), &mut sweep.tally).await?;
                if sweep.position.is_none() {
                    sweep.phase = Phase::Records;
                }
                Ok(false)
            }
            Phase::Records => {
                let after = at.and_then(|at| at.parse().ok()).map(Rid);
                let (pool, page) = (&self.parts.pool, self.config.page);
                let rids = store::sweeps::rids(pool, &self.account, &spec.name, after, page).await?;
                look.records(&rids, &mut sweep.tally).await?;
                sweep.position = rids.last().map(Rid::to_string);
                Ok(rids.len() < page)
            }
        }
    }

    fn look<'a>(&'a self, spec: &'a TypeSpec) -> Look<'a> {
        Look { core: self.engine.core(), account: &self.account, spec, grace: self.config.grace }
    }

    async fn ids(
        &self,
        look: &Look<'_>,
        side: Side,
        at: Option<&str>,
        tally: &mut Tally,
    ) -> Result<Option<String>, LookError> {
        let after = at.and_then(|at| NativeId::parse(at).ok());
        let last = look.ids(side, after.as_ref(), self.config.page, tally).await?;
        Ok(last.map(|id| id.to_string()))
    }

    async fn certify(&self, sweep: &Sweep<Tally>) -> anyhow::Result<()> {
        let now = self.engine.clock.now();
        let verified_through = sweep.verified_through.unwrap_or(sweep.started_at);
        let shortfalls = sweep.tally.shortfalls();
        let body = certificate(sweep, verified_through, &shortfalls, now);
        let pool = &self.parts.pool;
        if !store::sweeps::finish(pool, sweep, verified_through, shortfalls.is_empty(), &body, now).await? {
            return Ok(()); // another process has the sweep, and goes on with it
        }
        let Sweep { account, record_type, tally, .. } = sweep;
        if tally.drift + tally.unknown.suitex + tally.unknown.netsuite > 0 {
            tracing::warn!(%account, %record_type, drift = tally.drift, "{record_type} of {account} had drifted: {}", shortfalls.join("; "));
        }
        store::resyncs::forget(pool, now.checked_sub(REMEMBERED)?).await?;
        Ok(())
    }
}

/// The certificate as it is stored and downloaded; the README says what each member means.
fn certificate(sweep: &Sweep<Tally>, verified_through: Timestamp, shortfalls: &[String], now: Timestamp) -> Value {
    let Sweep { account, record_type, sweep_id, tally, started_at, answers, .. } = sweep;
    let Tally { canonical, sides, listed, unknown, pending, drift, unreadable, disagree, examples } = tally;
    json!({
        "account_id": account.as_str(), "record_type": record_type.as_str(), "sweep_id": sweep_id,
        "complete": shortfalls.is_empty(), "shortfalls": shortfalls,
        "verified_through": verified_through, "started_at": started_at, "issued_at": now, "answers": answers,
        "algorithm": SUM_HASH, "hash": canonical.hash,
        "hashes": { "canonical": canonical.hash, "suitex": sides.suitex.hash, "netsuite": sides.netsuite.hash },
        "counts": { "canonical": canonical.count, "suitex": sides.suitex.count, "netsuite": sides.netsuite.count },
        "listed": listed, "unknown": unknown, "pending": pending, "drift": drift, "unreadable": unreadable,
        "disagree": disagree, "examples": examples,
    })
}
