//! Does a side hold what we think it holds, and what it should hold? Two different questions: the shadow answers the
//! first (else a hint was lost), the canonical state the second (else something is owed).

use model::record::{Existence, Record};
use model::spec::{Policy, TypeSpec};
use model::{Fields, Shared, Side, Value};

use crate::field::value;
use crate::owed::{Owed, owed_to};

/// Whether what was read of a side differs from its shadow. A field that was not read is unknown, and differs from
/// nothing.
pub fn differs(record: &Record, spec: &TypeSpec, side: Side, seen: &Fields) -> bool {
    let shadow = &record.shadows[side].state;
    let synced = spec.fields.iter().filter(|field| field.policy != Policy::Ignored);
    synced.filter_map(|field| seen.get_key_value(&field.name)).any(|(name, seen)| *seen != value(shadow, name))
}

/// What a side is counted as holding, for comparison with the canonical state as a whole: the canonical values, but for
/// fields in which the side would have to be written the values that were read. So two states are equal exactly when
/// nothing would be owed. What the law leaves out of `owed` (fields a side does not let be written) is left out here too.
pub fn agreed_part(record: &Record, spec: &TypeSpec, side: Side, seen: &Fields) -> Fields {
    if !record.head.alive {
        return seen.clone(); // nothing is agreed: it should not be there at all
    }
    let mut copy = record.clone();
    copy.shadows[side].exists = Existence::Yes;
    copy.shadows[side].state = Shared::from(seen.clone());
    let mut state = Fields::clone(&record.head.state);
    let changes = match owed_to(&copy, spec, side, &|_| false) {
        Owed::Update { changes, .. } => changes,
        Owed::Nothing | Owed::Create { .. } | Owed::Delete { .. } => Fields::new(),
    };
    for name in changes.into_keys() {
        match value(seen, &name) {
            Value::Null => state.remove(&name),
            held => state.insert(name, held),
        };
    }
    state
}

#[cfg(test)]
mod tests {
    use model::spec::World;
    use model::{AccountId, RecordRef, RecordType, Rid};

    use super::*;

    fn fields(pairs: &[(&str, &str)]) -> Fields {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), Value::text(*value))).collect()
    }

    fn record(state: &[(&str, &str)]) -> (Record, TypeSpec) {
        let record_type = RecordType::parse("customer").unwrap();
        let spec = World::sample().get(&record_type).unwrap().clone();
        let key = RecordRef { account: AccountId::parse("A").unwrap(), record_type, rid: Rid(uuid::Uuid::nil()) };
        let mut record = Record::new(key);
        record.head.version = 1;
        record.head.alive = true;
        record.head.state = Shared::from(fields(state));
        for side in Side::BOTH {
            record.shadows[side].exists = Existence::Yes;
            record.shadows[side].state = record.head.state.clone();
        }
        (record, spec)
    }

    #[test]
    fn what_was_read_differs_from_the_shadow_only_in_fields_that_were_read() {
        let (record, spec) = record(&[("companyname", "Acme"), ("phone", "1")]);
        assert!(!differs(&record, &spec, Side::Netsuite, &fields(&[("companyname", "Acme")])));
        let mut emptied = fields(&[("companyname", "Acme")]);
        emptied.insert("phone".to_owned(), Value::Null);
        assert!(differs(&record, &spec, Side::Netsuite, &emptied));
        assert!(differs(&record, &spec, Side::Netsuite, &fields(&[("email", "a@b.example")])));
    }

    #[test]
    fn a_side_counts_as_the_canonical_state_exactly_when_nothing_would_be_owed() {
        let (record, spec) = record(&[("companyname", "Acme"), ("datecreated", "2026-01-01")]);
        let same = Fields::clone(&record.head.state);
        assert_eq!(agreed_part(&record, &spec, Side::Netsuite, &same), same);
        let renamed = fields(&[("companyname", "Other"), ("datecreated", "2026-01-01")]);
        assert_eq!(agreed_part(&record, &spec, Side::Netsuite, &renamed), renamed);
        let cleared = fields(&[("datecreated", "2026-01-01")]);
        assert_eq!(agreed_part(&record, &spec, Side::Netsuite, &cleared), cleared);
        // Read-only in NetSuite: nothing may be written, so nothing is owed.
        let dated = fields(&[("companyname", "Acme"), ("datecreated", "2020-01-01")]);
        assert_eq!(agreed_part(&record, &spec, Side::Netsuite, &dated), same);
    }

    #[test]
    fn of_a_record_that_should_be_gone_nothing_is_agreed() {
        let (mut record, spec) = record(&[("companyname", "Acme")]);
        record.head.alive = false;
        let seen = fields(&[("companyname", "Acme")]);
        assert_eq!(agreed_part(&record, &spec, Side::Suitex, &seen), seen);
    }
}
