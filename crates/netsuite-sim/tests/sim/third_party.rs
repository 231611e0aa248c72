//! Public NetSuite clients, unchanged, doing real work against the simulator. `.ci/setup --clients` installs them.

use std::path::PathBuf;
use std::process::Stdio;

use serde_json::{Value as Json, json};
use tokio::process::Command;

use crate::harness::{ACCOUNT, Sim};

/// The installed packages; without them the test ends here, except on CI, where it fails.
fn installed(folder: &str, package: &str) -> Option<PathBuf> {
    let brought = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../.concord/clients").join(folder);
    if brought.join(package).exists() {
        return Some(brought.canonicalize().unwrap());
    }
    let text = format!("{} is not there: run .ci/setup --clients", brought.join(package).display());
    assert!(std::env::var_os("CI").is_none(), "{text}");
    println!("left out: {text}");
    None
}

/// Runs a client's program to its end and reads the line it prints.
async fn work(mut command: Command) -> Json {
    let done = command.stdin(Stdio::null()).output().await.unwrap();
    let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{out}\n{err}");
    serde_json::from_str(out.lines().last().unwrap()).unwrap()
}

fn program(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(path)
}

/// The bodies of refusals as those clients see them.
fn detail(seen: &Json, name: &str) -> (Json, Json, String) {
    let seen = &seen["refusals"][name];
    (seen[0].clone(), seen[1].clone(), seen[2].as_str().unwrap().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pypi_package_netsuite_works_unchanged() {
    let Some(packages) = installed("python", "bin/python") else { return };
    let sim = Sim::start().await;
    sim.tell("generate", json!({ "customers": 12, "seed": 1 })).await;
    let mut command = Command::new(packages.join("bin/python"));
    command.arg(program("python/work.py")).arg(sim.url("")).arg(ACCOUNT);
    let seen = work(command).await;
    assert_eq!((&seen["paged"], &seen["restlet"], &seen["schema"]), (&json!(12), &json!(13), &json!("number")));
    assert_eq!(seen["openapi"], json!(["customer", "salesOrder"]));
    let made = sim.fields("customer", seen["customer"].as_str().unwrap()).await;
    assert_eq!((&made["companyname"], &made["phone"]), (&json!("Made in Python"), &json!("+1 510 555 0100")));
    assert_eq!(sim.rows("SELECT companyname, externalid FROM vendor").await[0]["externalid"], "PY-1");
    assert_eq!(sim.rows("SELECT name FROM deletedrecord").await, [json!({ "name": "Short Lived" })]);
    let (status, code, text) = detail(&seen, "column");
    assert_eq!((status, code), (json!(400), json!("INVALID_PARAMETER")));
    assert!(text.ends_with("Unknown identifier 'nothing'. Available identifiers are: {customer=customer}."), "{text}");
    assert!(detail(&seen, "table").2.ends_with("Invalid search type: nothing."));
    assert_eq!(detail(&seen, "absent").1, "NONEXISTENT_ID");
    assert_eq!(detail(&seen, "field").1, "INVALID_CONTENT");
    assert_eq!(detail(&seen, "login").0, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_npm_package_netsuite_rest_works_unchanged() {
    let Some(packages) = installed("node", "node_modules/netsuite-rest") else { return };
    let sim = Sim::start().await;
    sim.tell("generate", json!({ "customers": 12, "seed": 1 })).await;
    let mut command = Command::new("node");
    command.arg(program("node/work.mjs")).arg(sim.url("")).arg(ACCOUNT).env("CLIENT_FOLDER", packages);
    let seen = work(command).await;
    assert_eq!((&seen["paged"], &seen["collection"]), (&json!(12), &json!(13)));
    assert!(seen["types"].as_u64().unwrap() > 25);
    let made = sim.fields("customer", seen["customer"].as_str().unwrap()).await;
    assert_eq!((&made["creditlimit"], &made["comments"]), (&json!(99.5), &json!("Grüße")));
    let kept = sim.rows("SELECT type, foreigntotal FROM transaction").await;
    assert_eq!(kept, [json!({ "type": "CustInvc", "foreigntotal": "12" })]);
    assert_eq!(detail(&seen, "absent").0, 404);
    assert_eq!(detail(&seen, "type").2, "Record type 'bad-path' does not exist");
    assert_eq!(detail(&seen, "gone").1, "NONEXISTENT_ID");
    assert_eq!((detail(&seen, "login").0, detail(&seen, "login").1), (json!(401), json!("INVALID_LOGIN")));
    assert!(detail(&seen, "column").2.contains("Unknown identifier 'nope'"));
}
