//! Requests on their way, and what each side does with one that arrives (semantics §2.9).

use model::record::WHOLE;
use model::spec::TypeSpec;
use model::{
    AccountId, Clock, Fields, LineIds, Lines, NativeId, Observed, Rid, Side, Timestamp, Value, WriteKind, WriteOutcome,
    WriteRequest,
};

use super::ledger::Place;
use super::stage::{Author, Row, Stage};

/// A request that was sent. It may arrive at any time, also long after everybody stopped waiting for it.
#[derive(Debug, Clone)]
pub struct Packet {
    /// Its number.
    pub id: u64,
    /// Where it goes.
    pub side: Side,
    /// Whose.
    pub account: AccountId,
    /// The type.
    pub spec: std::sync::Arc<TypeSpec>,
    /// The request.
    pub request: WriteRequest,
    /// When it dies on the way, where nothing would refuse it when it comes late.
    pub dies: Option<Timestamp>,
    /// The answer, once it has arrived.
    pub answer: Option<WriteOutcome>,
}

impl Stage {
    /// Lets a request arrive. Answers what its side says; the same again when it arrived before.
    pub fn land(&mut self, id: u64) -> WriteOutcome {
        let Some(at) = self.network.iter().position(|packet| packet.id == id) else { return WriteOutcome::Unknown };
        if let Some(answer) = &self.network[at].answer {
            return answer.clone();
        }
        let packet = self.network[at].clone();
        let answer = match packet.side {
            _ if packet.dies.is_some_and(|end| end < self.clock.now()) => WriteOutcome::Unknown,
            Side::Suitex => self.land_suitex(&packet),
            Side::Netsuite => self.land_netsuite(&packet),
        };
        match &answer {
            WriteOutcome::Stale => self.coverage.hit("blind overwrite prevented"),
            WriteOutcome::Fenced => self.coverage.hit("fenced late request"),
            WriteOutcome::Gone => self.coverage.hit("sent to a record that is gone"),
            WriteOutcome::Duplicate => self.coverage.hit("duplicate create refused"),
            WriteOutcome::Ok { .. } => {
                let request = &packet.request;
                let fields = request.changes.keys().cloned().collect();
                self.landed.push((packet.side, request.kind, request.rid, fields));
            }
            WriteOutcome::Throttled { .. }
            | WriteOutcome::Invalid { .. }
            | WriteOutcome::Refused { .. }
            | WriteOutcome::NotSent
            | WriteOutcome::Unknown => {}
        }
        self.note(|| {
            let request = &packet.request;
            let (kind, stamp, changes) = (request.kind.as_str(), request.stamp, &request.changes);
            format!(
                "  {} #{stamp} {kind} {} {:?} {changes:?} lands: {}",
                packet.side,
                request.rid,
                request.native_id,
                answer.word()
            )
        });
        self.network[at].answer = Some(answer.clone());
        answer
    }

    /// `update … where id = ? and row_version = ?` with the inbox row in the same transaction: the outcome is exact.
    fn land_suitex(&mut self, packet: &Packet) -> WriteOutcome {
        let request = &packet.request;
        if self.inbox.contains(&request.write_id) {
            let place = match &request.native_id {
                Some(id) => self.place(Side::Suitex, &packet.account, &packet.spec.name, id),
                None => self.creates.get(&(packet.spec.name.clone(), request.rid, request.generation)).cloned(),
            };
            return place.map_or(WriteOutcome::Unknown, |place| self.done(&place, LineIds::new()));
        }
        if request.kind == WriteKind::Create {
            let key = (packet.spec.name.clone(), request.rid, request.generation);
            if self.creates.contains_key(&key) {
                return WriteOutcome::Duplicate;
            }
            let place = self.new_place(Side::Suitex, &packet.account, &packet.spec.name);
            self.creates.insert(key, place.clone());
            return self.create(&place, request);
        }
        let found =
            request.native_id.as_ref().and_then(|id| self.place(Side::Suitex, &packet.account, &packet.spec.name, id));
        let Some((place, row)) = found.and_then(|place| Some((place.clone(), self.rows.get(&place)?.clone()))) else {
            return WriteOutcome::Gone;
        };
        if request.token != Some(row.token) {
            return WriteOutcome::Stale;
        }
        self.carry_out(&place, &row, request)
    }

