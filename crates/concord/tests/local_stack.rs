//! What `concord dev` promises about itself: how it starts, what it writes, how it ends.
#![allow(clippy::unwrap_used, unreachable_pub)] // a test that cannot go on has failed

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

#[path = "support/stack.rs"]
mod stack;

use stack::{TestStack, folder};

/// A stack of tests that are about the house, not the bus.
const SMALL: &[&str] = &["--bus", "postgres", "--accounts", "1"];
const WARM_START: Duration = Duration::from_secs(15);

async fn get(url: &str) -> (u16, String) {
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let answer = client.get(url).send().await.unwrap_or_else(|error| panic!("{url}: {error}"));
    (answer.status().as_u16(), answer.text().await.unwrap_or_default())
}

fn alive(pid: Pid) -> bool {
    kill(pid, None).is_ok()
}

#[tokio::test]
async fn a_ready_stack_answers_everywhere_and_stops_as_promised() {
    let stack = TestStack::start(SMALL);
    let manifest = stack.manifest();
    assert_eq!((manifest.version, manifest.bus.as_str(), manifest.accounts.len()), (1, "postgres", 1));
    assert_eq!(manifest.accounts[0].account_id, "TSTDRV100001");
    let mut names: Vec<&str> = manifest.processes.iter().map(|p| p.name.as_str()).collect();
    names.sort_unstable();
    let mut expected = concord::dev::programs::SERVICES.to_vec();
    expected.push("netsuite-sim");
    expected.sort_unstable();
    assert_eq!(names, expected);
    for process in &manifest.processes {
        for path in ["livez", "readyz"] {
            let (status, body) = get(&format!("{}/{path}", process.http)).await;
            assert_eq!(status, 200, "{} {path}: {body}", process.name);
        }
    }
    for target in &manifest.prometheus_targets {
        let (status, body) = get(&format!("http://{target}/metrics")).await;
        assert!(status == 200 && body.contains("# TYPE"), "{target}: {status}");
    }
    assert_eq!(manifest.prometheus_targets.len(), manifest.processes.len());
    assert!(
        fs::read_to_string(&manifest.accounts[0].netsuite.oauth2.private_key_path).unwrap().contains("PRIVATE KEY")
    );
    stack.stop();
}

#[tokio::test]
async fn state_survives_a_restart_which_is_quick_and_two_stacks_run_side_by_side() {
    let (one, two) = (folder(), folder());
    let stack = TestStack::start_in(one.path(), SMALL);
    let manifest = stack.manifest();
    let pool = sqlx::PgPool::connect(&manifest.accounts[0].suitex.database_url).await.unwrap();
    sqlx::query("insert into app.customers (company_name) values ('Keeper')").execute(&pool).await.unwrap();
    pool.close().await;
    stack.stop();

    let neighbour = TestStack::start_in(two.path(), SMALL);
    let start = Instant::now();
    let stack = TestStack::start_in(one.path(), SMALL);
    let took = start.elapsed();
    assert!(took <= WARM_START, "a warm start took {took:?}");
    let again = stack.manifest();
    assert_eq!(again.tokens, manifest.tokens, "secrets are made once");
    let pool = sqlx::PgPool::connect(&again.accounts[0].suitex.database_url).await.unwrap();
    let kept: i64 = sqlx::query_scalar("select count(*) from app.customers where company_name = 'Keeper'")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(kept, 1);
    pool.close().await;

    let (ours, theirs) = (again, neighbour.manifest());
    for (a, b) in [
        (&ours.console_url, &theirs.console_url),
        (&ours.netsuite_sim_url, &theirs.netsuite_sim_url),
        (&ours.database_url, &theirs.database_url),
    ] {
        assert_ne!(a, b, "two stacks share an address");
    }
    let refused = Command::new(env!("CARGO_BIN_EXE_concord"))
        .args(["dev", "--headless", "--state-dir"])
        .arg(one.path())
        .output()
        .unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("already runs"), "{refused:?}");
    assert!(get(&format!("{}/readyz", ours.console_url)).await.0 == 200, "the refused one harmed the running one");
    stack.stop();
    neighbour.stop();
}

/// What `make run` shows, on either bus: also within a minute of a story that was interrupted.
fn the_story_comes_out(bus: &str) {
    let folder = folder();
    let mut stack = TestStack::visit(folder.path(), &["--bus", bus]);
    stack.says("An item is created in SuiteX.");
    stack.stop();
    let mut stack = TestStack::visit(folder.path(), &["--bus", bus]);
    stack.says("The story is told");
    stack.stop();
}

#[test]
fn the_story_comes_out_after_one_that_was_interrupted() {
    the_story_comes_out("auto");
}

#[test]
fn the_story_comes_out_on_the_postgres_bus() {
    the_story_comes_out("postgres");
}

#[tokio::test]
async fn a_killed_service_is_back_with_a_new_process_id_and_a_stopped_one_is_left_alone() {
    let stack = TestStack::start(SMALL);
    let before = stack.manifest();
    let poller = before.processes.iter().find(|p| p.name == "poller").cloned().unwrap();
    let console = before.processes.iter().find(|p| p.name == "console").cloned().unwrap();
    let stopped = Pid::from_raw(console.pid.cast_signed());
    kill(stopped, Signal::SIGSTOP).unwrap();
    stack.kill(&poller).await;
    let after = stack.manifest();
    let console_after = after.processes.iter().find(|p| p.name == "console").unwrap();
    assert_eq!(console_after.pid, console.pid, "a stopped process was taken for a dead one");
    assert!(stack.output().contains("poller-0 died: it was ended by SIGKILL"), "{}", stack.output());
    // Still stopped when the stack ends: it must not hold that up.
    stack.stop();
    assert!(!alive(stopped));
}

#[tokio::test]
async fn nothing_survives_the_death_of_the_stack_itself_and_the_next_start_finds_a_clean_house() {
    let place = folder();
    let stack = TestStack::start_in(place.path(), SMALL);
    let children = stack.processes();
    assert!(children.len() > 9, "only {children:?} were found");
    kill(stack.pid(), Signal::SIGKILL).unwrap();
    drop(stack);
    let stack = TestStack::start_in(place.path(), SMALL);
    // Told to end when the stack died, they have their drain to finish.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    let mut survivors: Vec<&Pid> = children.iter().collect();
    while !survivors.is_empty() && std::time::Instant::now() < deadline {
        survivors.retain(|pid| alive(**pid));
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert!(survivors.is_empty(), "{survivors:?} of the killed stack still run");
    assert_eq!(get(&format!("{}/readyz", stack.manifest().console_url)).await.0, 200);
    stack.stop();
}

#[test]
fn what_cannot_be_done_is_refused_with_one_sentence() {
    let place = folder();
    let refuse = |options: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_concord"))
            .args(["dev", "--headless", "--state-dir"])
            .arg(place.path())
            .args(options)
            .output()
            .unwrap();
        assert!(!output.status.success(), "{options:?} was accepted");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(refuse(&["--replicas", "merger=2"]).contains("merger"));
    assert!(refuse(&["--accounts", "0"]).contains("--accounts is 0"));
    assert!(refuse(&["--replicas", "ingest"]).contains("SERVICE=N"));
    assert!(!place.path().join("dev.json").exists());
}
