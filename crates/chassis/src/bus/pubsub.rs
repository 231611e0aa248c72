//! The bus on Google Pub/Sub, through Google's client, and on its emulator.
//!
//! What the client and the emulator leave to us, and is done here: the emulator's address on every client (the client
//! does not read `PUBSUB_EMULATOR_HOST`), a bound on publishing and on receiving (the client's queue is unbounded, the
//! emulator ignores the outstanding limit), filters in code, lanes held back while in work, topics rebuilt when a broker
//! forgot them, attempts counted (production counts only with a dead-letter policy, which ordered subscriptions of the
//! emulator do not survive: dead-lettering is Concord's own).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures::future::join_all;
use google_cloud_auth::credentials::anonymous;
use google_cloud_gax::error::Error as RpcError;
use google_cloud_gax::error::rpc::Code;
use google_cloud_gax::retry_policy::RetryPolicyExt;
use google_cloud_pubsub::client::{Publisher, Subscriber, SubscriptionAdmin, TopicAdmin};
use google_cloud_pubsub::error::PublishError as RpcPublishError;
use google_cloud_pubsub::model::RetryPolicy;
use google_cloud_pubsub::retry_policy::RetryableErrors;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::{Bus, BusError, Message, MessageId, PausedKeys, PublishError, Subscription, SubscriptionSpec, Topology};
use crate::settings::PubSubSettings;

mod subscription;

use subscription::PubSubSubscription;

/// Most messages given to the client and not yet acknowledged, over all topics of the process.
const MAX_PUBLISHING: usize = 8000;
/// Messages handed to the client before waiting for their acknowledgement.
const PUBLISH_CHUNK: usize = 2000;
/// How long the client collects messages of a key before sending.
const PUBLISH_DELAY: Duration = Duration::from_millis(5);
/// How long the client repeats a failing publish before it gives up.
const PUBLISH_PATIENCE: Duration = Duration::from_secs(10);
/// Longest wait for one administrative call.
const ADMIN_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest wait for the answer to a small question.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// Acknowledgement deadline of subscriptions, in seconds; prolonged by the client while a message is in work.
const ACK_DEADLINE_SECONDS: i32 = 15;

/// The bus on Pub/Sub. Clones share connections.
#[derive(Debug, Clone)]
pub struct PubSubBus {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    project: String,
    endpoint: Option<String>,
    ordered: bool,
    topics: TopicAdmin,
    subscriptions: SubscriptionAdmin,
    subscriber: Subscriber,
    publishers: tokio::sync::Mutex<HashMap<String, Publisher>>,
    publishing: Semaphore,
    topology: Mutex<Topology>,
    ensuring: tokio::sync::Mutex<()>,
    closed: CancellationToken,
}

