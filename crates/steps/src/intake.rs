//! Intake of `events.raw` (semantics §2.2): store and mark dirty. Values in a hint are evidence of when and what somebody
//! edited; they are not what is merged. But where SuiteX counts its changes and none is missing they stand for a read, and
//! are folded in the same transaction.

use merge::normal::normalise_changes;
use model::{ChangeEvent, ErrorClass, Failure, Operation, Rid, Source};
use store::records::{Hint, Intake, View};

use crate::core::{Core, StepError};
use crate::fast_delta::fold_fast_deltas;
use crate::merged::Merged;

/// Brings an event into the form intake stores.
///
/// # Errors
/// An unknown record type or a value that breaks its field's rules: [`ErrorClass::Validation`].
pub fn to_hint(core: &Core<'_>, event: &ChangeEvent) -> Result<Hint, Failure> {
    let spec = core.spec(&event.record_type).ok_or_else(|| {
        Failure::new(
            ErrorClass::Validation,
            "unknown_record_type",
            format!("recordType {} is not synced; accepted are: {}", event.record_type, known(core)),
        )
    })?;
    let changes = normalise_changes(spec, &event.changes)?;
    Ok(Hint {
        event_id: event.event_id,
        new_rid: Rid(core.ids.uuid()),
        account: event.account.clone(),
        record_type: event.record_type.clone(),
        side: event.side,
        native_id: event.record_id.clone(),
        operation: event.operation,
        source: event.source,
        occurred_at: event.occurred_at,
        base_version: event.base_version,
        changes,
        remote_version: event.remote_version,
        write_id: event.write_id,
        full_snapshot_ref: event.full_snapshot_ref.clone(),
        auth_context: event.auth_context.clone(),
        correlation_id: event.correlation_id.clone(),
        urgent: event.operation != Operation::Update || matches!(event.source, Source::Reconcile | Source::Resolution),
    })
}

fn known(core: &Core<'_>) -> String {
    core.world.types.iter().map(|t| t.name.as_str()).collect::<Vec<_>>().join(", ")
}

/// Stores a batch of hints in one transaction, and folds what follows from them alone. After it returns the messages may be
/// acknowledged, not before.
///
/// # Errors
/// The database; nothing is stored then.
pub async fn intake(core: &Core<'_>, hints: &[&Hint]) -> Result<(Vec<Intake>, Merged), StepError> {
    let mut done = Merged::default();
    let mut plan = |views: &[View]| {
        done = Merged::default(); // what an attempt before this one folded was not stored
        fold_fast_deltas(core, views, &mut done)
    };
    let stored = core.records.take_in(hints, core.clock.now(), &core.settings.windows, &mut plan).await?;
    Ok((stored, done))
}
