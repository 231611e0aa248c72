//! Creates, deletes, recreations (semantics §2.6).

use model::record::{ConflictReason, Existence, Override, Record, WHOLE};
use model::spec::{DeletePolicy, TypeSpec};
use model::{Fields, LineIds, Shared, Side, Value};

use crate::field::{Context, push_conflict};
use crate::fold::Effects;
use crate::owed::{Owed, owed_to};
use crate::resolution::die;

/// The word that stands for a deletion in `overrides`.
const DELETED: &str = "deleted";

/// A direct read found nothing where the shadow says there was something.
pub(crate) fn fold_absence(record: &mut Record, cx: &Context<'_>, fx: &mut Effects) {
    if record.shadows[cx.side].exists != Existence::Yes {
        return;
    }
    let unpropagated = unpropagated(record, cx.spec, cx.side);
    let held = Fields::clone(&record.shadows[cx.side].state);
    forget(record, cx.side);
    if !record.head.alive {
        return; // both sides deleted it, or our own delete is seen
    }
    if unpropagated.is_empty() {
        die(record, fx);
        return;
    }
    match cx.spec.delete_policy {
        DeletePolicy::DeleteWins => {
            for (field, lost) in unpropagated {
                fx.overrides.push(Override {
                    field,
                    losing_value: lost,
                    losing_side: cx.side.other(),
                    winning_value: Value::Null,
                    policy: "delete_wins".to_owned(),
                    version: cx.next_version,
                    event_id: cx.event_id,
                });
            }
            die(record, fx);
        }
        DeletePolicy::UpdateWins => fx.overrides.push(deletion_lost(cx, cx.side)),
        DeletePolicy::Manual => {
            let theirs = Some(Fields::clone(&record.head.state));
            let (suitex, netsuite) = match cx.side {
                Side::Suitex => (None, theirs),
                Side::Netsuite => (theirs, None),
            };
            push_conflict(record, cx, WHOLE, ConflictReason::Delete, None, (held, suitex, netsuite));
            fx.conflict_touched = true;
        }
    }
}

/// What the fold goes on with after a deleted record was seen edited or present.
pub(crate) enum Return {
    /// It lives (again): fold the fields.
    Alive,
    /// It stays deleted, or a person decides: only the shadow takes what was seen.
    OnlyShadow,
}

/// A side holds, and has edited, what the other side deleted.
pub(crate) fn fold_return(record: &mut Record, cx: &Context<'_>, edits: &Fields, fx: &mut Effects) -> Return {
    match cx.spec.delete_policy {
        DeletePolicy::DeleteWins => {
            for (field, lost) in edits {
                fx.overrides.push(Override {
                    field: field.clone(),
                    losing_value: lost.clone(),
                    losing_side: cx.side,
                    winning_value: Value::Null,
                    policy: "delete_wins".to_owned(),
                    version: cx.next_version,
                    event_id: cx.event_id,
                });
            }
            Return::OnlyShadow
        }
        DeletePolicy::UpdateWins => {
            record.head.alive = true;
            fx.overrides.push(deletion_lost(cx, cx.side.other()));
            Return::Alive
        }
        DeletePolicy::Manual => {
            let base = Fields::clone(&record.shadows[cx.side].state);
            let mut seen = base.clone();
            for (field, value) in edits {
                crate::field::set(&mut seen, field, value.clone());
            }
            let (suitex, netsuite) = match cx.side {
                Side::Suitex => (Some(seen), None),
                Side::Netsuite => (None, Some(seen)),
            };
            push_conflict(record, cx, WHOLE, ConflictReason::Delete, None, (base, suitex, netsuite));
            fx.conflict_touched = true;
            Return::OnlyShadow
        }
    }
}

fn deletion_lost(cx: &Context<'_>, by: Side) -> Override {
    Override {
        field: WHOLE.to_owned(),
        losing_value: Value::text(DELETED),
        losing_side: by,
        winning_value: Value::Null,
        policy: "update_wins".to_owned(),
        version: cx.next_version,
        event_id: cx.event_id,
    }
}

/// Values the other side changed that this side has not seen. Locked fields count, and so do values that wait in a
/// conflict: they were typed all the same.
fn unpropagated(record: &Record, spec: &TypeSpec, side: Side) -> Fields {
    let mut fields = match owed_to(record, spec, side, &|_| false) {
        Owed::Update { changes, .. } => changes,
        Owed::Nothing | Owed::Create { .. } | Owed::Delete { .. } => Fields::new(),
    };
    for conflict in record.conflicts.iter().filter(|conflict| conflict.field != WHOLE) {
        let (ours, theirs) = match side {
            Side::Suitex => (&conflict.suitex, &conflict.netsuite),
            Side::Netsuite => (&conflict.netsuite, &conflict.suitex),
        };
        let unseen =
            theirs.iter().flatten().filter(|(name, value)| ours.as_ref().and_then(|o| o.get(*name)) != Some(*value));
        fields.extend(unseen.map(|(name, value)| (name.clone(), value.clone())));
    }
    fields
}

/// The side holds the record no more; a recreation there will be a new generation with a new id.
pub(crate) fn forget(record: &mut Record, side: Side) {
    let shadow = &mut record.shadows[side];
    shadow.exists = Existence::Deleted;
    shadow.state = Shared::default();
    shadow.complete = false;
    shadow.token = None;
    (shadow.stamp, shadow.note) = (0, 0);
    shadow.native_id = None;
    shadow.line_ids = LineIds::new();
}
