//! One simulator per test, on any free port, with both kinds of credentials.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::OnceLock;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use netsuite_sim::{AccountConfig, Config, IngestConfig, OAuth2Config, Running, TbaConfig};
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value as Json, json};
use tempfile::TempDir;
use tokio::sync::oneshot;

/// Account of most tests.
pub(crate) const ACCOUNT: &str = "TSTDRV100001";
/// Secret of every test's scripts.
pub(crate) const SIGNING_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A running simulator and a client for it.
pub(crate) struct Sim {
    pub(crate) http: Client,
    pub(crate) address: SocketAddr,
    folder: TempDir,
    stop: Option<oneshot::Sender<()>>,
    running: Option<Running>,
}

/// Key pair of an assertion: PEM of both halves.
pub(crate) struct Keys {
    pub(crate) private_pem: String,
    pub(crate) public_pem: String,
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// The P-256 keys of the test run.
pub(crate) fn ec_keys() -> &'static Keys {
    static KEYS: OnceLock<Keys> = OnceLock::new();
    KEYS.get_or_init(|| {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let private = pair.to_pkcs8v1().unwrap();
        let public = AsDer::<aws_lc_rs::encoding::PublicKeyX509Der<'_>>::as_der(pair.public_key()).unwrap();
        Keys { private_pem: pem("PRIVATE KEY", private.as_ref()), public_pem: pem("PUBLIC KEY", public.as_ref()) }
    })
}

/// The RSA keys of the test run.
pub(crate) fn rsa_keys() -> &'static Keys {
    static KEYS: OnceLock<Keys> = OnceLock::new();
    KEYS.get_or_init(|| {
        let pair = aws_lc_rs::rsa::KeyPair::generate(KeySize::Rsa2048).unwrap();
        let private = AsDer::<Pkcs8V1Der<'_>>::as_der(&pair).unwrap();
        let public = AsDer::<aws_lc_rs::encoding::PublicKeyX509Der<'_>>::as_der(pair.public_key()).unwrap();
        Keys { private_pem: pem("PRIVATE KEY", private.as_ref()), public_pem: pem("PUBLIC KEY", public.as_ref()) }
    })
}

/// An account with both schemes.
pub(crate) fn account(folder: &Path) -> AccountConfig {
    let public_key_path = folder.join("public.pem");
    std::fs::write(&public_key_path, &ec_keys().public_pem).unwrap();
    let mut account = AccountConfig::named(ACCOUNT);
    account.oauth2 =
        Some(OAuth2Config { client_id: "client-1".to_owned(), certificate_id: "cert-1".to_owned(), public_key_path });
    account.tba = Some(TbaConfig {
        consumer_key: "ck".to_owned(),
        consumer_secret: "cs".into(),
        token_id: "tk".to_owned(),
        token_secret: "ts".into(),
    });
    account
}

/// Scripts that post there.
pub(crate) fn ingest(url: &str) -> IngestConfig {
    IngestConfig { url: url.to_owned(), signing_secret: SIGNING_SECRET.into() }
}

impl Sim {
    /// The usual account.
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// The usual account with changes.
    pub(crate) async fn with(change: impl FnOnce(&mut AccountConfig)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut account = account(folder.path());
        change(&mut account);
        Self::of(folder, vec![account]).await
    }

    /// Those accounts.
    pub(crate) async fn of(folder: TempDir, accounts: Vec<AccountConfig>) -> Self {
        let (stop, stopped) = oneshot::channel::<()>();
        let config = Config { listen: ([127, 0, 0, 1], 0).into(), data_dir: folder.path().join("data"), accounts };
        let running = netsuite_sim::start(config, async {
            let _ = stopped.await;
        })
        .await
        .unwrap();
        let address = running.address();
        let http = Client::builder().no_proxy().pool_max_idle_per_host(0).build().unwrap();
        Self { http, address, folder, stop: Some(stop), running: Some(running) }
    }

    /// The simulator itself.
    pub(crate) fn running(&self) -> &Running {
        self.running.as_ref().unwrap()
    }

    /// Stops it and hands its folder over.
    pub(crate) async fn stop(mut self) -> TempDir {
        self.stop.take().unwrap().send(()).unwrap();
        self.running.take().unwrap().stopped().await;
        self.folder
    }

    /// A URL of the simulator.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// A control URL of the usual account.
    pub(crate) fn control(&self, path: &str) -> String {
        self.url(&format!("/_sim/v1/accounts/{ACCOUNT}/{path}"))
    }

    /// Posts to the control API and expects success.
    pub(crate) async fn tell(&self, path: &str, body: Json) -> Json {
        let reply = self.try_tell(path, body).await;
        let status = reply.status();
        let text = reply.text().await.unwrap();
        assert!(status.is_success(), "{path}: {status} {text}");
        serde_json::from_str(&text).unwrap_or(Json::Null)
    }

    /// Posts to the control API.
    pub(crate) async fn try_tell(&self, path: &str, body: Json) -> Response {
        self.http.post(self.control(path)).json(&body).send().await.unwrap()
    }

    /// Reads from the control API and expects success.
    pub(crate) async fn ask(&self, path: &str) -> Json {
        let reply = self.http.get(self.control(path)).send().await.unwrap();
        assert_eq!(reply.status(), StatusCode::OK, "{path}");
        reply.json().await.unwrap()
    }

    /// A user's edit without scripts; returns the id.
    pub(crate) async fn edit(&self, operation: &str, kind: &str, id: Option<&str>, changes: Json) -> String {
        let body = json!({
            "user": "jane", "operation": operation, "type": kind, "id": id, "changes": changes, "scripts": false,
        });
        self.tell("edit", body).await["id"].as_str().unwrap().to_owned()
    }

    /// A user's edit of a customer, with scripts; returns the id.
    pub(crate) async fn scripted(&self, operation: &str, id: Option<&str>, changes: Json) -> String {
        let body = json!({ "user": "jane", "operation": operation, "type": "customer", "id": id, "changes": changes });
        self.tell("edit", body).await["id"].as_str().unwrap().to_owned()
    }

    /// Runs the flush and returns what it did.
    pub(crate) async fn flush(&self) -> Json {
        self.tell("tasks", json!({ "script": "customscript_concord_flush" })).await
    }

    /// A new customer with these fields besides its name.
    pub(crate) async fn customer(&self, changes: Json) -> String {
        let mut fields = json!({ "companyname": "Acme" });
        for (name, value) in changes.as_object().unwrap() {
            fields[name] = value.clone();
        }
        self.edit("create", "customer", None, fields).await
    }

    /// The fields of a record as stored.
    pub(crate) async fn fields(&self, kind: &str, id: &str) -> Json {
        self.ask(&format!("records/{kind}/{id}")).await["fields"].clone()
    }

    /// Sets NetSuite's clock.
    pub(crate) async fn clock(&self, body: Json) {
        let reply = self.http.post(self.url("/_sim/v1/clock")).json(&body).send().await.unwrap();
        assert_eq!(reply.status(), StatusCode::OK);
    }
}