    /// The guarded RESTlet: load, compare stamp and values, set, save, in one step.
    fn land_netsuite(&mut self, packet: &Packet) -> WriteOutcome {
        let request = &packet.request;
        if request.kind == WriteKind::Create {
            let same = |(place, row): &(&Place, &Row)| {
                place.side == Side::Netsuite
                    && place.account == packet.account
                    && place.record_type == packet.spec.name
                    && row.external == Some(request.rid)
            };
            if self.rows.iter().any(|held| same(&held)) {
                return WriteOutcome::Duplicate;
            }
            let place = self.new_place(Side::Netsuite, &packet.account, &packet.spec.name);
            return self.create(&place, request);
        }
        let found = request
            .native_id
            .as_ref()
            .and_then(|id| self.place(Side::Netsuite, &packet.account, &packet.spec.name, id));
        let Some((place, row)) = found.and_then(|place| Some((place.clone(), self.rows.get(&place)?.clone()))) else {
            return WriteOutcome::Gone;
        };
        if self.vary.patch {
            return self.carry_out(&place, &row, request); // whatever it finds there
        }
        let stored = row.stamp.filter(|(rid, _)| *rid == request.rid).map_or(0, |(_, stamp)| stamp);
        if stored >= request.stamp {
            return WriteOutcome::Fenced;
        }
        if stored != request.expect || !still(&packet.spec, &row.fields, request) {
            return WriteOutcome::Stale;
        }
        self.carry_out(&place, &row, request)
    }

    fn create(&mut self, place: &Place, request: &WriteRequest) -> WriteOutcome {
        self.inbox.insert(request.write_id);
        let mut line_ids = LineIds::new();
        let mut fields = apply(&Fields::new(), request, &mut || self.new_line(), &mut line_ids);
        for (name, value) in &self.defaults[place.side] {
            fields.entry(name.clone()).or_insert_with(|| value.clone());
        }
        self.put(place, fields, Author::Sync(request));
        self.done(place, line_ids)
    }

    fn carry_out(&mut self, place: &Place, row: &Row, request: &WriteRequest) -> WriteOutcome {
        if place.side == Side::Suitex {
            self.inbox.insert(request.write_id);
        }
        if request.kind == WriteKind::Delete {
            self.remove(place, Author::Sync(request));
            self.coverage.hit("delete propagated");
            let native_id = place.native();
            return WriteOutcome::landed(native_id, None, LineIds::new());
        }
        let mut line_ids = LineIds::new();
        let fields = apply(&row.fields, request, &mut || self.new_line(), &mut line_ids);
        self.put(place, fields, Author::Sync(request));
        self.done(place, line_ids)
    }

    /// "It landed", with what the side tells about the row.
    fn done(&mut self, place: &Place, line_ids: LineIds) -> WriteOutcome {
        let observed = match place.side {
            Side::Suitex if self.vary.answer_rows => Some(Box::new(self.observe(Some(place)))),
            Side::Suitex | Side::Netsuite => None,
        };
        let token = self.rows.get(place).map(|row| row.token);
        let native_id = place.native();
        WriteOutcome::Ok { native_id, token, line_ids, observed, before: None, unproven: Vec::new() }
    }

    /// What a direct read of a row says, landed writes apart.
    pub fn observe(&self, place: Option<&Place>) -> Observed {
        let Some((place, row)) = place.and_then(|place| Some((place, self.rows.get(place)?))) else {
            return Observed::default();
        };
        let clock = self.clock_of(place.side);
        let fields = self.world.get(&place.record_type).into_iter().flat_map(|spec| &spec.fields);
        Observed {
            exists: true,
            native_id: Some(place.native()),
            fields: fields.map(|f| (f.name.clone(), row.fields.get(&f.name).cloned().unwrap_or_default())).collect(),
            token: Some(row.token),
            stamp: row.stamp,
            external_rid: row.external,
            landed: Vec::new(),
            note: None,
            before: None,
            unproven: Vec::new(),
            age: Some(clock.duration_since(row.modified).try_into().unwrap_or_default()),
            clock: Some(clock),
        }
    }

