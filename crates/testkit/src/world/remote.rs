//! Both systems as the core's ports. Every call gives way before it reaches the system and before its answer arrives;
//! a write gives way when it was sent and when it has landed. Dropping the future at either point is a crash there.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use model::spec::TypeSpec;
use model::{
    AccountId, Clock, NativeId, Observed, ReadRequest, RecordRef, Remote, RemoteError, Side, Timestamp, WriteId,
    WriteKind, WriteOutcome, WriteRequest, write_id,
};

use super::ledger::Place;
use super::notes::{LIFETIME, Looked};
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
            Side::Netsuite if stage.vary.patch => noted(stage, place.as_ref(), want, &mut observed),
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

    fn dies(&self, stage: &Stage) -> Option<Timestamp> {
        let unfenced = stage.vary.patch && self.side == Side::Netsuite;
        unfenced.then(|| stage.clock.now().checked_add(LIFETIME).expect("the world's time is far from the end of time"))
    }

    /// Looks at the records before they are written to, where nothing will at their arrival.
    fn look(&self, account: &AccountId, spec: &TypeSpec, writes: &[WriteRequest]) -> Option<Vec<Looked>> {
        let mut stage = lock(self.stage);
        let unfenced = stage.vary.patch && self.side == Side::Netsuite;
        let mut look = |request: &WriteRequest| {
            let id = request.native_id.as_ref();
            let place = id.and_then(|id| stage.place(self.side, account, &spec.name, id));
            stage.look(place, request)
        };
        unfenced.then(|| writes.iter().map(&mut look).collect())
    }

    /// Reads in the notes what each write that was answered replaced.
    fn explain(
        &self,
        account: &AccountId,
        spec: &TypeSpec,
        writes: &[WriteRequest],
        looked: &[Looked],
        outcomes: &mut [WriteOutcome],
    ) {
        let mut stage = lock(self.stage);
        for ((request, looked), outcome) in writes.iter().zip(looked).zip(outcomes) {
            if let (WriteOutcome::Ok { native_id, before, .. }, Looked::Go(after), WriteKind::Update) =
                (outcome, looked, request.kind)
                && let Some(place) = stage.place(self.side, account, &spec.name, native_id)
            {
                *before = stage.explain(&place, *after, request);
            }
        }
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
            dies: self.dies(stage),
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

/// Which writes have landed, where notes tell: there is never more than one whose fate is not known. A create is known by our
/// external id.
fn noted(stage: &mut Stage, place: Option<&Place>, want: &ReadRequest, observed: &mut Observed) -> Vec<WriteId> {
    let Some(place) = place else { return Vec::new() };
    observed.note = Some(stage.newest_note(place));
    if want.unresolved.is_empty() {
        return Vec::new();
    }
    if want.native_id.is_none() {
        return want.unresolved.clone();
    }
    let Some(before) = stage.before_ours(place, want.note) else { return Vec::new() };
    stage.coverage.hit("found by its notes");
    observed.before = Some(Box::new(Observed { fields: before, ..observed.clone() }));
    want.unresolved.clone()
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
        let looked = self.look(account, spec, writes);
        if looked.is_some() {
            pause().await; // the gap: what is edited from here on, the look has not seen
        }
        let spec = Arc::new(spec.clone());
        let sent: Vec<(u64, Fate)> = {
            let mut stage = lock(self.stage);
            let refusal = |at: usize| match looked.as_ref().map(|looked| &looked[at]) {
                Some(Looked::Refused(outcome)) => Some(outcome.clone()),
                Some(Looked::Go(_)) | None => None,
            };
            let sent = writes.iter().enumerate().map(|(at, request)| match refusal(at) {
                Some(outcome) => (0, Fate::Refused(outcome)),
                None => self.send(&mut stage, account, &spec, request),
            });
            sent.collect()
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
        if let Some(looked) = looked {
            self.explain(account, &spec, writes, &looked, &mut outcomes);
            pause().await;
        }
        outcomes
    }

    fn quarantine(&self, _: &AccountId, _: &TypeSpec) -> Duration {
        let unfenced = lock(self.stage).vary.patch && self.side == Side::Netsuite;
        if unfenced { LIFETIME } else { Duration::ZERO }
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
