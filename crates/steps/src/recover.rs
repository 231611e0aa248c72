//! Recovery of writes whose deadline passed (semantics §2.10): read the remote and decide by identity — the stamp, or
//! the inbox row — never by value. What is not found stays attributable until fenced (C10).

use std::collections::{BTreeMap, HashMap};

use model::record::{Ack, Entry, Intent, IntentStatus, Release};
use model::{Observed, ReadRequest, RecordRef, RecordType, Side, WriteId};
use store::records::{AuditRow, Patch, Pick, View};

use crate::core::{Core, StepError, after};
use crate::merging::Work;
use crate::settle::{fold_before, unproven_message};

/// What a recovery step did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Writes looked for.
    pub looked: usize,
    /// Found landed.
    pub landed: usize,
    /// Not found: released as unknown.
    pub unknown: usize,
    /// Sides that could not be read.
    pub unreadable: usize,
}

struct Lost {
    key: RecordRef,
    intent: Intent,
    epoch: u64,
    request: ReadRequest,
}

/// One recovery step over a batch of overdue writes to a side.
///
/// # Errors
/// The database; the writes stay in flight and are found again.
pub async fn recover_step(core: &Core<'_>, side: Side, pick: &Pick) -> Result<Recovered, StepError> {
    let mut lost = Vec::new();
    let mut plan = |views: &[View]| capture(core, side, views, &mut lost);
    core.records.transact(pick, false, &mut plan).await?;
    let mut done = Recovered { looked: lost.len(), ..Recovered::default() };
    let found = look(core, side, &lost).await;
    let by_key: HashMap<&RecordRef, &Lost> = lost.iter().map(|lost| (&lost.key, lost)).collect();
    let mut keys: Vec<RecordRef> = by_key.keys().map(|key| (*key).clone()).collect();
    keys.sort_unstable();
    if keys.is_empty() {
        return Ok(done);
    }
    let mut plan = |views: &[View]| -> Vec<Patch> {
        views
            .iter()
            .filter_map(|view| {
                decide(core, side, view, by_key.get(&view.record.key)?, found.get(&view.record.key), &mut done)
            })
            .collect()
    };
    core.records.transact(&Pick::These(keys), false, &mut plan).await?;
    Ok(done)
}

/// Notes what is in flight; the deadline moves on so that another replica does not look at the same time.
fn capture(core: &Core<'_>, side: Side, views: &[View], lost: &mut Vec<Lost>) -> Vec<Patch> {
    let now = core.clock.now();
    let mut patches = Vec::new();
    for view in views {
        let record = &view.record;
        let Some(intent) = record.inflight(side).filter(|intent| intent.deadline <= now) else { continue };
        let shadow = &record.shadows[side];
        lost.push(Lost {
            key: record.key.clone(),
            intent: intent.clone(),
            epoch: shadow.epoch,
            request: ReadRequest {
                rid: record.key.rid,
                native_id: shadow.native_id.clone(),
                generation: intent.generation.max(shadow.generation),
                unresolved: record.unresolved.iter().filter(|i| i.side == side).map(|i| i.write_id).collect(),
                note: shadow.note,
            },
        });
        let mut patch = Patch::of(record.clone());
        for held in patch.record.unresolved.iter_mut().filter(|held| held.write_id == intent.write_id) {
            held.deadline = after(now, core.settings.read_backoff);
        }
        patches.push(patch);
    }
    patches
}

async fn look(core: &Core<'_>, side: Side, lost: &[Lost]) -> HashMap<RecordRef, Observed> {
    let mut groups: BTreeMap<(String, RecordType), Vec<&Lost>> = BTreeMap::new();
    for one in lost {
        groups.entry((one.key.account.to_string(), one.key.record_type.clone())).or_default().push(one);
    }
    let mut found = HashMap::new();
    for ((_, record_type), group) in groups {
        let Some(spec) = core.spec(&record_type) else { continue };
        let requests: Vec<ReadRequest> = group.iter().map(|lost| lost.request.clone()).collect();
        let answers = core.remotes[side].read(&group[0].key.account, spec, &requests).await;
        for (one, answer) in group.iter().zip(answers) {
            match answer {
                Ok(observed) => {
                    found.insert(one.key.clone(), observed);
                }
                Err(error) => {
                    tracing::warn!(record = %one.key, %error, "the fate of a write to {} is not known yet: {error}", one.key);
                }
            }
        }
    }
    found
}

fn decide(
    core: &Core<'_>,
    side: Side,
    view: &View,
    lost: &Lost,
    observed: Option<&Observed>,
    done: &mut Recovered,
) -> Option<Patch> {
    let spec = core.spec(&view.record.key.record_type)?;
    let shadow = &view.record.shadows[side];
    if shadow.inflight != Some(lost.intent.write_id) || shadow.epoch != lost.epoch {
        return None; // the writer finished after all
    }
    let Some(observed) = observed else {
        done.unreadable += 1;
        return None; // found again when the moved deadline passes
    };
    let now = core.clock.now();
    let mut work = Work::new(core, spec, view);
    let landed = has_landed(&lost.intent, observed);
    let entry = if landed {
        done.landed += 1;
        fold_before(&mut work, spec, side, observed.before.as_deref(), now);
        if !observed.unproven.is_empty() {
            work.patch.outbox.push(unproven_message(core, view, lost.intent.write_id, side, &observed.unproven, now));
        }
        Entry::Ack(Ack {
            write_id: lost.intent.write_id,
            side,
            token: None,
            native_id: observed.native_id.clone(),
            line_ids: model::LineIds::new(),
        })
    } else {
        done.unknown += 1;
        // Where nothing fences a late request the deadline included its longest life: it can land no more.
        let over = !core.remotes[side].quarantine(&view.record.key.account, spec).is_zero();
        let outcome = if over { IntentStatus::Rejected } else { IntentStatus::Unknown };
        Entry::Release(Release { write_id: lost.intent.write_id, side, outcome })
    };
    let _ = work.fold(entry, now); // neither can be refused
    work.record.shadows[side].ring(now, true, true);
    work.patch.audit.push(audit(lost.intent.write_id, side, landed, observed, now));
    Some(work.finish(now))
}

/// By identity: the remote names our write. An absent record is a landed delete.
fn has_landed(intent: &Intent, observed: &Observed) -> bool {
    observed.landed.contains(&intent.write_id) || (intent.kind == model::WriteKind::Delete && !observed.exists)
}

fn audit(write_id: WriteId, side: Side, landed: bool, observed: &Observed, at: model::Timestamp) -> AuditRow {
    AuditRow {
        write_id,
        side,
        outcome: if landed { "recovered" } else { "unknown" },
        fields: Vec::new(),
        native_id: observed.native_id.clone(),
        code: None,
        at,
    }
}
