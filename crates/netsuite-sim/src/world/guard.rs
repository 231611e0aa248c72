//! The guarded write: load, compare, fence and save in one atomic step (the native write RESTlet).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use super::World;
use super::draft::{Draft, LineDraft, line_values};
use super::kind::RecordType;
use super::late;
use super::read::{self, Stored};
use super::refusal::{Refusal, WorldError};
use super::save::{Author, Operation, Saved, Saving};
use super::value::{Value, iso};

/// One write of a request, as the client sends it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WriteItem {
    pub(crate) write_id: String,
    pub(crate) kind: Operation,
    #[serde(rename = "type")]
    pub(crate) type_name: String,
    #[serde(default)]
    id: Option<String>,
    rid: String,
    stamp: u64,
    expect: u64,
    #[serde(default)]
    external_id: Option<String>,
    #[serde(default)]
    changes: Map<String, Json>,
    #[serde(default)]
    pre: Map<String, Json>,
    #[serde(default)]
    lines: Option<LineWrites>,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct LineWrites {
    #[serde(default)]
    upsert: Vec<LineUpsert>,
    #[serde(default)]
    remove: Vec<LineRemoval>,
}

#[derive(Debug, Clone, Deserialize)]
struct LineUpsert {
    key: String,
    #[serde(default)]
    line: Option<String>,
    #[serde(default)]
    changes: Map<String, Json>,
    #[serde(default)]
    pre: Option<Map<String, Json>>,
}

#[derive(Debug, Clone, Deserialize)]
struct LineRemoval {
    line: String,
    #[serde(default)]
    pre: Option<Map<String, Json>>,
}

/// How a write ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum WriteStatus {
    Ok,
    Stale,
    Fenced,
    Gone,
    Duplicate,
    Invalid,
}

/// One result of the reply.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WriteReply {
    write_id: String,
    pub(crate) status: WriteStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<String>,
    /// The number of the stamp now stored.
    pub(crate) stamp: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_modified: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) lines: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}

impl WriteReply {
    /// A write that was refused before any record was loaded.
    pub(crate) fn invalid(write_id: &str, code: &str, message: &str) -> Self {
        Self {
            code: Some(code.to_owned()),
            message: Some(message.to_owned()),
            ..Self::bare(write_id, WriteStatus::Invalid)
        }
    }

    fn bare(write_id: &str, status: WriteStatus) -> Self {
        Self {
            write_id: write_id.to_owned(),
            status,
            id: None,
            stamp: 0,
            last_modified: None,
            lines: BTreeMap::new(),
            code: None,
            message: None,
        }
    }
}

impl World {
    /// Carries out one guarded write; user-event scripts run after the commit.
    ///
    /// # Errors
    /// Only when the storage fails: every refusal is a reply.
    pub(crate) fn write(&self, item: &WriteItem, author: &Author) -> Result<WriteReply, WorldError> {
        let Some(kind) = RecordType::named(&item.type_name) else {
            let message = format!("The record type [{}] is invalid.", item.type_name);
            return Ok(WriteReply::invalid(&item.write_id, "INVALID_RCRD_TYPE", &message));
        };
        // A refusal rolls the transaction back, so nothing of a write that is not `ok` stays.
        let mut reply = None;
        let outcome = self.commit(author, |saving, scripted| {
            match guarded(saving, kind, item)? {
                Verdict::Saved(saved) => {
                    let mut done = WriteReply::bare(&item.write_id, WriteStatus::Ok);
                    done.id = Some(saved.id.to_string());
                    done.stamp = item.stamp;
                    done.last_modified = Some(iso(saved.at));
                    done.lines = saved.lines.iter().map(|(key, id)| (key.clone(), id.to_string())).collect();
                    reply = Some(done);
                    scripted.push(*saved);
                }
                Verdict::Refused(refused) => reply = Some(*refused),
            }
            Ok(())
        });
        match (outcome, reply) {
            (Ok(()), Some(reply)) => Ok(reply),
            (Err(WorldError::Refused(refusal)), _) => Ok(self.refused(kind, item, &refusal)?),
            (Err(other), _) => Err(other),
            (Ok(()), None) => Err(WorldError::Absent),
        }
    }

    /// A business refusal of the save itself, beside what is stored.
    fn refused(&self, kind: &RecordType, item: &WriteItem, refusal: &Refusal) -> Result<WriteReply, WorldError> {
        let locked = refusal.code == "RCRD_HAS_BEEN_CHANGED";
        let status = if locked { WriteStatus::Stale } else { WriteStatus::Invalid };
        let mut reply = WriteReply::bare(&item.write_id, status);
        if let Some(id) = item.native_id()
            && let Some(stored) = self.find(kind, id)?
        {
            describe(&mut reply, kind, item, &stored);
        }
        reply.code = Some(refusal.code.to_owned());
        reply.message = Some(refusal.message.clone());
        Ok(reply)
    }
}

enum Verdict {
    Saved(Box<Saved>),
    Refused(Box<WriteReply>),
}

impl WriteItem {
    fn native_id(&self) -> Option<i64> {
        self.id.as_deref().and_then(|id| id.parse().ok())
    }

    /// The number of a stored stamp if it is of this record, else 0.
    fn stored_number(&self, kind: &RecordType, stored: &Stored) -> u64 {
        match stored.value(kind, kind.stamp) {
            Value::Text(stamp) => match stamp.rsplit_once(':') {
                Some((rid, number)) if rid.eq_ignore_ascii_case(&self.rid) => number.parse().unwrap_or(0),
                _ => 0,
            },
            _ => 0,
        }
    }
}

