//! Record writes a second through the write RESTlet with scripts on: each write is loaded, judged and saved by the
//! account's own SuiteScript, and each save runs its user event.
//!
//! `cargo bench -p netsuite-sim` writes ten customers a call, five calls at once, as a client at the limit of a small
//! account does: with a user event that leaves a row in the outbox, and with one that posts to an ingest.

#![allow(dead_code, reason = "the clients and the account of the tests, of which a benchmark needs a part")]
#![allow(clippy::unwrap_used, reason = "a broken expectation ends the benchmark")]

#[path = "../tests/sim/clients.rs"]
mod clients;
#[path = "../tests/sim/harness.rs"]
mod harness;
#[path = "../tests/sim/relay.rs"]
mod relay;

use std::time::{Duration, Instant};

use criterion::{Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use serde_json::{Value as Json, json};
use tokio::runtime::Runtime;

use harness::{Sim, ingest};
use relay::Relay;

const CALLS: usize = 5;
const WRITES_A_CALL: usize = 10;

/// Calls at once, each with ten writes to customers of its own; the time they took.
async fn round(sim: &Sim, ids: &[String], stamp: u64) -> Duration {
    let call = |chunk: &[String]| {
        let writes: Vec<Json> = chunk
            .iter()
            .map(|id| {
                json!({
                    "writeId": id, "kind": "update", "type": "customer", "id": id, "rid": "r", "stamp": stamp,
                    "expect": stamp - 1, "changes": { "phone": stamp.to_string() }, "pre": { "companyname": "Acme" },
                })
            })
            .collect();
        sim.write(Json::from(writes))
    };
    let start = Instant::now();
    let replies = futures::future::join_all(ids.chunks(WRITES_A_CALL).map(call)).await;
    let took = start.elapsed();
    for reply in replies {
        let results = reply["results"].as_array().unwrap();
        assert!(results.iter().all(|result| result["status"] == "ok"), "{reply}");
    }
    took
}

fn writes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("guarded writes with scripts on");
    group.throughput(Throughput::Elements((CALLS * WRITES_A_CALL) as u64));
    group.sampling_mode(SamplingMode::Flat).sample_size(10).measurement_time(Duration::from_secs(10));
    for mode in ["outbox", "direct"] {
        let runtime = Runtime::new().unwrap();
        let (sim, ids, _relay) = runtime.block_on(async {
            let relay = Relay::start().await;
            let sim = Sim::with(|account| {
                account.ingest = Some(ingest(&relay.url));
                account.scripts.mode = Some(mode.to_owned());
            })
            .await;
            let mut ids = Vec::new();
            for _ in 0..CALLS * WRITES_A_CALL {
                ids.push(sim.customer(json!({})).await);
            }
            (sim, ids, relay)
        });
        let mut stamp = 0;
        group.bench_function(mode, |bencher| {
            bencher.iter_custom(|rounds| {
                runtime.block_on(async {
                    let mut took = Duration::ZERO;
                    for _ in 0..rounds {
                        stamp += 1;
                        took += round(&sim, &ids, stamp).await;
                    }
                    took
                })
            });
        });
        let ledger = runtime.block_on(sim.ask("ledger"));
        assert_eq!(ledger["scripts"]["customscript_concord_ue"]["runs"], stamp * (CALLS * WRITES_A_CALL) as u64);
    }
    group.finish();
}

criterion_group!(benches, writes);
criterion_main!(benches);
