//! One tenant's outbox: rows in id order, published, and marked only after the broker acknowledged them. A crash in
//! between publishes twice, which intake forgives; the other order would lose.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chassis::Parts;
use chassis::bus::{MAX_ATTRIBUTE_VALUE_BYTES, Message, PublishError, lane};
use chassis::duty::{Duty, Turn, Waker};
use model::spec::World;
use model::{AccountId, ErrorClass, Failure, Source, record_key};
use sqlx::PgPool;
use suitex::capture::{self, OutboxRow};

use crate::config::Config;

/// Wait before a tenant that could not be listened to is tried again.
const LISTEN_AGAIN: Duration = Duration::from_secs(2);

/// The relay of one tenant.
pub(crate) struct Relay {
    pub(crate) account: AccountId,
    pub(crate) tenant: PgPool,
    pub(crate) world: Arc<World>,
    pub(crate) parts: Parts,
    pub(crate) config: Config,
}

/// Wakes the relay when the tenant notifies, or every `poll`.
pub(crate) async fn ring(relay: Arc<Relay>, waker: Waker) {
    let stop = relay.parts.shutdown.clone();
    while !stop.is_cancelled() {
        match stop.run_until_cancelled(capture::Bell::listen(&relay.tenant)).await {
            None => return,
            Some(Ok(mut bell)) => loop {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(relay.config.poll) => {}
                    rung = bell.rung() => if rung.is_err() { break },
                }
                waker.wake();
            },
            Some(Err(error)) => {
                tracing::warn!(account = %relay.account, %error, "the outbox of {} cannot be listened to: {error}", relay.account);
            }
        }
        waker.wake();
        stop.run_until_cancelled(tokio::time::sleep(LISTEN_AGAIN)).await;
    }
}

/// A row on its way out: an event, a row nobody syncs, or one that cannot be represented.
enum Leaving {
    Event(Box<Message>),
    Unmapped,
    Refused(Failure),
}

#[async_trait]
impl Duty for Relay {
    async fn turn(&self) -> anyhow::Result<Turn> {
        let rows = capture::unpublished(&self.tenant, self.config.batch).await?;
        if rows.is_empty() {
            capture::prune(&self.tenant, self.config.keep, self.config.batch).await?;
            return Ok(Turn::default());
        }
        let mut leaving = Vec::with_capacity(rows.len());
        for row in &rows {
            leaving.push(self.convert(row).await);
        }
        let published = self.publish(&rows, leaving).await?;
        // Rows the broker did not take wait for the next look; so does nothing else.
        let full = published && rows.len() == usize::try_from(self.config.batch).unwrap_or(usize::MAX);
        Ok(Turn { full, next_due: published.then(|| self.parts.clock.now()) })
    }
}

impl Relay {
    async fn convert(&self, row: &OutboxRow) -> Leaving {
        let known = model::RecordType::parse(&row.record_type).ok().and_then(|name| self.world.get(&name).cloned());
        let Some(spec) = known else { return Leaving::Unmapped };
        match capture::to_change_event(&self.account, &spec, row) {
            Ok(mut event) => {
                if let Some(snapshots) = &self.config.snapshots {
                    snapshots.lighten_if_possible(&mut event).await;
                }
                let key = record_key(&event.account, &event.record_type, event.record_id.as_str());
                Leaving::Event(Box::new(Message {
                    data: model::wire::encode_change(&event),
                    attributes: model::wire::change_attributes(&event),
                    ordering_key: Some(lane(&key, self.parts.core.topics.lanes)),
                }))
            }
            Err(failure) => Leaving::Refused(failure),
        }
    }

    /// Publishes in order and marks what the broker took. Answers whether anything moved.
    async fn publish(&self, rows: &[OutboxRow], leaving: Vec<Leaving>) -> anyhow::Result<bool> {
        let (mut messages, mut sent, mut done, mut aside) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (row, leaving) in rows.iter().zip(leaving) {
            match leaving {
                Leaving::Event(message) => {
                    messages.push(*message);
                    sent.push(row);
                }
                Leaving::Unmapped => aside.push((row.id, "record type is not synced".to_owned())),
                Leaving::Refused(failure) => aside.push(self.refuse(row, failure).await?),
            }
        }
        let topic = self.parts.core.topics.raw.clone();
        let mut unpublished = None;
        for (row, outcome) in sent.into_iter().zip(self.parts.bus.publish(&topic, messages).await) {
            match outcome {
                Ok(_) => done.push(row.id),
                // The broker will never take it: what waits behind it in its lane must not wait for ever.
                Err(PublishError::Refused { reason }) => {
                    aside.push(self.refuse(row, Failure::new(ErrorClass::Validation, "refused_by_bus", reason)).await?);
                }
                // Held back behind one that failed: that one tells why.
                Err(PublishError::Paused) => {}
                Err(error @ (PublishError::Unavailable(_) | PublishError::Closed)) => unpublished = Some(error),
            }
        }
        capture::mark_published(&self.tenant, &done).await?;
        capture::set_aside(&self.tenant, &aside).await?;
        match unpublished {
            Some(error) => {
                Err(anyhow::Error::new(error).context("the broker did not take every event; they stay in the outbox"))
            }
            None => Ok(!done.is_empty() || !aside.is_empty()),
        }
    }

    /// Tells a person of a row that can never become an event; answers it with the note it is set aside with.
    async fn refuse(&self, row: &OutboxRow, failure: Failure) -> anyhow::Result<(i64, String)> {
        for outcome in self.parts.bus.publish(&self.parts.core.topics.error, vec![self.report(row, &failure)?]).await {
            outcome?;
        }
        Ok((row.id, failure.reason))
    }

    /// The message of `events.error`. Its payload is the event without its values: published again it is a doorbell like
    /// any other, and what is true is read from the tenant.
    fn report(&self, row: &OutboxRow, failure: &Failure) -> anyhow::Result<Message> {
        let key = format!("{}|{}|{}", self.account, row.record_type, row.record_id);
        let payload = serde_json::json!({
            "eventId": row.event_id,
            "accountId": self.account.as_str(),
            "recordType": row.record_type,
            "recordId": row.record_id,
            "eventType": row.operation.as_str(),
            "source": Source::Suitex.as_str(),
            "timestamp": row.occurred_at.to_string(),
            "changes": {},
        });
        let attributes = [
            ("event_id", row.event_id.to_string()),
            ("account_id", self.account.to_string()),
            ("record_type", row.record_type.clone()),
            ("record_id", row.record_id.clone()),
            ("record_key", key.clone()),
            ("source", Source::Suitex.as_str().to_owned()),
            (model::wire::CONTENT_TYPE, model::wire::JSON.to_owned()),
            ("error_class", ErrorClass::Validation.as_str().to_owned()),
            ("reason", failure.reason.clone()),
            ("reason_code", failure.code.to_owned()),
            ("attempts", "1".to_owned()),
            ("first_failed_at", self.parts.clock.now().to_string()),
        ];
        Ok(Message {
            data: serde_json::to_vec(&payload)?.into(),
            // A record id of any length may stand in an outbox; an attribute may not.
            attributes: attributes.into_iter().map(|(name, value)| (name.to_owned(), storable(&value))).collect(),
            ordering_key: Some(lane(&storable(&key), self.parts.core.topics.lanes)),
        })
    }
}

fn storable(value: &str) -> String {
    value[..value.floor_char_boundary(MAX_ATTRIBUTE_VALUE_BYTES.min(value.len()))].to_owned()
}
