//! How one account is reached: plain settings in, checked endpoints out.

use std::time::Duration;

use model::AccountId;
use model::accounts::{AccountSettings, NetsuiteAuth};
use secrecy::SecretString;
use url::Url;

/// Where RESTlets live on their host (fact sheet §1).
const RESTLET_PATH: &str = "/app/site/hosting/restlet.nl";
/// The part of a SuiteTalk address that people like to copy along.
const REST_SUFFIX: &str = "/services/rest";

/// Everything that is needed to speak to one NetSuite account.
#[derive(Debug, Clone)]
pub struct NetsuiteConfig {
    /// The account, as on every key.
    pub account: AccountId,
    /// Root of the SuiteTalk host; a trailing `/services/rest` is stripped.
    pub rest_url: String,
    /// The RESTlet host or the whole address; `script` and `deploy` in it name the query RESTlet.
    pub restlet_url: String,
    /// OAuth 2.0 token endpoint, also the `aud` of every assertion; unused with TBA.
    pub token_url: String,
    /// The credentials.
    pub auth: Auth,
    /// Script id of the query RESTlet, where the address names none.
    pub query_script: String,
    /// Deployment id of the query RESTlet, where the address names none.
    pub query_deploy: String,
    /// Script id of the write RESTlet.
    pub write_script: String,
    /// Deployment id of the write RESTlet.
    pub write_deploy: String,
    /// Longest wait for one answer.
    pub timeout: Duration,
    /// The company's language, for accounts whose integration user has another (fact sheet §3.1).
    pub accept_language: Option<String>,
    /// The account's documented concurrency limit: the ceiling of our own pace.
    pub concurrency_limit: u32,
    /// The way queries take.
    pub query_via: QueryVia,
    /// Internal id of the user our credentials belong to: system notes of this author are ours. Without it types with
    /// `notes` cannot be written.
    pub integration_user: Option<i64>,
}

impl NetsuiteConfig {
    /// Settings with the names and limits that Concord's own scripts and a Standard tier account have.
    pub fn new(account: AccountId, rest_url: &str, restlet_url: &str, token_url: &str, auth: Auth) -> Self {
        Self {
            account,
            rest_url: rest_url.to_owned(),
            restlet_url: restlet_url.to_owned(),
            token_url: token_url.to_owned(),
            auth,
            query_script: "customscript_concord_query".to_owned(),
            query_deploy: "customdeploy_concord_query".to_owned(),
            write_script: "customscript_concord_write".to_owned(),
            write_deploy: "customdeploy_concord_write".to_owned(),
            timeout: DEFAULT_TIMEOUT,
            accept_language: None,
            concurrency_limit: DEFAULT_CONCURRENCY_LIMIT,
            query_via: QueryVia::Rest,
            integration_user: None,
        }
    }
}

impl From<&AccountSettings> for NetsuiteConfig {
    /// The account as the accounts file has it; what is not in it has its default.
    fn from(account: &AccountSettings) -> Self {
        let netsuite = &account.netsuite;
        let auth = match &netsuite.auth {
            NetsuiteAuth::OAuth2(oauth2) => Auth::Oauth2 {
                client_id: oauth2.client_id.clone(),
                certificate_id: oauth2.certificate_id.clone(),
                private_key_pem: oauth2.private_key.clone(),
            },
            NetsuiteAuth::Tba(tba) => Auth::Tba {
                realm: tba.realm.clone(),
                consumer_key: tba.consumer_key.clone(),
                consumer_secret: tba.consumer_secret.clone(),
                token_id: tba.token_id.clone(),
                token_secret: tba.token_secret.clone(),
            },
        };
        Self {
            query_script: netsuite.scripts.query_script.clone(),
            query_deploy: netsuite.scripts.query_deploy.clone(),
            write_script: netsuite.scripts.write_script.clone(),
            write_deploy: netsuite.scripts.write_deploy.clone(),
            concurrency_limit: netsuite.concurrency_limit,
            integration_user: netsuite.integration_user,
            ..Self::new(account.id.clone(), &netsuite.rest_url, &netsuite.restlet_url, &netsuite.token_url, auth)
        }
    }
}

/// Longest wait for one answer, unless set.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);
/// Requests at once that a Standard tier account allows (fact sheet §6.1).
pub const DEFAULT_CONCURRENCY_LIMIT: u32 = 5;

