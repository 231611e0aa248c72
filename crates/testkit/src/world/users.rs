//! What people do: edit, delete, create, decide.

use model::{AccountId, Fields, Line, Lines, RecordType, Side, Value};

use super::ledger::Place;
use super::requests::set;
use super::stage::{Author, Stage};
use super::types::type_name;

impl Stage {
    /// A user does something, somewhere. Answers false when nothing could be done.
    pub fn user_acts(&mut self, accounts: &[AccountId]) -> bool {
        let account = accounts[self.rng.usize(..accounts.len())].clone();
        let side = if self.rng.bool() { Side::Suitex } else { Side::Netsuite };
        let mine = |place: &&Place| place.side == side && place.account == account;
        let places: Vec<Place> = self.rows.keys().filter(mine).cloned().collect();
        let create = self.vary.creates && self.chance(0.1);
        if create || places.is_empty() {
            if !self.vary.creates && !self.vary.deletes && !places.is_empty() {
                return false;
            }
            self.user_creates(side, &account, "thing");
            return true;
        }
        let place = places[self.rng.usize(..places.len())].clone();
        if self.vary.deletes && self.chance(0.12) {
            self.user_deletes(&place);
            return true;
        }
        self.user_edits(&place, None);
        true
    }

    /// Edits just what one of our writes is on its way to.
    pub fn adversary_acts(&mut self) -> bool {
        let Some((place, fields)) = self.hot.take() else { return false };
        if !self.rows.contains_key(&place) {
            return false;
        }
        self.coverage.hit("user edited under a write");
        self.user_edits(&place, Some(&fields));
        true
    }

    /// Makes a record with values in some of the fields.
    pub fn user_creates(&mut self, side: Side, account: &AccountId, record_type: &str) -> Place {
        let place = self.new_place(side, account, &type_name(record_type));
        let mut fields = Fields::new();
        if record_type == "order" {
            self.point_somewhere(&place, &mut fields);
            let text = self.ledger.fresh();
            set(&mut fields, "b", Value::text(text));
        } else {
            let names = self.vary.fields.clone();
            for name in names {
                self.change(&place, &mut fields, name);
            }
            if fields.is_empty() {
                let text = self.ledger.fresh();
                set(&mut fields, "b", Value::text(text));
            }
        }
        self.ledger.operations += 1;
        self.ledger.created.insert(place.clone());
        self.note(|| format!("{place} is made by a user: {fields:?}"));
        self.put(&place, fields, Author::User);
        place
    }

    /// Deletes a record, having it on screen.
    pub fn user_deletes(&mut self, place: &Place) {
        self.ledger.operations += 1;
        self.ledger.deleted.insert(place.clone());
        self.note(|| format!("{place} is deleted by a user"));
        self.remove(place, Author::User);
    }

