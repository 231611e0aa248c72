//! One account's line to NetSuite: every request passes here, once.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{ACCEPT_LANGUAGE, AUTHORIZATION, CONTENT_TYPE, LOCATION, RETRY_AFTER};
use http::{HeaderValue, Method, StatusCode};
use model::{AccountId, Clock, Ids, RemoteError, Side, Timestamp};
use url::Url;

use crate::auth::{AfterRefusal, Authorizer, Credential};
use crate::config::{ConfigError, Endpoints, NetsuiteConfig, QueryVia};
use crate::errors::{Meaning, Refusal, Surface, refusal};
use crate::pace::{Gate, Pace, Permit};

/// Longest wait for a connection.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Idle connections are dropped well before NetSuite's side would: a request on a dead one has an unknown fate.
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);
/// Largest answer that is read.
pub const LARGEST_ANSWER: usize = 64 * 1024 * 1024;
/// With less time than this before its deadline a write is not sent any more.
pub const LEAST_TIME_TO_SEND: Duration = Duration::from_millis(500);
/// Pauses before a call is tried again; jitter takes up to half of each.
const PAUSES: [Duration; 2] = [Duration::from_millis(200), Duration::from_millis(800)];

/// One NetSuite account, with its credentials, its pace and its addresses.
pub struct Connection {
    account: AccountId,
    endpoints: Endpoints,
    query_via: QueryVia,
    http: reqwest::Client,
    authorizer: Authorizer,
    gate: Arc<Gate>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
    timeout: Duration,
    accept_language: Option<HeaderValue>,
    integration_user: Option<i64>,
}

/// One request, before it is signed.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) surface: Surface,
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) body: Option<Bytes>,
    /// SuiteQL over REST insists on `Prefer: transient`.
    pub(crate) transient: bool,
    /// Not to be sent after this instant.
    pub(crate) deadline: Option<Timestamp>,
}

/// Why a call gave no answer to work with.
#[derive(Debug)]
pub(crate) enum CallError {
    /// It never left: it cannot have been carried out.
    NotSent { code: &'static str },
    /// It never left: NetSuite asked for a pause, and this much of it is left.
    Paused { rest: Duration },
    /// It left, and nothing trustworthy came back.
    Lost(Lost),
    /// NetSuite said no.
    Refused(Refusal),
}

/// How an answer got lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lost {
    /// No connection: the request never left.
    NotConnected,
    /// Nothing came in time.
    Timeout,
    /// The connection broke, or the answer stopped in its middle.
    Broken,
    /// More came than is read.
    TooLarge,
}

/// A success.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) body: Bytes,
    /// Where what was made is.
    pub(crate) location: Option<String>,
}

/// An answer of whatever status, read to its end.
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) location: Option<String>,
    pub(crate) body: Bytes,
}

/// Checks an account's settings as far as that is possible without asking NetSuite: what [`Connection`] would refuse
/// when it is opened, for services to say at once.
///
/// # Errors
/// [`ConfigError`] naming the setting.
pub fn check(config: &NetsuiteConfig) -> Result<(), ConfigError> {
    Endpoints::of(config)?;
    Authorizer::check(config)
}

impl Connection {
    /// Opens the account: checks addresses and key; sends nothing.
    ///
    /// # Errors
    /// [`ConfigError`] naming the setting.
    pub(crate) fn open(
        config: &NetsuiteConfig,
        http: reqwest::Client,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn Ids>,
    ) -> Result<Self, ConfigError> {
        let account = config.account.clone();
        if config.concurrency_limit == 0 {
            return Err(ConfigError::Zero { account, setting: "concurrency_limit" });
        }
        if config.timeout.is_zero() {
            return Err(ConfigError::Zero { account, setting: "timeout" });
        }
        let accept_language = match &config.accept_language {
            None => None,
            Some(language) => Some(
                HeaderValue::from_str(language)
                    .map_err(|_| ConfigError::Header { account: account.clone(), setting: "accept_language" })?,
            ),
        };
        Ok(Self {
            endpoints: Endpoints::of(config)?,
            query_via: config.query_via,
            http,
            authorizer: Authorizer::new(config, Arc::clone(&clock), Arc::clone(&ids))?,
            gate: Gate::new(account.clone(), config.concurrency_limit, Arc::clone(&clock)),
            account,
            clock,
            ids,
            timeout: config.timeout,
            accept_language,
            integration_user: config.integration_user,
        })
    }

    /// The account.
    pub fn account(&self) -> &AccountId {
        &self.account
    }

