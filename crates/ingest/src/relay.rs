//! One request from its first byte to the broker's acknowledgement, in the order of contracts §4: size, type,
//! signature, content, share, publish. Whatever refuses first is the answer, and nothing after it happens.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Body;
use chassis::accounts::{AccountSettings, Accounts};
use chassis::bus::{Bus, Message, MessageId, lane};
use chassis::settings::{SettingError, Topics};
use chassis::trace;
use http::HeaderMap;
use model::envelope::{Pointed, parse_envelopes};
use model::wire::{change_attributes, encode_change};
use model::{AccountId, ChangeEvent, Clock, EventId};
use serde::Serialize;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::body;
use crate::config::IngestSettings;
use crate::refusal::Refusal;
use crate::share::Share;
use crate::signature::{self, SigningKey, read_keys};

/// One event the broker has acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Accepted {
    /// The event's id: the producer's, or the one made for it.
    pub event_id: EventId,
    /// The broker's name for the message.
    pub message_id: String,
}

/// Everything a request is checked against and handed to. Keeps nothing of any request.
#[derive(Debug)]
pub struct Relay {
    accounts: BTreeMap<AccountId, Sender>,
    bus: Arc<dyn Bus>,
    topics: Topics,
    settings: IngestSettings,
    clock: ClockPort,
    under_way: Semaphore,
    nobody: [SigningKey; 1],
}

/// One account that may send.
#[derive(Debug)]
struct Sender {
    keys: Vec<SigningKey>,
    share: Share,
}

struct ClockPort(Arc<dyn Clock>);

impl std::fmt::Debug for ClockPort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Clock")
    }
}