/// Credentials of one account.
#[derive(Debug, Clone)]
pub enum Auth {
    /// OAuth 2.0 client credentials with a signed assertion; the scheme for new integrations.
    Oauth2 {
        /// Client id (consumer key) of the integration record.
        client_id: String,
        /// Certificate id of the M2M mapping; the `kid` of the assertion.
        certificate_id: String,
        /// Unencrypted PEM: RSA (PKCS#1 or PKCS#8) signs PS256, EC P-256/P-384 (PKCS#8) signs ES256/ES384.
        private_key_pem: SecretString,
    },
    /// Token-based authentication (OAuth 1.0a); existing integrations only, from 2027.1.
    Tba {
        /// The account in realm spelling: `1234567_SB1`.
        realm: String,
        /// Consumer key.
        consumer_key: String,
        /// Consumer secret.
        consumer_secret: SecretString,
        /// Token id.
        token_id: String,
        /// Token secret.
        token_secret: SecretString,
    },
}

/// The way queries take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum QueryVia {
    /// SuiteQL over SuiteTalk REST.
    #[default]
    Rest,
    /// Our own query RESTlet, for roles without the REST Web Services permission.
    Restlet,
}

/// A setting that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// An address that is none.
    #[error("account {account}: {setting} is not an http or https address of a host without user name or fragment")]
    Url {
        /// The account.
        account: AccountId,
        /// Which setting.
        setting: &'static str,
    },
    /// A key that cannot sign.
    #[error(
        "account {account}: the private key is not an unencrypted PEM of an RSA key of 2048 bits or more (PKCS#1 or \
         PKCS#8) or of an EC key on P-256 or P-384 (PKCS#8)"
    )]
    Key {
        /// The account.
        account: AccountId,
    },
    /// A value that cannot stand in a header.
    #[error("account {account}: {setting} may hold visible ASCII characters only")]
    Header {
        /// The account.
        account: AccountId,
        /// Which setting.
        setting: &'static str,
    },
    /// Zero where something has to move.
    #[error("account {account}: {setting} must be at least 1")]
    Zero {
        /// The account.
        account: AccountId,
        /// Which setting.
        setting: &'static str,
    },
    /// Types written by PATCH, and nobody said whose system notes are ours.
    #[error(
        "account {account}: integration_user is missing, the internal id of the user our credentials belong to; the type \
         {record_type} is written by PATCH, and only the author of a system note tells our writes from users'"
    )]
    IntegrationUser {
        /// The account.
        account: AccountId,
        /// The first such type.
        record_type: model::RecordType,
    },
    /// The machine has no usable TLS roots.
    #[error("the HTTP client cannot be built")]
    Http(#[from] reqwest::Error),
}

/// The addresses of one account, ready for use.
#[derive(Debug, Clone)]
pub(crate) struct Endpoints {
    /// SuiteTalk host root without a trailing slash.
    rest: String,
    /// SuiteQL over REST.
    pub(crate) suiteql: Url,
    /// The query RESTlet with script and deploy.
    pub(crate) query_restlet: Url,
    /// The write RESTlet with script and deploy.
    pub(crate) write_restlet: Url,
}

impl Endpoints {
    /// Checks the addresses of a configuration.
    pub(crate) fn of(config: &NetsuiteConfig) -> Result<Self, ConfigError> {
        let bad = |setting| ConfigError::Url { account: config.account.clone(), setting };
        let rest_url = parse(&config.rest_url).ok_or_else(|| bad("rest_url"))?;
        let rest = rest_url.as_str().trim_end_matches('/');
        let rest = rest.strip_suffix(REST_SUFFIX).unwrap_or(rest).to_owned();
        let suiteql = parse(&format!("{rest}{REST_SUFFIX}/query/v1/suiteql")).ok_or_else(|| bad("rest_url"))?;

        let given = parse(&config.restlet_url).ok_or_else(|| bad("restlet_url"))?;
        let named = |key: &str| given.query_pairs().find(|(k, _)| k == key).map(|(_, v)| v.into_owned());
        let query_script = named("script").unwrap_or_else(|| config.query_script.clone());
        let query_deploy = named("deploy").unwrap_or_else(|| config.query_deploy.clone());
        let mut bare = given;
        bare.set_query(None);
        if bare.path() == "/" {
            bare.set_path(RESTLET_PATH);
        }
        Ok(Self {
            rest,
            suiteql,
            query_restlet: restlet(&bare, &query_script, &query_deploy),
            write_restlet: restlet(&bare, &config.write_script, &config.write_deploy),
        })
    }

    /// A record of the REST record API. `id` is an internal id or `eid:…`; both are digits, letters, `_`, `-`, `:`.
    pub(crate) fn record(&self, rest_type: &str, id: &str) -> Option<Url> {
        self.records(rest_type, Some(id))
    }

