use model::AccountId;

use super::*;

#[test]
fn whatever_a_hint_a_merge_step_or_a_writer_does_to_a_record_moves_it() {
    let key = RecordRef {
        account: AccountId::parse("A").unwrap(),
        record_type: RecordType::parse("customer").unwrap(),
        rid: Rid(uuid::Uuid::nil()),
    };
    let before = Record::new(key);
    let moves: [fn(&mut Record); 7] = [
        |record| record.head.version += 1,
        |record| record.head.record_seq += 1,
        |record| record.head.lease_token += 1,
        |record| record.shadows.suitex.epoch += 1,
        |record| record.shadows.netsuite.hint_seq += 1,
        |record| record.shadows.netsuite.dirty_seq += 1,
        |record| record.shadows.suitex.native_id = NativeId::parse("7").ok(),
    ];
    for (n, change) in moves.iter().enumerate() {
        let mut after = before.clone();
        change(&mut after);
        assert!(moved(&before, &after), "{n}");
    }
    let mut same = before.clone();
    same.shadows.suitex.ready_at = Some(model::Timestamp::UNIX_EPOCH);
    assert!(!moved(&before, &same), "when it is looked at is not what it is");
}