impl Relay {
    /// Builds the relay. An account without signing secrets cannot send.
    ///
    /// # Errors
    /// A signing secret that is none, named by its account.
    pub fn new(
        settings: IngestSettings,
        accounts: &Accounts,
        bus: Arc<dyn Bus>,
        topics: Topics,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, SettingError> {
        let sender = |account: &Arc<AccountSettings>| -> Result<(AccountId, Sender), SettingError> {
            let share = Share::new(settings.events_per_second, settings.burst, clock.clone());
            Ok((account.id.clone(), Sender { keys: read_keys(account)?, share }))
        };
        Ok(Self {
            accounts: accounts.iter().map(sender).collect::<Result<_, _>>()?,
            bus,
            topics,
            under_way: Semaphore::new(settings.max_requests as usize),
            settings,
            clock: ClockPort(clock),
            nobody: [SigningKey::nobody()],
        })
    }

    /// Takes one request. `account` is the path's, as it stands there.
    ///
    /// # Errors
    /// The first [`Refusal`], in the order of contracts §4.
    pub async fn take(&self, account: &str, headers: &HeaderMap, body: Body) -> Result<Vec<Accepted>, Refusal> {
        let _permit: SemaphorePermit<'_> = self.under_way.try_acquire().map_err(|_| Refusal::Busy)?;
        let body = body::read(headers, body, self.settings.body_timeout).await?;
        body::check_type(headers)?;
        let (account, sender, webhook_id) = self.trust(account, headers, &body)?;
        tracing::Span::current().record("account_id", account.as_str());
        let events = parse_envelopes(&body, account, webhook_id).map_err(Refusal::Malformed)?;
        let messages = self.messages(&events, headers)?;
        sender.share.take(events.len()).map_err(Refusal::OverShare)?;
        let ids = self.publish(account, messages).await?;
        let accepted =
            |(event, id): (&ChangeEvent, MessageId)| Accepted { event_id: event.event_id, message_id: id.to_string() };
        Ok(events.iter().zip(ids).map(accepted).collect())
    }

    /// Waits until no request is under way; requests that come meanwhile are refused as busy.
    pub async fn drain(&self) {
        // An error would mean that somebody closed the semaphore, and then nothing is under way either.
        let _all = self.under_way.acquire_many(self.settings.max_requests).await;
        self.under_way.close();
    }

    /// Finds the account and checks the signature. Costs the same for an account nobody knows.
    fn trust<'s, 'h>(
        &'s self,
        account: &str,
        headers: &'h HeaderMap,
        body: &[u8],
    ) -> Result<(&'s AccountId, &'s Sender, &'h str), Refusal> {
        let known = AccountId::parse(account).ok().and_then(|id| self.accounts.get_key_value(&id));
        let keys = known.map_or(&self.nobody[..], |(_, sender)| &sender.keys);
        let verified = signature::verify(keys, headers, body, self.clock.0.now());
        match (known, verified) {
            (Some((account, sender)), Ok(webhook_id)) => Ok((account, sender, webhook_id)),
            (Some((account, _)), Err(distrust)) => {
                tracing::info!(account_id = %account, reason = %distrust, "a request for account {account} is not trusted: {distrust}");
                Err(Refusal::Unsigned)
            }
            (None, _) => {
                tracing::debug!("a request for an account that is not served is not trusted");
                Err(Refusal::Unsigned)
            }
        }
    }

    fn messages(&self, events: &[ChangeEvent], headers: &HeaderMap) -> Result<Vec<Message>, Refusal> {
        let mut messages = Vec::with_capacity(events.len());
        let mut refused = Vec::new();
        for (index, event) in events.iter().enumerate() {
            let message = self.message(event, headers);
            if let Err(error) = message.check() {
                refused.push(Pointed { pointer: format!("/{index}"), message: error.to_string() });
            }
            messages.push(message);
        }
        if refused.is_empty() { Ok(messages) } else { Err(Refusal::Malformed(refused)) }
    }

    fn message(&self, event: &ChangeEvent, headers: &HeaderMap) -> Message {
        let mut attributes = change_attributes(event);
        let ordering_key = attributes.get("record_key").map(|key| lane(key, self.topics.lanes));
        // What the sender sent goes on; a span of our own, where traces are exported, takes its place.
        attributes.extend(sender_trace(headers));
        trace::inject(&mut attributes);
        Message { data: encode_change(event), attributes, ordering_key }
    }

    /// Publishes and waits for every acknowledgement. Some of several may stand when this fails: their repetition is
    /// recognised by the event id.
    async fn publish(&self, account: &AccountId, messages: Vec<Message>) -> Result<Vec<MessageId>, Refusal> {
        let count = messages.len();
        let published = self.bus.publish(&self.topics.raw, messages);
        let Ok(outcomes) = tokio::time::timeout(self.settings.publish_timeout, published).await else {
            let seconds = self.settings.publish_timeout.as_secs();
            tracing::warn!(account_id = %account, count, "the broker did not acknowledge {count} events of account {account} within {seconds} s");
            return Err(Refusal::BrokerAway);
        };
        let ids: Result<Vec<MessageId>, _> = outcomes.into_iter().collect();
        match ids {
            Ok(ids) if ids.len() == count => Ok(ids),
            Ok(ids) => {
                let answered = ids.len();
                tracing::error!(account_id = %account, count, answered, "the bus answered for {answered} of {count} events");
                Err(Refusal::BrokerAway)
            }
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
                tracing::warn!(account_id = %account, count, %error, cause, "{count} events of account {account} were not published: {error}");
                Err(Refusal::BrokerAway)
            }
        }
    }
}

/// The sender's trace as attributes, under both names; empty when it sends none that can be read.
pub(crate) fn sender_trace(headers: &HeaderMap) -> BTreeMap<String, String> {
    let mut carried = BTreeMap::new();
    for name in ["traceparent", "tracestate"] {
        if let Some(value) = headers.get(name).and_then(|value| value.to_str().ok()).filter(|value| value.len() <= 512)
        {
            carried.insert(name.to_owned(), value.to_owned());
            carried.insert(format!("googclient_{name}"), value.to_owned());
        }
    }
    if trace::extract(&carried).is_none() {
        carried.clear();
    }
    carried
}
