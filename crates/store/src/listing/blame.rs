//! Every field with what made it so: the event and who rang for it, the person or the context, the policy and the winner
//! that decided, the version, the values that gave way; a merged value names all who put something in.
//!
//! A handful of statements whatever the length of the record's life, each a walk along one index of the record.

use std::collections::{BTreeMap, HashMap};

use model::RecordRef;
use serde_json::{Map, Value, json};
use sqlx::{PgPool, Row};
use uuid::Uuid;

use crate::StoreError;
use crate::cells::Cells;

/// Most values lost that are shown of one field, the latest first.
const MAX_LOST: i64 = 20;
/// Most contributors that are shown of one merged value, the latest first.
const MAX_CONTRIBUTORS: i64 = 100;
/// The winner of a value both sides went into.
const BOTH: &str = "both";

/// A cause's version and what policies decided there.
struct Standing {
    version: i64,
    decisions: BTreeMap<String, (String, String)>,
}

/// Blame of a record; empty when there is no such record. `leaders`: for fields of an atomic group, the field whose policy
/// decides for it.
///
/// # Errors
/// The database.
pub async fn blame(
    pool: &PgPool,
    record: &RecordRef,
    leaders: &BTreeMap<String, String>,
) -> Result<Vec<Value>, StoreError> {
    let Some((state, causes)) = standing(pool, record).await? else { return Ok(Vec::new()) };
    let ids: Vec<Uuid> = distinct(causes.values().filter_map(|cause| id_of(&cause["event_id"])));
    let versions = versions(pool, record, &ids).await?;
    let decision = |field: &str, event: Option<Uuid>| {
        let decisions = &versions.get(&event?)?.decisions;
        decisions.get(leaders.get(field).map_or(field, String::as_str)).cloned()
    };
    let merged: Vec<(&str, i64)> = causes
        .iter()
        .filter_map(|(field, cause)| {
            let event = id_of(&cause["event_id"]);
            decision(field, event).filter(|(_, winner)| winner == BOTH)?;
            Some((field.as_str(), versions.get(&event?)?.version))
        })
        .collect();
    let contributors = contributors(pool, record, &merged).await?;
    let wanted = distinct(ids.into_iter().chain(contributors.values().flatten().map(|(_, event)| *event)));
    let events = events(pool, record, &wanted).await?;
    let lost = lost(pool, record).await?;
    let items = causes.iter().map(|(field, cause)| {
        let event_id = id_of(&cause["event_id"]);
        let told = event_id.and_then(|id| events.get(&id)).cloned().unwrap_or_default();
        let decided = decision(field, event_id).or_else(|| told.decided.clone());
        // A group's value is lost under its leader's name, or to a person member by member.
        let leader = leaders.get(field).filter(|leader| *leader != field);
        let gave_way: Vec<_> = [Some(field), leader].into_iter().flatten().filter_map(|name| lost.get(name)).collect();
        let overrides: Vec<&Value> = gave_way.iter().flat_map(|(items, _)| items).collect();
        let total: i64 = gave_way.iter().map(|(_, total)| total).sum();
        let named = contributors.get(field.as_str()).into_iter().flatten().map(|(version, id)| {
            let mut event = events.get(id).map(|told| told.event.clone()).unwrap_or_default();
            event.insert("version".to_owned(), json!(version));
            Value::Object(event)
        });
        json!({
            "field": field,
            "value": value_of(&state, field),
            "side": cause["side"],
            "event_id": cause["event_id"],
            "edited_at": cause["edited_at"],
            "version": event_id.and_then(|id| versions.get(&id)).map(|standing| standing.version),
            "policy": decided.as_ref().map(|(policy, _)| policy),
            "winner": decided.as_ref().map(|(_, winner)| winner),
            "source": told.event.get("source"),
            "actor": told.event.get("actor"),
            "note": told.event.get("note"),
            "causes": told.event.get("causes"),
            "hints": told.event.get("hints"),
            "contributors": named.collect::<Vec<_>>(),
            "overrides": overrides,
            "overrides_total": total,
        })
    });
    Ok(items.collect())
}

fn distinct(ids: impl Iterator<Item = Uuid>) -> Vec<Uuid> {
    ids.collect::<std::collections::BTreeSet<_>>().into_iter().collect()
}

fn id_of(value: &Value) -> Option<Uuid> {
    value.as_str()?.parse().ok()
}