    /// Changes one to three fields, or those named.
    pub fn user_edits(&mut self, place: &Place, only: Option<&[String]>) {
        let Some(row) = self.rows.get(place) else { return };
        let mut fields = row.fields.clone();
        if place.record_type.as_str() == "order" {
            if self.rng.bool() {
                self.point_somewhere(place, &mut fields);
            } else {
                let text = self.ledger.fresh();
                set(&mut fields, "b", Value::text(text));
            }
        } else {
            let names: Vec<&'static str> = match only {
                Some(only) => {
                    let named =
                        |name: &&&str| only.iter().any(|f| f == **name || (**name == "g" && f.starts_with('g')));
                    self.vary.fields.iter().filter(named).copied().collect()
                }
                None => {
                    let mut names = self.vary.fields.clone();
                    self.rng.shuffle(&mut names);
                    names.truncate(1 + self.rng.usize(..3));
                    names
                }
            };
            for name in names {
                self.change(place, &mut fields, name);
            }
        }
        self.ledger.operations += 1;
        self.note(|| format!("{place} is edited by a user: {fields:?}"));
        self.put(place, fields, Author::User);
        self.workflow_follows(place);
    }

    /// NetSuite's workflow changes a further field in the same instant, and raises no event.
    fn workflow_follows(&mut self, place: &Place) {
        let share = self.vary.workflow;
        if place.side != Side::Netsuite || !self.chance(share) || place.record_type.as_str() != "thing" {
            return;
        }
        let Some(mut fields) = self.rows.get(place).map(|row| row.fields.clone()) else { return };
        let text = self.ledger.fresh();
        set(&mut fields, "w", Value::text(text));
        self.ledger.operations += 1;
        self.coverage.hit("workflow edit");
        self.note(|| format!("{place} is edited by a workflow: {fields:?}"));
        self.put(place, fields, Author::Workflow);
    }

    /// A reference to some thing of the same side and account.
    fn point_somewhere(&mut self, place: &Place, fields: &mut Fields) {
        let things: Vec<u64> = self
            .rows
            .keys()
            .filter(|p| p.side == place.side && p.account == place.account && p.record_type.as_str() == "thing")
            .map(|p| p.id)
            .collect();
        if !things.is_empty() {
            let id = things[self.rng.usize(..things.len())];
            set(fields, "to", Value::text(id.to_string()));
        }
    }

    /// Changes one field the way its users do.
    fn change(&mut self, place: &Place, fields: &mut Fields, name: &str) {
        match name {
            "n" => self.increment(place, fields),
            "s" => self.add_or_remove(place, fields),
            "p" => {
                let suffix = format!("<{}>", self.ledger.fresh());
                let text = fields.get(name).and_then(Value::as_text).unwrap_or_default();
                let text = format!("{text}{suffix}");
                self.ledger.appended.push((place.clone(), suffix));
                set(fields, name, Value::text(text));
            }
            "f" => {
                let on = matches!(fields.get(name), Some(Value::Bool(true)));
                set(fields, name, Value::Bool(!on));
            }
            "g" => {
                let which = self.rng.u8(1..=3);
                for (bit, member) in [(1, "g1"), (2, "g2")] {
                    if which & bit != 0 {
                        let text = self.ledger.fresh();
                        set(fields, member, Value::text(text));
                    }
                }
            }
            "lines" => self.change_lines(fields),
            plain => {
                let clear = fields.contains_key(plain) && self.chance(0.1);
                let text = if clear { String::new() } else { self.ledger.fresh() };
                set(fields, plain, Value::text(text));
            }
        }
    }

    fn increment(&mut self, place: &Place, fields: &mut Fields) {
        let now = match fields.get("n") {
            Some(Value::Int(n)) => *n,
            _ => 0,
        };
        let by = self.rng.i64(1..=3) * if self.chance(0.3) { -1 } else { 1 };
        *self.ledger.increments.entry(place.clone()).or_default() += by;
        fields.insert("n".to_owned(), Value::Int(now + by));
    }

    fn add_or_remove(&mut self, place: &Place, fields: &mut Fields) {
        let mut members = match fields.get("s") {
            Some(Value::Set(members)) => members.clone(),
            _ => std::collections::BTreeSet::new(),
        };
        if !members.is_empty() && self.chance(0.4) {
            let at = self.rng.usize(..members.len());
            if let Some(member) = members.iter().nth(at).cloned() {
                members.remove(&member);
                self.ledger.removed.push((place.clone(), member));
            }
        } else {
            let member = self.ledger.fresh();
            self.ledger.added.push((place.clone(), member.clone()));
            members.insert(member);
        }
        set(fields, "s", if members.is_empty() { Value::Null } else { Value::Set(members) });
    }

    fn change_lines(&mut self, fields: &mut Fields) {
        self.coverage.hit("line edited");
        let mut lines = fields.get("lines").and_then(Value::as_lines).cloned().unwrap_or_default();
        let ids: Vec<String> = lines.keys().cloned().collect();
        let act = if ids.is_empty() { 0 } else { self.rng.u8(0..4) };
        match act {
            0 => self.add_line(&mut lines),
            1 => {
                lines.remove(&ids[self.rng.usize(..ids.len())]);
            }
            _ => {
                let id = &ids[self.rng.usize(..ids.len())];
                let name = if self.rng.bool() { "q" } else { "r" };
                let text = self.ledger.fresh();
                if let Some(line) = lines.get_mut(id).and_then(Line::as_mut) {
                    set(line, name, Value::text(text));
                }
            }
        }
        set(fields, "lines", if lines.is_empty() { Value::Null } else { Value::Lines(lines) });
    }

    fn add_line(&mut self, lines: &mut Lines) {
        let mut line = Fields::new();
        for name in ["q", "r"] {
            let text = self.ledger.fresh();
            set(&mut line, name, Value::text(text));
        }
        lines.insert(self.new_line(), Some(line));
    }

    /// Types whose rows users may make in this run.
    pub fn record_types(&self) -> Vec<RecordType> {
        let mut types = vec![type_name("thing")];
        if self.vary.references {
            types.push(type_name("order"));
        }
        types
    }
}
