//! The sweep (semantics §2.13): what changed since the watermark less the overlap, page by page; hints published and
//! acknowledged by the broker; only then the watermark moves. All instants are NetSuite's.

use std::collections::BTreeMap;
use std::sync::Arc;

use chassis::Parts;
use chassis::bus::{Message, lane};
use model::spec::TypeSpec;
use model::{
    AccountId, ChangeEvent, Fields, NativeId, Operation, RecordType, RemoteError, Side, Source, Timestamp, TypedValue,
    Value, record_key,
};
use netsuite::{Cursor, NetsuiteRemote, Page};
use steps::{Engine, News, Swept, news, news_of_deletion};
use store::watermark::Stream;

use crate::config::Config;

/// Longest time one sweep of an account may take before the process is unready.
const STALE_AFTER: std::time::Duration = std::time::Duration::from_secs(600);

/// One account's sweeps.
pub(crate) struct Sweeper {
    pub(crate) account: AccountId,
    pub(crate) netsuite: Arc<NetsuiteRemote>,
    pub(crate) engine: Engine,
    pub(crate) parts: Parts,
    pub(crate) config: Config,
}

/// For each type and stream, NetSuite's clock when the last whole sweep of it began. What was stamped longer before that
/// than the overlap was to be seen by then, so it need not be read again: an account at rest costs a query a stream and
/// no row. Kept in memory only: a process that starts reads back.
type Began = BTreeMap<(RecordType, Stream), Timestamp>;

/// A row of any stream, as far as the sweep cares.
struct Found {
    native_id: NativeId,
    at: Timestamp,
    fields: Option<Fields>,
    operation: Operation,
}

impl Sweeper {
    pub(crate) async fn run(&self) {
        let progress = self.parts.health.progress(format!("sweep of {}", self.account), STALE_AFTER);
        let stop = &self.parts.shutdown;
        let (mut first, mut began) = (true, Began::new());
        while !stop.is_cancelled() {
            progress.tick();
            match stop.run_until_cancelled(self.sweep(first, &mut began)).await {
                None => return,
                Some(Ok(())) => {
                    first = false;
                    progress.unblock();
                }
                Some(Err(error)) => {
                    tracing::warn!(account = %self.account, error = format!("{error:#}"), "the sweep of {} ended early and begins again at its watermark: {error:#}", self.account);
                    progress.block("NetSuite or the database does not answer");
                }
            }
            stop.run_until_cancelled(tokio::time::sleep(self.config.interval)).await;
        }
    }

    /// All streams of all types, one after the other: a sweep must not take the account's whole concurrency.
    async fn sweep(&self, first: bool, began: &mut Began) -> anyhow::Result<()> {
        let world = self.engine.world.clone();
        for spec in &world.types {
            for stream in [Stream::Modified, Stream::Lines, Stream::Deleted] {
                if stream == Stream::Lines && !spec.fields.iter().any(|field| field.lines().is_some()) {
                    continue;
                }
                self.stream(spec, stream, first, began).await?;
            }
        }
        Ok(())
    }

    async fn stream(&self, spec: &TypeSpec, stream: Stream, first: bool, last: &mut Began) -> anyhow::Result<()> {
        let pool = &self.parts.pool;
        let stored = store::watermark::get(pool, &self.account, &spec.name, stream).await?;
        let behind = if first { self.config.overlap.max(self.config.read_back) } else { self.config.overlap };
        let mark = match stored {
            Some(mark) => mark,
            None => self.netsuite.now(&self.account).await?,
        };
        let key = (spec.name.clone(), stream);
        let seen_by_then = last.get(&key).copied().unwrap_or(mark).max(mark);
        let mut cursor = Cursor::at(seen_by_then.checked_sub(behind)?);
        let mut seen = mark;
        let mut began = None;
        loop {
            let Page { rows, full, next, ns_now } = self.page(spec, stream, cursor).await?;
            began = began.or(ns_now);
            seen = rows.iter().map(|row| row.at).max().unwrap_or(seen).max(seen);
            if !rows.is_empty() {
                self.publish(spec, rows).await?;
            }
            if !full || next <= cursor {
                break;
            }
            cursor = next;
        }
        // A long sweep's last pages see rows younger than its beginning. What was committed late behind its cursor meanwhile
        // is not among them, so the next sweep's overlap counts from the beginning.
        let reached = began.map_or(seen, |began| seen.min(began)).max(mark);
        // Only now: a crash before this repeats the pages, which are suppressed or change nothing.
        store::watermark::set(pool, &self.account, &spec.name, stream, reached, self.parts.clock.now()).await?;
        last.extend(began.map(|began| (key, began)));
        Ok(())
    }

