//! Every record held against the fold of its log (semantics §2.14, I10): by streaming the log in pages, one record in
//! memory at a time, and comparing batches of what came out with what is stored. A rebuild keeps what came out in the side
//! projection; a swap puts it in the place of what is stored, record by record.

use std::collections::HashMap;

use merge::replay::{Broken, Projection, Replay};
use model::spec::World;
use model::{AccountId, Clock, RecordRef, RecordType, Rid};
use sqlx::PgPool;
use steps::{Core, StepError, Swapped};
use store::records::Records;
use store::replay::{self, Kept, Logged, Run, Which};
use store::{PgRecords, StoreError};
use uuid::Uuid;

use super::rulebook::Rulebook;

/// Entries read in one statement.
const PAGE: usize = 2_000;
/// Records compared in one go.
const BATCH: usize = 500;
/// Times a record that moves on is read further before it is left alone.
const CATCH_UP: usize = 20;

/// Which records.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Scope {
    /// Of this account; else of all.
    pub account: Option<AccountId>,
    /// Of this type; else of all that are synced.
    pub record_type: Option<RecordType>,
}

/// A record that is not what its log folds to. Names the record and the parts, never what they hold.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// The record.
    pub record: RecordRef,
    /// What is wrong.
    pub problem: Problem,
}

/// What is wrong with a record.
#[derive(Debug, Clone, PartialEq)]
pub enum Problem {
    /// These parts are stored otherwise.
    Differs(Vec<&'static str>),
    /// Its log cannot be folded.
    Broken(Broken),
    /// It says it has entries, and the log has none.
    NoLog,
    /// The log has entries of it, and it is not there.
    NoRecord,
    /// Its type is not synced, or was folded under rules this version cannot read: nothing says how its log is folded.
    NoType,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Differs(parts) => write!(f, "stored otherwise than its log folds to: {}", parts.join(", ")),
            Self::Broken(broken) => broken.fmt(f),
            Self::NoLog => f.write_str("its log is missing"),
            Self::NoRecord => f.write_str("its log is there and the record is not"),
            Self::NoType => f.write_str("its type is not among the record types"),
        }
    }
}

/// How much was looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Entries folded.
    pub events: u64,
    /// Records whose log was folded, or is missing.
    pub records: u64,
    /// Records with a finding.
    pub differing: u64,
}

/// Folds the logs of a scope anew and compares; with `rebuild`, what came out is kept under that run.
///
/// Records may move on meanwhile: one that did is read on until log and record are of the same moment.
///
/// # Errors
/// The database.
pub async fn verify(
    pool: &PgPool,
    world: &World,
    scope: &Scope,
    rebuild: Option<Uuid>,
    tell: &mut (dyn FnMut(Finding) + Send),
) -> Result<Tally, StoreError> {
    let accounts = match &scope.account {
        Some(account) => vec![account.clone()],
        None => replay::accounts(pool).await?,
    };
    let records = PgRecords::new(pool.clone());
    let book = Rulebook::read(pool, world).await?;
    let mut pass = Pass { pool, records, book: &book, rebuild, tell, tally: Tally::default(), folded: Vec::new() };
    for account in &accounts {
        pass.account(account, scope.record_type.as_ref()).await?;
    }
    Ok(pass.tally)
}

/// Rebuilds a scope into the side projection and compares. Answers the run.
///
/// # Errors
/// The database; the run has no end then.
pub async fn rebuild(
    pool: &PgPool,
    world: &World,
    scope: &Scope,
    run_id: Uuid,
    clock: &dyn Clock,
    tell: &mut (dyn FnMut(Finding) + Send),
) -> Result<Run, StoreError> {
    replay::begin(pool, run_id, scope.account.as_ref(), scope.record_type.as_ref(), clock.now()).await?;
    let tally = verify(pool, world, scope, Some(run_id), tell).await?;
    let now = clock.now();
    let run = Run {
        run_id,
        account: scope.account.as_ref().map(ToString::to_string),
        record_type: scope.record_type.as_ref().map(ToString::to_string),
        finished_at: Some(now),
        events: tally.events,
        records: tally.records,
        differing: tally.differing,
    };
    replay::finish(pool, &run, now).await?;
    Ok(run)
}

