//! One account's records: a SQLite file with a single writer, a few readers, and changes that commit late.

mod children;
mod copy;
mod custom;
mod draft;
mod edit;
mod generate;
mod import;
mod kind;
mod late;
mod lines;
mod overlay;
mod read;
mod refusal;
mod rules;
mod save;
mod scenario;
mod schema;
mod settings;
mod value;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use rusqlite::{Connection, OpenFlags, OptionalExtension, TransactionBehavior};
use serde_json::Value as Json;

pub(crate) use crate::catalog::{Field, Kind, RecordType};
pub(crate) use children::{Child, Shape};
pub(crate) use custom::{CustomRow, CustomType};
pub(crate) use draft::{Draft, LineDraft, line_values};
pub(crate) use edit::Edit;
pub use generate::{Amounts, Generated};
pub(crate) use import::Import;
pub(crate) use overlay::{Overlay, SchemaChange};
pub(crate) use read::Stored;
pub(crate) use refusal::{Refusal, WorldError};
pub use save::INTEGRATION_USER;
pub(crate) use save::{Author, Operation, Saved, Saving};
pub(crate) use scenario::{SCENARIOS, Script};
pub use settings::Tier;
pub(crate) use settings::{Overload, Settings};
pub(crate) use value::{MOMENT_MARK, Value, WALL_MARK, iso, moment_column, moment_of_column};

use crate::clock::Clock;
use crate::format::DateFormat;
use crate::suiteql::functions::{self, QueryState};

const READERS: usize = 3;
const STATEMENTS_PER_CONNECTION: usize = 128;
const NOTHING_DUE: i64 = i64::MAX;

/// The records of one account.
pub(crate) struct World {
    pub(crate) zone: TimeZone,
    pub(crate) date_format: DateFormat,
    pub(crate) clock: Arc<Clock>,
    writer: Mutex<Connection>,
    readers: Vec<Mutex<Reader>>,
    turn: AtomicUsize,
    /// Unix second at which the next late change becomes visible.
    next_due: AtomicI64,
    overlay: RwLock<Arc<Overlay>>,
    settings: RwLock<Arc<Settings>>,
    /// The overlay of a new account, which a reset goes back to.
    initial: Overlay,
    /// Saves whose scripts are still to run: late changes that have become visible, and what nobody waited for.
    late: Mutex<Vec<Saved>>,
}

/// A connection that only reads, and what its SQL functions share with it.
pub(crate) struct Reader {
    pub(crate) connection: Connection,
    pub(crate) state: Arc<QueryState>,
}

/// Where a world lives, and its account's preferences.
pub(crate) struct Site {
    pub(crate) path: PathBuf,
    pub(crate) zone: TimeZone,
    pub(crate) date_format: DateFormat,
    pub(crate) clock: Arc<Clock>,
    /// Features of the account as configured.
    pub(crate) initial: Overlay,
}

impl World {
    /// Opens the file, creating what is missing.
    ///
    /// # Errors
    /// When the file cannot be opened or is no world.
    pub(crate) fn open(site: Site) -> Result<Self, WorldError> {
        let Site { path, zone, date_format, clock, initial } = site;
        let mut writer = Connection::open(&path)?;
        writer.pragma_update(None, "journal_mode", "WAL")?;
        // A killed process loses nothing of what it committed; only a machine that dies may lose the last moments.
        writer.pragma_update(None, "synchronous", "NORMAL")?;
        prepare(&writer, &zone, &date_format)?;
        schema::create(&mut writer, &zone)?;
        save::employee(&writer, INTEGRATION_USER)?;
        let overlay = load(&writer, OVERLAY)?.unwrap_or_else(|| initial.clone());
        let settings = load(&writer, SETTINGS)?.unwrap_or_default();
        let due: Option<i64> = writer.query_row("SELECT min(due) FROM sim_pending", [], |row| row.get(0))?;
        let readers = (0..READERS).map(|_| reader(&path, &zone, &date_format)).collect::<Result<_, _>>()?;
        Ok(Self {
            zone,
            date_format,
            clock,
            writer: Mutex::new(writer),
            readers,
            turn: AtomicUsize::new(0),
            next_due: AtomicI64::new(due.unwrap_or(NOTHING_DUE)),
            overlay: RwLock::new(Arc::new(overlay)),
            settings: RwLock::new(Arc::new(settings)),
            initial,
            late: Mutex::default(),
        })
    }