    async fn page(&self, spec: &TypeSpec, stream: Stream, cursor: Cursor) -> Result<Page<Found>, RemoteError> {
        let (account, limit) = (&self.account, self.config.page);
        match stream {
            Stream::Modified => {
                let page = self.netsuite.modified_since(account, spec, cursor, limit).await?;
                Ok(page.map(|row| Found {
                    native_id: row.native_id,
                    at: row.lastmodified,
                    fields: row.complete.then_some(row.fields),
                    operation: Operation::Update,
                }))
            }
            Stream::Lines => {
                let page = self.netsuite.lines_modified_since(account, spec, cursor, limit).await?;
                Ok(page.map(|row| Found {
                    native_id: row.native_id,
                    at: row.lastmodified,
                    fields: row.fields,
                    operation: Operation::Update,
                }))
            }
            Stream::Deleted => {
                let page = self.netsuite.deleted_since(account, spec, cursor, limit).await?;
                Ok(page.map(|row| Found {
                    native_id: row.native_id,
                    at: row.deleted,
                    fields: None,
                    operation: Operation::Delete,
                }))
            }
            // Provenance is a later issue; the stream has a watermark of its own when it comes.
            Stream::SystemNotes => Ok(Page { rows: Vec::new(), full: false, next: cursor, ns_now: None }),
        }
    }

    async fn publish(&self, spec: &TypeSpec, rows: Vec<Found>) -> anyhow::Result<()> {
        let rows = self.unknown_deletions_out(spec, rows).await?;
        let swept: Vec<Swept> =
            rows.iter().map(|row| Swept { native_id: row.native_id.clone(), fields: row.fields.clone() }).collect();
        let answers = news(&self.engine.core(), &self.account, spec, Side::Netsuite, &swept).await?;
        let mut messages = Vec::new();
        for (row, answer) in rows.iter().zip(answers) {
            if let News::Publish(changes) = answer {
                messages.push(self.message(spec, row, changes).await);
            }
        }
        if messages.is_empty() {
            return Ok(());
        }
        for outcome in self.parts.bus.publish(&self.parts.core.topics.raw, messages).await {
            outcome?;
        }
        Ok(())
    }

    /// Deletions of records nobody here knows, or that are known to be gone, are no news: the overlap repeats them.
    async fn unknown_deletions_out(&self, spec: &TypeSpec, rows: Vec<Found>) -> anyhow::Result<Vec<Found>> {
        let deleted = |row: &&Found| row.operation == Operation::Delete;
        let ids: Vec<NativeId> = rows.iter().filter(deleted).map(|row| row.native_id.clone()).collect();
        if ids.is_empty() {
            return Ok(rows);
        }
        let core = self.engine.core();
        let answers = news_of_deletion(&core, &self.account, &spec.name, Side::Netsuite, &ids).await?;
        let mut answers = answers.into_iter();
        Ok(rows.into_iter().filter(|row| !deleted(&row) || answers.next().unwrap_or(true)).collect())
    }

    async fn message(&self, spec: &TypeSpec, row: &Found, changes: Fields) -> Message {
        let mut event = ChangeEvent {
            event_id: self.parts.ids.uuid(),
            account: self.account.clone(),
            record_type: spec.name.clone(),
            record_id: row.native_id.clone(),
            operation: row.operation,
            source: Source::NetsuitePoll,
            side: Side::Netsuite,
            occurred_at: row.at,
            base_version: None,
            changes: changes.into_iter().filter_map(|(name, value)| Some((name, typed(value)?))).collect(),
            full_snapshot_ref: None,
            remote_version: Some(row.at.as_second()),
            write_id: None,
            auth_context: None,
            correlation_id: None,
        };
        if let Some(snapshots) = &self.config.snapshots {
            snapshots.lighten_if_possible(&mut event).await;
        }
        let key = record_key(&event.account, &event.record_type, event.record_id.as_str());
        Message {
            data: model::wire::encode_change(&event),
            attributes: model::wire::change_attributes(&event),
            ordering_key: Some(lane(&key, self.parts.core.topics.lanes)),
        }
    }
}

/// A canonical value as a typed one; sublists travel in no hint.
fn typed(value: Value) -> Option<TypedValue> {
    Some(match value {
        Value::Null => TypedValue::Null,
        Value::Bool(flag) => TypedValue::Bool(flag),
        Value::Int(number) => TypedValue::Integer(number),
        Value::Text(text) => TypedValue::Text(text),
        Value::Set(set) => TypedValue::Set(set.into_iter().collect()),
        Value::Lines(_) => return None,
    })
}
