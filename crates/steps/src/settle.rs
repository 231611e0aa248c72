//! T2: what each outcome of a write means (semantics §2.9). One match, every arm written out.

use std::collections::{BTreeMap, HashMap};

use model::limits::WriteLoop;
use model::record::{Ack, Entry, IntentStatus, Lock, LockReason};
use model::spec::{LockScope, TypeSpec};
use model::{AccountId, ErrorClass, MergedEvent, Observed, Side, Timestamp, WriteId, WriteOutcome, record_key};
use store::records::{AuditRow, Outgoing, Patch, View};

use crate::claim::{Claim, release};
use crate::core::{Core, after};
use crate::merging::Work;
use crate::observe::{References, Seen, observation};
use crate::ring::ERROR;
use crate::write::Written;

/// T2 of one record. `None`: recovery took the write over meanwhile.
pub(crate) fn settle_one(
    core: &Core<'_>,
    side: Side,
    view: &View,
    claim: &Claim,
    outcome: &WriteOutcome,
    found: &HashMap<AccountId, References>,
    done: &mut Written,
) -> Option<Patch> {
    let record = &view.record;
    let spec = core.spec(&record.key.record_type)?;
    if record.shadows[side].inflight != Some(claim.request.write_id) {
        return None;
    }
    *done.outcomes.entry(outcome.word()).or_default() += 1;
    let now = core.clock.now();
    let mut work = Work::new(core, spec, view);
    work.patch.audit.push(audit(claim, side, outcome, now));
    match outcome {
        WriteOutcome::Ok { unproven, .. } => {
            landed(spec, view, claim, side, outcome, found, &mut work, now, done);
            if !unproven.is_empty() {
                work.patch.outbox.push(unproven_message(core, view, claim.request.write_id, side, unproven, now));
            }
        }
        WriteOutcome::Stale | WriteOutcome::Gone => end(&mut work, claim, side, IntentStatus::Rejected, now, true),
        WriteOutcome::Fenced => end(&mut work, claim, side, IntentStatus::Fenced, now, true),
        WriteOutcome::Throttled { retry_after } => {
            end(&mut work, claim, side, IntentStatus::Rejected, now, false);
            back_off(core, &mut work, side, *retry_after, now);
        }
        WriteOutcome::NotSent => {
            end(&mut work, claim, side, IntentStatus::Rejected, now, false);
            back_off(core, &mut work, side, Some(core.settings.net), now);
        }
        WriteOutcome::Refused { code } => {
            end(&mut work, claim, side, IntentStatus::Rejected, now, false);
            back_off(core, &mut work, side, None, now);
            let message = format!("{side} refused the credentials or permissions of account {}", record.key.account);
            work.patch.outbox.push(error_message(
                core,
                view,
                Some(claim.request.write_id),
                side,
                ErrorClass::Operational,
                code,
                &message,
                now,
            ));
        }
        WriteOutcome::Invalid { code, message } => {
            end(&mut work, claim, side, IntentStatus::Rejected, now, false);
            lock(core, spec, claim, side, code, &mut work, now);
            work.patch.outbox.push(error_message(
                core,
                view,
                Some(claim.request.write_id),
                side,
                ErrorClass::Validation,
                code,
                message,
                now,
            ));
        }
        // An earlier attempt landed: recovery reads it now rather than after the deadline.
        WriteOutcome::Duplicate => {
            for intent in &mut work.record.unresolved {
                if intent.write_id == claim.request.write_id {
                    intent.deadline = now;
                }
            }
        }
        WriteOutcome::Unknown => {}
    }
    let mut patch = work.finish(now);
    // A backoff chosen above is kept through the settling of working columns, since the side was owed before.
    patch.record.shadows[side].attempts =
        if patch.record.shadows[side].owed { patch.record.shadows[side].attempts } else { 0 };
    Some(patch)
}

