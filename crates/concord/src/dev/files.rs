//! What the processes of a stack read at start: the accounts file, the simulator's configuration, the console's tokens.

use std::path::PathBuf;

use anyhow::Result;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::identity::{self, Identity};
use super::manifest::Manifest;
use super::plan::{Plan, RESTLET};
use super::state::StateDir;

/// Paths of the files, once written.
#[derive(Debug)]
pub struct Files {
    /// `CONCORD_ACCOUNTS`.
    pub accounts: PathBuf,
    /// `netsuite-sim --config`.
    pub simulator: PathBuf,
    /// `CONCORD_TOKENS`.
    pub tokens: PathBuf,
}

#[derive(Serialize)]
struct Secret {
    value: String,
}

#[derive(Serialize)]
struct AccountsFile {
    account: Vec<Account>,
}

#[derive(Serialize)]
struct Account {
    id: String,
    netsuite: Netsuite,
    suitex: Suitex,
    ingest: Ingest,
}

#[derive(Serialize)]
struct Netsuite {
    rest_url: String,
    restlet_url: String,
    token_url: String,
    auth: &'static str,
    concurrency_limit: u32,
    oauth2: Oauth2,
    tba: Tba,
}

#[derive(Serialize)]
struct KeyFile {
    file: String,
}

#[derive(Serialize)]
struct Oauth2 {
    client_id: String,
    certificate_id: String,
    private_key: KeyFile,
}

#[derive(Serialize)]
struct Tba {
    realm: String,
    consumer_key: String,
    consumer_secret: Secret,
    token_id: String,
    token_secret: Secret,
}

#[derive(Serialize)]
struct Suitex {
    database_url: Secret,
}

#[derive(Serialize)]
struct Ingest {
    signing_secrets: Vec<Secret>,
}

#[derive(Serialize)]
struct SimulatorFile {
    listen: String,
    data_dir: String,
    accounts: Vec<SimulatorAccount>,
}

#[derive(Serialize)]
struct SimulatorAccount {
    account_id: String,
    time_zone: &'static str,
    date_format: &'static str,
    concurrency_limit: u32,
    oauth2: SimulatorOauth2,
    tba: SimulatorTba,
    ingest: SimulatorIngest,
    scripts: SimulatorScripts,
}

#[derive(Serialize)]
struct SimulatorScripts {
    flush_every_seconds: u32,
    request_timeout_ms: u32,
}

#[derive(Serialize)]
struct SimulatorOauth2 {
    client_id: String,
    certificate_id: String,
    public_key_path: String,
}

#[derive(Serialize)]
struct SimulatorTba {
    consumer_key: String,
    consumer_secret: String,
    token_id: String,
    token_secret: String,
}

#[derive(Serialize)]
struct SimulatorIngest {
    url: String,
    signing_secret: String,
}

#[derive(Serialize)]
struct TokensFile {
    token: Vec<Token>,
}

#[derive(Serialize)]
struct Token {
    name: &'static str,
    role: &'static str,
    sha256: String,
}

/// NetSuite's limit without extra licences.
const CONCURRENCY: u32 = 5;
/// Nobody who watches a local stack wants to wait the quarter of an hour that a real account takes.
const FLUSH_EVERY_SECONDS: u32 = 15;
/// Nor for the one save that waits as long as NetSuite lets a script's request wait, which is 45 seconds.
const REQUEST_TIMEOUT_MS: u32 = 5_000;
/// Accounts differ in what a client must not take for granted.
const PREFERENCES: [(&str, &str); 3] =
    [("America/Los_Angeles", "M/D/YYYY"), ("Europe/Berlin", "DD/MM/YYYY"), ("Australia/Sydney", "YYYY-MM-DD")];

