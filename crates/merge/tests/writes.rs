//! Claims, acknowledgements and releases (semantics §2.9, §2.10): what a write of ours does to the record while it is under
//! way, and when it ends.
#![allow(clippy::unwrap_used, unreachable_pub)] // a test that cannot go on has failed

use merge::{Effects, Owed, fold, owed};
use model::record::{Ack, Entry, Existence, Intent, IntentStatus, Record, Release};
use model::spec::TypeSpec;
use model::{Fields, LineIds, NativeId, Side, Value, WriteKind};
use uuid::Uuid;

#[path = "support/stand.rs"]
mod stand;

use stand::{agreed, at, observation, see, spec};

const NS: Side = Side::Netsuite;
const SX: Side = Side::Suitex;

fn thing() -> TypeSpec {
    let text = r#"
        lock = "field"
        delete_policy = "delete_wins"
        field = [
          { name = "a", kind = "text", policy = "netsuite_wins" },
          { name = "b", kind = "text", policy = "suitex_wins" },
          { name = "lines", column = "app.lines", kind = "lines", sublist = "item", id = "id", parent = "thing_id", line_delete_policy = "update_wins", line = [
            { name = "q", column = "q", kind = "text", policy = "newest_wins" },
            { name = "r", column = "r", kind = "text", policy = "newest_wins" },
          ] },
        ]
    "#;
    spec(text.parse().unwrap())
}

/// Names and texts.
type Pairs<'a> = &'a [(&'a str, &'a str)];

fn fields(pairs: Pairs<'_>) -> Fields {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), Value::text(*value))).collect()
}

fn put(record: &mut Record, entry: &Entry, second: i64) -> Effects {
    let id = Uuid::from_u128(5_000 + u128::from(record.head.record_seq));
    fold(record, &thing(), entry, id, at(second)).unwrap()
}

/// The next write to a side. Its id is its stamp.
fn next(record: &Record, side: Side, kind: WriteKind, changes: Fields) -> Intent {
    let stamp = record.head.last_stamp + 1;
    let pre = changes.keys().map(|name| (name.clone(), Value::Null)).collect();
    Intent {
        write_id: Uuid::from_u128(stamp.into()),
        side,
        kind,
        stamp,
        expect: 0,
        changes,
        pre,
        version: record.head.version,
        status: IntentStatus::InFlight,
        deadline: at(60),
        native_id: None,
        generation: 2,
        occurred_at: None,
    }
}

fn claim(record: &mut Record, side: Side, kind: WriteKind, changes: Fields) -> Uuid {
    let intent = next(record, side, kind, changes);
    put(record, &Entry::Claim(intent.clone()), 10);
    intent.write_id
}

fn release(record: &mut Record, write_id: Uuid, side: Side, outcome: IntentStatus) -> Effects {
    put(record, &Entry::Release(Release { write_id, side, outcome }), 20)
}

/// A write whose outcome nobody knows.
fn lose(record: &mut Record, side: Side, kind: WriteKind, changes: Fields) -> Uuid {
    let write_id = claim(record, side, kind, changes);
    release(record, write_id, side, IntentStatus::Unknown);
    write_id
}

fn acked(write_id: Uuid, side: Side) -> Ack {
    Ack { write_id, side, token: None, native_id: None, line_ids: LineIds::new() }
}

fn open(record: &Record) -> Vec<(u128, IntentStatus)> {
    record.unresolved.iter().map(|intent| (intent.write_id.as_u128(), intent.status)).collect()
}

fn ended(effects: &Effects) -> Vec<(u128, IntentStatus)> {
    effects.resolved.iter().map(|intent| (intent.write_id.as_u128(), intent.status)).collect()
}

#[test]
fn a_claim_is_in_flight_under_a_stamp_of_its_own_and_outdates_reads_begun_before_it() {
    let mut record = agreed(&thing(), &fields(&[("a", "1")]), &Side::BOTH);
    let before = record.clone();
    let write_id = claim(&mut record, NS, WriteKind::Update, fields(&[("a", "2")]));
    assert_eq!((record.head.last_stamp, record.head.version), (1, before.head.version));
    assert_eq!(record.head.record_seq, before.head.record_seq + 1);
    assert_eq!(record.inflight(NS).map(|intent| intent.write_id), Some(write_id));
    assert_eq!(record.shadows.netsuite.epoch, before.shadows.netsuite.epoch + 1);
    assert_eq!(record.shadows.suitex, before.shadows.suitex);
}

