//! Proving who we are, once per attempt, and what a refused login does to the calls after it.

mod oauth2;
mod tba;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{HeaderValue, Method};
use model::{Clock, Ids, Timestamp};
use url::Url;

use crate::config::{Auth, ConfigError, NetsuiteConfig, token_url};
use crate::connection::CallError;
use crate::errors::Refusal;

use oauth2::Oauth2;
use tba::Tba;

/// Pauses after refused OAuth 2.0 logins: first, second, every later one.
const OAUTH2_HOLDS: [Duration; 3] = [Duration::from_secs(5), Duration::from_secs(30), Duration::from_secs(60)];
/// Pauses after refused TBA logins. Five failures in 30 minutes lock the user (fact sheet §2.2): with these, one
/// process makes at most four.
const TBA_HOLDS: [Duration; 2] = [Duration::from_secs(60), Duration::from_secs(15 * 60)];

/// Signs the calls of one account.
pub(crate) struct Authorizer {
    scheme: Scheme,
    history: Mutex<History>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
}

enum Scheme {
    Oauth2(Box<Oauth2>),
    Tba(Tba),
}

#[derive(Default)]
struct History {
    /// A call was let in since the last refused login.
    succeeded: bool,
    /// Refused logins in a row.
    refusals: usize,
    /// Until when nothing is sent.
    held_until: Option<Timestamp>,
}

/// What one attempt is signed with.
pub(crate) struct Credential {
    /// The `Authorization` header.
    pub(crate) header: HeaderValue,
    token: Option<u64>,
}

/// What to do after a refused login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AfterRefusal {
    /// Sign anew and try once more: a login that worked before may have been refused for overload (fact sheet §2.3).
    OnceMore,
    /// Tell the caller.
    GiveUp,
}

impl Authorizer {
    /// Checks the credentials as far as that is possible without asking NetSuite.
    pub(crate) fn new(config: &NetsuiteConfig, clock: Arc<dyn Clock>, ids: Arc<dyn Ids>) -> Result<Self, ConfigError> {
        Ok(Self { scheme: Self::scheme(config)?, history: Mutex::default(), clock, ids })
    }

    /// The same check, and nothing kept.
    pub(crate) fn check(config: &NetsuiteConfig) -> Result<(), ConfigError> {
        Self::scheme(config).map(drop)
    }

    fn scheme(config: &NetsuiteConfig) -> Result<Scheme, ConfigError> {
        Ok(match &config.auth {
            Auth::Oauth2 { client_id, certificate_id, private_key_pem } => {
                let oauth2 = Oauth2::new(token_url(config)?, client_id, certificate_id, private_key_pem)
                    .ok_or_else(|| ConfigError::Key { account: config.account.clone() })?;
                Scheme::Oauth2(Box::new(oauth2))
            }
            Auth::Tba { realm, consumer_key, consumer_secret, token_id, token_secret } => Scheme::Tba(Tba {
                // A realm in any other spelling fails the login (fact sheet §1).
                realm: realm.trim().to_uppercase().replace('-', "_"),
                consumer_key: consumer_key.clone(),
                consumer_secret: consumer_secret.clone(),
                token_id: token_id.clone(),
                token_secret: token_secret.clone(),
            }),
        })
    }

    /// The credential of one attempt at this address.
    pub(crate) async fn sign(
        &self,
        http: &reqwest::Client,
        method: &Method,
        url: &Url,
    ) -> Result<Credential, CallError> {
        let now = self.clock.now();
        if let Some(rest) = self.held(now) {
            return Err(CallError::Refused(Refusal::login_held(rest)));
        }
        match &self.scheme {
            Scheme::Oauth2(oauth2) => match oauth2.token(http, now).await {
                Ok((header, number)) => Ok(Credential { header, token: Some(number) }),
                Err(error) => {
                    if error.is_login() {
                        self.hold();
                    }
                    Err(error)
                }
            },
            Scheme::Tba(tba) => {
                let nonce = self.ids.uuid().simple().to_string();
                let header = tba.header(method, url, &nonce, now.as_second());
                let mut header =
                    HeaderValue::try_from(header).map_err(|_| CallError::NotSent { code: "header_not_ascii" })?;
                header.set_sensitive(true);
                Ok(Credential { header, token: None })
            }
        }
    }

    /// A call was let in.
    pub(crate) fn accepted(&self) {
        *self.history() = History { succeeded: true, refusals: 0, held_until: None };
    }

    /// A call was refused at the door. A token is forgotten; whoever had worked before may try once more.
    pub(crate) async fn refused(&self, credential: &Credential, tried_before: bool) -> AfterRefusal {
        let succeeded = self.history().succeeded;
        match (&self.scheme, credential.token) {
            (Scheme::Oauth2(oauth2), Some(number)) => oauth2.forget(number).await,
            // Only the first of several refused calls may try again: the others would use up the user's five chances.
            (Scheme::Tba(_), _) | (Scheme::Oauth2(_), None) => self.history().succeeded = false,
        }
        if succeeded && !tried_before {
            return AfterRefusal::OnceMore;
        }
        self.hold();
        AfterRefusal::GiveUp
    }

    fn hold(&self) {
        let now = self.clock.now();
        let holds: &[Duration] = match &self.scheme {
            Scheme::Oauth2(_) => &OAUTH2_HOLDS,
            Scheme::Tba(_) => &TBA_HOLDS,
        };
        let mut history = self.history();
        let pause = holds[history.refusals.min(holds.len() - 1)];
        // Calls that were under way together are one refusal, not several steps of the list.
        if history.held_until.is_none_or(|until| until <= now) {
            history.refusals += 1;
            history.held_until = now.checked_add(pause).ok();
        }
        history.succeeded = false;
    }

    fn held(&self, now: Timestamp) -> Option<Duration> {
        let until = self.history().held_until?;
        Duration::try_from(until.duration_since(now)).ok().filter(|rest| !rest.is_zero())
    }

    fn history(&self) -> std::sync::MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
