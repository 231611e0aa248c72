//! The two systems as they are: rows, counters, outboxes, requests on the way.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use model::spec::{Kind, World};
use model::{
    ChangeEvent, Clock, Fields, Ids, ManualClock, NativeId, Operation, PerSide, RecordType, Rid, SeededIds, Side,
    Source, Timestamp, Value, WriteId, WriteKind, WriteOutcome, WriteRequest,
};

use store::records::Outgoing;

use super::bus::Bus;
use super::coverage::Coverage;
use super::ledger::{Ledger, Place};
use super::requests::Packet;
use super::types::{typed, words};
use super::vary::Vary;

/// A row of a side. References are the side's own ids, lines are by the side's line ids.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Synced fields; empty ones are absent.
    pub fields: Fields,
    /// SuiteX: row_version. NetSuite: last-modified in seconds since 1970, by its clock.
    pub token: i64,
    /// When it was last changed, by the side's clock.
    pub modified: Timestamp,
    /// NetSuite: our stamp field.
    pub stamp: Option<(Rid, u64)>,
    /// NetSuite: our external id. SuiteX: what the inbox says of its creation.
    pub external: Option<Rid>,
}

/// Who changes a row.
#[derive(Debug, Clone, Copy)]
pub enum Author<'a> {
    /// A person, or a program of the customer's.
    User,
    /// A NetSuite workflow: no user event is raised.
    Workflow,
    /// We.
    Sync(&'a WriteRequest),
}

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Fate {
    /// It arrives and so does the answer.
    Answered,
    /// It arrives, the answer does not.
    Unheard,
    /// It may arrive at any time; nobody waits for it.
    Late,
    /// It goes nowhere, and nobody knows.
    Lost,
    /// It is turned away.
    Refused(WriteOutcome),
}

/// A row NetSuite deleted.
#[derive(Debug, Clone)]
pub struct Deleted {
    /// What.
    pub place: Place,
    /// When, in seconds of NetSuite's clock.
    pub at: i64,
}

/// A system note of NetSuite: who made what of a field. Kept where writes go by PATCH; lines leave none.
#[derive(Debug, Clone)]
pub struct Note {
    /// Its number: later saves have higher ones.
    pub id: u64,
    /// Of which row.
    pub place: Place,
    /// Of which field.
    pub field: String,
    /// What it held; null = empty.
    pub old: Value,
    /// What it holds now.
    pub new: Value,
    /// Written by our integration user.
    pub ours: bool,
}

/// What a side makes of a text.
pub type Rewrite = fn(&str) -> String;

/// Both systems, the bus and the oracle.
#[derive(Debug)]
pub struct Stage {
    /// Our clock.
    pub clock: Arc<ManualClock>,
    /// The only source of chance.
    pub rng: fastrand::Rng,
    /// New identities.
    pub ids: Arc<SeededIds>,
    /// The circumstances.
    pub vary: Vary,
    /// Present share of faults: 0 once the end of the run has begun.
    pub faults: f64,
    /// The record types.
    pub world: Arc<World>,
    /// All rows.
    pub rows: BTreeMap<Place, Row>,
    next_id: HashMap<(Side, model::AccountId), u64>,
    /// SuiteX: writes of ours that landed.
    pub inbox: HashSet<WriteId>,
    /// SuiteX: creates of ours that landed.
    pub creates: HashMap<(RecordType, Rid, u32), Place>,
    /// SuiteX: outbox rows not yet relayed.
    pub outbox: VecDeque<ChangeEvent>,
    /// NetSuite: deleted rows.
    pub deleted: Vec<Deleted>,
    /// NetSuite: system notes, oldest first.
    pub notes: Vec<Note>,
    /// Requests that were sent.
    pub network: Vec<Packet>,
    /// Number of the last request.
    pub last_packet: u64,
    /// Create requests ever sent, whatever became of them.
    pub creates_sent: u64,
    last_line: u64,
    /// The bus.
    pub bus: Bus,
    /// What users did.
    pub ledger: Ledger,
    /// What happened.
    pub coverage: Coverage,
    /// What is being written right now: where an adversary would edit.
    pub hot: Option<(Place, Vec<String>)>,
    /// The run's story, when asked for.
    pub trace: Option<Vec<String>>,
    /// What becomes of the next requests, where a scenario says so; chance decides on the others.
    pub fates: VecDeque<Fate>,
    /// How late the next change of NetSuite can be seen, where a scenario says so.
    pub late: Option<i64>,
    /// Our writes that landed: side, kind, the record, fields.
    pub landed: Vec<(Side, WriteKind, Rid, Vec<String>)>,
    /// Values a side fills in when we create a record without them.
    pub defaults: PerSide<Fields>,
    /// What a side makes of every text written into field `b` (trim, workflow, hook).
    pub rewrites: PerSide<Option<Rewrite>>,
}