    /// [`Endpoints::record`], or without an id the type's collection, where new ones are made.
    pub(crate) fn records(&self, rest_type: &str, id: Option<&str>) -> Option<Url> {
        let id = id.map(|id| format!("/{id}")).unwrap_or_default();
        parse(&format!("{}{REST_SUFFIX}/record/v1/{rest_type}{id}", self.rest))
    }
}

/// The token endpoint, checked.
pub(crate) fn token_url(config: &NetsuiteConfig) -> Result<Url, ConfigError> {
    parse(&config.token_url).ok_or_else(|| ConfigError::Url { account: config.account.clone(), setting: "token_url" })
}

fn restlet(bare: &Url, script: &str, deploy: &str) -> Url {
    let mut url = bare.clone();
    url.query_pairs_mut().append_pair("script", script).append_pair("deploy", deploy);
    url
}

fn parse(text: &str) -> Option<Url> {
    let url = Url::parse(text.trim()).ok()?;
    let usable = matches!(url.scheme(), "http" | "https")
        && url.host_str().is_some()
        && url.username().is_empty()
        && url.password().is_none()
        && url.fragment().is_none();
    usable.then_some(url)
}

#[cfg(test)]
mod tests {
    use model::accounts::{NetsuiteSettings, OAuth2Settings, Scripts};

    use super::*;

    fn config(rest: &str, restlet: &str) -> NetsuiteConfig {
        let auth = Auth::Tba {
            realm: "A1".into(),
            consumer_key: "k".into(),
            consumer_secret: "s".to_owned().into(),
            token_id: "t".into(),
            token_secret: "s".to_owned().into(),
        };
        NetsuiteConfig::new(AccountId::parse("A1").unwrap(), rest, restlet, "http://h/token", auth)
    }

    #[test]
    fn a_trailing_services_rest_is_stripped() {
        for rest in ["https://h", "https://h/", "https://h/services/rest", "https://h/services/rest/"] {
            let endpoints = Endpoints::of(&config(rest, "https://r")).unwrap();
            assert_eq!(endpoints.suiteql.as_str(), "https://h/services/rest/query/v1/suiteql", "{rest}");
        }
    }

    #[test]
    fn the_restlet_address_may_carry_script_and_deploy() {
        let bare = Endpoints::of(&config("http://h", "http://h:9")).unwrap();
        assert_eq!(
            bare.query_restlet.as_str(),
            "http://h:9/app/site/hosting/restlet.nl?script=customscript_concord_query&deploy=customdeploy_concord_query"
        );
        let named =
            Endpoints::of(&config("http://h", "http://h:9/app/site/hosting/restlet.nl?script=7&deploy=2")).unwrap();
        assert_eq!(named.query_restlet.query(), Some("script=7&deploy=2"));
        assert_eq!(
            named.write_restlet.query(),
            Some("script=customscript_concord_write&deploy=customdeploy_concord_write")
        );
    }

    #[test]
    fn the_accounts_file_sets_addresses_scripts_limit_and_credentials() {
        let settings = AccountSettings {
            id: AccountId::parse("A1").unwrap(),
            suspended: false,
            netsuite: NetsuiteSettings {
                rest_url: "https://h".into(),
                restlet_url: "https://r".into(),
                token_url: "https://h/token".into(),
                auth: NetsuiteAuth::OAuth2(OAuth2Settings {
                    client_id: "c".into(),
                    certificate_id: "k".into(),
                    private_key: "p".to_owned().into(),
                }),
                scripts: Scripts { write_script: "77".into(), ..Scripts::default() },
                concurrency_limit: 15,
                integration_user: Some(44),
            },
            suitex_database_url: None,
            ingest_secrets: Vec::new(),
        };
        let config = NetsuiteConfig::from(&settings);
        let endpoints = Endpoints::of(&config).unwrap();
        assert_eq!((config.concurrency_limit, config.integration_user), (15, Some(44)));
        assert_eq!(endpoints.write_restlet.query(), Some("script=77&deploy=customdeploy_concord_write"));
        assert_eq!(token_url(&config).unwrap().as_str(), "https://h/token");
        assert!(matches!(&config.auth, Auth::Oauth2 { client_id, certificate_id, .. }
            if client_id == "c" && certificate_id == "k"));
    }

    #[test]
    fn an_address_that_is_none_names_its_setting() {
        for bad in ["", "h", "ftp://h", "https://user:pw@h", "https://h#x"] {
            let message = Endpoints::of(&config(bad, "https://r")).unwrap_err().to_string();
            assert!(message.contains("rest_url") && message.contains("A1"), "{message}");
        }
    }
}
