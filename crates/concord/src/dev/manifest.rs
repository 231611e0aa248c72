//! `dev.json`: what runs where, for people, scripts and tests (contracts §2).

use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::state::replace;

/// The one version there is.
pub const VERSION: u32 = 1;

/// The whole file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Format of this file.
    pub version: u32,
    /// Root of the console's HTTP API.
    pub console_url: String,
    /// Root of the HTTP relay.
    pub ingest_url: String,
    /// Root of the mirror's API, once it exists.
    pub mirror_url: Option<String>,
    /// Root of the search API, once it exists.
    pub search_url: Option<String>,
    /// Root of the simulator.
    pub netsuite_sim_url: String,
    /// `host:port` of every `/metrics`.
    pub prometheus_targets: Vec<String>,
    /// Concord's own database.
    pub database_url: String,
    /// `pubsub` or `postgres`.
    pub bus: String,
    /// The emulator, when the bus is Pub/Sub.
    pub pubsub: Option<Pubsub>,
    /// Bearer tokens of the console.
    pub tokens: Tokens,
    /// The demo accounts.
    pub accounts: Vec<Account>,
    /// What can be asked for `/livez`, `/readyz` and `/metrics`.
    pub processes: Vec<Process>,
}

/// Where the Pub/Sub emulator listens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pubsub {
    /// `host:port`.
    pub emulator_host: String,
    /// The project.
    pub project: String,
}

/// Bearer tokens by role.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tokens {
    /// May read.
    pub viewer: String,
    /// May decide.
    pub operator: String,
    /// May change limits and policies.
    pub admin: String,
}

/// One demo account.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Account {
    /// Its id.
    pub account_id: String,
    /// How to reach its NetSuite.
    pub netsuite: Netsuite,
    /// Its application database.
    pub suitex: Suitex,
    /// How its events are signed.
    pub ingest: Ingest,
}

/// NetSuite's endpoints and both authentication schemes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Netsuite {
    /// Host root; `/services/rest/…` follows.
    pub rest_url: String,
    /// The query RESTlet with script and deployment.
    pub restlet_url: String,
    /// OAuth 2.0 client credentials.
    pub oauth2: Oauth2,
    /// Token based authentication.
    pub tba: Tba,
}

/// OAuth 2.0 client credentials.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Oauth2 {
    /// `iss` of the assertion.
    pub client_id: String,
    /// `kid` of the assertion.
    pub certificate_id: String,
    /// Unencrypted PEM, EC P-256: sign with ES256.
    pub private_key_path: String,
    /// The token endpoint.
    pub token_url: String,
}

/// Token based authentication.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tba {
    /// Consumer key.
    pub consumer_key: String,
    /// Consumer secret.
    pub consumer_secret: String,
    /// Token id.
    pub token_id: String,
    /// Token secret.
    pub token_secret: String,
    /// The account id as realm.
    pub realm: String,
}

/// A tenant's database.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Suitex {
    /// Its URL.
    pub database_url: String,
}

/// Signing of events.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ingest {
    /// Standard Webhooks secret, `whsec_…`.
    pub signing_secret: String,
}

/// One process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Process {
    /// The service's name.
    pub name: String,
    /// Which of several alike.
    pub replica: usize,
    /// Its process id now.
    pub pid: u32,
    /// Root of its HTTP endpoints.
    pub http: String,
}

impl Manifest {
    /// Replaces the file atomically.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        replace(path, &(serde_json::to_string_pretty(self)? + "\n"), 0o600)
    }

    /// Reads the file of a running stack.
    ///
    /// # Errors
    /// When there is none, or it is of another version.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("{} cannot be read: does a stack run there?", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("{} is not understood", path.display()))
    }
}