/// Puts what a run's differing records fold to in their places; `tell` hears what became of each. A record whose log has
/// grown since is left as it is.
///
/// # Errors
/// The database; records before it are swapped and noted.
pub async fn swap(
    pool: &PgPool,
    core: &Core<'_>,
    run_id: Uuid,
    tell: &mut (dyn FnMut(&RecordRef, Swapped) + Send),
) -> Result<(), StoreError> {
    let mut after: Option<RecordRef> = None;
    loop {
        let batch = replay::differing(pool, run_id, after.as_ref(), BATCH).await?;
        for kept in &batch {
            let folded: Projection = serde_json::from_str(&kept.folded).map_err(|error| StoreError::Corrupt {
                table: "sync.replay_record",
                column: "folded",
                row: kept.record.to_string(),
                reason: error.to_string(),
            })?;
            let outcome = steps::swap(core, &kept.record, &folded).await.map_err(|StepError::Store(error)| error)?;
            if matches!(outcome, Swapped::Done | Swapped::Same) {
                replay::swapped(pool, run_id, &kept.record.account, kept.record.rid, core.clock.now()).await?;
            }
            tell(&kept.record, outcome);
        }
        match batch.last() {
            Some(last) if batch.len() == BATCH => after = Some(last.record.clone()),
            _ => return Ok(()),
        }
    }
}

/// One way through the log.
struct Pass<'a> {
    pool: &'a PgPool,
    records: PgRecords,
    book: &'a Rulebook,
    rebuild: Option<Uuid>,
    tell: &'a mut (dyn FnMut(Finding) + Send),
    tally: Tally,
    /// Folded to the end of what was read, not compared yet.
    folded: Vec<Replay<'a>>,
}

/// The record whose log is being read.
enum Current<'a> {
    Folding(Box<Replay<'a>>),
    /// Told already: the rest of its log is passed over.
    Given(RecordRef),
}

impl Current<'_> {
    fn key(&self) -> &RecordRef {
        match self {
            Self::Folding(replay) => &replay.record().key,
            Self::Given(key) => key,
        }
    }
}

impl<'a> Pass<'a> {
    async fn account(&mut self, account: &AccountId, record_type: Option<&RecordType>) -> Result<(), StoreError> {
        let which = record_type.map_or(Which::All, Which::Type);
        let mut after: Option<(Rid, u64)> = None;
        let mut current: Option<Current<'a>> = None;
        loop {
            let page = replay::page(self.pool, account, &which, after, PAGE).await?;
            after = page.last().map(|last| (last.record.rid, last.row.record_seq)).or(after);
            let ended = page.len() < PAGE;
            for logged in page {
                if current.as_ref().is_some_and(|current| *current.key() != logged.record) {
                    self.put_by(current.take());
                }
                current = Some(match current.take() {
                    Some(Current::Given(key)) => Current::Given(key),
                    Some(Current::Folding(replay)) => self.fold(replay, &logged),
                    None => match self.book.spec(logged.row.rules, &logged.record.record_type) {
                        Some(spec) => self.fold(Box::new(Replay::new(logged.record.clone(), spec)), &logged),
                        None => self.found(logged.record, Problem::NoType),
                    },
                });
                if self.folded.len() >= BATCH {
                    self.compare().await?;
                }
            }
            if ended {
                break;
            }
        }
        self.put_by(current);
        self.compare().await?;
        self.without_log(account, record_type).await
    }

    /// The log of a record was read to its end.
    fn put_by(&mut self, current: Option<Current<'a>>) {
        if let Some(Current::Folding(replay)) = current {
            self.folded.push(*replay);
        }
    }

