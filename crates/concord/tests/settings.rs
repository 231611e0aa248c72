//! Wrong settings stop a service at once (contracts §7): every service as a process, every required setting missing,
//! every kind of setting wrong. Each time one sentence names the variable, the exit code is 2, and no secret shows.
#![allow(clippy::unwrap_used, unreachable_pub)] // a test that cannot go on has failed

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use concord::dev::programs::SERVICES;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

/// "At once": reading settings takes milliseconds, a busy machine may need more to start a process at all.
const AT_ONCE: Duration = Duration::from_secs(10);
/// Longest wait for a service that was asked to stop while its database is away.
const STOPPED_WITHIN: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// Stands in every secret of this file; nothing that is printed may hold it.
const HUSH: &str = "hush-5ecret";

/// A whole environment in which every service starts; the database is away, which stops nobody.
struct Base {
    folder: TempDir,
    accounts: String,
}

/// What is put in the place of a setting.
enum Change<'a> {
    /// It is not set.
    Missing,
    /// It reads this.
    Text(&'a str),
    /// The file it names holds this.
    File(&'a str),
    /// The file it names is the base's accounts file with one text replaced by another.
    Accounts(&'a str, &'a str),
}

impl Base {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let key = private_key();
        fs::write(folder.path().join("key.pem"), key).expect("a key file");
        let accounts = format!(
            r#"
[[account]]
id = "TSTDRV100001"
[account.netsuite]
rest_url = "http://127.0.0.1:1"
restlet_url = "http://127.0.0.1:1/app/site/hosting/restlet.nl"
auth = "oauth2"
[account.netsuite.oauth2]
client_id = "client"
certificate_id = "certificate"
private_key = {{ file = "key.pem" }}
[account.suitex]
database_url = {{ value = "postgres://tenant:{HUSH}@127.0.0.1:1/suitex" }}
[account.ingest]
signing_secrets = [{{ value = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD" }}]
"#
        );
        fs::write(folder.path().join("accounts.toml"), &accounts).expect("an accounts file");
        fs::write(folder.path().join("tokens.toml"), token("admin", &"ab".repeat(32))).expect("a tokens file");
        Self { folder, accounts }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().expect("a readable path").to_owned()
    }

    fn environment(&self, http: SocketAddr) -> Vec<(&'static str, String)> {
        vec![
            ("DATABASE_URL", format!("postgres://concord:{HUSH}@127.0.0.1:1/concord")),
            ("CONCORD_HTTP", http.to_string()),
            ("CONCORD_BUS", "postgres".to_owned()),
            ("CONCORD_ACCOUNTS", self.path("accounts.toml")),
            ("CONCORD_TOKENS", self.path("tokens.toml")),
        ]
    }

    /// The environment with one setting changed.
    fn changed(&self, name: &'static str, change: &Change<'_>) -> Vec<(&'static str, String)> {
        let mut environment = self.environment(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        environment.retain(|(other, _)| *other != name);
        let file = |text: &str| {
            // Beside the base's files, so that relative paths keep their meaning.
            fs::write(self.folder.path().join("changed"), text).expect("a changed file");
            self.path("changed")
        };
        match change {
            Change::Missing => {}
            Change::Text(text) => environment.push((name, (*text).to_owned())),
            Change::File(text) => environment.push((name, file(text))),
            Change::Accounts(old, new) => {
                assert!(self.accounts.contains(old), "{old} is in the accounts file");
                environment.push((name, file(&self.accounts.replacen(old, new, 1))));
            }
        }
        environment
    }
}

/// An unencrypted EC key as the stack makes them.
fn private_key() -> String {
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
    use base64::Engine;
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).expect("a key can be made");
    let der = pair.to_pkcs8v1().expect("a key can be written");
    let text = base64::engine::general_purpose::STANDARD.encode(der.as_ref());
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).expect("base64 is text")).collect();
    format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n"))
}

fn token(role: &str, sha256: &str) -> String {
    format!("[[token]]\nname = \"jo\"\nrole = \"{role}\"\nsha256 = \"{sha256}\"\n")
}

fn program(service: &str) -> PathBuf {
    let beside = Path::new(env!("CARGO_BIN_EXE_concord")).with_file_name(service);
    assert!(beside.is_file(), "{service} is not built beside concord: run `cargo build --workspace --bins` first");
    beside
}

fn start(service: &str, environment: &[(&'static str, String)]) -> Child {
    Command::new(program(service))
        .env_clear()
        .envs(environment.iter().map(|(name, value)| (*name, value.as_str())))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a service can be started")
}

/// Waits for the end; kills what has not ended in time.
fn ended(child: &mut Child, within: Duration) -> Option<ExitStatus> {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("a child can be looked at") {
            return Some(status);
        }
        if start.elapsed() > within {
            child.kill().expect("a child can be killed");
            child.wait().expect("a killed child ends");
            return None;
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

fn said(child: &mut Child) -> (String, String) {
    let (mut out, mut err) = (String::new(), String::new());
    child.stdout.take().expect("a pipe").read_to_string(&mut out).expect("text");
    child.stderr.take().expect("a pipe").read_to_string(&mut err).expect("text");
    (out, err)
}

/// Runs a service with a setting that must stop it; what is wrong with how it ended.
fn refused(base: &Base, service: &str, name: &'static str, change: &Change<'_>, names: &str) -> Option<String> {
    let mut child = start(service, &base.changed(name, change));
    let status = ended(&mut child, AT_ONCE);
    let (out, err) = said(&mut child);
    let complaint = |why: &str| Some(format!("{service}, {names}: {why}\n    {}", err.trim_end()));
    let Some(status) = status else { return complaint("it runs on") };
    if status.code() != Some(2) {
        return complaint(&format!("it ends with {status}, promised is exit code 2"));
    }
    let sentence = err.trim_end();
    if sentence.lines().count() != 1 || !sentence.starts_with(&format!("{service}: ")) || !sentence.ends_with('.') {
        return complaint("it does not end with one sentence of its own");
    }
    if !sentence.contains(names) || !sentence.contains("accepted is") {
        return complaint("the sentence does not name the setting and what is accepted");
    }
    if sentence.contains(HUSH) || !out.is_empty() {
        return complaint("it prints a secret, or anything at all before its settings are read");
    }
    None
}

/// Settings of every service.
const SHARED: &[(&str, Change<'_>)] = &[
    ("DATABASE_URL", Change::Missing),
    ("DATABASE_URL", Change::Text("")),
    ("DATABASE_URL", Change::Text("mysql://concord:hush-5ecret@127.0.0.1/concord")),
    ("DATABASE_URL", Change::Text("hush-5ecret")),
    ("CONCORD_HTTP", Change::Missing),
    ("CONCORD_HTTP", Change::Text("localhost")),
    ("CONCORD_BUS", Change::Text("kafka")),
    ("PUBSUB_EMULATOR_HOST", Change::Text("http://127.0.0.1:8085")),
    ("PUBSUB_ORDERING_LANES", Change::Text("-1")),
    ("PUBSUB_ORDERED", Change::Text("perhaps")),
    ("CONCORD_ACCOUNTS", Change::Missing),
    ("CONCORD_ACCOUNTS", Change::Text("/nowhere/accounts.toml")),
    ("CONCORD_ACCOUNTS", Change::File("[[account]]\nid = ")),
    ("CONCORD_ACCOUNTS", Change::File("")),
    ("CONCORD_CONFIG", Change::Text("/nowhere/concord.toml")),
    ("CONCORD_CONFIG", Change::File("DATABASE_URL = [\"hush-5ecret\"")),
    ("CONCORD_TYPES", Change::Text("/nowhere/types.toml")),
    ("CONCORD_TYPES", Change::File("[[type]]\nname = \"customer\"\n")),
    ("CONCORD_CRASH_POINTS", Change::Text("/nowhere/points")),
    ("CONCORD_REPLICA", Change::Text("first")),
    ("CONCORD_LOG", Change::Text("xml")),
    ("RUST_LOG", Change::Text("chassis=loudly")),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", Change::Text("collector:4317")),
    ("DATABASE_POOL_SIZE", Change::Text("0")),
    ("MAX_RETRY_ATTEMPTS", Change::Text("never")),
];

/// Settings of some services: who reads them, and a value that is none.
const OWN: &[(&[&str], &str, &[&str])] = &[
    (&["ingest"], "INGEST_EVENTS_PER_SECOND", &["0", "many"]),
    (&["ingest"], "INGEST_BURST", &["99"]),
    (&["ingest"], "INGEST_PUBLISH_TIMEOUT_SECONDS", &["NaN", "61"]),
    (&["ingest"], "INGEST_BODY_TIMEOUT_SECONDS", &["0"]),
    (&["ingest"], "INGEST_MAX_REQUESTS", &["0"]),
    (&["outbox-relay"], "RELAY_BATCH", &["0"]),
    (&["outbox-relay"], "RELAY_POLL_SECONDS", &["-1"]),
    (&["outbox-relay"], "RELAY_KEEP_HOURS", &["1.5"]),
    (&["outbox-relay", "merge-service", "suitex-writer", "reconciler"], "TENANT_POOL_SIZE", &["0", "two"]),
    (&["poller"], "POLL_INTERVAL_SECONDS", &["0", "soon", "inf"]),
    (&["poller"], "POLL_OVERLAP_SECONDS", &["-1"]),
    (&["poller"], "POLL_READ_BACK_SECONDS", &["-1"]),
    (&["poller"], "POLL_PAGE", &["1001"]),
    (&["merge-service"], "MERGE_BATCH", &["0"]),
    (&["merge-service"], "MERGE_LOOPS", &["17"]),
    (&["merge-service", "netsuite-writer"], "COALESCE_WINDOW_MS", &["2s"]),
    (&["merge-service", "dlq-handler"], "MERGE_LEASE_SECONDS", &["0"]),
    (&["netsuite-writer", "suitex-writer"], "WRITE_BATCH", &["0"]),
    (&["netsuite-writer", "suitex-writer"], "WRITE_LOOPS", &["65"]),
    (&["netsuite-writer", "suitex-writer"], "WRITE_DEADLINE_SECONDS", &["1"]),
    (&["netsuite-writer", "suitex-writer"], "DELETE_BRAKE_RECORDS", &["-1", "some"]),
    // Not shorter than the deadline.
    (&["netsuite-writer", "suitex-writer"], "WRITE_TIMEOUT_SECONDS", &["0", "30"]),
    (&["reconciler"], "RECONCILE_INTERVAL_SECONDS", &["0"]),
    (&["reconciler"], "RECONCILE_CONFIRM_SECONDS", &["0"]),
    (&["reconciler"], "RECONCILE_BATCH", &["0"]),
    (&["reconciler"], "RECONCILE_SWEEP_CRON", &["nightly", "0 2 * *", "0 0 2 * * *", "0 25 * * *"]),
    (&["reconciler"], "RECONCILE_PAGE", &["1001"]),
    (&["reconciler"], "RECONCILE_GRACE_SECONDS", &["-1"]),
    (&["reconciler"], "RECONCILE_LEASE_SECONDS", &["0"]),
    (&["outbox-relay", "poller", "console"], "SNAPSHOT_URL", &["folder", "file:///nowhere/at/all", "ftp://host/x"]),
    (&["outbox-relay", "poller"], "SNAPSHOT_THRESHOLD_BYTES", &["0", "256k"]),
    (&["dlq-handler"], "DLQ_BATCH", &["0"]),
];

/// Mistakes in the accounts file: a text of the file, what stands there instead, and what the sentence names.
const ACCOUNTS: &[(&str, &str, &str)] = &[
    ("id = \"TSTDRV100001\"", "id = \"a/b\"", "a/b"),
    ("rest_url = \"http://127.0.0.1:1\"", "rest_url = \"127.0.0.1\"", "netsuite.rest_url"),
    ("auth = \"oauth2\"", "auth = \"tba\"", "[account.netsuite.tba]"),
    ("auth = \"oauth2\"", "auth = \"hush-5ecret\"", "CONCORD_ACCOUNTS"),
    ("client_id", "client", "unknown field `client`"),
    ("{ file = \"key.pem\" }", "{ file = \"absent.pem\" }", "netsuite.oauth2.private_key"),
    ("{ file = \"key.pem\" }", "{ env = \"NOT_SET_ANYWHERE\" }", "NOT_SET_ANYWHERE"),
    ("value = \"postgres://tenant", "value = \"hush-5ecret", "suitex.database_url"),
];

fn report(found: Vec<String>, tried: usize) {
    assert!(tried > 0, "nothing was tried");
    assert!(
        found.is_empty(),
        "{} of {tried} settings did not stop their service as promised:\n  {}",
        found.len(),
        found.join("\n  ")
    );
}

/// Without this, a service that never starts at all would pass every other test of this file.
#[test]
fn with_right_settings_every_service_starts_and_stops() {
    let base = Base::new();
    for service in SERVICES {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|l| l.local_addr()).expect("a free port");
        let mut child = start(service, &base.environment(port));
        let begun = Instant::now();
        while !answers(port) {
            let end = child.try_wait().expect("a child can be looked at");
            if end.is_some() || begun.elapsed() > STOPPED_WITHIN {
                let _ = child.kill();
                panic!("{service} does not start ({end:?}):\n{}", said(&mut child).1);
            }
            std::thread::sleep(LOOK_EVERY);
        }
        kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM).expect("a running service can be stopped");
        let status = ended(&mut child, STOPPED_WITHIN);
        let (out, err) = said(&mut child);
        assert!(status.is_some_and(|s| s.success()), "{service} ended with {status:?}:\n{err}");
        assert!(!out.contains(HUSH) && !err.contains(HUSH), "{service} prints a secret:\n{out}\n{err}");
    }
}

fn answers(port: SocketAddr) -> bool {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(port)?;
        stream.set_read_timeout(Some(AT_ONCE))?;
        stream.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
}

#[test]
fn a_wrong_shared_setting_stops_every_service() {
    let base = Base::new();
    let mut found = Vec::new();
    for service in SERVICES {
        for (name, change) in SHARED {
            found.extend(refused(&base, service, name, change, name));
        }
        let nowhere = Change::Text("pubsub");
        found.extend(refused(&base, service, "CONCORD_BUS", &nowhere, "PUBSUB_PROJECT"));
    }
    report(found, SERVICES.len() * (SHARED.len() + 1));
}

#[test]
fn a_wrong_setting_of_its_own_stops_a_service() {
    let base = Base::new();
    let mut found = Vec::new();
    let mut tried = 0;
    for (services, name, values) in OWN {
        for (service, value) in services.iter().flat_map(|s| values.iter().map(move |v| (s, v))) {
            tried += 1;
            found.extend(refused(&base, service, name, &Change::Text(value), name));
        }
    }
    report(found, tried);
}

#[test]
fn a_mistake_in_the_accounts_file_stops_every_service() {
    let base = Base::new();
    let mut found = Vec::new();
    for service in SERVICES {
        for (old, new, names) in ACCOUNTS {
            found.extend(refused(&base, service, "CONCORD_ACCOUNTS", &Change::Accounts(old, new), names));
        }
    }
    report(found, SERVICES.len() * ACCOUNTS.len());
}

#[test]
fn credentials_that_cannot_be_used_stop_the_services_that_use_them() {
    let base = Base::new();
    let key = "account TSTDRV100001: the private key";
    let mut found = Vec::new();
    for service in ["poller", "merge-service", "netsuite-writer", "reconciler"] {
        let change = Change::Accounts("{ file = \"key.pem\" }", "{ value = \"hush-5ecret\" }");
        found.extend(refused(&base, service, "CONCORD_ACCOUNTS", &change, key));
    }
    let secret = Change::Accounts("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD", HUSH);
    found.extend(refused(&base, "ingest", "CONCORD_ACCOUNTS", &secret, "ingest.signing_secrets"));
    report(found, 5);
}

#[test]
fn the_console_needs_its_tokens() {
    let base = Base::new();
    let king = token("king", &"ab".repeat(32));
    let short = token("admin", HUSH);
    let changes = [
        Change::Missing,
        Change::Text("/nowhere/tokens.toml"),
        Change::File("[[token]]\nname = "),
        Change::File(&king),
        Change::File(&short),
        Change::File("[[token]]\nname = \"jo\"\nrole = \"admin\"\nsecret = \"hush-5ecret\"\n"),
        // Nobody could ever be let in.
        Change::File(""),
    ];
    let wrong =
        changes.iter().filter_map(|change| refused(&base, "console", "CONCORD_TOKENS", change, "CONCORD_TOKENS"));
    report(wrong.collect(), changes.len());
}