/// The value of a field, or of a line's field (`SUBLIST.LINE KEY.FIELD`).
fn value_of(state: &Value, name: &str) -> Value {
    if let Some(value) = state.get(name) {
        return value.clone();
    }
    let of_line = || {
        let (sublist, rest) = name.split_once('.')?;
        let (key, field) = rest.rsplit_once('.')?;
        state.get(sublist)?.get(key)?.get(field).cloned()
    };
    of_line().unwrap_or_default()
}

/// The canonical state and the causes of its fields.
async fn standing(pool: &PgPool, record: &RecordRef) -> Result<Option<(Value, BTreeMap<String, Value>)>, StoreError> {
    let row = sqlx::query(
        "select state, field_meta from sync.current_state where account_id = $1 and record_type = $2 and rid = $3",
    )
    .bind(record.account.as_str())
    .bind(record.record_type.as_str())
    .bind(record.rid.0)
    .fetch_optional(pool)
    .await
    .map_err(StoreError::database("read blame"))?;
    let Some(row) = row else { return Ok(None) };
    let mut cells = Cells::of(&row);
    Ok(Some((cells.json()?, cells.json()?)))
}

/// The versions these events led to.
async fn versions(pool: &PgPool, record: &RecordRef, events: &[Uuid]) -> Result<HashMap<Uuid, Standing>, StoreError> {
    let rows = sqlx::query(
        "select event_id, version, decisions from sync.versions
          where account_id = $1 and rid = $2 and event_id = any($3)",
    )
    .bind(record.account.as_str())
    .bind(record.rid.0)
    .bind(events)
    .fetch_all(pool)
    .await
    .map_err(StoreError::database("read the versions of blame"))?;
    rows.iter()
        .map(|row| {
            let mut cells = Cells::of(row);
            Ok((cells.next()?, Standing { version: cells.next()?, decisions: cells.json()? }))
        })
        .collect()
}

/// Who put something into merged values: the versions that changed the field, back to the last one that was one side's
/// alone. A line's field is found only where it was merged, for a version names its sublist as a whole.
async fn contributors(
    pool: &PgPool,
    record: &RecordRef,
    merged: &[(&str, i64)],
) -> Result<HashMap<String, Vec<(i64, Uuid)>>, StoreError> {
    let mut named: HashMap<String, Vec<(i64, Uuid)>> = HashMap::new();
    if merged.is_empty() {
        return Ok(named);
    }
    let rows = sqlx::query(
        "select m.field, v.version, v.event_id, v.winner
           from unnest($3::text[], $4::bigint[]) as m (field, version)
          cross join lateral (
                select v.version, v.event_id, v.decisions::jsonb -> m.field ->> 1 as winner
                  from sync.versions v
                 where v.account_id = $1 and v.rid = $2 and v.version <= m.version
                   and case when m.field like '%.%' then v.decisions::jsonb ? m.field
                            when v.delta is not null then v.delta::jsonb ? m.field
                            else (select e.changes::jsonb ? m.field from sync.event_log e
                                   where e.account_id = v.account_id and e.event_id = v.event_id) end
                 order by v.version desc limit $5) v
          order by m.field, v.version desc",
    )
    .bind(record.account.as_str())
    .bind(record.rid.0)
    .bind(merged.iter().map(|(field, _)| *field).collect::<Vec<_>>())
    .bind(merged.iter().map(|(_, version)| *version).collect::<Vec<_>>())
    .bind(MAX_CONTRIBUTORS)
    .fetch_all(pool)
    .await
    .map_err(StoreError::database("read the contributors of blame"))?;
    let mut ended: Option<String> = None;
    for row in &rows {
        let mut cells = Cells::of(row);
        let field: String = cells.next()?;
        let (version, event, winner): (i64, Uuid, Option<String>) = (cells.next()?, cells.next()?, cells.next()?);
        if ended.as_ref() == Some(&field) {
            continue;
        }
        if winner.as_deref() != Some(BOTH) {
            ended = Some(field.clone());
        }
        named.entry(field).or_default().push((version, event));
    }
    Ok(named)
}

/// An entry as blame tells it.
#[derive(Clone, Default)]
struct Told {
    event: Map<String, Value>,
    /// What decided, where that was a person.
    decided: Option<(String, String)>,
}