    /// Requests at once, allowed and under way.
    pub fn pace(&self) -> Pace {
        self.gate.pace()
    }

    pub(crate) fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    /// Whose system notes are ours.
    pub(crate) fn integration_user(&self) -> Option<i64> {
        self.integration_user
    }

    /// Longest wait for one answer; about as long lives a request.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    pub(crate) fn query_via(&self) -> QueryVia {
        self.query_via
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Sends a call that changes nothing; one that fails for a passing reason is tried again after a short pause.
    /// Time-outs are not: whoever waits has waited long enough.
    pub(crate) async fn read(&self, call: &Call) -> Result<Bytes, CallError> {
        for pause in PAUSES {
            match self.send(call).await {
                Err(error) if error.passes_within(pause) => tokio::time::sleep(self.jittered(pause)).await,
                settled => return settled.map(|answer| answer.body),
            }
        }
        self.send(call).await.map(|answer| answer.body)
    }

    /// Sends a call that changes something; one that was turned away for load before any of its work began is tried
    /// again after a short pause. Nothing else is: whatever else went wrong, it may have been carried out.
    pub(crate) async fn write(&self, call: &Call) -> Result<Bytes, CallError> {
        self.exchange_write(call).await.map(|answer| answer.body)
    }

    /// [`Connection::write`], with what else the answer says.
    pub(crate) async fn exchange_write(&self, call: &Call) -> Result<Answer, CallError> {
        for pause in PAUSES {
            match self.send(call).await {
                Err(error) if error.turned_away_for_load(pause) => tokio::time::sleep(self.jittered(pause)).await,
                settled => return settled,
            }
        }
        self.send(call).await
    }

    /// Sends a call once; a second time only where the first was refused at the door although logins had worked.
    async fn send(&self, call: &Call) -> Result<Answer, CallError> {
        let permit = self.gate.enter().await.map_err(|shut| CallError::Paused { rest: shut.rest })?;
        let mut tried_before = false;
        loop {
            let credential = self.authorizer.sign(&self.http, &call.method, &call.url).await?;
            match self.attempt(call, &credential, &permit).await {
                Err(CallError::Refused(refusal)) if refusal.meaning == Meaning::Login => {
                    // Overload has been seen in the disguise of a refused login.
                    permit.refused(None);
                    match self.authorizer.refused(&credential, tried_before).await {
                        AfterRefusal::OnceMore => tried_before = true,
                        AfterRefusal::GiveUp => return Err(CallError::Refused(refusal)),
                    }
                }
                settled => return settled,
            }
        }
    }

    async fn attempt(&self, call: &Call, credential: &Credential, permit: &Permit) -> Result<Answer, CallError> {
        let timeout = self.time_left(call)?;
        let mut request = self
            .http
            .request(call.method.clone(), call.url.clone())
            .header(AUTHORIZATION, credential.header.clone())
            // Also without a body: a RESTlet's answer takes the request's type, and would be plain text.
            .header(CONTENT_TYPE, "application/json")
            .timeout(timeout);
        if call.transient {
            request = request.header("Prefer", "transient");
        }
        if let Some(language) = &self.accept_language {
            request = request.header(ACCEPT_LANGUAGE, language.clone());
        }
        if let Some(body) = &call.body {
            request = request.body(body.clone());
        }
        let reply = exchange(request).await.map_err(|lost| {
            self.gate.count(lost.word());
            lost.into_error()
        })?;
        self.gate.count(reply.status.as_str());
        if reply.status.is_success() {
            self.authorizer.accepted();
            return Ok(Answer { body: reply.body, location: reply.location });
        }
        let refusal = refusal(call.surface, reply.status, reply.retry_after, &reply.body);
        if refusal.meaning == Meaning::TooMany {
            permit.refused(refusal.retry_after);
        }
        if refusal.meaning != Meaning::Login && refusal.meaning != Meaning::Redirected {
            self.authorizer.accepted();
        }
        Err(CallError::Refused(refusal))
    }

    /// Looks at the deadline right before sending: the wait for a place or a token may have used it up.
    fn time_left(&self, call: &Call) -> Result<Duration, CallError> {
        let Some(deadline) = call.deadline else { return Ok(self.timeout) };
        let left = Duration::try_from(deadline.duration_since(self.clock.now())).unwrap_or_default();
        if left < LEAST_TIME_TO_SEND {
            return Err(CallError::NotSent { code: "deadline" });
        }
        Ok(left.min(self.timeout))
    }

