//! A relay over an in-memory bus and a clock that stands still.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use chassis::accounts::Accounts;
use chassis::bus::memory::MemoryBus;
use chassis::bus::{Bus, Delivery, Subscription};
use chassis::settings::{Settings, Topics};
use http::{Request, Response, StatusCode};
use ingest::{IngestSettings, Relay, SigningKey};
use model::{Clock, ManualClock};
use serde_json::{Value, json};
use tower::ServiceExt;

/// The account that may send.
pub(crate) const ACCOUNT: &str = "TSTDRV100001";
/// Its two secrets: one is being replaced.
pub(crate) const OLD: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
pub(crate) const NEW: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// Another account's.
pub(crate) const OTHERS: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";
pub(crate) const NOW: &str = "2026-11-14T13:12:05Z";

pub(crate) fn accounts_file(secrets: &str) -> String {
    let account = |id: &str, secrets: &str| {
        format!(
            "[[account]]\nid = \"{id}\"\n[account.netsuite]\nrest_url = \"http://127.0.0.1:1\"\n\
             restlet_url = \"http://127.0.0.1:1/app/site/hosting/restlet.nl\"\nauth = \"tba\"\n\
             [account.netsuite.tba]\nrealm = \"{id}\"\nconsumer_key = \"a\"\nconsumer_secret = {{ value = \"b\" }}\n\
             token_id = \"c\"\ntoken_secret = {{ value = \"d\" }}\n\
             [account.ingest]\nsigning_secrets = [{secrets}]\n"
        )
    };
    let other = format!("{{ value = \"{OTHERS}\" }}");
    format!("{}{}{}", account(ACCOUNT, secrets), account("OTHER", &other), account("SILENT", ""))
}

pub(crate) fn accounts() -> Accounts {
    let secrets = format!("{{ value = \"{NEW}\" }}, {{ value = \"{OLD}\" }}");
    let text = accounts_file(&secrets);
    Accounts::from_toml(&Settings::default(), &text, std::path::Path::new(".")).unwrap()
}

pub(crate) struct World {
    pub(crate) bus: Arc<MemoryBus>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) router: Router,
    subscription: Box<dyn Subscription>,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(IngestSettings::default()).await
    }

    pub(crate) async fn with(settings: IngestSettings) -> Self {
        let bus = Arc::new(MemoryBus::new());
        let topics = Topics::default();
        bus.ensure(&topics.topology()).await.unwrap();
        let subscription = bus.subscribe(topics.merge_service()).await.unwrap();
        let clock = Arc::new(ManualClock::at(NOW.parse().unwrap()));
        let router = ingest::router(relay(settings, bus.clone(), clock.clone()));
        Self { bus, clock, router, subscription }
    }

    /// What has been published and not been taken before.
    pub(crate) async fn published(&self) -> Vec<Delivery> {
        let published = self.subscription.next_batch(1_000, Duration::ZERO).await.unwrap();
        self.subscription.ack(published.iter().map(|delivery| delivery.token).collect()).await.unwrap();
        published
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        answer(self.router.clone().oneshot(request).await.unwrap()).await
    }

    /// Sends, signed as it should be, and says what came back.
    pub(crate) async fn post(&self, body: &Value) -> Answer {
        self.send(signed(body.to_string().as_bytes()).into_request()).await
    }

    /// Checks that the request is refused in this way and that nothing was published.
    pub(crate) async fn refuses(&self, request: Request<Body>, status: StatusCode, code: &str) -> Answer {
        let answer = self.send(request).await;
        answer.is_problem(status, code);
        assert_eq!(self.bus.backlog("merge-service"), 0, "nothing of a refused request is published");
        answer
    }
}

pub(crate) fn relay(settings: IngestSettings, bus: Arc<dyn Bus>, clock: Arc<dyn Clock>) -> Arc<Relay> {
    Arc::new(Relay::new(settings, &accounts(), bus, Topics::default(), clock).unwrap())
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    /// Checks the shape every error has.
    pub(crate) fn is_problem(&self, status: StatusCode, code: &str) {
        assert_eq!((self.status, &self.body["code"]), (status, &json!(code)), "{self:?}");
        assert_eq!(self.headers["content-type"], "application/problem+json");
        assert_eq!(self.body["status"], json!(status.as_u16()));
        for member in ["type", "title"] {
            assert!(self.body[member].as_str().is_some_and(|text| !text.is_empty()), "{self:?}");
        }
    }

    /// The pointers of `errors[]`, each of which has a message.
    pub(crate) fn pointers(&self) -> Vec<&str> {
        let errors = self.body["errors"].as_array().unwrap_or_else(|| panic!("{self:?}"));
        assert!(errors.iter().all(|error| error["message"].as_str().is_some_and(|text| !text.is_empty())));
        errors.iter().map(|error| error["pointer"].as_str().unwrap()).collect()
    }

    pub(crate) fn retry_after(&self) -> u64 {
        self.headers["retry-after"].to_str().unwrap().parse().unwrap()
    }
}

async fn answer(response: Response<Body>) -> Answer {
    let (parts, body) = response.into_parts();
    let bytes = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let body = serde_json::from_slice(&bytes).unwrap_or_else(|_| panic!("{parts:?} {bytes:?}"));
    Answer { status: parts.status, headers: parts.headers, body }
}

/// A request that is right in every way; tests spoil one thing.
pub(crate) struct Signed {
    pub(crate) account: String,
    pub(crate) id: String,
    pub(crate) secret: &'static str,
    pub(crate) at: i64,
    pub(crate) content_type: Option<&'static str>,
    pub(crate) body: Vec<u8>,
}

pub(crate) fn signed(body: &[u8]) -> Signed {
    Signed {
        account: ACCOUNT.to_owned(),
        id: "msg_1".to_owned(),
        secret: NEW,
        at: now(),
        content_type: Some("application/json"),
        body: body.to_vec(),
    }
}

pub(crate) fn now() -> i64 {
    NOW.parse::<model::Timestamp>().unwrap().as_second()
}

impl Signed {
    /// Everything but the body.
    pub(crate) fn builder(&self) -> http::request::Builder {
        let key = SigningKey::parse(self.secret).unwrap();
        let mut builder = Request::post(format!("/v1/accounts/{}/events", self.account))
            .header("webhook-id", &self.id)
            .header("webhook-timestamp", self.at)
            .header("webhook-signature", key.sign(&self.id, self.at, &self.body));
        if let Some(content_type) = self.content_type {
            builder = builder.header("content-type", content_type);
        }
        builder
    }

    pub(crate) fn into_request(self) -> Request<Body> {
        self.builder().body(Body::from(self.body)).unwrap()
    }
}

pub(crate) fn envelope(record_id: &str) -> Value {
    json!({
        "eventId": uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, record_id.as_bytes()), "accountId": ACCOUNT,
        "recordType": "customer", "recordId": record_id, "eventType": "update", "source": "UE",
        "timestamp": "2026-11-14T13:12:04Z", "baseVersion": "v123", "changes": {"email": "a@b.example"}
    })
}

pub(crate) fn without(mut body: Value, member: &str) -> Value {
    body.as_object_mut().unwrap().remove(member);
    body
}

pub(crate) fn with(mut body: Value, member: &str, value: Value) -> Value {
    body[member] = value;
    body
}
