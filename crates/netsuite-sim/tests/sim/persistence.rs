//! What outlives the process.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::{Value as Json, json};

use crate::harness::{ACCOUNT, Sim, account};

#[tokio::test]
async fn records_numbering_and_tokens_outlive_a_restart() {
    let sim = Sim::start().await;
    let first = sim.customer(json!({ "phone": "1" })).await;
    let second = sim.customer(json!({})).await;
    sim.edit("delete", "customer", Some(&second), json!({})).await;
    sim.tell("schema", json!({ "table": "customer", "column": "email", "change": "remove" })).await;
    let token = sim.token().await;
    let folder = sim.stop().await;
    let config = account(folder.path());
    let sim = Sim::of(folder, vec![config]).await;
    assert_eq!(sim.fields("customer", &first).await["phone"], "1");
    let third: u64 = sim.customer(json!({})).await.parse().unwrap();
    assert!(third > second.parse().unwrap(), "an id is never used twice");
    assert!(sim.complaint("SELECT email FROM customer").await.contains("Unknown identifier"));
    let url = sim.url("/services/rest/record/v1/customer");
    assert_eq!(sim.http.get(url).bearer_auth(token).send().await.unwrap().status(), 200);
}

struct Process {
    child: Child,
    address: String,
}

impl Process {
    /// Starts the binary and waits until it tells its address.
    fn start(config: &std::path::Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_netsuite-sim"))
            .arg("--config")
            .arg(config)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = lines
            .map(|line| serde_json::from_str::<Json>(&line.unwrap()).unwrap())
            .find_map(|line| line["fields"]["address"].as_str().map(str::to_owned))
            .unwrap();
        Self { child, address }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}/_sim/v1/accounts/{ACCOUNT}/{path}", self.address)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn a_killed_process_loses_nothing_it_answered() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sim.toml");
    let data = folder.path().join("data");
    let text = format!(
        "listen = \"127.0.0.1:0\"\ndata_dir = {data:?}\n[[accounts]]\naccount_id = \"{ACCOUNT}\"\ntime_zone = \"UTC\"\n"
    );
    std::fs::write(&path, text).unwrap();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let process = Process::start(&path);
    let mut ids = Vec::new();
    for n in 0..50 {
        let body = json!({ "operation": "create", "type": "customer", "changes": { "companyname": format!("C{n}") } });
        let reply: Json = http.post(process.url("edit")).json(&body).send().await.unwrap().json().await.unwrap();
        ids.push(reply["id"].clone());
    }
    drop(process);
    let process = Process::start(&path);
    let reply: Json = http.get(process.url("records/customer")).send().await.unwrap().json().await.unwrap();
    assert_eq!(reply["ids"], Json::from(ids));
}

#[test]
fn a_wrong_setting_stops_it_with_one_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sim.toml");
    let text =
        "listen = \"127.0.0.1:0\"\ndata_dir = \"data\"\n[[accounts]]\naccount_id = \"A1\"\ntime_zone = \"Mars/Base\"\n";
    std::fs::write(&path, text).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_netsuite-sim"))
        .current_dir(folder.path())
        .arg("--config")
        .arg(&path)
        .output()
        .unwrap();
    assert!(!output.status.success());
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("account A1: time_zone is \"Mars/Base\", accepted is an IANA zone name"), "{text}");
}

#[tokio::test]
async fn a_world_of_an_earlier_version_gets_the_columns_it_lacks() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let old = rusqlite::Connection::open(data.join(format!("{ACCOUNT}.sqlite3"))).unwrap();
    old.create_collation("NS", |a, b| a.cmp(b)).unwrap();
    old.execute_batch(
        "CREATE TABLE customer (id INTEGER PRIMARY KEY, entityid TEXT NOT NULL UNIQUE, companyname TEXT, phone TEXT,
           isinactive TEXT NOT NULL, datecreated MOMENT_TEXT COLLATE NS NOT NULL,
           lastmodifieddate MOMENT_TEXT COLLATE NS NOT NULL, lastmodifiedby INTEGER NOT NULL);
         INSERT INTO customer VALUES (7, 'CUST7', 'Old Friends', '1', 'F', char(1) || '2026-01-02T03:04:05Z',
           char(1) || '2026-01-02T03:04:05Z', 11);",
    )
    .unwrap();
    drop(old);
    let config = account(folder.path());
    let sim = Sim::of(folder, vec![config]).await;
    let fields = sim.fields("customer", "7").await;
    assert_eq!((&fields["companyname"], &fields["email"]), (&json!("Old Friends"), &Json::Null));
    sim.edit("update", "customer", Some("7"), json!({ "email": "a@b.example", "category": "2" })).await;
    let rows = sim.rows("SELECT email, BUILTIN.DF(category) AS category, taxable FROM customer").await;
    assert_eq!(rows, [json!({ "email": "a@b.example", "category": "Individual", "taxable": "F" })]);
}