    /// Between half of the pause and all of it, so that processes refused together do not come back together.
    fn jittered(&self, pause: Duration) -> Duration {
        let chance = self.ids.uuid().as_bytes()[15];
        pause / 2 + (pause / 2) * u32::from(chance) / u32::from(u8::MAX)
    }
}

impl CallError {
    /// A bounded word.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::NotSent { code } => code,
            Self::Paused { .. } => "asked_to_pause",
            Self::Lost(lost) => lost.word(),
            Self::Refused(refusal) => refusal.code,
        }
    }

    /// Were we turned away for who we are?
    pub(crate) fn is_login(&self) -> bool {
        matches!(self, Self::Refused(refusal) if refusal.meaning == Meaning::Login)
    }

    /// May the same request be answered after a pause this short?
    fn passes_within(&self, pause: Duration) -> bool {
        match self {
            Self::NotSent { code } => *code == Lost::NotConnected.word(),
            Self::Paused { .. } => false,
            Self::Lost(lost) => *lost == Lost::Broken,
            Self::Refused(refusal) => {
                matches!(refusal.meaning, Meaning::TooMany | Meaning::Trouble)
                    && refusal.retry_after.is_none_or(|asked| asked <= pause)
            }
        }
    }

    /// Was the call refused at the door, with room to be expected after a pause this short?
    fn turned_away_for_load(&self, pause: Duration) -> bool {
        match self {
            Self::Refused(refusal) => {
                refusal.meaning == Meaning::TooMany && refusal.before_any_work() && self.passes_within(pause)
            }
            Self::NotSent { .. } | Self::Paused { .. } | Self::Lost(_) => false,
        }
    }

    /// The error as the answer to a read.
    pub(crate) fn into_read_error(self) -> RemoteError {
        let unavailable =
            |retry_after| RemoteError::Unavailable { side: Side::Netsuite, code: self.code().to_owned(), retry_after };
        match self {
            Self::NotSent { .. } | Self::Lost(_) => unavailable(None),
            Self::Paused { rest } => unavailable(Some(rest)),
            Self::Refused(refusal) => refusal.into_read_error(),
        }
    }
}

impl Lost {
    /// The word on `netsuite_requests_total` and in errors.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::NotConnected => "connect",
            Self::Timeout => "timeout",
            Self::Broken => "reset",
            Self::TooLarge => "too_large",
        }
    }

    fn into_error(self) -> CallError {
        match self {
            Self::NotConnected => CallError::NotSent { code: self.word() },
            Self::Timeout | Self::Broken | Self::TooLarge => CallError::Lost(self),
        }
    }

    fn of(error: &reqwest::Error) -> Self {
        if error.is_connect() || error.is_builder() {
            Self::NotConnected
        } else if error.is_timeout() {
            Self::Timeout
        } else {
            Self::Broken
        }
    }
}

/// Sends one request and reads its answer to the end.
pub(crate) async fn exchange(request: reqwest::RequestBuilder) -> Result<Reply, Lost> {
    let mut response = request.send().await.map_err(|error| Lost::of(&error))?;
    let status = response.status();
    let retry_after = response.headers().get(RETRY_AFTER).and_then(seconds);
    let location = response.headers().get(LOCATION).and_then(|url| url.to_str().ok()).map(str::to_owned);
    let mut body = BytesMut::new();
    // From here on the request has left: whatever happens to the connection, its fate is unknown.
    while let Some(part) = response.chunk().await.map_err(|error| match Lost::of(&error) {
        Lost::Timeout => Lost::Timeout,
        Lost::NotConnected | Lost::Broken | Lost::TooLarge => Lost::Broken,
    })? {
        if body.len() + part.len() > LARGEST_ANSWER {
            return Err(Lost::TooLarge);
        }
        body.extend_from_slice(&part);
    }
    Ok(Reply { status, retry_after, location, body: body.freeze() })
}

/// `Retry-After` in seconds; the form with a date is not taken, as it would need our clock to agree with theirs.
fn seconds(value: &HeaderValue) -> Option<Duration> {
    value.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

/// Redirects are not followed: the credentials are for one host, and a signature for one address. Nothing is sent
/// twice behind our back, and no proxy is taken from the environment.
pub(crate) fn http_client() -> Result<reqwest::Client, reqwest::Error> {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .no_proxy()
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(IDLE_TIMEOUT)
        .user_agent(concat!("concord/", env!("CARGO_PKG_VERSION")))
        .build()
}
