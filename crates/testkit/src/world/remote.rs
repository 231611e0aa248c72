//! Both systems as the core's ports. Every call gives way before it reaches the system and before its answer arrives;
//! a write gives way when it was sent and when it has landed. Dropping the future at either point is a crash there.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use model::spec::TypeSpec;
use model::{
    AccountId, Clock, NativeId, Observed, ReadRequest, RecordRef, Remote, RemoteError, Side, WriteKind, WriteOutcome,
    WriteRequest, write_id,
};

use super::requests::Packet;
use super::stage::{Fate, Stage};
use crate::pause::pause;

/// One side of every account.
#[derive(Debug)]
pub struct SimRemote<'a> {
    side: Side,
    stage: &'a Mutex<Stage>,
}

/// The stage, whatever happened to who held it last.
pub fn lock(stage: &Mutex<Stage>) -> MutexGuard<'_, Stage> {
    stage.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<'a> SimRemote<'a> {
    /// The port of a side.
    pub fn new(side: Side, stage: &'a Mutex<Stage>) -> Self {
        Self { side, stage }
    }

    fn read_one(&self, stage: &mut Stage, account: &AccountId, spec: &TypeSpec, want: &ReadRequest) -> Observed {
        let by_id = want.native_id.as_ref().and_then(|id| Some(stage.row(self.side, account, spec, id)?.0));
        let place = by_id.or_else(|| match want.native_id {
            // A record we know by its id is that id: another row with our marks is another thing.
            Some(_) => None,
            None => stage.marked(self.side, account, spec, want.rid, want.generation),
        });
        let mut observed = stage.observe(place.as_ref());
        observed.landed = match self.side {
            Side::Suitex => want.unresolved.iter().copied().filter(|id| stage.inbox.contains(id)).collect(),
            Side::Netsuite => {
                let key = RecordRef { account: account.clone(), record_type: spec.name.clone(), rid: want.rid };
                let stamp = observed.stamp.filter(|(rid, _)| *rid == want.rid).map(|(_, stamp)| stamp);
                let ours = stamp.map(|stamp| write_id(&key, self.side, stamp));
                ours.into_iter().filter(|id| want.unresolved.contains(id)).collect()
            }
        };
        observed
    }

    /// Sends a request off. Answers its number, where it is on its way, and what becomes of it.
    fn send(
        &self,
        stage: &mut Stage,
        account: &AccountId,
        spec: &Arc<TypeSpec>,
        request: &WriteRequest,
    ) -> (u64, Fate) {
        if request.deadline < stage.clock.now() {
            return (0, Fate::Refused(WriteOutcome::NotSent));
        }
        if request.kind == WriteKind::Create {
            stage.creates_sent += 1;
        }
        let fate = stage.fates.pop_front().unwrap_or_else(|| draw(stage));
        if matches!(fate, Fate::Lost | Fate::Refused(_)) {
            return (0, fate);
        }
        stage.last_packet += 1;
        let id = stage.last_packet;
        stage.network.push(Packet {
            id,
            side: self.side,
            account: account.clone(),
            spec: Arc::clone(spec),
            request: request.clone(),
            answer: None,
        });
        stage.hot = request
            .native_id
            .as_ref()
            .and_then(|native| stage.place(self.side, account, &spec.name, native))
            .map(|place| (place, request.changes.keys().cloned().collect()));
        (id, fate)
    }
}

/// A fate by chance.
fn draw(stage: &mut Stage) -> Fate {
    let faults = stage.faults;
    if stage.chance(faults * 0.15) {
        stage.coverage.hit("throttled");
        return Fate::Refused(WriteOutcome::Throttled { retry_after: None });
    }
    if stage.chance(faults * 0.1) {
        return Fate::Lost;
    }
    if stage.chance(faults * 0.25) {
        return Fate::Late;
    }
    if stage.chance(faults * 0.2) { Fate::Unheard } else { Fate::Answered }
}

#[async_trait]
impl Remote for SimRemote<'_> {
    fn side(&self) -> Side {
        self.side
    }

    async fn read(
        &self,
        account: &AccountId,
        spec: &TypeSpec,
        wants: &[ReadRequest],
    ) -> Vec<Result<Observed, RemoteError>> {
        pause().await;
        let answers = {
            let mut stage = lock(self.stage);
            let mut answers = Vec::with_capacity(wants.len());
            for want in wants {
                let faults = stage.faults;
                if stage.chance(faults * 0.08) {
                    stage.coverage.hit("read refused");
                    let code = "timeout".to_owned();
                    answers.push(Err(RemoteError::Unavailable { side: self.side, code, retry_after: None }));
                    continue;
                }
                answers.push(Ok(self.read_one(&mut stage, account, spec, want)));
            }
            answers
        };
        pause().await;
        answers
    }

    async fn write(&self, account: &AccountId, spec: &TypeSpec, writes: &[WriteRequest]) -> Vec<WriteOutcome> {
        pause().await;
        let spec = Arc::new(spec.clone());
        let sent: Vec<(u64, Fate)> = {
            let mut stage = lock(self.stage);
            writes.iter().map(|request| self.send(&mut stage, account, &spec, request)).collect()
        };
        pause().await; // sent
        let mut outcomes = Vec::with_capacity(sent.len());
        {
            let mut stage = lock(self.stage);
            for (id, fate) in sent {
                outcomes.push(match fate {
                    Fate::Answered => {
                        let answer = stage.land(id);
                        stage.network.retain(|packet| packet.id != id);
                        answer
                    }
                    Fate::Unheard => {
                        stage.land(id);
                        stage.network.retain(|packet| packet.id != id);
                        WriteOutcome::Unknown
                    }
                    Fate::Late | Fate::Lost => WriteOutcome::Unknown,
                    Fate::Refused(outcome) => outcome,
                });
            }
            let unknown = outcomes.iter().filter(|outcome| **outcome == WriteOutcome::Unknown).count();
            stage.coverage.add("unknown outcome", unknown);
        }
        pause().await; // landed
        outcomes
    }

    async fn list(
        &self,
        account: &AccountId,
        spec: &TypeSpec,
        after: Option<&NativeId>,
        limit: usize,
    ) -> Result<Vec<NativeId>, RemoteError> {
        pause().await;
        let stage = lock(self.stage);
        let after = after.and_then(|id| id.as_str().parse::<u64>().ok()).unwrap_or(0);
        let of_type = stage.rows.keys().filter(|place| {
            place.side == self.side && place.account == *account && place.record_type == spec.name && place.id > after
        });
        Ok(of_type.take(limit).map(super::ledger::Place::native).collect())
    }
}