#[allow(clippy::too_many_arguments)] // the parts of one outcome
fn landed(
    spec: &TypeSpec,
    view: &View,
    claim: &Claim,
    side: Side,
    outcome: &WriteOutcome,
    found: &HashMap<AccountId, References>,
    work: &mut Work<'_>,
    now: Timestamp,
    done: &mut Written,
) {
    let WriteOutcome::Ok { native_id, token, line_ids, observed, before, .. } = outcome else { return };
    if let Some(at) = view.record.inflight(side).and_then(|intent| intent.occurred_at) {
        let micros = i64::try_from(now.duration_since(at).as_micros()).unwrap_or(i64::MAX);
        done.latencies_micros.push(micros);
    }
    fold_before(work, spec, side, before.as_deref(), now);
    let ack = Ack {
        write_id: claim.request.write_id,
        side,
        token: *token,
        native_id: Some(native_id.clone()),
        line_ids: line_ids.clone(),
    };
    let _ = work.fold(Entry::Ack(ack), now); // an acknowledgement cannot be refused
    work.record.shadows[side].attempts = 0;
    let none = References::new();
    let references = found.get(&view.record.key.account).unwrap_or(&none);
    match observed {
        // Read back in the same atomic step: as good as a verify read, and nobody was in between.
        Some(observed) if observed.exists => {
            let seen = Seen { side, observed, read_at: now, references, hints: &[] };
            let observation = work.observed(&seen, now);
            let _ = work.fold(Entry::Observation(observation), now); // an observation cannot be refused
            if claim.request.kind == model::WriteKind::Create {
                // Until now nobody knew whose id this is: whatever was heard of it rang a provisional record, which may have
                // been read and answered already. A user who deleted it meanwhile is noticed only by looking again.
                work.record.shadows[side].ring(now, false, true);
            }
        }
        Some(_) => {}
        None => {
            if claim.request.kind != model::WriteKind::Delete {
                work.record.shadows[side].ring(now, false, true);
            }
        }
    }
}

/// What a user had made of the record just before our write replaced it is folded before the write is (semantics §2.9, guard
/// 2; C9): as the observation nobody could make.
pub(crate) fn fold_before(work: &mut Work<'_>, spec: &TypeSpec, side: Side, before: Option<&Observed>, now: Timestamp) {
    let Some(observed) = before else { return };
    let seen = Seen { side, observed, read_at: now, references: &References::new(), hints: &[] };
    let mut late = observation(&work.record, spec, &seen);
    (late.complete, late.landed) = (false, Vec::new());
    let _ = work.fold(Entry::Observation(late), now); // an observation cannot be refused
}

/// The write ended without landing. `look`: the side is not as we thought, so it must be read.
fn end(work: &mut Work<'_>, claim: &Claim, side: Side, status: IntentStatus, now: Timestamp, look: bool) {
    let _ = work.fold(release(claim, side, status), now); // a release cannot be refused
    if look {
        work.record.shadows[side].ring(now, true, true);
    }
}

fn back_off(core: &Core<'_>, work: &mut Work<'_>, side: Side, asked: Option<std::time::Duration>, now: Timestamp) {
    let shadow = &mut work.record.shadows[side];
    let wait = asked.unwrap_or_else(|| {
        // Jitter from the id source: a seeded run stays repeatable.
        let base = core.settings.backoff_after(shadow.attempts);
        let share = core.ids.uuid().as_u128() % 256;
        base + base.mul_f64(share as f64 / 1024.0)
    });
    shadow.attempts += 1;
    shadow.owed = true;
    shadow.retry_at = Some(after(now, wait));
}

/// A refused value holds back its field where the type locks by field and only one is concerned, else the record.
fn lock(core: &Core<'_>, spec: &TypeSpec, claim: &Claim, side: Side, code: &str, work: &mut Work<'_>, now: Timestamp) {
    let single = claim.request.changes.keys().next().filter(|_| claim.request.changes.len() == 1);
    let field = match spec.lock {
        LockScope::Field => single.cloned(),
        LockScope::Record => None,
    };
    work.record.locks.push(Lock {
        lock_id: core.ids.uuid(),
        field,
        reason: LockReason::Error,
        conflict_id: None,
        locked_at: now,
        note: format!("{side} refused a write: {code}"),
    });
}