impl PubSubBus {
    /// Builds the clients. Connects when first used.
    pub async fn connect(settings: &PubSubSettings) -> Result<Self, BusError> {
        let endpoint = settings.emulator_host.as_ref().map(|host| format!("http://{host}"));
        let (mut topics, mut subscriptions, mut subscriber) =
            (TopicAdmin::builder(), SubscriptionAdmin::builder(), Subscriber::builder());
        if let Some(endpoint) = &endpoint {
            topics = topics.with_endpoint(endpoint).with_credentials(anonymous::Builder::new().build());
            subscriptions = subscriptions.with_endpoint(endpoint).with_credentials(anonymous::Builder::new().build());
            subscriber = subscriber.with_endpoint(endpoint).with_credentials(anonymous::Builder::new().build());
        }
        let inner = Inner {
            project: settings.project.clone(),
            topics: topics.build().await.map_err(BusError::unavailable("build the topic client"))?,
            subscriptions: subscriptions
                .build()
                .await
                .map_err(BusError::unavailable("build the subscription client"))?,
            subscriber: subscriber.build().await.map_err(BusError::unavailable("build the subscriber"))?,
            endpoint,
            ordered: settings.ordered,
            publishers: tokio::sync::Mutex::default(),
            publishing: Semaphore::new(MAX_PUBLISHING),
            topology: Mutex::default(),
            ensuring: tokio::sync::Mutex::default(),
            closed: CancellationToken::new(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }
}

fn is_code(error: &RpcError, code: Code, http: u16) -> bool {
    error.status().is_some_and(|status| status.code == code) || error.http_status_code() == Some(http)
}

fn is_not_found(error: &RpcError) -> bool {
    is_code(error, Code::NotFound, 404)
}

impl Inner {
    fn topic_path(&self, topic: &str) -> String {
        format!("projects/{}/topics/{topic}", self.project)
    }

    fn subscription_path(&self, name: &str) -> String {
        format!("projects/{}/subscriptions/{name}", self.project)
    }

    fn known(&self) -> Topology {
        self.topology.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn publisher(&self, topic: &str) -> Result<Publisher, PublishError> {
        let mut publishers = self.publishers.lock().await;
        if let Some(publisher) = publishers.get(topic) {
            return Ok(publisher.clone());
        }
        let mut builder = Publisher::builder(self.topic_path(topic))
            .set_delay_threshold(PUBLISH_DELAY)
            .with_retry_policy(RetryableErrors.with_time_limit(PUBLISH_PATIENCE));
        if let Some(endpoint) = &self.endpoint {
            builder = builder.with_endpoint(endpoint).with_credentials(anonymous::Builder::new().build());
        }
        let publisher = builder.build().await.map_err(|error| PublishError::Unavailable(Arc::new(error)))?;
        publishers.insert(topic.to_owned(), publisher.clone());
        Ok(publisher)
    }

    /// Publishes what is not yet published, in order, and writes the answers in their places. True when the broker does
    /// not know the topic.
    async fn publish_round(&self, publisher: &Publisher, messages: &[Message], results: &mut [Answer]) -> bool {
        let mut paused = PausedKeys::default();
        let mut unknown_topic = false;
        let places: Vec<usize> = (0..messages.len()).filter(|place| !matches!(results[*place], Some(Ok(_)))).collect();
        for chunk in places.chunks(PUBLISH_CHUNK) {
            let room = u32::try_from(chunk.len()).unwrap_or(u32::MAX);
            let Ok(_permits) = self.publishing.acquire_many(room).await else { return false };
            let mut sent = Vec::with_capacity(chunk.len());
            for place in chunk {
                let message = &messages[*place];
                match paused.guard(message, || message.check()) {
                    Ok(()) => sent.push((*place, publisher.publish(outgoing(message)))),
                    Err(error) => results[*place] = Some(Err(error)),
                }
            }
            let (sent_places, futures): (Vec<usize>, Vec<_>) = sent.into_iter().unzip();
            for (place, outcome) in sent_places.into_iter().zip(join_all(futures).await) {
                if let Err(RpcPublishError::Rpc(error)) = &outcome {
                    unknown_topic |= is_not_found(error);
                }
                let outcome = outcome.map(MessageId::new).map_err(publish_error);
                if outcome.is_err() {
                    paused.pause(&messages[place]);
                }
                results[place] = Some(outcome);
            }
        }
        for key in paused.into_keys() {
            publisher.resume_publish(key);
        }
        unknown_topic
    }

    /// Asks for one of the topics; a broker that has forgotten it is told of all again.
    async fn ping(&self) -> Result<(), BusError> {
        let topology = self.known();
        let Some(topic) = topology.topics.first() else { return Ok(()) };
        match self.topics.get_topic().set_topic(self.topic_path(topic)).send().await {
            Ok(_) => Ok(()),
            Err(error) if is_not_found(&error) => self.rebuild().await,
            Err(error) => Err(BusError::unavailable("answer")(error)),
        }
    }

    /// Is the broker there? `None`: it takes its time, which tells nothing.
    async fn answers(&self) -> Option<bool> {
        tokio::time::timeout(ANSWER_WITHIN, self.ping()).await.ok().map(|answer| answer.is_ok())
    }

    /// Creates what is missing of the topology this bus was told of.
    async fn rebuild(&self) -> Result<(), BusError> {
        let topology = self.known();
        let _ensuring = self.ensuring.lock().await;
        for topic in &topology.topics {
            let created = self.topics.create_topic().set_name(self.topic_path(topic)).send();
            settled("create the topic", created).await?;
        }
        for spec in &topology.subscriptions {
            // Without order it is the emulator, which comes to a stand over delayed messages.
            let retry = RetryPolicy::new()
                .set_minimum_backoff(google_cloud_wkt::Duration::clamp(0, 100_000_000))
                .set_maximum_backoff(google_cloud_wkt::Duration::clamp(10, 0));
            let filter = spec.filter.as_ref().map(|(name, value)| format!("attributes.{name} = \"{value}\""));
            let created = self
                .subscriptions
                .create_subscription()
                .set_name(self.subscription_path(&spec.name))
                .set_topic(self.topic_path(&spec.topic))
                .set_enable_message_ordering(self.ordered)
                .set_ack_deadline_seconds(ACK_DEADLINE_SECONDS)
                .set_or_clear_retry_policy(self.ordered.then_some(retry))
                .set_filter(filter.unwrap_or_default())
                .send();
            settled("create the subscription", created).await?;
        }
        Ok(())
    }
}

type Answer = Option<Result<MessageId, PublishError>>;

/// Waits for an administrative call; what exists already is as good as created.
async fn settled<T>(what: &'static str, call: impl Future<Output = Result<T, RpcError>>) -> Result<(), BusError> {
    match tokio::time::timeout(ADMIN_TIMEOUT, call).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) if is_code(&error, Code::AlreadyExists, 409) => Ok(()),
        Ok(Err(error)) => Err(BusError::unavailable(what)(error)),
        Err(elapsed) => Err(BusError::unavailable(what)(elapsed)),
    }
}

fn outgoing(message: &Message) -> google_cloud_pubsub::model::Message {
    let out = google_cloud_pubsub::model::Message::new()
        .set_data(message.data.clone())
        .set_attributes(message.attributes.iter().map(|(name, value)| (name.clone(), value.clone())));
    match &message.ordering_key {
        Some(key) => out.set_ordering_key(key.clone()),
        None => out,
    }
}

fn publish_error(error: RpcPublishError) -> PublishError {
    match error {
        RpcPublishError::Rpc(error) if is_code(&error, Code::InvalidArgument, 400) => {
            PublishError::Refused { reason: "the broker calls it invalid".into() }
        }
        RpcPublishError::Rpc(error) => PublishError::Unavailable(error),
        RpcPublishError::OrderingKeyPaused => PublishError::Paused,
        RpcPublishError::Shutdown => PublishError::Closed,
        other => PublishError::Unavailable(Arc::new(other)),
    }
}

#[async_trait]
impl Bus for PubSubBus {
    async fn publish(&self, topic: &str, messages: Vec<Message>) -> Vec<Result<MessageId, PublishError>> {
        let everywhere = |error: PublishError| messages.iter().map(|_| Err(error.clone())).collect();
        if self.inner.closed.is_cancelled() {
            return everywhere(PublishError::Closed);
        }
        let publisher = match self.inner.publisher(topic).await {
            Ok(publisher) => publisher,
            Err(error) => return everywhere(error),
        };
        let mut results: Vec<Answer> = vec![None; messages.len()];
        if self.inner.publish_round(&publisher, &messages, &mut results).await {
            // The broker forgot its topics (the emulator keeps them in memory only). Once rebuilt, what failed and what
            // was held back behind it goes again, in order.
            match self.inner.rebuild().await {
                Ok(()) => {
                    tracing::warn!(topic, "the broker had forgotten {topic}; topics and subscriptions are rebuilt");
                    self.inner.publish_round(&publisher, &messages, &mut results).await;
                }
                Err(error) => tracing::warn!(topic, %error, "the broker has forgotten {topic}: {error}"),
            }
        }
        results.into_iter().map(|answer| answer.unwrap_or(Err(PublishError::Closed))).collect()
    }

