//! Measures the simulator on this machine: `cargo run --release -p netsuite-sim --example measure [RECORDS]`.
//!
//! First a data set of RECORDS records (a million unless told otherwise: three tenths customers, one tenth items, the
//! rest orders over three years), with the time it takes and the most memory the process had; then SuiteQL over HTTP,
//! pages of 1000 rows and 20 columns by keyset through the first 100,000 customers, client and simulator together.

#![allow(clippy::unwrap_used, reason = "a measurement that fails has no result")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use netsuite_sim::{AccountConfig, Amounts, Config, Running, TbaConfig};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::Sha256;

const ACCOUNT: &str = "TSTDRV100001";
const CLIENTS: usize = 4;
const MEASURED: Duration = Duration::from_secs(10);
const TABLE_ROWS: u64 = 100_000;
const COLUMNS: &str = "id, entityid, companyname, altname, email, phone, category, creditlimit, comments, terms, currency, \
    pricelevel, territory, shippingitem, taxable, entitystatus, isinactive, custentity_tags, custentity_loyalty_points, \
    TO_CHAR(lastmodifieddate, 'YYYY-MM-DD HH24:MI:SS') AS lm";

#[tokio::main]
async fn main() {
    let records: u32 = std::env::args().nth(1).map_or(1_000_000, |word| word.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let mut account = AccountConfig::named(ACCOUNT);
    account.concurrency_limit = 20;
    account.tba = Some(TbaConfig {
        consumer_key: "ck".to_owned(),
        consumer_secret: "cs".into(),
        token_id: "tk".to_owned(),
        token_secret: "ts".into(),
    });
    let data_dir = folder.path().join("data");
    let config = Config { listen: ([127, 0, 0, 1], 0).into(), data_dir, accounts: vec![account] };
    let running = netsuite_sim::start(config, std::future::pending()).await.unwrap();
    generate(&running, records);
    query(&running).await;
}

fn generate(running: &Running, records: u32) {
    let (customers, items) = (records * 3 / 10, records / 10);
    let orders = records - customers - items;
    let amounts = Amounts { customers, items, orders, seed: 1, history_days: 1_095, ..Amounts::default() };
    let start = Instant::now();
    let made = tokio::task::block_in_place(|| running.generate(ACCOUNT, &amounts)).unwrap();
    let seconds = start.elapsed().as_secs_f64();
    println!("{} records, {} rows in {seconds:.1} s; most memory {} MB", made.records, made.rows, most_memory());
}

/// The most memory the process had, in MB.
fn most_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|word| word.parse::<u64>().ok()).unwrap_or(0) / 1024
}

async fn query(running: &Running) {
    let url = format!("http://{}/services/rest/query/v1/suiteql", running.address());
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let pages = Arc::new(AtomicU64::new(0));
    let start = Instant::now();
    let clients = (0..CLIENTS).map(|client| {
        let (url, http, pages) = (url.clone(), http.clone(), pages.clone());
        tokio::spawn(async move {
            let mut last = 0_u64;
            while start.elapsed() < MEASURED {
                // Looked at as text: reading a page into a tree would take as long as making it.
                let body = page(&http, &url, client, last).await;
                assert!(body.contains("\"count\":1000,"), "{}", &body[..body.len().min(500)]);
                let (_, tail) = body.rsplit_once("{\"links\":[],\"id\":\"").unwrap();
                let id: u64 = tail.split_once('"').unwrap().0.parse().unwrap();
                last = if id > TABLE_ROWS { 0 } else { id };
                pages.fetch_add(1, Ordering::Relaxed);
            }
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.unwrap();
    }
    let pages = pages.load(Ordering::Relaxed);
    let rate = pages as f64 / start.elapsed().as_secs_f64();
    println!("{pages} pages of 1000 rows and 20 columns: {rate:.0} pages/s with {CLIENTS} clients");
}

async fn page(http: &reqwest::Client, url: &str, client: usize, last: u64) -> String {
    let sql = format!("SELECT {COLUMNS} FROM customer WHERE id > {last} AND id <= {} ORDER BY id", TABLE_ROWS + 1_000);
    let request = http.post(url).header("authorization", signed(url, client)).header("prefer", "transient");
    let reply = request.json(&serde_json::json!({ "q": sql })).send().await.unwrap();
    reply.text().await.unwrap()
}

fn signed(url: &str, client: usize) -> String {
    const RFC3986: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    static SERIAL: AtomicU64 = AtomicU64::new(0);
    let encode = |text: &str| utf8_percent_encode(text, &RFC3986).to_string();
    let nonce = format!("n{client}x{:012}", SERIAL.fetch_add(1, Ordering::Relaxed));
    let stamp = jiff_now();
    let list = format!(
        "oauth_consumer_key=ck&oauth_nonce={nonce}&oauth_signature_method=HMAC-SHA256&oauth_timestamp={stamp}&oauth_token=tk&oauth_version=1.0"
    );
    let mut mac = Hmac::<Sha256>::new_from_slice(b"cs&ts").unwrap();
    mac.update(format!("POST&{}&{}", encode(url), encode(&list)).as_bytes());
    let signature = encode(&STANDARD.encode(mac.finalize().into_bytes()));
    let shown = list.replace('&', "\",").replace('=', "=\"");
    format!("OAuth realm=\"{ACCOUNT}\",{shown}\",oauth_signature=\"{signature}\"")
}

#[allow(clippy::disallowed_methods, reason = "the client of a measurement runs on the machine's clock")]
fn jiff_now() -> i64 {
    jiff::Timestamp::now().as_second()
}
