//! NetSuite in this process: the simulator with the account and the credentials of the stage, and its users.

use netsuite_sim::{AccountConfig, Config, Running, TbaConfig};
use serde_json::{Value as Json, json};
use tempfile::TempDir;
use tokio::sync::oneshot;

use crate::stage::ACCOUNT;

/// The simulator.
pub(crate) struct Simulator {
    http: reqwest::Client,
    address: std::net::SocketAddr,
    _stop: oneshot::Sender<()>,
    _running: Running,
    _folder: TempDir,
}

impl Simulator {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut account = AccountConfig::named(ACCOUNT);
        account.tba = Some(TbaConfig {
            consumer_key: "ck".to_owned(),
            consumer_secret: "cs".into(),
            token_id: "tk".to_owned(),
            token_secret: "ts".into(),
        });
        let config = Config {
            listen: ([127, 0, 0, 1], 0).into(),
            data_dir: folder.path().join("data"),
            accounts: vec![account],
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let running = netsuite_sim::start(config, async {
            let _ = stopped.await;
        })
        .await
        .unwrap();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { http, address: running.address(), _stop: stop, _running: running, _folder: folder }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn control(&self, path: &str) -> String {
        format!("{}/_sim/v1/accounts/{ACCOUNT}/{path}", self.url())
    }

    /// Posts to the control API.
    pub(crate) async fn tell(&self, path: &str, body: Json) -> Json {
        let reply = self.http.post(self.control(path)).json(&body).send().await.unwrap();
        let (status, text) = (reply.status(), reply.text().await.unwrap());
        assert!(status.is_success(), "{path}: {status} {text}");
        serde_json::from_str(&text).unwrap_or(Json::Null)
    }

    /// Reads from the control API; null when it is not there.
    pub(crate) async fn ask(&self, path: &str) -> Json {
        let reply = self.http.get(self.control(path)).send().await.unwrap();
        reply.json().await.unwrap_or(Json::Null)
    }

    /// A user's edit of a customer; returns the id.
    pub(crate) async fn edit(&self, operation: &str, id: Option<&str>, changes: Json) -> String {
        self.edit_of("customer", operation, id, changes).await
    }

    /// A user's edit of a record of some type; returns the id.
    pub(crate) async fn edit_of(&self, kind: &str, operation: &str, id: Option<&str>, changes: Json) -> String {
        let body = json!({ "user": "jane", "operation": operation, "type": kind, "id": id, "changes": changes, "scripts": false });
        self.tell("edit", body).await["id"].as_str().unwrap().to_owned()
    }

    /// Ids of all customers.
    pub(crate) async fn customers(&self) -> Vec<String> {
        serde_json::from_value(self.ask("records/customer").await["ids"].clone()).unwrap()
    }

    /// Stored fields of a customer.
    pub(crate) async fn customer(&self, id: &str) -> Json {
        self.ask(&format!("records/customer/{id}")).await["fields"].clone()
    }

    /// Rules of bad days.
    pub(crate) async fn faults(&self, rules: Json) {
        self.tell("faults", json!({ "rules": rules })).await;
    }

    /// Writes the API has carried out.
    pub(crate) async fn writes(&self) -> u64 {
        self.ask("ledger").await["writes"].as_u64().unwrap()
    }
}