impl Stage {
    /// Empty systems.
    pub fn new(
        clock: Arc<ManualClock>,
        ids: Arc<SeededIds>,
        rng: fastrand::Rng,
        vary: Vary,
        world: Arc<World>,
    ) -> Self {
        Self {
            clock,
            rng,
            ids,
            faults: vary.faults,
            vary,
            world,
            rows: BTreeMap::new(),
            next_id: HashMap::new(),
            inbox: HashSet::new(),
            creates: HashMap::new(),
            outbox: VecDeque::new(),
            deleted: Vec::new(),
            notes: Vec::new(),
            network: Vec::new(),
            last_packet: 0,
            creates_sent: 0,
            last_line: 10_000,
            bus: Bus::default(),
            ledger: Ledger::default(),
            coverage: Coverage::default(),
            hot: None,
            trace: None,
            fates: VecDeque::new(),
            late: None,
            landed: Vec::new(),
            defaults: PerSide::default(),
            rewrites: PerSide::default(),
        }
    }

    /// Adds a line to the story.
    pub fn note(&mut self, line: impl FnOnce() -> String) {
        let now = self.clock.now();
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{now} {}", line()));
        }
    }

    /// A chance.
    pub fn chance(&mut self, share: f64) -> bool {
        share > 0.0 && self.rng.f64() < share
    }

    /// A side's own clock.
    pub fn clock_of(&self, side: Side) -> Timestamp {
        let skew = jiff::SignedDuration::from_micros(self.vary.skew_micros[side]);
        self.clock.now().checked_add(skew).expect("the world's time is far from the end of time")
    }

    /// An id no row of that side and account has had.
    pub fn new_place(&mut self, side: Side, account: &model::AccountId, record_type: &RecordType) -> Place {
        let next = self.next_id.entry((side, account.clone())).or_default();
        *next += 1;
        Place { side, account: account.clone(), record_type: record_type.clone(), id: *next }
    }

    /// An id no line has had: no side gives a retired id to a new line.
    pub fn new_line(&mut self) -> String {
        self.last_line += 1;
        self.last_line.to_string()
    }

    /// Puts new content into a row (made when it is not there), as that side does it: version, time, capture, hints.
    /// A change that changes nothing leaves no trace.
    pub fn put(&mut self, place: &Place, mut fields: Fields, author: Author<'_>) {
        // A checkbox is on or off, never empty.
        let boxes = self.world.get(&place.record_type).into_iter().flat_map(|spec| &spec.fields);
        for name in boxes.filter(|f| f.kind == Kind::Bool).map(|f| &f.name) {
            fields.entry(name.clone()).or_insert(Value::Bool(false));
        }
        let before = self.rows.get(place).cloned();
        if let Some(rewrite) = self.rewrites[place.side]
            && let Some(text) = fields.get("b").and_then(Value::as_text).map(rewrite)
        {
            fields.insert("b".to_owned(), Value::text(text));
        }
        let stamp = match author {
            Author::Sync(request) if !self.vary.patch => Some((request.rid, request.stamp)),
            Author::Sync(_) | Author::User | Author::Workflow => before.as_ref().and_then(|row| row.stamp),
        };
        let external = match author {
            Author::Sync(request) if before.is_none() => Some(request.rid),
            Author::Sync(_) | Author::User | Author::Workflow => before.as_ref().and_then(|row| row.external),
        };
        let unchanged = before.as_ref().is_some_and(|row| row.fields == fields);
        if unchanged && (place.side == Side::Suitex || !matches!(author, Author::Sync(_))) {
            return;
        }
        let (token, modified) = self.moved(place.side, before.as_ref());
        self.judge(place, before.as_ref().map(|row| &row.fields), &fields, author);
        let changes = difference(before.as_ref().map(|row| &row.fields), &fields);
        self.take_notes(place, before.as_ref().map(|row| &row.fields), &changes, author);
        self.rows.insert(place.clone(), Row { fields, token, modified, stamp, external });
        let operation = if before.is_none() { Operation::Create } else { Operation::Update };
        self.announce(place, operation, changes, token, modified, author);
    }

    /// Takes a row away.
    pub fn remove(&mut self, place: &Place, author: Author<'_>) {
        let Some(row) = self.rows.remove(place) else { return };
        let (token, modified) = self.moved(place.side, Some(&row));
        self.judge(place, Some(&row.fields), &Fields::new(), author);
        if place.side == Side::Netsuite {
            self.deleted.push(Deleted { place: place.clone(), at: modified.as_second() });
        }
        self.announce(place, Operation::Delete, Fields::new(), token, modified, author);
    }

    /// A changed row's token and time.
    fn moved(&mut self, side: Side, before: Option<&Row>) -> (i64, Timestamp) {
        let now = self.clock_of(side);
        match side {
            Side::Suitex => (before.map_or(1, |row| row.token + 1), now),
            Side::Netsuite => {
                // The time may be taken a while before the change can be seen, but never before the last one.
                let late = self.late.take().unwrap_or_else(|| self.rng.i64(0..=self.vary.late_seconds));
                let second = (now.as_second() - late).max(before.map_or(0, |row| row.token));
                (second, Timestamp::from_second(second).expect("seconds near now are an instant"))
            }
        }
    }

    /// Tells the oracle.
    fn judge(&mut self, place: &Place, before: Option<&Fields>, after: &Fields, author: Author<'_>) {
        let Some(spec) = self.world.get(&place.record_type) else { return };
        let (before, after) = (before.map(|held| words(spec, held)).unwrap_or_default(), words(spec, after));
        match author {
            Author::User | Author::Workflow => self.ledger.typed(place, &before, &after),
            Author::Sync(_) => self.ledger.written(place, &before, &after),
        }
    }

    /// SuiteX captures every change in its outbox; NetSuite's user events are raised by everything but workflows, and
    /// get lost.
    fn announce(
        &mut self,
        place: &Place,
        operation: Operation,
        changes: Fields,
        token: i64,
        modified: Timestamp,
        author: Author<'_>,
    ) {
        let write_id = match author {
            Author::Sync(request) => Some(request.write_id),
            Author::User | Author::Workflow => None,
        };
        match place.side {
            Side::Suitex => {
                let event = self.event(place, operation, Source::Suitex, changes, token, modified, write_id);
                self.outbox.push_back(event);
            }
            Side::Netsuite => {
                let dropped = self.vary.ue_drop;
                if !matches!(author, Author::Workflow) && !self.chance(dropped) {
                    // A user event carries no id of ours: it only knows the record.
                    let event = self.event(place, operation, Source::NetsuiteUe, changes, token, modified, None);
                    self.publish(event);
                }
            }
        }
    }

    /// An event about a row.
    #[allow(clippy::too_many_arguments)] // the members of one event
    pub fn event(
        &self,
        place: &Place,
        operation: Operation,
        source: Source,
        changes: Fields,
        token: i64,
        occurred_at: Timestamp,
        write_id: Option<WriteId>,
    ) -> ChangeEvent {
        ChangeEvent {
            event_id: self.ids.uuid(),
            account: place.account.clone(),
            record_type: place.record_type.clone(),
            record_id: place.native(),
            operation,
            source,
            side: place.side,
            occurred_at,
            base_version: None,
            changes: changes.iter().map(|(name, value)| (name.clone(), typed(value))).collect(),
            full_snapshot_ref: None,
            remote_version: Some(token),
            write_id,
            auth_context: None,
            correlation_id: None,
        }
    }

    /// Puts an event on `events.raw`.
    pub fn publish(&mut self, event: ChangeEvent) {
        let key = model::record_key(&event.account, &event.record_type, event.record_id.as_str());
        let letter = || Outgoing {
            topic: "events.raw",
            record_key: key.clone(),
            payload: model::wire::encode_change(&event),
            attributes: model::wire::change_attributes(&event).into(),
        };
        self.bus.raw.publish(key.clone(), event.clone(), letter);
    }

    /// The row of a native id.
    pub fn place(
        &self,
        side: Side,
        account: &model::AccountId,
        record_type: &RecordType,
        id: &NativeId,
    ) -> Option<Place> {
        let id = id.as_str().parse().ok()?;
        Some(Place { side, account: account.clone(), record_type: record_type.clone(), id })
    }
}

/// Fields that differ, with their new values; null for cleared ones.
fn difference(before: Option<&Fields>, after: &Fields) -> Fields {
    let none = Fields::new();
    let before = before.unwrap_or(&none);
    let changed = after.iter().filter(|(name, value)| before.get(*name) != Some(*value));
    let cleared = before.keys().filter(|name| !after.contains_key(*name)).map(|name| (name.clone(), Value::Null));
    changed.map(|(name, value)| (name.clone(), value.clone())).chain(cleared).collect()
}