/// Writes all files.
///
/// # Errors
/// When one cannot be written.
pub fn write(state: &StateDir, plan: &Plan, manifest: &Manifest, identity: &Identity) -> Result<Files> {
    let accounts = AccountsFile { account: manifest.accounts.iter().enumerate().map(account).collect() };
    let simulator = SimulatorFile {
        listen: format!("127.0.0.1:{}", plan.simulator_port),
        data_dir: state.path(super::programs::SIMULATOR).to_string_lossy().into_owned(),
        accounts: manifest
            .accounts
            .iter()
            .enumerate()
            .map(|(n, account)| simulated(n, account, state, &manifest.ingest_url))
            .collect(),
    };
    let token = |name, secret: &str| Token { name, role: name, sha256: hex::encode(Sha256::digest(secret)) };
    let tokens = TokensFile {
        token: vec![
            token("viewer", &identity.tokens.viewer),
            token("operator", &identity.tokens.operator),
            token("admin", &identity.tokens.admin),
        ],
    };
    Ok(Files {
        accounts: state.write("accounts.toml", &toml::to_string(&accounts)?)?,
        simulator: state.write("netsuite-sim.toml", &toml::to_string(&simulator)?)?,
        tokens: state.write("tokens.toml", &toml::to_string(&tokens)?)?,
    })
}

/// Both schemes are in use: accounts take turns.
fn account((n, account): (usize, &super::manifest::Account)) -> Account {
    let netsuite = &account.netsuite;
    Account {
        id: account.account_id.clone(),
        netsuite: Netsuite {
            rest_url: netsuite.rest_url.clone(),
            restlet_url: format!("{}{RESTLET}", netsuite.rest_url),
            token_url: netsuite.oauth2.token_url.clone(),
            auth: if n % 2 == 0 { "oauth2" } else { "tba" },
            concurrency_limit: CONCURRENCY,
            oauth2: Oauth2 {
                client_id: netsuite.oauth2.client_id.clone(),
                certificate_id: netsuite.oauth2.certificate_id.clone(),
                private_key: KeyFile { file: netsuite.oauth2.private_key_path.clone() },
            },
            tba: Tba {
                realm: netsuite.tba.realm.clone(),
                consumer_key: netsuite.tba.consumer_key.clone(),
                consumer_secret: Secret { value: netsuite.tba.consumer_secret.clone() },
                token_id: netsuite.tba.token_id.clone(),
                token_secret: Secret { value: netsuite.tba.token_secret.clone() },
            },
        },
        suitex: Suitex { database_url: Secret { value: account.suitex.database_url.clone() } },
        ingest: Ingest { signing_secrets: vec![Secret { value: account.ingest.signing_secret.clone() }] },
    }
}

fn simulated(n: usize, account: &super::manifest::Account, state: &StateDir, ingest_url: &str) -> SimulatorAccount {
    let id = &account.account_id;
    let (time_zone, date_format) = PREFERENCES[n % PREFERENCES.len()];
    let (oauth2, tba) = (&account.netsuite.oauth2, &account.netsuite.tba);
    SimulatorAccount {
        account_id: id.clone(),
        time_zone,
        date_format,
        concurrency_limit: CONCURRENCY,
        oauth2: SimulatorOauth2 {
            client_id: oauth2.client_id.clone(),
            certificate_id: oauth2.certificate_id.clone(),
            public_key_path: state.path(&identity::public_key(id)).to_string_lossy().into_owned(),
        },
        tba: SimulatorTba {
            consumer_key: tba.consumer_key.clone(),
            consumer_secret: tba.consumer_secret.clone(),
            token_id: tba.token_id.clone(),
            token_secret: tba.token_secret.clone(),
        },
        ingest: SimulatorIngest {
            url: format!("{ingest_url}/v1/accounts/{id}/events"),
            signing_secret: account.ingest.signing_secret.clone(),
        },
        scripts: SimulatorScripts { flush_every_seconds: FLUSH_EVERY_SECONDS, request_timeout_ms: REQUEST_TIMEOUT_MS },
    }
}
