//! User-event scripts, before the real ones run: each scripted save posts one signed envelope to ingest.
//!
//! Posts of one record leave in commit order, one at a time, off the path of the save; records share a few lanes. They
//! are hints: a full queue or a refusal that lasts drops them, and the ledger counts what was dropped.

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use jiff::Timestamp;
use reqwest::{Client, StatusCode};
use serde_json::{Value as Json, json};
use standardwebhooks::Webhook;
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::clock::Clock;
use crate::config::IngestConfig;
use crate::ledger::Ledger;
use crate::world::{Operation, Saved, iso};

/// Posts of an account that are under way at once. NetSuite runs the scripts of parallel saves in parallel too.
const LANES: usize = 4;
/// Posts that may wait per lane.
const QUEUE: usize = 1_024;
/// Tries of one post, and the wait before each repetition.
const WAITS: [Duration; 4] =
    [Duration::from_millis(200), Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(2)];
/// NetSuite gives a script's request 45 seconds.
const TIMEOUT: Duration = Duration::from_secs(45);

/// Where saves are announced.
pub(crate) struct Outlet {
    account: String,
    lanes: Vec<mpsc::Sender<Announcement>>,
    ledger: Arc<Ledger>,
    /// Only names events; the world's own decisions never come from here.
    ids: std::sync::Mutex<Rng>,
}

struct Announcement {
    event_id: Uuid,
    body: String,
}

/// The sending half of an account's scripts, to be run until the outlet is dropped.
pub(crate) struct Courier {
    lanes: Vec<mpsc::Receiver<Announcement>>,
    client: Client,
    url: String,
    webhook: Webhook,
    ledger: Arc<Ledger>,
}

/// Why an account's scripts cannot post.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    /// The signing secret is no Standard Webhooks secret.
    #[error("ingest.signing_secret is not accepted: it is `whsec_` and base64")]
    Secret(#[source] standardwebhooks::WebhookError),
    /// The HTTP client could not be built.
    #[error("the HTTP client cannot be built")]
    Client(#[source] reqwest::Error),
}

/// The two ends of an account's script queue.
pub(crate) fn scripts(
    account: &str,
    ingest: &IngestConfig,
    ledger: Arc<Ledger>,
) -> Result<(Outlet, Courier), ScriptError> {
    let webhook = Webhook::new(ingest.signing_secret.reveal()).map_err(ScriptError::Secret)?;
    let client = Client::builder().no_proxy().timeout(TIMEOUT).build().map_err(ScriptError::Client)?;
    let (senders, receivers) = (0..LANES).map(|_| mpsc::channel(QUEUE)).unzip();
    let ids = std::sync::Mutex::new(Rng::new());
    let outlet = Outlet { account: account.to_owned(), lanes: senders, ledger: ledger.clone(), ids };
    Ok((outlet, Courier { lanes: receivers, client, url: ingest.url.clone(), webhook, ledger }))
}

impl Outlet {
    /// Queues the envelope of a save; never waits.
    pub(crate) fn offer(&self, saved: &Saved) {
        let event_id = self.event_id();
        let body = envelope(&self.account, event_id, saved).to_string();
        let lane = usize::try_from(saved.id).unwrap_or(0) % LANES;
        // Counted first: the post may be done before this thread goes on.
        self.ledger.script_queued();
        if self.lanes[lane].try_send(Announcement { event_id, body }).is_err() {
            self.ledger.script_dropped();
        }
    }

    fn event_id(&self) -> Uuid {
        let mut bytes = [0; 16];
        self.ids.lock().unwrap_or_else(std::sync::PoisonError::into_inner).fill(&mut bytes);
        uuid::Builder::from_random_bytes(bytes).into_uuid()
    }
}

fn envelope(account: &str, event_id: Uuid, saved: &Saved) -> Json {
    let event_type = match saved.operation {
        Operation::Create => "create",
        Operation::Update => "update",
        Operation::Delete => "delete",
    };
    let mut envelope = json!({
        "eventId": event_id.to_string(),
        "accountId": account,
        "recordType": saved.kind.name,
        "recordId": saved.id.to_string(),
        "eventType": event_type,
        "source": "UE",
        "timestamp": iso(saved.at),
        "authContext": { "user": saved.author.user, "executionContext": saved.author.context },
    });
    if saved.operation != Operation::Delete {
        let mut changes = saved.changed.clone();
        // An envelope has no word for a line that went: whoever reads the order finds it missing.
        if let Some(Json::Object(lines)) = changes.get_mut("lines") {
            lines.retain(|_, line| !line.is_null());
        }
        envelope["changes"] = Json::Object(changes);
    }
    envelope
}

impl Courier {
    /// Posts until the account is closed.
    pub(crate) async fn run(mut self) {
        let lanes = std::mem::take(&mut self.lanes);
        futures::future::join_all(lanes.into_iter().map(|lane| self.serve(lane))).await;
    }

    async fn serve(&self, mut lane: mpsc::Receiver<Announcement>) {
        while let Some(announcement) = lane.recv().await {
            let accepted = self.deliver(&announcement).await;
            self.ledger.script_done(accepted);
        }
    }

    async fn deliver(&self, announcement: &Announcement) -> bool {
        for wait in WAITS.into_iter().map(Some).chain([None]) {
            match self.post(announcement, Clock::real()).await {
                Ok(status) if status.is_success() => return true,
                Ok(StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) => {}
                Ok(status) => {
                    let event_id = announcement.event_id;
                    tracing::warn!(%event_id, status = status.as_u16(), "a script's post was refused");
                    return false;
                }
                Err(error) if error.is_connect() => {}
                Err(error) => {
                    tracing::warn!(event_id = %announcement.event_id, %error, "a script's post failed");
                    return false;
                }
            }
            match wait {
                Some(wait) => tokio::time::sleep(wait).await,
                None => tracing::warn!(event_id = %announcement.event_id, "a script's post was given up"),
            }
        }
        false
    }

    async fn post(&self, announcement: &Announcement, now: Timestamp) -> Result<StatusCode, reqwest::Error> {
        let id = format!("msg_{}", announcement.event_id.simple());
        let signature =
            self.webhook.sign(&id, now.as_second(), announcement.body.as_bytes()).unwrap_or_else(|_| String::new());
        let reply = self
            .client
            .post(&self.url)
            .header("content-type", "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", now.as_second().to_string())
            .header("webhook-signature", signature)
            .body(announcement.body.clone())
            .send()
            .await?;
        Ok(reply.status())
    }
}