    fn fold(&mut self, mut replay: Box<Replay<'a>>, logged: &Logged) -> Current<'a> {
        let row = &logged.row;
        match self.book.spec(row.rules, &logged.record.record_type) {
            Some(spec) => replay.under(spec),
            None => return self.found(logged.record.clone(), Problem::NoType),
        }
        match replay.take(row.record_seq, &row.entry, row.event_id, row.at) {
            Ok(_) => {
                self.tally.events += 1;
                Current::Folding(replay)
            }
            Err(broken) => self.found(logged.record.clone(), Problem::Broken(broken)),
        }
    }

    fn found(&mut self, record: RecordRef, problem: Problem) -> Current<'a> {
        self.tally.records += 1;
        self.tally.differing += 1;
        (self.tell)(Finding { record: record.clone(), problem });
        Current::Given(record)
    }

    /// Holds what was folded against what is stored.
    async fn compare(&mut self) -> Result<(), StoreError> {
        let folded = std::mem::take(&mut self.folded);
        if folded.is_empty() {
            return Ok(());
        }
        let keys: Vec<RecordRef> = folded.iter().map(|replay| replay.record().key.clone()).collect();
        let views = self.records.views(&keys, false).await?;
        let mut stored: HashMap<RecordRef, model::record::Record> =
            views.into_iter().map(|view| (view.record.key.clone(), view.record)).collect();
        let mut kept = Vec::new();
        for replay in folded {
            let key = replay.record().key.clone();
            let Some(record) = stored.remove(&key) else {
                self.found(key, Problem::NoRecord);
                continue;
            };
            let Some((replay, record)) = self.catch_up(replay, record).await? else { continue };
            let again = Projection::of(replay.record());
            let parts = Projection::of(&record).differences(&again);
            if self.rebuild.is_some() {
                kept.push(Kept {
                    record: key.clone(),
                    record_seq: again.record_seq,
                    differs: parts.iter().map(|part| (*part).to_owned()).collect(),
                    folded: as_json(&key, &again)?,
                });
            }
            if parts.is_empty() {
                self.tally.records += 1;
            } else {
                self.found(key, Problem::Differs(parts));
            }
        }
        match self.rebuild {
            Some(run_id) => replay::keep(self.pool, run_id, &kept).await,
            None => Ok(()),
        }
    }

    /// Reads on until the log is of the record's moment. What is missing from its end is told.
    async fn catch_up(
        &mut self,
        replay: Replay<'a>,
        mut record: model::record::Record,
    ) -> Result<Option<(Box<Replay<'a>>, model::record::Record)>, StoreError> {
        let mut replay = Box::new(replay);
        for _ in 0..CATCH_UP {
            let at = replay.record().head.record_seq;
            // A record is read after its log, so it is never behind it but by a fault.
            if at >= record.head.record_seq {
                return Ok(Some((replay, record)));
            }
            let rids = [record.key.rid];
            let after = Some((record.key.rid, at));
            let rest = replay::page(self.pool, &record.key.account, &Which::Records(&rids), after, PAGE).await?;
            if rest.is_empty() {
                let gap = Broken::Gap { expected: at + 1, found: record.head.record_seq + 1 };
                self.found(record.key, Problem::Broken(gap));
                return Ok(None);
            }
            for logged in rest {
                replay = match self.fold(replay, &logged) {
                    Current::Folding(replay) => replay,
                    Current::Given(_) => return Ok(None),
                };
            }
            let view = self.records.views(std::slice::from_ref(&record.key), false).await?.into_iter().next();
            match view {
                Some(view) => record = view.record,
                None => {
                    self.found(record.key, Problem::NoRecord);
                    return Ok(None);
                }
            }
        }
        // Busier than we are: it is looked at in the next run.
        Ok(None)
    }

    async fn without_log(&mut self, account: &AccountId, record_type: Option<&RecordType>) -> Result<(), StoreError> {
        let mut after: Option<RecordRef> = None;
        loop {
            let lost = replay::without_log(self.pool, account, record_type, after.as_ref(), BATCH).await?;
            after = lost.last().cloned();
            let ended = lost.len() < BATCH;
            for record in lost {
                self.found(record, Problem::NoLog);
            }
            if ended {
                return Ok(());
            }
        }
    }
}

fn as_json(key: &RecordRef, folded: &Projection) -> Result<String, StoreError> {
    serde_json::to_string(folded)
        .map_err(|error| StoreError::Refused { record: key.to_string(), reason: error.to_string() })
}
