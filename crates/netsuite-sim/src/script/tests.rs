//! Limits of a run, which are too long to wait for over HTTP.

use std::path::Path;
use std::sync::Arc;

use super::engine::Outcome;
use super::run::{Allowance, Cause};
use super::{ScriptError, Scripts};
use crate::clock::Clock;
use crate::config::AccountConfig;
use crate::ledger::Ledger;
use crate::world::{Author, Site, World};

const OBJECT: &str = r#"<restlet scriptid="customscript_a"><scriptfile>[/SuiteScripts/a.js]</scriptfile>
    <scriptcustomfields>
      <scriptcustomfield scriptid="custscript_a_one"><defaultvalue>one</defaultvalue></scriptcustomfield>
      <scriptcustomfield scriptid="custscript_a_two"><defaultvalue>two</defaultvalue></scriptcustomfield>
    </scriptcustomfields>
    <scriptdeployments><scriptdeployment scriptid="customdeploy_a"/></scriptdeployments></restlet>"#;

/// An account with one RESTlet.
fn open(folder: &Path, source: &str) -> Result<Arc<Scripts>, ScriptError> {
    open_with(folder, source, &[])
}

/// An account with one RESTlet, and values of script parameters.
fn open_with(folder: &Path, source: &str, parameters: &[(&str, &str)]) -> Result<Arc<Scripts>, ScriptError> {
    let project = folder.join("project");
    for part in ["Objects", "FileCabinet/SuiteScripts"] {
        std::fs::create_dir_all(project.join(part)).unwrap();
    }
    std::fs::write(project.join("deploy.xml"), "<deploy><objects><path>~/Objects/*</path></objects></deploy>").unwrap();
    std::fs::write(project.join("Objects/customscript_a.xml"), OBJECT).unwrap();
    std::fs::write(project.join("FileCabinet/SuiteScripts/a.js"), source).unwrap();
    let mut config = AccountConfig::named("A1");
    config.scripts.folder = Some(project);
    let own = parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    config.scripts.parameters = own.collect();
    let (zone, date_format, initial) = config.checked().unwrap();
    let clock = Arc::new(Clock::following_the_machine());
    let world = World::open(Site { path: folder.join("a.sqlite3"), zone, date_format, clock, initial }).unwrap();
    Scripts::open(&config, Arc::new(world), Arc::new(Ledger::default()), tokio::runtime::Handle::current())
}

/// Calls its POST with `body` and one second to go.
fn call(scripts: &Arc<Scripts>, body: &str) -> Outcome {
    let cause = Cause {
        script: scripts.project.script("customscript_a").unwrap().clone(),
        deployment: "customdeploy_a".to_owned(),
        author: Author { user: "jane".to_owned(), context: "RESTLET".to_owned() },
        user: 11,
        allowance: Allowance { units: 5_000, seconds: 1 },
        is_user_event: false,
    };
    scripts.call(cause, "post", "restlet", body).0
}

fn name(outcome: Outcome) -> String {
    match outcome {
        Outcome::Failed(fault) => fault.name,
        Outcome::Done(value) => value.to_string(),
        Outcome::Absent => "absent".to_owned(),
    }
}

const LIMITS: &str = "define([], () => ({ post: ({ what }) => {
    if (what === 'time') { for (;;) { try { for (;;) {} } catch (_) { /* again */ } } }
    if (what === 'memory') { const kept = []; for (;;) kept.push('x'.repeat(1000) + kept.length); }
    if (what === 'stack') { const deeper = (n) => deeper(n + 1) + 1; return String(deeper(0)); }
    if (what === 'promise') return new Promise(() => {});
    return 'fine';
} }));";

#[tokio::test]
async fn a_run_that_takes_too_much_of_anything_ends_and_the_next_one_runs() {
    let folder = tempfile::tempdir().unwrap();
    let scripts = open(folder.path(), LIMITS).unwrap();
    let seen = tokio::task::spawn_blocking(move || {
        ["time", "memory", "stack", "promise", "nothing"]
            .map(|what| name(call(&scripts, &format!("{{\"what\":\"{what}\"}}"))))
    });
    let [time, memory, stack, promise, fine] = seen.await.unwrap();
    assert_eq!(time, "SSS_TIME_LIMIT_EXCEEDED");
    assert!(["InternalError", "UNEXPECTED_ERROR"].contains(&memory.as_str()), "{memory}");
    assert!(["InternalError", "RangeError"].contains(&stack.as_str()), "{stack}");
    assert_eq!(promise, "UNEXPECTED_ERROR");
    assert_eq!(fine, "\"fine\"");
}

#[tokio::test]
async fn a_script_that_cannot_be_loaded_stops_the_account_by_name() {
    for (source, reason) in [
        ("define(['./nothing'], () => ({}));", "MODULE_DOES_NOT_EXIST"),
        ("define(['N/nothing'], () => ({}));", "MODULE_DOES_NOT_EXIST"),
        ("define(['N/runtime'], (runtime) => ({ id: runtime.accountId }));", "SUITESCRIPT_API_UNAVAILABLE_IN_DEFINE"),
        ("define([], () => ({ post: ", "SyntaxError"),
        ("let a = 1;", "defines no module"),
        ("define(['./a'], () => ({}));", "CYCLIC_DEPENDENCY"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let error = open(folder.path(), source).err().unwrap().to_string();
        assert!(error.contains("customscript_a") && error.contains(reason), "{source}: {error}");
    }
}

#[tokio::test]
async fn a_script_reads_its_own_parameters_as_the_account_sets_them() {
    let source = "define(['N/runtime'], (runtime) => ({ post: () => ['one', 'two', 'three'].map((name) =>
        runtime.getCurrentScript().getParameter({ name: `custscript_a_${name}` })) }));";
    let folder = tempfile::tempdir().unwrap();
    let scripts = open_with(folder.path(), source, &[("custscript_a_two", "2")]).unwrap();
    let seen = tokio::task::spawn_blocking(move || call(&scripts, "{}")).await.unwrap();
    let Outcome::Done(serde_json::Value::String(text)) = seen else { panic!("{seen:?}") };
    assert_eq!(text, r#"["one","2",null]"#);
    let other = tempfile::tempdir().unwrap();
    let error = open_with(other.path(), source, &[("custscript_b", "2")]).err().unwrap();
    assert_eq!(error.to_string(), "scripts.parameters names custscript_b, which no script has");
}