    async fn subscribe(&self, spec: SubscriptionSpec) -> Result<Box<dyn Subscription>, BusError> {
        if self.inner.closed.is_cancelled() {
            return Err(BusError::Closed);
        }
        let path = self.inner.subscription_path(&spec.name);
        let found = self.inner.subscriptions.get_subscription().set_subscription(path).send();
        match tokio::time::timeout(ADMIN_TIMEOUT, found).await {
            Ok(Ok(_)) => Ok(Box::new(PubSubSubscription::open(self.inner.clone(), spec))),
            Ok(Err(error)) if is_not_found(&error) => Err(BusError::NoSubscription { name: spec.name }),
            Ok(Err(error)) => Err(BusError::unavailable("find the subscription")(error)),
            Err(elapsed) => Err(BusError::unavailable("find the subscription")(elapsed)),
        }
    }

    async fn ensure(&self, topology: &Topology) -> Result<(), BusError> {
        {
            let mut known = self.inner.topology.lock().unwrap_or_else(PoisonError::into_inner);
            for topic in &topology.topics {
                if !known.topics.contains(topic) {
                    known.topics.push(topic.clone());
                }
            }
            for spec in &topology.subscriptions {
                known.subscriptions.retain(|other| other.name != spec.name);
                known.subscriptions.push(spec.clone());
            }
        }
        self.inner.rebuild().await
    }

    async fn ping(&self) -> Result<(), BusError> {
        self.inner.ping().await
    }

    async fn close(&self) {
        self.inner.closed.cancel();
        // Dropping a publisher sends what it still holds; callers of publish have been answered already.
        self.inner.publishers.lock().await.clear();
    }
}
