//! What people decide (semantics §2.12), and what becomes of open conflicts when a record dies.

use model::record::{Conflict, ConflictStatus, FieldMeta, Override, Record, Resolution, WHOLE};
use model::{Fields, Side, Value};

use crate::field::{Context, set, value};
use crate::fold::{Effects, FoldError};

/// Folds a decision about one conflict.
pub(crate) fn resolve(
    record: &mut Record,
    cx: &Context<'_>,
    resolution: &Resolution,
    fx: &mut Effects,
) -> Result<(), FoldError> {
    let at = record
        .conflicts
        .iter()
        .position(|conflict| conflict.conflict_id == resolution.conflict_id)
        .ok_or(FoldError::NoSuchConflict(resolution.conflict_id))?;
    if record.conflicts[at].rev != resolution.rev {
        return Err(FoldError::StaleResolution { seen: resolution.rev, current: record.conflicts[at].rev });
    }
    let conflict = close(record, at);
    losers(cx, &conflict, resolution.values.as_ref(), fx);
    let whole = conflict.field == WHOLE;
    match &resolution.values {
        None if whole => {
            let from = fx.closed.len();
            die(record, fx);
            let closed: Vec<_> = fx.closed[from..].iter().map(|(conflict, _)| conflict.clone()).collect();
            for conflict in closed {
                losers(cx, &conflict, None, fx);
            }
        }
        values => {
            let none = Fields::new();
            let values = values.as_ref().unwrap_or(&none);
            if whole {
                record.head.alive = true;
            }
            let names = decided_fields(record, cx, &conflict, values);
            stand(record, cx, &names, values);
            if !whole {
                carry_into_whole(record, &names, values, fx);
            }
        }
    }
    fx.closed.push((conflict, Some(resolution.clone())));
    Ok(())
}

/// The record dies: nobody need decide about its fields any more.
pub(crate) fn die(record: &mut Record, fx: &mut Effects) {
    record.head.alive = false;
    while !record.conflicts.is_empty() {
        let conflict = close(record, 0);
        fx.closed.push((conflict, None));
    }
}

fn close(record: &mut Record, at: usize) -> Conflict {
    let mut conflict = record.conflicts.remove(at);
    record.locks.retain(|lock| lock.conflict_id != Some(conflict.conflict_id));
    conflict.status = ConflictStatus::Resolved;
    conflict
}

/// Every value seen that does not stand is named; a deletion that does not stand as well.
fn losers(cx: &Context<'_>, conflict: &Conflict, stands: Option<&Fields>, fx: &mut Effects) {
    let lost = |field: &str, value: Value, side: Side, winner: Value| Override {
        field: field.to_owned(),
        losing_value: value,
        losing_side: side,
        winning_value: winner,
        policy: "resolved".to_owned(),
        version: cx.next_version,
        event_id: cx.event_id,
    };
    for side in Side::BOTH {
        let seen = match side {
            Side::Suitex => &conflict.suitex,
            Side::Netsuite => &conflict.netsuite,
        };
        match (seen, stands) {
            (None, Some(_)) => fx.overrides.push(lost(WHOLE, Value::text("deleted"), side, Value::Null)),
            (Some(seen), stands) => {
                let none = Fields::new();
                let stands = stands.unwrap_or(&none);
                for (name, held) in seen.iter().filter(|(name, held)| stands.get(*name) != Some(*held)) {
                    fx.overrides.push(lost(name, held.clone(), side, value(stands, name)));
                }
            }
            (None, None) => {}
        }
    }
}

/// The fields a decision is about. A decision that the record lives leaves fields alone that are in a conflict of their
/// own: those are decided there.
fn decided_fields(record: &Record, cx: &Context<'_>, conflict: &Conflict, values: &Fields) -> Vec<String> {
    if conflict.field != WHOLE {
        return members(cx, &conflict.field);
    }
    let open: Vec<String> = record.conflicts.iter().flat_map(|other| members(cx, &other.field)).collect();
    let named = cx.spec.fields.iter().map(|f| f.name.clone()).filter(|name| values.contains_key(name));
    named.filter(|name| !open.contains(name)).collect()
}

/// A field and the others of its group.
fn members(cx: &Context<'_>, field: &str) -> Vec<String> {
    cx.spec
        .field(field)
        .map_or_else(|| vec![field.to_owned()], |f| cx.spec.group_of(f).iter().map(|f| f.name.clone()).collect())
}

fn stand(record: &mut Record, cx: &Context<'_>, names: &[String], values: &Fields) {
    for name in names {
        set(&mut record.head.state, name, value(values, name));
        let meta = FieldMeta::of(None, cx.event_id, cx.at);
        record.head.meta.insert(name.clone(), meta);
    }
}

/// A conflict about the whole record shows the decided values from now on: whoever decides it next has seen them.
fn carry_into_whole(record: &mut Record, names: &[String], values: &Fields, fx: &mut Effects) {
    for conflict in record.conflicts.iter_mut().filter(|conflict| conflict.field == WHOLE) {
        for held in [&mut conflict.suitex, &mut conflict.netsuite].into_iter().flatten() {
            for name in names {
                set(held, name, value(values, name));
            }
        }
        conflict.rev += 1;
        fx.conflict_touched = true;
    }
}
