//! One value put back: what a version took from a field stands again, as an event of the record like any other.

use merge::FoldError;
use merge::undo::{Earlier, Unit, earlier};
use model::record::{Entry, Record, Undo};
use model::{EventId, Fields, RecordRef, Side};
use sqlx::PgPool;
use steps::{Core, UndoError, UndoRequest};
use store::{StoreError, listing};
use uuid::Uuid;

use super::state_at;

/// Looks at a record that moves on meanwhile.
const ATTEMPTS: usize = 8;

/// What a person asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct UndoAsk {
    /// The field.
    pub field: String,
    /// The version whose decision is undone.
    pub version: u64,
    /// Whose value is meant, where a person's decision took both sides'.
    pub side: Option<Side>,
    /// The caller's `Idempotency-Key`: the same key asks for the same event.
    pub key: Option<String>,
    /// Who.
    pub actor: String,
    /// Why.
    pub note: String,
}

/// What stands now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Undone {
    /// The event.
    pub event_id: EventId,
    /// The version it led to.
    pub version: u64,
}

/// Why nothing was put back. The record is unchanged.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The record never had this version.
    #[error("the record has no version {asked}; the last one is {last}")]
    NoVersion {
        /// What was asked for.
        asked: u64,
        /// What there is.
        last: u64,
    },
    /// The version neither changed the field nor took a value from anybody.
    #[error("version {0} took nothing from the field")]
    Nothing(u64),
    /// Both sides' values were lost.
    #[error("version {0} took a value from both sides: say whose is meant, with side")]
    Either(u64),
    /// The key belongs to another undo.
    #[error("the Idempotency-Key was used for another undo")]
    KeyReused,
    /// The step's own.
    #[error(transparent)]
    Step(#[from] UndoError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Puts the value back. The same request again is the same event: by its key, or else while what it put back stands.
///
/// # Errors
/// [`Refusal`].
pub async fn undo(pool: &PgPool, core: &Core<'_>, record: &RecordRef, ask: &UndoAsk) -> Result<Undone, Refusal> {
    for _ in 0..ATTEMPTS {
        let views = core.records.views(std::slice::from_ref(record), false).await?;
        let spec = core.world.get(&record.record_type);
        let (Some(view), Some(spec)) = (views.first(), spec) else { return Err(UndoError::NoRecord.into()) };
        let head = &view.record.head;
        if head.version == 0 || head.merged_into.is_some() {
            return Err(UndoError::NoRecord.into());
        }
        let unit = Unit::find(spec, &ask.field).map_err(UndoError::from)?;
        if ask.version == 0 || ask.version > head.version {
            return Err(Refusal::NoVersion { asked: ask.version, last: head.version });
        }
        let values = values_of(pool, record, &unit, ask).await?;
        let wanted = Undo {
            field: ask.field.clone(),
            version: ask.version,
            values,
            actor: ask.actor.clone(),
            note: ask.note.clone(),
        };
        let event_id = event_id(&view.record, ask);
        if let Some(done) = repeated(pool, &view.record, &unit, &wanted, ask.key.as_ref().map(|_| event_id)).await? {
            return Ok(done);
        }
        let request =
            UndoRequest { record: record.clone(), undo: wanted, event_id, record_seq: view.record.head.record_seq };
        match steps::undo(core, &request).await {
            Ok(version) => return Ok(Undone { event_id, version }),
            Err(UndoError::Moved) => {}
            Err(UndoError::Refused(FoldError::StandsAlready)) => return Err(Refusal::Nothing(ask.version)),
            Err(error) => return Err(error.into()),
        }
    }
    Err(StoreError::Contended { what: "put a value back", attempts: ATTEMPTS }.into())
}

/// Follows from the request, and from where the record stood: the same request makes the same event.
fn event_id(record: &Record, ask: &UndoAsk) -> EventId {
    let name = match &ask.key {
        Some(key) => format!("undo-key:{}:{key}", ask.actor),
        None => format!("undo:{}:{}:{:?}:{}", ask.field, ask.version, ask.side, record.head.version),
    };
    Uuid::new_v5(&record.key.rid.0, name.as_bytes())
}

/// The event this request became when it came the first time.
async fn repeated(
    pool: &PgPool,
    record: &Record,
    unit: &Unit<'_>,
    wanted: &Undo,
    by_key: Option<EventId>,
) -> Result<Option<Undone>, Refusal> {
    let standing = record.head.meta.get(&unit.name()).map(|meta| meta.event_id);
    let Some(event_id) = by_key.or(standing) else { return Ok(None) };
    let Some(made) = listing::made(pool, &record.key, event_id).await? else { return Ok(None) };
    let same = match &made.entry {
        Entry::Undo(undo) => {
            (&undo.field, undo.version, &undo.values) == (&wanted.field, wanted.version, &wanted.values)
        }
        Entry::Observation(_)
        | Entry::Claim(_)
        | Entry::Ack(_)
        | Entry::Release(_)
        | Entry::Resolution(_)
        | Entry::Renormalisation(_) => false,
    };
    match (same, by_key) {
        (true, _) => Ok(Some(Undone { event_id, version: made.version.unwrap_or(record.head.version) })),
        (false, Some(_)) => Err(Refusal::KeyReused),
        (false, None) => Ok(None),
    }
}

/// What the version took.
async fn values_of(pool: &PgPool, record: &RecordRef, unit: &Unit<'_>, ask: &UndoAsk) -> Result<Fields, Refusal> {
    let before = state(pool, record, ask.version - 1).await?;
    let after = state(pool, record, ask.version).await?;
    let lost = listing::lost(pool, record, ask.version).await?;
    match earlier(unit, &lost, ask.side, &before, &after) {
        Earlier::Values(values) => Ok(values),
        Earlier::Either => Err(Refusal::Either(ask.version)),
        Earlier::Nothing => Err(Refusal::Nothing(ask.version)),
    }
}

/// The canonical values of a version; none before the first.
async fn state(pool: &PgPool, record: &RecordRef, version: u64) -> Result<Fields, StoreError> {
    let version = i64::try_from(version).unwrap_or(i64::MAX);
    let Some(mut found) = state_at(pool, record, Some(version), None).await? else { return Ok(Fields::new()) };
    serde_json::from_value(found["state"].take()).map_err(|error| StoreError::Corrupt {
        table: "sync.versions",
        column: "delta",
        row: format!("{record} version {version}"),
        reason: error.to_string(),
    })
}
