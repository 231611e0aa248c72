//! What cases begin with: ids, hints, patches that keep the model's rules.

use std::sync::Arc;
use std::time::Duration;

use model::record::{Entry, Intent, IntentStatus, Observation, Record, Version, Windows};
use model::{
    AccountId, Fields, NativeId, Operation, RecordRef, RecordType, Rid, Side, Source, Timestamp, Value, WriteKind,
    write_id,
};
use uuid::Uuid;

use crate::records::{Hint, Intake, LogRow, Patch, Pick, Records, View};

/// The suite's clock: whole seconds since some day in 2026.
pub(crate) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_790_000_000 + second).expect("a second of this century")
}

/// One second, half a second, three hints.
pub(crate) const WINDOWS: Windows =
    Windows { window: Duration::from_secs(4), idle: Duration::from_secs(1), max_hints: 3 };

pub(crate) fn account(name: &str) -> AccountId {
    AccountId::parse(name).expect("the suite's account ids are valid")
}

pub(crate) fn record_type() -> RecordType {
    RecordType::parse("customer").expect("the suite's type is valid")
}

pub(crate) fn native(id: &str) -> NativeId {
    NativeId::parse(id).expect("the suite's native ids are valid")
}

/// The `n`th uuid of the suite.
pub(crate) fn id(n: u128) -> Uuid {
    Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 + n)
}

pub(crate) fn fields(pairs: &[(&str, &str)]) -> Fields {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), Value::text(*value))).collect()
}

/// A NetSuite hint of account `A`, event `n`, for this native id.
pub(crate) fn hint(n: u128, native_id: &str) -> Hint {
    Hint {
        event_id: id(n),
        new_rid: Rid(id(1_000_000 + n)),
        account: account("A"),
        record_type: record_type(),
        side: Side::Netsuite,
        native_id: native(native_id),
        operation: Operation::Update,
        source: Source::NetsuiteUe,
        occurred_at: at(-1),
        base_version: Some(3),
        changes: fields(&[("email", "a@b.example")]),
        remote_version: Some(77),
        write_id: None,
        full_snapshot_ref: Some("gs://snapshots/1".to_owned()),
        auth_context: Some(serde_json::json!({ "user": "jane" })),
        correlation_id: Some("corr".to_owned()),
        urgent: false,
    }
}

pub(crate) async fn take_in(records: &Arc<dyn Records>, hints: &[Hint], second: i64) -> Vec<Intake> {
    records.intake(hints, at(second), &WINDOWS).await.expect("hints are stored")
}

/// Stores one hint and answers its record.
pub(crate) async fn known(records: &Arc<dyn Records>, hint: Hint, second: i64) -> RecordRef {
    match take_in(records, &[hint], second).await.remove(0) {
        Intake::Stored(record) => record,
        Intake::Known => panic!("the suite gives every hint a new id"),
    }
}

pub(crate) async fn view(records: &Arc<dyn Records>, record: &RecordRef) -> View {
    let mut views = records.views(std::slice::from_ref(record), true).await.expect("views are read");
    assert_eq!(views.len(), 1, "{record} is stored");
    views.remove(0)
}

/// Runs a change over exactly one record.
pub(crate) async fn change(
    records: &Arc<dyn Records>,
    record: &RecordRef,
    change: impl Fn(&View, &mut Patch) + Send + Sync,
) {
    let mut plan = |views: &[View]| {
        views
            .iter()
            .map(|view| {
                let mut patch = Patch::of(view.record.clone());
                change(view, &mut patch);
                patch
            })
            .collect()
    };
    let given =
        records.transact(&Pick::These(vec![record.clone()]), true, &mut plan).await.expect("the change is stored");
    assert_eq!(given, 1, "{record} is stored");
}

/// The keys a pick gives, changing nothing.
pub(crate) async fn picked(records: &Arc<dyn Records>, pick: Pick) -> Vec<RecordRef> {
    let mut seen = Vec::new();
    let mut plan = |views: &[View]| {
        seen.extend(views.iter().map(|view| view.record.key.clone()));
        Vec::new()
    };
    let given = records.transact(&pick, false, &mut plan).await.expect("the pick runs");
    assert_eq!(given, seen.len());
    seen
}

pub(crate) fn due_merge(second: i64) -> Pick {
    Pick::DueMerge { accounts: vec![account("A")], per_account: 100, now: at(second) }
}

/// Answers every bell of a side, as a merge step does.
pub(crate) fn answer(record: &mut Record, side: Side) {
    let shadow = &mut record.shadows[side];
    shadow.dirty_seq = 0;
    shadow.dirty_since = None;
    shadow.last_hint_at = None;
    shadow.hints = 0;
    shadow.urgent = false;
    shadow.must_read = false;
    shadow.ready_at = None;
}

/// An observation of these values as log entry `n`, and what folding it leaves: the record as it is on that side.
pub(crate) fn observe(patch: &mut Patch, n: u128, side: Side, values: Fields, second: i64) {
    let record = &mut patch.record;
    record.head.state = values.clone().into();
    record.head.alive = true;
    record.shadows[side].state = values.clone().into();
    record.shadows[side].exists = model::record::Existence::Yes;
    record.head.version += 1;
    let seen = Observation {
        token: Some(5),
        native_id: record.shadows[side].native_id.clone(),
        edited: [(String::new(), at(second))].into(),
        occurred_at: Some(at(second)),
        ..Observation::read(side, values.clone())
    };
    log(patch, n, Entry::Observation(seen), second);
    append_version(patch, values, id(n), at(second));
}

/// The version that the patch's record has come to.
pub(crate) fn append_version(patch: &mut Patch, delta: Fields, event_id: Uuid, created_at: Timestamp) {
    patch.versions.push(Version {
        version: patch.record.head.version,
        delta,
        full: None,
        alive: true,
        event_id,
        decisions: std::collections::BTreeMap::new(),
        created_at,
    });
}

/// Appends an entry to the patch's log.
pub(crate) fn log(patch: &mut Patch, n: u128, entry: Entry, second: i64) {
    patch.record.head.record_seq += 1;
    patch.log.push(LogRow {
        event_id: id(n),
        record_seq: patch.record.head.record_seq,
        entry,
        at: at(second),
        rules: Some(model::RulesId(3)),
    });
}

/// A claimed write to a side as log entry `n`, in flight until `deadline`.
pub(crate) fn claim(patch: &mut Patch, n: u128, side: Side, deadline: i64) -> Intent {
    let record = &mut patch.record;
    record.head.last_stamp += 1;
    let intent = Intent {
        write_id: write_id(&record.key, side, record.head.last_stamp),
        side,
        kind: WriteKind::Update,
        stamp: record.head.last_stamp,
        expect: 0,
        changes: fields(&[("email", "c@d.example")]),
        pre: fields(&[("email", "a@b.example")]),
        version: record.head.version,
        status: IntentStatus::InFlight,
        deadline: at(deadline),
        native_id: record.shadows[side].native_id.clone(),
        generation: 0,
        occurred_at: Some(at(0)),
    };
    record.shadows[side].inflight = Some(intent.write_id);
    record.shadows[side].epoch += 1;
    record.unresolved.push(intent.clone());
    log(patch, n, Entry::Claim(intent.clone()), deadline - 30);
    intent
}
