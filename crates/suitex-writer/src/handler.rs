//! Doorbells of `events.merged`: "your side may be owed something". What is written is what is owed now, never what the
//! message carried.

use std::sync::Arc;

use async_trait::async_trait;
use chassis::bus::Message;
use chassis::duty::{Duty, Turn};
use chassis::gate::Gate;
use chassis::worker::{Decoded, Handler};
use model::{AccountId, ErrorClass, Failure, RecordRef, Side};
use steps::{Writer, Written};

/// The writer as the worker loop and the duties call it.
pub(crate) struct Writing {
    pub(crate) writer: Writer,
    pub(crate) gate: Arc<Gate>,
}

#[async_trait]
impl Handler for Writing {
    type Event = RecordRef;

    fn decode(&self, message: &Message) -> Result<RecordRef, Failure> {
        let event = model::wire::decode_merged(&message.data)
            .map_err(|error| Failure::new(ErrorClass::Irrecoverable, "unreadable", error.to_string()))?;
        Ok(RecordRef { account: event.account, record_type: event.record_type, rid: event.rid })
    }

    async fn handle(&self, batch: &[Decoded<RecordRef>]) -> Vec<Result<(), Failure>> {
        let records = batch.iter().map(|decoded| decoded.event.clone()).collect();
        match self.writer.answer(records, &|account: &AccountId| self.gate.may_write(account)).await {
            Ok(written) => {
                count(&written);
                if written.claimed > 0 {
                    chassis::crash::point("K9");
                }
                batch.iter().map(|_| Ok(())).collect()
            }
            Err(error) => {
                let failure = Failure::new(ErrorClass::Operational, "database", error.to_string());
                batch.iter().map(|_| Err(failure.clone())).collect()
            }
        }
    }
}

/// Writes that wait in Postgres: after a backoff, or because a bell was lost.
pub(crate) struct Due(pub(crate) Arc<Writing>);

#[async_trait]
impl Duty for Due {
    async fn turn(&self) -> anyhow::Result<Turn> {
        let worked = self.0.writer.work(&|account: &AccountId| self.0.gate.may_write(account)).await?;
        count(&worked.written);
        Ok(Turn { full: worked.full, next_due: worked.next_due })
    }
}

fn count(written: &Written) {
    for micros in &written.latencies_micros {
        let seconds = *micros as f64 / 1e6;
        metrics::histogram!("concord_apply_latency_seconds", "target" => Side::Suitex.as_str())
            .record(seconds.max(0.0));
    }
    let refused = written.outcomes.get("throttled").copied().unwrap_or(0);
    metrics::counter!("concord_retries_total", "class" => ErrorClass::Transient.as_str()).increment(refused as u64);
}
