//! The write step (semantics §2.9): claim in one transaction, send outside any, settle in another.
//!
//! A writer writes what the side is owed at that moment, never what a doorbell carried. It claims nothing while the
//! side is dirty (R7) or a write is in flight (R5), and a time-out is neither success nor failure (R8).

use std::collections::{BTreeMap, HashMap};

use model::{AccountId, NativeId, RecordRef, RecordType, Side, WriteOutcome, WriteRequest};
use store::records::{Patch, Pick, View};

use crate::claim::{Claim, Known, claim_all, claim_knowing_more};
use crate::core::{Core, StepError};
use crate::observe::{References, references};
use crate::settle::settle_one;

/// What a write step did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Written {
    /// Records looked at.
    pub records: usize,
    /// Writes claimed and sent.
    pub claimed: usize,
    /// Outcomes by word.
    pub outcomes: BTreeMap<&'static str, usize>,
    /// Records whose write waits for a record they refer to.
    pub parked: usize,
    /// Deletions that the brake holds back.
    pub braked: usize,
    /// Records that were locked since our writes to them went on by themselves.
    pub endless: usize,
    /// Records left alone: clean, dirty, in flight, locked or backing off.
    pub passed: usize,
    /// For every landed write, how long after the edit it landed, in microseconds.
    pub latencies_micros: Vec<i64>,
}

/// One write step over a batch. `may_write` says which accounts may be written to now.
///
/// # Errors
/// The database. Writes claimed before stay in flight and are recovered after their deadline.
pub async fn write_step(
    core: &Core<'_>,
    side: Side,
    pick: &Pick,
    may_write: &(dyn Fn(&AccountId) -> bool + Sync),
) -> Result<Written, StepError> {
    let mut done = Written::default();
    let (mut claims, mut waiting) = (Vec::new(), Vec::new());
    let nothing = Known::default();
    let mut plan =
        |views: &[View]| claim_all(core, side, views, &nothing, may_write, &mut claims, &mut waiting, &mut done);
    done.records = core.records.transact(pick, false, &mut plan).await?;
    if !waiting.is_empty() {
        claim_knowing_more(core, side, waiting, may_write, &mut claims, &mut done).await?;
    }
    if claims.is_empty() {
        return Ok(done);
    }
    done.claimed = claims.len();
    let outcomes = send(core, side, &claims).await;
    finish(core, side, claims, outcomes, &mut done).await?;
    Ok(done)
}

/// One call per account and type; the remote splits further as it must.
async fn send(core: &Core<'_>, side: Side, claims: &[Claim]) -> HashMap<RecordRef, WriteOutcome> {
    let mut groups: BTreeMap<(&AccountId, &RecordType), Vec<&Claim>> = BTreeMap::new();
    for claim in claims {
        groups.entry((&claim.key.account, &claim.key.record_type)).or_default().push(claim);
    }
    let mut outcomes = HashMap::new();
    for ((account, record_type), group) in groups {
        let Some(spec) = core.spec(record_type) else { continue };
        let requests: Vec<WriteRequest> = group.iter().map(|claim| claim.request.clone()).collect();
        let answers = core.remotes[side].write(account, spec, &requests).await;
        outcomes.extend(group.iter().map(|claim| claim.key.clone()).zip(answers));
    }
    outcomes
}

/// T2 of the batch.
async fn finish(
    core: &Core<'_>,
    side: Side,
    claims: Vec<Claim>,
    outcomes: HashMap<RecordRef, WriteOutcome>,
    done: &mut Written,
) -> Result<(), StepError> {
    let found = known_references(core, side, &claims, &outcomes).await?;
    let by_key: HashMap<RecordRef, Claim> = claims.into_iter().map(|claim| (claim.key.clone(), claim)).collect();
    let mut keys: Vec<RecordRef> = by_key.keys().cloned().collect();
    keys.sort_unstable();
    let mut plan = |views: &[View]| -> Vec<Patch> {
        views
            .iter()
            .filter_map(|view| {
                let (claim, outcome) = (by_key.get(&view.record.key)?, outcomes.get(&view.record.key)?);
                settle_one(core, side, view, claim, outcome, &found, done)
            })
            .collect()
    };
    core.records.transact(&Pick::These(keys), false, &mut plan).await?;
    Ok(())
}

/// Rids of what the rows read back refer to; unknown ones are left for the verify read.
async fn known_references(
    core: &Core<'_>,
    side: Side,
    claims: &[Claim],
    outcomes: &HashMap<RecordRef, WriteOutcome>,
) -> Result<HashMap<AccountId, References>, StepError> {
    let mut wanted: BTreeMap<AccountId, Vec<(RecordType, NativeId)>> = BTreeMap::new();
    for claim in claims {
        if let Some(WriteOutcome::Ok { observed: Some(observed), .. }) = outcomes.get(&claim.key)
            && let Some(spec) = core.spec(&claim.key.record_type)
        {
            references(spec, &observed.fields, wanted.entry(claim.key.account.clone()).or_default());
        }
    }
    let mut found = HashMap::new();
    for (account, mut ids) in wanted {
        ids.sort_unstable();
        ids.dedup();
        if !ids.is_empty() {
            let rids = core.records.links(&account, side, &ids).await?;
            found.insert(account, rids);
        }
    }
    Ok(found)
}
