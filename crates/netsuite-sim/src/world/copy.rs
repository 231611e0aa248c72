//! "Make Copy": a new record with what the old one holds, custom fields included, whatever they are for.

use super::draft::{Draft, LineDraft};
use super::read::{self, Stored};
use super::save::{Author, Saved};
use super::{World, WorldError};
use crate::catalog::RecordType;

impl World {
    /// Copies a record as a user does in NetSuite's pages.
    ///
    /// # Errors
    /// [`WorldError::Absent`], or a refusal of the new record.
    pub(crate) fn copy(
        &self,
        kind: &'static RecordType,
        id: i64,
        author: &Author,
        scripts: bool,
    ) -> Result<(Saved, Vec<Saved>), WorldError> {
        self.transact(author, |saving, scripted| {
            let original = read::find(saving.tx, kind, id, saving.zone)?.ok_or(WorldError::Absent)?;
            let saved = saving.create(kind, &draft(kind, &original), None)?;
            if scripts {
                scripted.push(saved.clone());
            }
            Ok(saved)
        })
    }
}

/// Everything a user could have typed; what only one record may have is left to be numbered anew.
fn draft(kind: &RecordType, original: &Stored) -> Draft {
    let numbered = kind.number.as_ref().map(|numbering| numbering.field.as_str());
    let carried = kind.fields.iter().enumerate().filter(|(_, field)| {
        let is_own = field.read_only || field.name == "externalid" || Some(field.name) == numbered;
        !is_own && (!field.unique || field.required)
    });
    let mut draft = Draft::default();
    for (index, field) in carried {
        let value = match (&original.values[index], field.unique) {
            (super::Value::Text(text), true) => super::Value::Text(format!("Copy of {text}")),
            (other, _) => other.clone(),
        };
        draft.values.push((index, value));
    }
    draft.upsert = original
        .lines
        .iter()
        .map(|(line, values)| {
            let values = values.iter().cloned().enumerate().collect();
            LineDraft { key: line.to_string(), line: None, values }
        })
        .collect();
    draft
}