fn describe(reply: &mut WriteReply, kind: &RecordType, item: &WriteItem, stored: &Stored) {
    reply.id = Some(stored.id.to_string());
    reply.stamp = item.stored_number(kind, stored);
    if let Value::Moment(moment) = stored.value(kind, "lastmodifieddate") {
        reply.last_modified = Some(iso(*moment));
    }
}

fn guarded(saving: &Saving<'_>, kind: &'static RecordType, item: &WriteItem) -> Result<Verdict, WorldError> {
    let refuse = |status, stored: Option<&Stored>| {
        let mut reply = WriteReply::bare(&item.write_id, status);
        if let Some(stored) = stored {
            describe(&mut reply, kind, item, stored);
        }
        Ok(Verdict::Refused(Box::new(reply)))
    };
    if item.kind == Operation::Create {
        if let Some(external_id) = &item.external_id
            && let Some(id) = read::find_external(saving.tx, kind, external_id)?
        {
            let stored = read::find(saving.tx, kind, id, saving.zone)?;
            return refuse(WriteStatus::Duplicate, stored.as_ref());
        }
        let mut draft = draft(kind, item)?;
        if let Some(external_id) = &item.external_id {
            draft.set(kind, "externalid", Value::Text(external_id.clone()));
        }
        return Ok(Verdict::Saved(Box::new(saving.create(kind, &draft, None)?)));
    }
    let stored = match item.native_id() {
        Some(id) => read::find(saving.tx, kind, id, saving.zone)?,
        None => None,
    };
    let Some(stored) = stored else { return refuse(WriteStatus::Gone, None) };
    let number = item.stored_number(kind, &stored);
    if number >= item.stamp {
        return refuse(WriteStatus::Fenced, Some(&stored));
    }
    let holds = number == item.expect
        && body_matches(saving, kind, &stored, &item.pre)
        && lines_match(saving, kind, &stored, item);
    if !holds {
        return refuse(WriteStatus::Stale, Some(&stored));
    }
    late::refuse_locked(saving.tx, kind, stored.id)?;
    let saved = match item.kind {
        Operation::Delete => saving.delete(kind, &stored)?,
        Operation::Update | Operation::Create => saving.update(kind, &stored, &draft(kind, item)?)?,
    };
    Ok(Verdict::Saved(Box::new(saved)))
}

/// The changes with the stamp that proves they landed.
fn draft(kind: &RecordType, item: &WriteItem) -> Result<Draft, Refusal> {
    let mut draft = Draft::from_json(kind, &item.changes)?;
    draft.set(kind, kind.stamp, Value::Text(format!("{}:{}", item.rid, item.stamp)));
    let Some(lines) = &item.lines else { return Ok(draft) };
    if !kind.has_lines() {
        return Err(Refusal::unknown_field("lines"));
    }
    for line in &lines.upsert {
        let values = line_values(kind, &line.key, &line.changes)?;
        let id = line.line.as_deref().and_then(|id| id.parse().ok());
        draft.upsert.push(LineDraft { key: line.key.clone(), line: id, values });
    }
    draft.remove.extend(lines.remove.iter().filter_map(|line| line.line.parse::<i64>().ok()));
    Ok(draft)
}

fn body_matches(saving: &Saving<'_>, kind: &RecordType, stored: &Stored, pre: &Map<String, Json>) -> bool {
    pre.iter().all(|(name, json)| match kind.position(name) {
        Some(position) => stored.values[position].matches(&kind.fields[position], json, saving.zone),
        None if name == "lines" && kind.has_lines() => all_lines_match(saving, kind, stored, json),
        None => false,
    })
}

/// A whole shadow names every line there is.
fn all_lines_match(saving: &Saving<'_>, kind: &RecordType, stored: &Stored, json: &Json) -> bool {
    let Json::Object(lines) = json else { return json.is_null() && stored.lines.is_empty() };
    lines.len() == stored.lines.len()
        && lines.iter().all(|(id, line)| match line {
            Json::Object(pre) => line_matches(saving, kind, stored, id, Some(pre)),
            _ => false,
        })
}

fn lines_match(saving: &Saving<'_>, kind: &RecordType, stored: &Stored, item: &WriteItem) -> bool {
    let Some(lines) = &item.lines else { return true };
    let changed = lines.upsert.iter().filter_map(|line| line.line.as_ref().map(|id| (id, line.pre.as_ref())));
    let removed = lines.remove.iter().map(|line| (&line.line, line.pre.as_ref()));
    changed.chain(removed).all(|(id, pre)| line_matches(saving, kind, stored, id, pre))
}

fn line_matches(
    saving: &Saving<'_>,
    kind: &RecordType,
    stored: &Stored,
    id: &str,
    pre: Option<&Map<String, Json>>,
) -> bool {
    let Some(line) = id.parse::<i64>().ok().and_then(|id| stored.lines.get(&id)) else { return false };
    pre.is_none_or(|pre| {
        pre.iter().all(|(name, json)| {
            let position = kind.line_fields.iter().position(|field| field.name == name);
            position.is_some_and(|at| line[at].matches(&kind.line_fields[at], json, saving.zone))
        })
    })
}
