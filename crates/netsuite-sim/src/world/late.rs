//! Changes that commit now but become visible later, as a long transaction's do.
//!
//! Such a change keeps the stamp of its start. Until it is visible its record is locked for API writes
//! (`RCRD_HAS_BEEN_CHANGED`); further user edits of the record wait behind it.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use jiff::Timestamp;
use rusqlite::{Connection, params};

use super::edit::Edit;
use super::refusal::{Refusal, WorldError};
use super::save::{Saved, Saving};
use super::{NOTHING_DUE, World};
use crate::catalog::RecordType;

impl World {
    /// Unix second of the next change that becomes visible.
    pub(crate) fn next_due(&self) -> Option<i64> {
        Some(self.next_due.load(Ordering::Acquire)).filter(|due| *due != NOTHING_DUE)
    }

    /// Makes visible what is due.
    pub(crate) fn settle(&self) -> Result<(), WorldError> {
        if self.next_due.load(Ordering::Acquire) > self.now().as_second() {
            return Ok(());
        }
        self.apply_due(&mut self.writer())
    }

    pub(super) fn apply_due(&self, writer: &mut Connection) -> Result<(), WorldError> {
        let now = self.now().as_second();
        while self.next_due.load(Ordering::Acquire) <= now {
            let tx = writer.transaction()?;
            let mut scripted = Vec::new();
            let due = {
                let mut statement =
                    tx.prepare_cached("SELECT seq, body FROM sim_pending WHERE due <= ? ORDER BY seq")?;
                let rows = statement.query_map([now], |row| Ok((row.get(0)?, row.get(1)?)))?;
                rows.collect::<rusqlite::Result<Vec<(i64, String)>>>()?
            };
            for (seq, body) in due {
                let late: Late = serde_json::from_str(&body)?;
                self.apply(&tx, &late, &mut scripted)?;
                tx.execute("DELETE FROM sim_pending WHERE seq = ?", [seq])?;
            }
            let next: Option<i64> = tx.query_row("SELECT min(due) FROM sim_pending", [], |row| row.get(0))?;
            tx.commit()?;
            self.next_due.store(next.unwrap_or(NOTHING_DUE), Ordering::Release);
            self.late.lock().unwrap_or_else(PoisonError::into_inner).extend(scripted);
        }
        Ok(())
    }

    fn apply(&self, tx: &Connection, late: &Late, scripted: &mut Vec<Saved>) -> Result<(), WorldError> {
        let author = late.edit.author();
        let at = Timestamp::from_second(late.at).unwrap_or(Timestamp::UNIX_EPOCH);
        let settings = self.settings();
        let saving = Saving { tx, zone: &self.zone, at, author: &author, settings: &settings };
        match late.edit.carry_out(&saving, late.reserved) {
            Ok(saved) if late.edit.scripts => scripted.push(saved),
            Ok(_) => {}
            // It was possible when it was asked for; another save has made it impossible since.
            Err(WorldError::Refused(refusal)) => {
                tracing::warn!(code = refusal.code, "a late change was refused when it became due");
            }
            Err(WorldError::Absent) => tracing::warn!("a late change found its record gone"),
            Err(other) => return Err(other),
        }
        Ok(())
    }

    /// Puts an edit behind `due`; it was tried before and would succeed now.
    pub(super) fn postpone(&self, saving: &Saving<'_>, late: &Late, due: i64) -> Result<(), WorldError> {
        let id = late.reserved.or(late.edit.id).unwrap_or_default();
        saving.tx.execute(
            "INSERT INTO sim_pending (due, type, record, body) VALUES (?, ?, ?, ?)",
            params![due, late.edit.kind().name, id, serde_json::to_string(late)?],
        )?;
        Ok(())
    }

    pub(super) fn expect_due(&self, due: i64) {
        self.next_due.fetch_min(due, Ordering::AcqRel);
    }
}

/// An edit that waits to become visible.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct Late {
    pub(super) edit: Edit,
    /// Id given out for a create.
    pub(super) reserved: Option<i64>,
    /// Unix second of the edit itself.
    pub(super) at: i64,
}

/// When the last late change of that record becomes visible.
pub(super) fn locked_until(tx: &Connection, kind: &RecordType, id: i64) -> rusqlite::Result<Option<i64>> {
    tx.prepare_cached("SELECT max(due) FROM sim_pending WHERE type = ? AND record = ?")?
        .query_row(params![kind.name, id], |row| row.get(0))
}

/// Refuses an API write to a record that an open transaction holds.
pub(super) fn refuse_locked(tx: &Connection, kind: &RecordType, id: i64) -> Result<(), WorldError> {
    match locked_until(tx, kind, id)? {
        Some(_) => Err(Refusal::locked().into()),
        None => Ok(()),
    }
}
