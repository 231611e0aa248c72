//! A user's edit, as the control API asks for it.

use serde_json::{Map, Value as Json};

use super::World;
use super::draft::Draft;
use super::late::{self, Late};
use super::read;
use super::refusal::{Refusal, WorldError};
use super::save::{Author, Operation, Saved, Saving, next_id};
use crate::catalog::RecordType;

/// One edit by a user.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub(crate) struct Edit {
    pub(crate) user: String,
    pub(crate) context: String,
    pub(crate) operation: Operation,
    /// Record type, in any spelling that [`RecordType::named`] knows.
    #[serde(rename = "type")]
    pub(crate) type_name: String,
    pub(crate) id: Option<i64>,
    pub(crate) changes: Map<String, Json>,
    /// Whether user-event scripts run.
    pub(crate) scripts: bool,
    /// Whether it is an inline edit, whose scripts are given the changed fields only.
    #[serde(default)]
    pub(crate) inline: bool,
    /// Seconds until reads see the change.
    pub(crate) visible_after_seconds: u32,
}

impl Edit {
    pub(crate) fn kind(&self) -> &'static RecordType {
        RecordType::named(&self.type_name).unwrap_or(*super::kind::CUSTOMER)
    }

    pub(crate) fn author(&self) -> Author {
        Author { user: self.user.clone(), context: self.context.clone() }
    }

    /// Does it now.
    pub(crate) fn carry_out(&self, saving: &Saving<'_>, reserved: Option<i64>) -> Result<Saved, WorldError> {
        let kind = self.kind();
        if self.operation == Operation::Create {
            let draft = Draft::from_json(kind, &self.changes)?;
            return saving.create(kind, &draft, reserved);
        }
        let id = self.id.ok_or_else(|| Refusal::new("MISSING_REQD_ARGUMENT", "id is required").at("id"))?;
        let before = read::find(saving.tx, kind, id, saving.zone)?.ok_or(WorldError::Absent)?;
        match self.operation {
            Operation::Delete => saving.delete(kind, &before),
            Operation::Update | Operation::Create => {
                let draft = Draft::from_json(kind, &self.changes)?;
                let fields = draft.values.iter().map(|(position, _)| kind.fields[*position].name).collect();
                let saved = saving.update(kind, &before, &draft)?;
                Ok(Saved { inline: self.inline.then_some(fields), ..saved })
            }
        }
    }
}

impl World {
    /// Carries out a user's edit, now or visible later; beside it, the saves whose scripts are to run.
    ///
    /// # Errors
    /// [`WorldError::Absent`] and [`WorldError::Refused`] as a user would meet them.
    pub(crate) fn edit(&self, edit: &Edit) -> Result<(Saved, Vec<Saved>), WorldError> {
        let author = edit.author();
        let mut due = None;
        let done = self.transact(&author, |saving, scripted| {
            let blocked = match edit.id {
                Some(id) if self.next_due().is_some() => late::locked_until(saving.tx, edit.kind(), id)?,
                _ => None,
            };
            let wanted = saving.at.as_second() + i64::from(edit.visible_after_seconds);
            if edit.visible_after_seconds == 0 && blocked.is_none() {
                let saved = edit.carry_out(saving, None)?;
                if edit.scripts {
                    scripted.push(saved.clone());
                }
                return Ok(saved);
            }
            let reserved = match edit.operation {
                Operation::Create => Some(next_id(saving.tx, edit.kind().sequence)?),
                Operation::Update | Operation::Delete => None,
            };
            let saved = rehearse(saving, edit, reserved)?;
            let at = saving.at.as_second();
            let visible = wanted.max(blocked.unwrap_or(wanted));
            self.postpone(saving, &Late { edit: edit.clone(), reserved, at }, visible)?;
            due = Some(visible);
            Ok(saved)
        })?;
        if let Some(due) = due {
            self.expect_due(due);
        }
        Ok(done)
    }
}

/// Does the edit and takes it back, so that a refusal is told at once and not when it becomes due.
fn rehearse(saving: &Saving<'_>, edit: &Edit, reserved: Option<i64>) -> Result<Saved, WorldError> {
    saving.tx.execute_batch("SAVEPOINT rehearsal")?;
    let outcome = edit.carry_out(saving, reserved);
    saving.tx.execute_batch("ROLLBACK TO rehearsal; RELEASE rehearsal")?;
    outcome
}
