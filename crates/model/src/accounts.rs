//! What a service is told of an account: where its NetSuite and SuiteX are, and the secrets to reach them. Read by
//! `chassis`, used by `netsuite`, `suitex` and `ingest`, which do not know each other.

use secrecy::SecretString;

use crate::AccountId;

/// RESTlet scripts, as deployed by `deploy/` of this repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scripts {
    /// `script` of the query RESTlet, default `customscript_concord_query`.
    pub query_script: String,
    /// `deploy` of the query RESTlet, default `customdeploy_concord_query`.
    pub query_deploy: String,
    /// `script` of the write RESTlet, default `customscript_concord_write`.
    pub write_script: String,
    /// `deploy` of the write RESTlet, default `customdeploy_concord_write`.
    pub write_deploy: String,
}

impl Default for Scripts {
    fn default() -> Self {
        Self {
            query_script: "customscript_concord_query".into(),
            query_deploy: "customdeploy_concord_query".into(),
            write_script: "customscript_concord_write".into(),
            write_deploy: "customdeploy_concord_write".into(),
        }
    }
}

/// OAuth 2.0 client credentials with a certificate.
#[derive(Debug, Clone)]
pub struct OAuth2Settings {
    /// The integration's client id.
    pub client_id: String,
    /// The id NetSuite gave the uploaded certificate.
    pub certificate_id: String,
    /// The private key, PEM.
    pub private_key: SecretString,
}

/// Token-based authentication (OAuth 1.0a).
#[derive(Debug, Clone)]
pub struct TbaSettings {
    /// The realm: the account id in its upper-case spelling.
    pub realm: String,
    /// Consumer key of the integration.
    pub consumer_key: String,
    /// Consumer secret.
    pub consumer_secret: SecretString,
    /// Token id.
    pub token_id: String,
    /// Token secret.
    pub token_secret: SecretString,
}

/// How requests to NetSuite are authenticated.
#[derive(Debug, Clone)]
pub enum NetsuiteAuth {
    /// `auth = "oauth2"`.
    OAuth2(OAuth2Settings),
    /// `auth = "tba"`.
    Tba(TbaSettings),
}

/// Where an account's NetSuite is.
#[derive(Debug, Clone)]
pub struct NetsuiteSettings {
    /// Host root of SuiteTalk REST, without trailing slash; paths `/services/rest/…` follow.
    pub rest_url: String,
    /// The RESTlet base, without query: `script` and `deploy` are added.
    pub restlet_url: String,
    /// The OAuth 2.0 token endpoint.
    pub token_url: String,
    /// The credentials.
    pub auth: NetsuiteAuth,
    /// The RESTlets.
    pub scripts: Scripts,
    /// Most requests at once, all processes together; default 5.
    pub concurrency_limit: u32,
    /// Internal id of the user our credentials belong to, whose system notes are ours. Needed for types that are written by
    /// PATCH (`notes` in the record types).
    pub integration_user: Option<i64>,
}

/// One account.
#[derive(Debug, Clone)]
pub struct AccountSettings {
    /// The account.
    pub id: AccountId,
    /// True while nothing may be written to either side.
    pub suspended: bool,
    /// Its NetSuite.
    pub netsuite: NetsuiteSettings,
    /// The tenant database of its SuiteX; None when only NetSuite is mirrored.
    pub suitex_database_url: Option<SecretString>,
    /// Secrets that sign requests to ingest; several while one is being replaced. Empty: ingest refuses the account.
    pub ingest_secrets: Vec<SecretString>,
}