#[test]
fn an_acknowledged_update_is_what_the_side_holds() {
    let spec = thing();
    let mut record = agreed(&spec, &fields(&[("a", "1"), ("b", "1")]), &Side::BOTH);
    record.shadows.netsuite.native_id = Some(NativeId::parse("7").unwrap());
    see(&mut record, &spec, &observation(SX, Some(fields(&[("a", "2")])), 5));
    let write_id = claim(&mut record, NS, WriteKind::Update, fields(&[("a", "2")]));
    let epoch = record.shadows.netsuite.epoch;
    let effects = put(&mut record, &Entry::Ack(Ack { token: Some(99), ..acked(write_id, NS) }), 30);
    let shadow = &record.shadows.netsuite;
    assert_eq!(*shadow.state, fields(&[("a", "2"), ("b", "1")]));
    assert_eq!((shadow.token, shadow.stamp, shadow.inflight, shadow.epoch), (Some(99), 1, None, epoch + 1));
    assert_eq!(shadow.native_id.as_ref().map(NativeId::as_str), Some("7"), "an answer without an id leaves it");
    assert_eq!(ended(&effects), [(1, IntentStatus::Acked)]);
    assert_eq!(owed(&record, &spec, NS), Owed::Nothing);
    let written = |name: &str| record.head.meta[name].written_to;
    assert_eq!((written("a"), written("b")), (Some(NS), None), "what was not written nobody rewrites");
}

#[test]
fn an_acknowledged_create_is_there_with_what_was_sent_and_the_rest_is_unknown() {
    let spec = thing();
    let mut record = agreed(&spec, &fields(&[("a", "1")]), &[SX]);
    let line: Fields = fields(&[("q", "1")]);
    let lines = Value::Lines([("s1".to_owned(), Some(line))].into());
    let changes: Fields = [("a".to_owned(), Value::text("1")), ("lines".to_owned(), lines)].into();
    let write_id = claim(&mut record, NS, WriteKind::Create, changes.clone());
    let line_ids: LineIds = [("lines".to_owned(), [("s1".to_owned(), "31".to_owned())].into())].into();
    let native_id = NativeId::parse("12").unwrap();
    let ack = Ack { native_id: Some(native_id.clone()), line_ids: line_ids.clone(), ..acked(write_id, NS) };
    put(&mut record, &Entry::Ack(ack), 30);
    let shadow = &record.shadows.netsuite;
    assert_eq!((shadow.exists, shadow.complete, shadow.generation), (Existence::Yes, false, 2));
    assert_eq!(*shadow.state, changes);
    assert_eq!((shadow.native_id.as_ref(), &shadow.line_ids), (Some(&native_id), &line_ids));
    let whole = observation(NS, Some(changes), 40);
    see(&mut record, &spec, &whole);
    assert!(record.shadows.netsuite.complete, "it was read as a whole");
}

#[test]
fn after_an_acknowledged_delete_nothing_is_known_of_the_side() {
    let spec = thing();
    let mut record = agreed(&spec, &fields(&[("a", "1")]), &Side::BOTH);
    let shadow = &mut record.shadows.netsuite;
    (shadow.native_id, shadow.stamp) = (Some(NativeId::parse("7").unwrap()), 3);
    see(&mut record, &spec, &observation(SX, None, 5));
    let write_id = claim(&mut record, NS, WriteKind::Delete, Fields::new());
    put(&mut record, &Entry::Ack(Ack { token: Some(5), ..acked(write_id, NS) }), 30);
    let shadow = &record.shadows.netsuite;
    assert_eq!((shadow.exists, shadow.complete, shadow.stamp, shadow.token), (Existence::Deleted, false, 0, None));
    assert_eq!((shadow.native_id.as_ref(), shadow.state.len()), (None, 0));
    assert_eq!(owed(&record, &spec, NS), Owed::Nothing);
}

#[test]
fn an_acknowledged_write_fences_older_ones_to_its_side_and_no_others() {
    let mut record = agreed(&thing(), &fields(&[("a", "1")]), &Side::BOTH);
    for side in [NS, SX, NS, NS] {
        lose(&mut record, side, WriteKind::Update, fields(&[("a", "2")]));
    }
    let effects = put(&mut record, &Entry::Ack(acked(Uuid::from_u128(3), NS)), 30);
    assert_eq!(ended(&effects), [(1, IntentStatus::Fenced), (3, IntentStatus::Acked)]);
    assert_eq!(open(&record), [(2, IntentStatus::Unknown), (4, IntentStatus::Unknown)]);
}

