//! What cases and laws share: a record both sides agreed upon, one side's observation of it, and how a write changes a
//! shadow.

use std::collections::BTreeMap;

use merge::{Effects, Owed, fold, owed};
use model::record::{Entry, Existence, Observation, Record};
use model::spec::{TypeSpec, World};
use model::{AccountId, Fields, RecordRef, RecordType, Rid, Side, Timestamp, Value};
use uuid::Uuid;

/// A moment, in seconds of the test's own time.
pub(crate) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_790_000_000 + second).unwrap()
}

/// The record type of a table in the words of `CONCORD_TYPES`, with what no rule of the merge looks at filled in.
pub(crate) fn spec(mut table: toml::Table) -> TypeSpec {
    let mut fill = |name: &str, value: toml::Value| {
        table.entry(name).or_insert(value);
    };
    let netsuite = "table = 'thing'\nstamp_field = 'custrecord_stamp'\nrest = 'thing'\ndeleted_type = 'Thing'";
    fill("name", "thing".into());
    fill("netsuite", toml::from_str::<toml::Value>(netsuite).unwrap());
    fill("suitex", toml::from_str::<toml::Value>("table = 'app.things'").unwrap());
    fill("delete_policy", "manual".into());
    for field in table["field"].as_array_mut().unwrap() {
        let field = field.as_table_mut().unwrap();
        let name = field["name"].clone();
        field.entry("column").or_insert(name);
    }
    let mut world = toml::Table::new();
    world.insert("type".to_owned(), toml::Value::Array(vec![table.into()]));
    World::parse(&toml::to_string(&world).unwrap()).unwrap().types.remove(0)
}

/// Empty values are absent.
pub(crate) fn tidy(fields: Fields) -> Fields {
    fields.into_iter().filter(|(_, value)| !value.is_null() && *value != Value::Text(String::new())).collect()
}

/// A record that was read on each of `known` and found equal there, at time 0.
pub(crate) fn agreed(spec: &TypeSpec, base: &Fields, known: &[Side]) -> Record {
    let account = AccountId::parse("A").unwrap();
    let rid = Rid(Uuid::from_u128(1));
    let mut record = Record::new(RecordRef { account, record_type: RecordType::parse("thing").unwrap(), rid });
    for side in known {
        see(&mut record, spec, &observation(*side, Some(base.clone()), 0));
    }
    record
}

/// A read of one side: `None` = it is not there.
pub(crate) fn observation(side: Side, fields: Option<Fields>, edited: i64) -> Observation {
    Observation {
        exists: fields.is_some(),
        edited: BTreeMap::from([(String::new(), at(edited))]),
        ..Observation::read(side, fields.unwrap_or_default())
    }
}

/// Folds an observation; every fold has an id of its own.
pub(crate) fn see(record: &mut Record, spec: &TypeSpec, observation: &Observation) -> Effects {
    let id = Uuid::from_u128(1_000 + u128::from(record.head.record_seq));
    fold(record, spec, &Entry::Observation(observation.clone()), id, at(100)).expect("an observation can be folded")
}

/// What a side holds once what it is owed has been written to it, with every lock taken away: the canonical state.
#[allow(dead_code)] // the laws use it
pub(crate) fn written(record: &Record, spec: &TypeSpec, side: Side) -> Option<Fields> {
    let mut state = Fields::clone(&record.shadows[side].state);
    match owed(record, spec, side) {
        Owed::Nothing => (record.shadows[side].exists == Existence::Yes).then_some(state),
        Owed::Create { changes } => Some(tidy(changes)),
        Owed::Delete { .. } => None,
        Owed::Update { changes, .. } => {
            for (name, value) in changes {
                match value {
                    Value::Null => drop(state.remove(&name)),
                    value => drop(state.insert(name, value)),
                }
            }
            Some(state)
        }
    }
}
