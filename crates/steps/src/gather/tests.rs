use model::record::{Existence, Intent, IntentStatus, Record};
use model::{Operation, Source};
use store::records::{Pending, View};
use uuid::Uuid;

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn hint(side: Side, id: &str) -> Pending {
    Pending {
        event_id: Uuid::nil(),
        side,
        native_id: NativeId::parse(id).unwrap(),
        seq: 1,
        operation: Operation::Update,
        source: Source::Suitex,
        changes: model::Fields::new(),
        remote_version: None,
        write_id: None,
        occurred_at: at(0),
        received_at: at(0),
    }
}

fn write(id: u128, side: Side, kind: WriteKind, generation: u32) -> Intent {
    Intent {
        write_id: Uuid::from_u128(id),
        side,
        kind,
        stamp: 1,
        expect: 0,
        changes: model::Fields::new(),
        pre: model::Fields::new(),
        version: 1,
        status: IntentStatus::Unknown,
        deadline: at(0),
        native_id: None,
        generation,
        occurred_at: None,
    }
}

/// What is asked of NetSuite for a record with these unresolved writes, heard of under the ids 8 and 9 there.
fn asked(native_id: Option<&str>, unresolved: Vec<Intent>) -> ReadRequest {
    let (account, record_type) = (AccountId::parse("A").unwrap(), RecordType::parse("customer").unwrap());
    let mut record = Record::new(RecordRef { account, record_type, rid: Rid(Uuid::nil()) });
    let shadow = &mut record.shadows.netsuite;
    (shadow.exists, shadow.generation) = (Existence::Deleted, 1);
    shadow.native_id = native_id.map(|id| NativeId::parse(id).unwrap());
    record.unresolved = unresolved;
    let pending = vec![hint(Side::Netsuite, "8"), hint(Side::Netsuite, "9"), hint(Side::Suitex, "3")];
    request(
        &Ticket { view: View { record, pending }, token: 1, caps: Vec::new(), twins: Vec::new(), alone: None },
        Side::Netsuite,
    )
}

#[test]
fn a_record_is_asked_for_by_its_id_else_by_the_latest_id_heard_of() {
    let id = |request: &ReadRequest| request.native_id.as_ref().map(|id| id.as_str().to_owned());
    assert_eq!(id(&asked(Some("7"), Vec::new())).as_deref(), Some("7"));
    let heard = asked(None, Vec::new());
    assert_eq!((id(&heard).as_deref(), heard.generation), (Some("9"), 1));
    // Creates of the other side and updates say nothing about where a create of ours may be.
    let others = vec![write(1, Side::Suitex, WriteKind::Create, 5), write(2, Side::Netsuite, WriteKind::Update, 5)];
    let heard = asked(None, others);
    assert_eq!((id(&heard).as_deref(), heard.generation), (Some("9"), 1));
    assert_eq!(heard.unresolved, [Uuid::from_u128(2)], "of the side's own writes it is asked which landed");
}

#[test]
fn while_a_create_of_ours_may_have_landed_it_is_looked_for_by_our_marks() {
    let creates = vec![write(1, Side::Netsuite, WriteKind::Create, 2), write(2, Side::Netsuite, WriteKind::Create, 3)];
    let request = asked(None, creates);
    assert_eq!((request.native_id, request.generation), (None, 3));
    assert_eq!(request.unresolved, [1, 2].map(Uuid::from_u128));
}