#[test]
fn a_fenced_write_is_in_flight_no_more_and_an_answer_to_another_leaves_it_so() {
    let mut record = agreed(&thing(), &fields(&[("a", "1")]), &Side::BOTH);
    lose(&mut record, NS, WriteKind::Update, fields(&[("a", "2")]));
    claim(&mut record, NS, WriteKind::Create, fields(&[("a", "3")]));
    put(&mut record, &Entry::Ack(acked(Uuid::from_u128(1), NS)), 30);
    assert_eq!(record.shadows.netsuite.inflight, Some(Uuid::from_u128(2)), "an older one landed");
    record.unresolved.push(Intent { stamp: 3, ..next(&record, NS, WriteKind::Update, fields(&[("a", "4")])) });
    let effects = put(&mut record, &Entry::Ack(acked(Uuid::from_u128(3), NS)), 30);
    assert_eq!(ended(&effects)[0], (2, IntentStatus::Fenced), "it is not lost, so it will not land again");
    assert_eq!((record.shadows.netsuite.inflight, open(&record)), (None, Vec::new()));
}

#[test]
fn a_lost_create_in_netsuite_may_land_until_a_quarter_of_an_hour_after_its_deadline() {
    let after = |side: Side, kind: WriteKind, second: i64| {
        let mut record = agreed(&thing(), &fields(&[("a", "1")]), &Side::BOTH);
        lose(&mut record, side, kind, fields(&[("a", "2")]));
        let second_id = claim(&mut record, side, WriteKind::Update, fields(&[("a", "2")]));
        put(&mut record, &Entry::Ack(acked(second_id, side)), second);
        record.unresolved.len()
    };
    assert_eq!(after(NS, WriteKind::Create, 60 + 900), 1);
    assert_eq!(after(NS, WriteKind::Create, 60 + 901), 0);
    assert_eq!(after(NS, WriteKind::Update, 30), 0, "the stamp fences it");
    assert_eq!(after(SX, WriteKind::Create, 30), 0, "its inbox row fences it");
}

#[test]
fn a_refused_write_ends_and_an_unknown_one_stays_attributable() {
    let mut record = agreed(&thing(), &fields(&[("a", "1")]), &Side::BOTH);
    let unknown = claim(&mut record, NS, WriteKind::Update, fields(&[("a", "2")]));
    let epoch = record.shadows.netsuite.epoch;
    assert!(release(&mut record, unknown, NS, IntentStatus::Unknown).resolved.is_empty());
    assert_eq!(open(&record), [(1, IntentStatus::Unknown)]);
    assert_eq!((record.shadows.netsuite.inflight, record.shadows.netsuite.epoch), (None, epoch + 1));
    let refused = claim(&mut record, NS, WriteKind::Update, fields(&[("a", "3")]));
    // A second word about the first changes nothing for the one under way.
    release(&mut record, unknown, NS, IntentStatus::Unknown);
    assert_eq!(record.shadows.netsuite.inflight, Some(refused));
    let effects = release(&mut record, refused, NS, IntentStatus::Rejected);
    assert_eq!(ended(&effects), [(2, IntentStatus::Rejected)]);
    assert_eq!((open(&record), record.shadows.netsuite.inflight), (vec![(1, IntentStatus::Unknown)], None));
    let nothing = release(&mut record, Uuid::from_u128(77), NS, IntentStatus::Rejected);
    assert!(!nothing.changed, "nobody knows of such a write");
}