    /// The row our own marks name.
    pub fn marked(&self, side: Side, account: &AccountId, spec: &TypeSpec, rid: Rid, generation: u32) -> Option<Place> {
        match side {
            Side::Suitex => {
                let place = self.creates.get(&(spec.name.clone(), rid, generation))?;
                self.rows.contains_key(place).then(|| place.clone())
            }
            Side::Netsuite => {
                let ours = |(place, row): &(&Place, &Row)| {
                    place.side == side
                        && place.account == *account
                        && place.record_type == spec.name
                        && row.external == Some(rid)
                };
                self.rows.iter().find(|held| ours(held)).map(|(place, _)| place.clone())
            }
        }
    }

    /// A row by its id as the side writes it.
    pub fn row(&self, side: Side, account: &AccountId, spec: &TypeSpec, id: &NativeId) -> Option<(Place, &Row)> {
        let place = self.place(side, account, &spec.name, id)?;
        let row = self.rows.get(&place)?;
        Some((place, row))
    }
}

/// Do the values named in `pre` still stand? For a delete `pre` is everything.
pub(super) fn still(spec: &TypeSpec, held: &Fields, request: &WriteRequest) -> bool {
    request.pre.iter().all(|(name, expected)| {
        debug_assert_ne!(name, WHOLE);
        let value = held.get(name).cloned().unwrap_or_default();
        match spec.field(name).and_then(|f| f.lines()) {
            None => value == *expected,
            Some(_) => {
                let none = Lines::new();
                let (held, expected) = (value.as_lines().unwrap_or(&none), expected.as_lines().unwrap_or(&none));
                let ids = request.line_ids.get(name);
                let id_of = |key: &String| ids.and_then(|ids| ids.get(key));
                let each = expected.iter().all(|(key, line)| match line {
                    None => true, // a line to be added has no id there
                    Some(fields) => id_of(key).and_then(|id| held.get(id)?.as_ref()).is_some_and(|there| {
                        fields.iter().all(|(name, value)| there.get(name).cloned().unwrap_or_default() == *value)
                    }),
                });
                each && (request.kind != WriteKind::Delete || held.len() == expected.len())
            }
        }
    })
}

/// The row's content after a request.
fn apply(held: &Fields, request: &WriteRequest, new_line: &mut dyn FnMut() -> String, new_ids: &mut LineIds) -> Fields {
    let mut fields = held.clone();
    for (name, change) in &request.changes {
        let Value::Lines(changed) = change else {
            set(&mut fields, name, change.clone());
            continue;
        };
        let mut lines = fields.get(name).and_then(Value::as_lines).cloned().unwrap_or_default();
        for (key, line) in changed {
            let known = request.line_ids.get(name).and_then(|ids| ids.get(key));
            match (known, line) {
                (Some(id), None) => {
                    lines.remove(id);
                }
                (None, None) => {}
                (known, Some(values)) => {
                    let id = known.cloned().unwrap_or_else(&mut *new_line);
                    let mut line = lines.remove(&id).flatten().unwrap_or_default();
                    for (name, value) in values {
                        set(&mut line, name, value.clone());
                    }
                    lines.insert(id.clone(), Some(line));
                    new_ids.entry(name.clone()).or_default().insert(key.clone(), id);
                }
            }
        }
        set(&mut fields, name, if lines.is_empty() { Value::Null } else { Value::Lines(lines) });
    }
    fields
}

/// Sets a field; an empty one is absent.
pub fn set(fields: &mut Fields, name: &str, value: Value) {
    if value.is_null() {
        fields.remove(name);
    } else {
        fields.insert(name.to_owned(), value);
    }
}