/// Entries by id, each with the hints it answered.
async fn events(pool: &PgPool, record: &RecordRef, ids: &[Uuid]) -> Result<HashMap<Uuid, Told>, StoreError> {
    let entries = sqlx::query(
        "select event_id, source, side, received_at::text, entry ->> 'entry', entry ->> 'actor', entry ->> 'note',
                entry -> 'causes'
           from sync.event_log where account_id = $1 and event_id = any($2) and rid = $3",
    )
    .bind(record.account.as_str())
    .bind(ids)
    .bind(record.rid.0)
    .fetch_all(pool)
    .await
    .map_err(StoreError::database("read the events of blame"))?;
    let mut told = HashMap::new();
    let mut hints: HashMap<Uuid, Vec<Uuid>> = HashMap::new();
    for row in &entries {
        let mut cells = Cells::of(row);
        let event_id: Uuid = cells.next()?;
        let (source, side, at): (Option<String>, Option<String>, Option<String>) =
            (cells.next()?, cells.next()?, cells.next()?);
        let (entry, actor, note): (Option<String>, Option<String>, Option<String>) =
            (cells.next()?, cells.next()?, cells.next()?);
        // A hint that is its own entry is its own cause.
        let causes: Vec<Uuid> = cells.maybe_json()?.unwrap_or_else(|| match entry {
            None => vec![event_id],
            Some(_) => Vec::new(),
        });
        let decided = match entry.as_deref() {
            Some("undo") => Some(("undo".to_owned(), "person".to_owned())),
            Some("resolution") => Some(("resolved".to_owned(), "person".to_owned())),
            _ => None,
        };
        let event = json!({ "event_id": event_id, "source": source, "side": side, "received_at": at, "actor": actor,
            "note": note, "causes": causes });
        hints.insert(event_id, causes);
        told.insert(event_id, Told { event: event.as_object().cloned().unwrap_or_default(), decided });
    }
    let known = rung(pool, record, &distinct(hints.values().flatten().copied())).await?;
    for (event_id, causes) in hints {
        let answered: Vec<&Value> = causes.iter().filter_map(|hint| known.get(hint)).collect();
        if let Some(told) = told.get_mut(&event_id) {
            told.event.insert("hints".to_owned(), json!(answered));
        }
    }
    Ok(told)
}

/// Hints: who noticed, when it happened, in what context.
async fn rung(pool: &PgPool, record: &RecordRef, ids: &[Uuid]) -> Result<HashMap<Uuid, Value>, StoreError> {
    let what = "read the hints of blame";
    let rows = sqlx::query(
        "select event_id, jsonb_build_object('event_id', event_id, 'source', source, 'operation', operation,
                    'occurred_at', occurred_at, 'auth_context', auth_context::jsonb, 'correlation_id', correlation_id)
           from sync.event_log where account_id = $1 and event_id = any($2) and kind = 'hint'",
    )
    .bind(record.account.as_str())
    .bind(ids)
    .fetch_all(pool)
    .await
    .map_err(StoreError::database(what))?;
    let read = |row: &sqlx::postgres::PgRow| Ok((row.try_get(0)?, row.try_get(1)?));
    rows.iter().map(read).collect::<Result<_, _>>().map_err(StoreError::database(what))
}

/// Values lost by field, the latest first, and how many there are of each.
async fn lost(pool: &PgPool, record: &RecordRef) -> Result<HashMap<String, (Vec<Value>, i64)>, StoreError> {
    let what = "read the lost values of blame";
    let rows = sqlx::query(
        "select o.field, to_jsonb(o) - 'place' - 'total', total
           from (select *, row_number() over (partition by field order by id desc) as place,
                        count(*) over (partition by field) as total
                   from sync.overrides where account_id = $1 and rid = $2) o
          where place <= $3 order by o.id desc",
    )
    .bind(record.account.as_str())
    .bind(record.rid.0)
    .bind(MAX_LOST)
    .fetch_all(pool)
    .await
    .map_err(StoreError::database(what))?;
    let mut lost: HashMap<String, (Vec<Value>, i64)> = HashMap::new();
    for row in &rows {
        let mut cells = Cells::of(row);
        let (field, item, total): (String, Value, i64) = (cells.next()?, cells.next()?, cells.next()?);
        let of_field = lost.entry(field).or_default();
        of_field.0.push(item);
        of_field.1 = total;
    }
    Ok(lost)
}