#[test]
fn changed_lines_are_written_over_the_shadow_line_by_line() {
    let lines = |lines: &[(&str, Option<Pairs<'_>>)]| {
        let line =
            |pairs: &[(&str, &str)]| pairs.iter().map(|(n, v)| ((*n).to_owned(), Value::text(*v))).collect::<Fields>();
        let lines = lines.iter().map(|(key, pairs)| ((*key).to_owned(), pairs.map(line))).collect();
        Fields::from([("lines".to_owned(), Value::Lines(lines))])
    };
    let base = lines(&[("s1", Some(&[("q", "1"), ("r", "1")])), ("s2", Some(&[("q", "2")]))]);
    let mut record = agreed(&thing(), &base, &Side::BOTH);
    let changes = lines(&[("s1", Some(&[("q", "9"), ("r", "")])), ("s2", None), ("s3", Some(&[("q", "3")]))]);
    let write_id = claim(&mut record, NS, WriteKind::Update, changes);
    put(&mut record, &Entry::Ack(acked(write_id, NS)), 30);
    let held = lines(&[("s1", Some(&[("q", "9")])), ("s3", Some(&[("q", "3")]))]);
    assert_eq!(*record.shadows.netsuite.state, held);
    let write_id = claim(&mut record, NS, WriteKind::Update, lines(&[("s1", None), ("s3", None)]));
    put(&mut record, &Entry::Ack(acked(write_id, NS)), 30);
    assert_eq!(*record.shadows.netsuite.state, Fields::new(), "an empty sublist is an empty field");
}

#[test]
fn a_record_that_is_gone_lands_our_delete_of_it() {
    let spec = thing();
    let mut record = agreed(&spec, &fields(&[("a", "1")]), &Side::BOTH);
    see(&mut record, &spec, &observation(SX, None, 5));
    // Its guard is of what was there when it was claimed; what was seen since then went with the record.
    let intent = Intent { pre: fields(&[("a", "0")]), ..next(&record, NS, WriteKind::Delete, Fields::new()) };
    put(&mut record, &Entry::Claim(intent), 10);
    release(&mut record, Uuid::from_u128(1), NS, IntentStatus::Unknown);
    let effects = see(&mut record, &spec, &observation(NS, None, 30));
    assert_eq!(ended(&effects), [(1, IntentStatus::Acked)]);
    assert!(!record.head.alive && record.conflicts.is_empty() && effects.overrides.is_empty());
}

#[test]
fn a_record_that_is_there_lands_what_the_read_names_and_on_its_side_alone() {
    let spec = thing();
    let mut record = agreed(&spec, &fields(&[("a", "1")]), &Side::BOTH);
    see(&mut record, &spec, &observation(SX, None, 5));
    lose(&mut record, NS, WriteKind::Delete, Fields::new());
    lose(&mut record, SX, WriteKind::Update, fields(&[("a", "2")]));
    let mut read = observation(NS, Some(fields(&[("a", "1")])), 30);
    read.landed = vec![Uuid::from_u128(2)];
    see(&mut record, &spec, &read);
    assert_eq!(open(&record), [(1, IntentStatus::Unknown), (2, IntentStatus::Unknown)]);
}

#[test]
fn where_netsuite_has_the_record_no_more_lost_updates_can_land_no_more() {
    let spec = thing();
    let mut record = agreed(&spec, &fields(&[("a", "1")]), &Side::BOTH);
    lose(&mut record, NS, WriteKind::Update, fields(&[("a", "2")]));
    lose(&mut record, SX, WriteKind::Update, fields(&[("a", "2")]));
    lose(&mut record, NS, WriteKind::Create, fields(&[("a", "2")]));
    see(&mut record, &spec, &observation(SX, None, 30));
    assert_eq!(record.unresolved.len(), 3, "a SuiteX row may come again under its id");
    let effects = see(&mut record, &spec, &observation(NS, None, 30));
    assert_eq!(ended(&effects), [(1, IntentStatus::Fenced)]);
    assert_eq!(open(&record), [(2, IntentStatus::Unknown), (3, IntentStatus::Unknown)]);

    // Seen gone again, with a write that was sent to it since: only that ends, and the log has it.
    lose(&mut record, NS, WriteKind::Update, fields(&[("a", "3")]));
    claim(&mut record, NS, WriteKind::Update, fields(&[("a", "4")]));
    let before = record.clone();
    let effects = see(&mut record, &spec, &observation(NS, None, 40));
    assert_eq!((ended(&effects), effects.changed), (vec![(4, IntentStatus::Fenced)], true));
    assert_eq!((record.shadows.clone(), record.head.record_seq), (before.shadows, before.head.record_seq + 1));
    assert_eq!(open(&record).last(), Some(&(5, IntentStatus::InFlight)), "whose outcome is not known to be lost");
}

#[test]
fn an_update_that_landed_before_the_record_went_is_told_with_the_edit_it_covered() {
    let spec = thing();
    let mut record = agreed(&spec, &fields(&[("b", "old")]), &Side::BOTH);
    let mut intent = next(&record, SX, WriteKind::Update, fields(&[("b", "ours")]));
    intent.pre = fields(&[("b", "user")]);
    let write_id = intent.write_id;
    put(&mut record, &Entry::Claim(intent), 10);
    release(&mut record, write_id, SX, IntentStatus::Unknown);
    let mut gone = observation(SX, None, 40);
    gone.landed = vec![write_id];
    let effects = see(&mut record, &spec, &gone);
    assert_eq!((record.shadows.suitex.exists, record.head.alive), (Existence::Deleted, false));
    let lost: Vec<_> = effects.overrides.iter().map(|lost| (lost.field.as_str(), lost.losing_value.clone())).collect();
    assert_eq!(lost, [("b", Value::text("user"))], "what the guard proves somebody typed");
}