    /// NetSuite's present moment in whole seconds.
    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::from_second(self.clock.now().as_second()).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    /// Runs one transaction as that author; beside its result, the saves it lists, whose scripts are to run now that it
    /// is committed.
    pub(crate) fn transact<T>(
        &self,
        author: &Author,
        work: impl FnOnce(&Saving<'_>, &mut Vec<Saved>) -> Result<T, WorldError>,
    ) -> Result<(T, Vec<Saved>), WorldError> {
        self.commit_at(author, None, work)
    }

    /// The same for callers that wait for no scripts: those run soon.
    pub(crate) fn commit<T>(
        &self,
        author: &Author,
        work: impl FnOnce(&Saving<'_>, &mut Vec<Saved>) -> Result<T, WorldError>,
    ) -> Result<T, WorldError> {
        let (done, scripted) = self.transact(author, work)?;
        self.tell_later(scripted);
        Ok(done)
    }

    /// Leaves the scripts of saves to whoever asks next.
    pub(crate) fn tell_later(&self, scripted: Vec<Saved>) {
        self.late.lock().unwrap_or_else(PoisonError::into_inner).extend(scripted);
    }

    /// The same, with a stamp that is not the present: scenarios make stamps that run backwards.
    fn commit_at<T>(
        &self,
        author: &Author,
        at: Option<Timestamp>,
        work: impl FnOnce(&Saving<'_>, &mut Vec<Saved>) -> Result<T, WorldError>,
    ) -> Result<(T, Vec<Saved>), WorldError> {
        let mut writer = self.writer();
        self.apply_due(&mut writer)?;
        // The stamp is taken under the lock, so that stamps never run backwards in commit order.
        let at = at.unwrap_or_else(|| self.now());
        let tx = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut scripted = Vec::new();
        let settings = self.settings();
        let done = work(&Saving { tx: &tx, zone: &self.zone, at, author, settings: &settings }, &mut scripted)?;
        tx.commit()?;
        Ok((done, scripted))
    }

    /// Does work as that author and takes it back, to see what it would come to.
    pub(crate) fn rehearse<T>(
        &self,
        author: &Author,
        work: impl FnOnce(&Saving<'_>) -> Result<T, WorldError>,
    ) -> Result<T, WorldError> {
        let mut writer = self.writer();
        self.apply_due(&mut writer)?;
        let at = self.now();
        let tx = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let settings = self.settings();
        work(&Saving { tx: &tx, zone: &self.zone, at, author, settings: &settings })
    }

    /// Reads from one connection after everything due has become visible.
    pub(crate) fn read<T>(&self, work: impl FnOnce(&Reader) -> Result<T, WorldError>) -> Result<T, WorldError> {
        self.settle()?;
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let free = (0..READERS).find_map(|step| self.readers[(turn + step) % READERS].try_lock().ok());
        let reader =
            free.unwrap_or_else(|| self.readers[turn % READERS].lock().unwrap_or_else(PoisonError::into_inner));
        work(&reader)
    }

    /// One record.
    pub(crate) fn find(&self, kind: &RecordType, id: i64) -> Result<Option<Stored>, WorldError> {
        self.read(|reader| Ok(read::find(&reader.connection, kind, id, &self.zone)?))
    }

    /// The id that carries an external id.
    pub(crate) fn find_external(&self, kind: &RecordType, external_id: &str) -> Result<Option<i64>, WorldError> {
        self.read(|reader| Ok(read::find_external(&reader.connection, kind, external_id)?))
    }

    /// Every id of a type, ascending.
    pub(crate) fn ids(&self, kind: &RecordType) -> Result<Vec<i64>, WorldError> {
        self.read(|reader| Ok(read::ids(&reader.connection, kind)?))
    }

    /// Ids that fit a condition, ascending, a page at a time; and how many fit in all.
    pub(crate) fn page_of_ids(
        &self,
        kind: &RecordType,
        (condition, params): (&str, &[rusqlite::types::Value]),
        (limit, offset): (usize, usize),
    ) -> Result<(Vec<i64>, usize), WorldError> {
        let condition = if condition.is_empty() { "true" } else { condition };
        let from = format!("FROM \"{}\" WHERE ({condition}){}", kind.table, kind.filter);
        self.read(|reader| {
            let snapshot = reader.connection.unchecked_transaction()?;
            let sql = format!("SELECT id {from} ORDER BY id LIMIT {limit} OFFSET {offset}");
            let mut statement = snapshot.prepare_cached(&sql)?;
            let rows = statement.query_map(rusqlite::params_from_iter(params), |row| row.get(0))?;
            let ids = rows.collect::<rusqlite::Result<Vec<i64>>>()?;
            let mut statement = snapshot.prepare_cached(&format!("SELECT COUNT(*) {from}"))?;
            let total: i64 = statement.query_row(rusqlite::params_from_iter(params), |row| row.get(0))?;
            Ok((ids, usize::try_from(total).unwrap_or(0)))
        })
    }

    /// The lines of a sublist that is a table of its own.
    pub(crate) fn children(&self, shape: Shape, parent: i64) -> Result<Vec<Child>, WorldError> {
        self.read(|reader| Ok(children::read(&reader.connection, shape, parent, &self.zone)?))
    }

    /// Every record of a type as `{"id", "fields"}`, from one snapshot.
    pub(crate) fn dump(&self, kind: &RecordType) -> Result<Vec<Json>, WorldError> {
        self.read(|reader| Ok(read::dump(&reader.connection, kind, &self.zone)?))
    }

    /// The text shown where a record is referred to.
    pub(crate) fn title(&self, table: &str, id: i64) -> Result<Option<String>, WorldError> {
        self.read(|reader| Ok(read::title(&reader.connection, table, id)?))
    }

    /// The changes of the catalogue that SuiteQL sees.
    pub(crate) fn overlay(&self) -> Arc<Overlay> {
        self.overlay.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes what SuiteQL sees of a table.
    pub(crate) fn change_schema(&self, change: &SchemaChange) -> Result<(), WorldError> {
        let writer = self.writer();
        let next = overlay::changed(&self.overlay(), change)?;
        self.put_overlay(&writer, next)
    }

    /// The settings in force.
    pub(crate) fn settings(&self) -> Arc<Settings> {
        self.settings.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes features, what the role sees, and settings.
    pub(crate) fn put(&self, overlay: Overlay, settings: Settings) -> Result<(), WorldError> {
        let writer = self.writer();
        store(&writer, SETTINGS, &settings)?;
        *self.settings.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(settings);
        self.put_overlay(&writer, overlay)
    }

    fn put_overlay(&self, writer: &Connection, next: Overlay) -> Result<(), WorldError> {
        store(writer, OVERLAY, &next)?;
        *self.overlay.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
        Ok(())
    }

    /// Forgets every record and schema change; numbering goes on.
    pub(crate) fn reset(&self) -> Result<(), WorldError> {
        let mut writer = self.writer();
        schema::clear(&mut writer, &self.zone)?;
        self.next_due.store(NOTHING_DUE, Ordering::Release);
        *self.overlay.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(self.initial.clone());
        *self.settings.write().unwrap_or_else(PoisonError::into_inner) = Arc::default();
        Ok(())
    }

    /// The saves whose scripts nobody has run yet.
    pub(crate) fn take_late(&self) -> Vec<Saved> {
        std::mem::take(&mut *self.late.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether scripts of late changes wait, or may have to soon.
    pub(crate) fn has_late(&self) -> bool {
        self.next_due().is_some() || !self.late.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Internal id of a user, if there is one of that name.
    pub(crate) fn user(&self, name: &str) -> Result<i64, WorldError> {
        self.read(|reader| {
            let mut statement = reader.connection.prepare_cached("SELECT id FROM employee WHERE entityid = ?")?;
            Ok(statement.query_row([name], |row| row.get(0))?)
        })
    }

    fn writer(&self) -> MutexGuard<'_, Connection> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keys of stored documents.
const OVERLAY: &str = "overlay";
const SETTINGS: &str = "settings";

/// A stored document; a new world has none.
fn load<T: serde::de::DeserializeOwned>(connection: &Connection, key: &str) -> Result<Option<T>, WorldError> {
    let sql = "SELECT value FROM sim_meta WHERE key = ?";
    let text: Option<String> = connection.query_row(sql, [key], |row| row.get(0)).optional()?;
    text.map(|text| Ok(serde_json::from_str(&text)?)).transpose()
}

fn store<T: serde::Serialize>(connection: &Connection, key: &str, document: &T) -> Result<(), WorldError> {
    connection.execute(
        "INSERT INTO sim_meta (key, value) VALUES (?, ?)
         ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        rusqlite::params![key, serde_json::to_string(document)?],
    )?;
    Ok(())
}

fn prepare(connection: &Connection, zone: &TimeZone, format: &DateFormat) -> Result<Arc<QueryState>, WorldError> {
    connection.busy_timeout(std::time::Duration::from_secs(10))?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_PER_CONNECTION);
    connection.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_DQS_DML, false)?;
    Ok(functions::register(connection, zone, format)?)
}

fn reader(path: &Path, zone: &TimeZone, format: &DateFormat) -> Result<Mutex<Reader>, WorldError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    // Oracle's LIKE minds the case.
    connection.pragma_update(None, "case_sensitive_like", true)?;
    let state = prepare(&connection, zone, format)?;
    Ok(Mutex::new(Reader { connection, state }))
}
