//! From a failed message to a row a person sees, a lock where going on could do harm, and one line in the log.

use std::collections::BTreeMap;

use async_trait::async_trait;
use chassis::bus::Message;
use chassis::settings::topic;
use chassis::worker::{Decoded, Handler};
use model::record::LockReason;
use model::{AccountId, ErrorClass, Failure, NativeId, RecordRef, RecordType, Rid, Side, Source};
use sqlx::PgPool;
use steps::{Engine, lock_record};
use store::errors::NewError;

/// The handler of one failure topic.
pub(crate) struct Queue {
    /// Logical topic.
    pub(crate) topic: &'static str,
    pub(crate) engine: Engine,
    pub(crate) pool: PgPool,
}

#[async_trait]
impl Handler for Queue {
    type Event = NewError;

    fn decode(&self, message: &Message) -> Result<NewError, Failure> {
        Ok(row(self.topic, message))
    }

    async fn handle(&self, batch: &[Decoded<NewError>]) -> Vec<Result<(), Failure>> {
        match self.store(batch).await {
            Ok(()) => batch.iter().map(|_| Ok(())).collect(),
            Err(error) => {
                let failure = Failure::new(ErrorClass::Operational, "database", format!("{error:#}"));
                batch.iter().map(|_| Err(failure.clone())).collect()
            }
        }
    }
}

impl Queue {
    async fn store(&self, batch: &[Decoded<NewError>]) -> anyhow::Result<()> {
        let mut rows = Vec::with_capacity(batch.len());
        for decoded in batch {
            let mut row = decoded.event.clone();
            row.message_id = decoded.message_id.to_string();
            let record = self.record(&row, &decoded.message).await?;
            row.rid = record.as_ref().map(|record| record.rid);
            if let Some(record) = record.filter(|_| self.locks(&decoded.message)) {
                self.lock(&record, &row).await?;
            }
            rows.push(row);
        }
        let mut transaction = self.pool.begin().await?;
        store::errors::insert(&mut transaction, &rows).await?;
        transaction.commit().await?;
        for row in &rows {
            notice(self.topic, row);
        }
        Ok(())
    }

    /// A refused write and a dead letter hold their record until a person has looked. A hint that could not be taken
    /// does not: it is a doorbell, what is true is read from the side itself.
    fn locks(&self, message: &Message) -> bool {
        self.topic == topic::DLQ || message.attributes.contains_key("target")
    }

    async fn lock(&self, record: &RecordRef, row: &NewError) -> anyhow::Result<()> {
        let core = self.engine.core();
        let views = core.records.views(std::slice::from_ref(record), false).await?;
        let held = views.first().is_some_and(|v| v.record.locks.iter().any(|lock| lock.reason == LockReason::Error));
        if !held && row.class != ErrorClass::Operational {
            lock_record(&core, record, None, LockReason::Error, &row.reason).await?;
        }
        Ok(())
    }

    /// The record the message speaks of, if anybody knows it.
    async fn record(&self, row: &NewError, message: &Message) -> anyhow::Result<Option<RecordRef>> {
        let (Ok(account), Some(Ok(record_type)), Some(id)) = (
            AccountId::parse(&row.account_id),
            row.record_type.as_deref().map(RecordType::parse),
            row.record_id.as_deref(),
        ) else {
            return Ok(None);
        };
        if message.attributes.contains_key("target") {
            return Ok(id.parse().ok().map(|rid| RecordRef { account, record_type, rid: Rid(rid) }));
        }
        let (Some(side), Ok(native_id)) = (side(message), NativeId::parse(id)) else { return Ok(None) };
        let wanted = [(record_type.clone(), native_id)];
        let found = self.engine.records.lookup(&account, side, &wanted).await?;
        Ok(found.into_values().next().map(|rid| RecordRef { account, record_type, rid }))
    }
}

/// The side the message's record id belongs to; `None` where it does not say: a guess might lock a stranger.
fn side(message: &Message) -> Option<Side> {
    let word = |name| message.attributes.get(name).map(String::as_str);
    word("source").and_then(Source::parse)?.side().or_else(|| word("side").and_then(Side::parse))
}

/// What the message says of itself. Never fails: a dead letter that could not be stored would be lost.
fn row(topic: &str, message: &Message) -> NewError {
    let attributes: BTreeMap<String, String> = message.attributes.clone();
    let text = |name: &str| attributes.get(name).cloned();
    let default = if topic == topic::DLQ { ErrorClass::Irrecoverable } else { ErrorClass::Validation };
    NewError {
        account_id: text("account_id").unwrap_or_default(),
        record_type: text("record_type"),
        record_id: text("record_id"),
        rid: None,
        event_id: text("event_id").and_then(|id| id.parse().ok()),
        topic: topic.to_owned(),
        message_id: String::new(),
        class: text("error_class").and_then(|word| ErrorClass::parse(&word)).unwrap_or(default),
        code: text("reason_code").unwrap_or_else(|| "unspecified".to_owned()),
        reason: text("reason").unwrap_or_else(|| "the message names no reason".to_owned()),
        payload: Some(message.data.to_vec()),
        attempts: text("attempts").and_then(|n| n.parse().ok()).unwrap_or(0),
        first_failed_at: text("first_failed_at").and_then(|at| at.parse().ok()),
        attributes,
        ..NewError::default()
    }
}

/// Until notices leave by mail, the log is the notice.
fn notice(topic: &str, row: &NewError) {
    let record_type = row.record_type.as_deref().unwrap_or("unknown");
    let record_id = row.record_id.as_deref().unwrap_or("unknown");
    tracing::warn!(
        topic,
        account = row.account_id,
        record_type,
        record_id,
        class = row.class.as_str(),
        code = row.code,
        "{record_type} {record_id} of account {} needs a person: {}",
        row.account_id,
        row.reason
    );
}
