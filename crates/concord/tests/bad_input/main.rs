//! Bad input on one running stack: whatever comes in, there is a clear answer or a row in the error queue that names the
//! field and never the value, and the next good event of the same record and of another one reaches the other side.
//!
//! Each module is one door: the HTTP relay, the bus, the tenant's tables, refusals by either side, the console.
#![allow(clippy::unwrap_used, unreachable_pub)] // a test that cannot go on has failed

use std::future::Future;
use std::time::Instant;

use anyhow::Result;

#[path = "../support/stack.rs"]
#[allow(dead_code, unreachable_pub)] // the tests of the stack itself use the rest
mod stack;

mod bus;
mod house;
mod people;
mod refusals;
mod relay;
mod tenant;

use house::House;

/// What went wrong, over all doors; a door that fails does not hide the others.
#[derive(Default)]
struct Findings(Vec<String>);

impl Findings {
    async fn of(&mut self, door: &str, told: impl Future<Output = Result<Vec<String>>>) {
        let start = Instant::now();
        match told.await {
            Ok(found) => self.0.extend(found.into_iter().map(|one| format!("{door}: {one}"))),
            Err(error) => self.0.push(format!("{door}: {error:#}")),
        }
        println!("{door}: {:.1} s, {} findings so far", start.elapsed().as_secs_f64(), self.0.len());
    }
}

#[tokio::test]
async fn bad_input_is_answered_and_the_next_good_event_is_processed() {
    let house = House::open().await.expect("a house with two accounts");
    let mut findings = Findings::default();
    findings.of("the console", people::try_everything(&house)).await;
    findings.of("the relay", relay::try_everything(&house)).await;
    findings.of("the bus", bus::try_everything(&house)).await;
    findings.of("the tenant's tables", tenant::try_everything(&house)).await;
    findings.of("refused writes", refusals::try_everything(&house)).await;
    findings.of("the logs", async { house.values_in_logs() }).await;
    let output = house.close();
    assert!(findings.0.is_empty(), "{} findings:\n  {}\n{output}", findings.0.len(), findings.0.join("\n  "));
}