/// The record is locked, and the error queue says why: two systems that answer each other would go on for ever.
pub(crate) fn stop_loop(core: &Core<'_>, spec: &TypeSpec, view: &View, side: Side, now: Timestamp) -> Patch {
    let mut work = Work::new(core, spec, view);
    let reason = format!(
        "{} writes or more to the record within {} minutes, and nobody's edit among what was heard of it; it is locked",
        WriteLoop::WRITES,
        WriteLoop::WINDOW.as_secs() / 60,
    );
    work.record.locks.push(Lock {
        lock_id: core.ids.uuid(),
        field: None,
        reason: LockReason::Error,
        conflict_id: None,
        locked_at: now,
        note: format!("our writes to {side} go on by themselves"),
    });
    work.patch.outbox.push(error_message(core, view, None, side, ErrorClass::Operational, "write_loop", &reason, now));
    work.finish(now)
}

/// The write landed, and nobody can say whether it replaced a user's edit: a person should know (R10).
pub(crate) fn unproven_message(
    core: &Core<'_>,
    view: &View,
    write_id: WriteId,
    side: Side,
    fields: &[String],
    now: Timestamp,
) -> Outgoing {
    let reason = format!(
        "the write landed, but {side} keeps no note of changes to {}: an edit made there while it was on its way may have been \
         replaced unseen; have the type written through the write RESTlet, or accept the risk in the accounts file",
        fields.join(", "),
    );
    error_message(core, view, Some(write_id), side, ErrorClass::Operational, "write_unproven", &reason, now)
}

/// The message that dlq-handler turns into a row a person sees; its payload is the write as a doorbell.
#[allow(clippy::too_many_arguments)] // the attributes of one message
fn error_message(
    core: &Core<'_>,
    view: &View,
    write_id: Option<WriteId>,
    side: Side,
    class: ErrorClass,
    code: &str,
    reason: &str,
    now: Timestamp,
) -> Outgoing {
    let key = &view.record.key;
    let event = MergedEvent {
        event_id: core.ids.uuid(),
        account: key.account.clone(),
        record_type: key.record_type.clone(),
        rid: key.rid,
        target: side,
        version: view.record.head.version,
        changes: view.record.inflight(side).map(|intent| intent.changes.clone()).unwrap_or_default(),
        source_event_ids: Vec::new(),
        decisions: BTreeMap::new(),
        occurred_at: Some(now),
    };
    let mut attributes = model::wire::merged_attributes(&event);
    attributes.insert("error_class".to_owned(), class.as_str().to_owned());
    attributes.insert("reason".to_owned(), format!("{code}: {reason}"));
    attributes.insert("reason_code".to_owned(), code.to_owned());
    attributes.insert("attempts".to_owned(), (view.record.shadows[side].attempts + 1).to_string());
    attributes.insert("first_failed_at".to_owned(), now.to_string());
    if let Some(write_id) = write_id {
        attributes.insert("write_id".to_owned(), write_id.to_string());
    }
    Outgoing {
        topic: ERROR,
        record_key: record_key(&key.account, &key.record_type, &key.rid.to_string()),
        payload: model::wire::encode_merged(&event),
        attributes: attributes.into(),
    }
}

fn audit(claim: &Claim, side: Side, outcome: &WriteOutcome, at: Timestamp) -> AuditRow {
    let (native_id, code) = match outcome {
        WriteOutcome::Ok { native_id, .. } => (Some(native_id.clone()), None),
        WriteOutcome::Invalid { code, .. } | WriteOutcome::Refused { code } => {
            (claim.request.native_id.clone(), Some(code.clone()))
        }
        WriteOutcome::Stale
        | WriteOutcome::Fenced
        | WriteOutcome::Gone
        | WriteOutcome::Duplicate
        | WriteOutcome::Throttled { .. }
        | WriteOutcome::NotSent
        | WriteOutcome::Unknown => (claim.request.native_id.clone(), None),
    };
    AuditRow {
        write_id: claim.request.write_id,
        side,
        outcome: outcome.word(),
        fields: claim.request.changes.keys().cloned().collect(),
        native_id,
        code,
        at,
    }
}
