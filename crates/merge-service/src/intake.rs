//! Intake of `events.raw`: decode, store, mark dirty or fold. What cannot be read is a dead letter; what a person can mend is an
//! error; the next good event is processed either way.

use async_trait::async_trait;
use chassis::bus::Message;
use chassis::worker::{Decoded, Handler};
use model::{AccountId, ErrorClass, Failure, Source};
use steps::Engine;
use store::records::{Hint, Intake as Stored};

use crate::duty;

/// The handler of `events.raw`.
pub(crate) struct Intake {
    engine: Engine,
    accounts: Vec<AccountId>,
}

impl Intake {
    pub(crate) fn new(engine: Engine, accounts: Vec<AccountId>) -> Self {
        Self { engine, accounts }
    }
}

#[async_trait]
impl Handler for Intake {
    type Event = Hint;

    fn decode(&self, message: &Message) -> Result<Hint, Failure> {
        let event = model::wire::decode_change_message(&message.data, &message.attributes)?;
        if !self.accounts.contains(&event.account) {
            let reason = format!("accountId {} is not one of this installation's accounts", event.account);
            return Err(Failure::new(ErrorClass::Irrecoverable, "unknown_account", reason));
        }
        steps::to_hint(&self.engine.core(), &event)
    }

    async fn handle(&self, batch: &[Decoded<Hint>]) -> Vec<Result<(), Failure>> {
        let hints: Vec<&Hint> = batch.iter().map(|decoded| &decoded.event).collect();
        match steps::intake(&self.engine.core(), &hints).await {
            Ok((stored, merged)) => {
                for (hint, stored) in hints.iter().zip(&stored) {
                    if matches!(stored, Stored::Stored(_)) {
                        count(hint.source);
                    }
                }
                duty::report(merged);
                batch.iter().map(|_| Ok(())).collect()
            }
            Err(error) => {
                let failure = Failure::new(ErrorClass::Operational, "database", error.to_string());
                batch.iter().map(|_| Err(failure.clone())).collect()
            }
        }
    }
}

fn count(source: Source) {
    metrics::counter!("concord_events_ingested_total", "source" => source.as_str()).increment(1);
}
