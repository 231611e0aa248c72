//! The record types of seeded worlds, and what of their values can be told apart.

use std::sync::LazyLock;

use model::spec::{DeletePolicy, Kind, LockScope, Policy, TypeSpec, World};
use model::{Fields, RecordType, TypedValue, Value};

static BASE: LazyLock<World> =
    LazyLock::new(|| World::parse(include_str!("types.toml")).expect("the types that are compiled in are valid"));

/// The types of one run.
pub fn types(delete: DeletePolicy, line_delete: DeletePolicy, lock: LockScope) -> World {
    let mut world = BASE.clone();
    for spec in &mut world.types {
        spec.delete_policy = delete;
        spec.lock = lock;
        for field in &mut spec.fields {
            if let Kind::Lines(lines) = &mut field.kind {
                lines.line_delete_policy = line_delete;
            }
        }
    }
    world
}

/// A type's name.
///
/// # Panics
/// When it is no type name.
pub fn type_name(name: &str) -> RecordType {
    RecordType::parse(name).expect("a type of the seeded world is named well")
}

/// True for fields whose values are unique in a run, so that each can be followed from where it was typed.
pub fn plain(kind: &Kind, policy: &Policy) -> bool {
    matches!(kind, Kind::Text { .. }) && !matches!(policy, Policy::Append)
}

/// Where a plain value stands in a record: its field, and the line it is on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Spot {
    /// `b`, or `lines.q`.
    pub field: String,
    /// The line's id on that side.
    pub line: Option<String>,
}

/// Every plain value of a row with its place.
pub fn words(spec: &TypeSpec, fields: &Fields) -> Vec<(Spot, String)> {
    let mut found = Vec::new();
    for field in &spec.fields {
        let Some(value) = fields.get(&field.name) else { continue };
        match (value, field.lines()) {
            (Value::Text(text), None) if plain(&field.kind, &field.policy) => {
                found.push((Spot { field: field.name.clone(), line: None }, text.clone()));
            }
            (Value::Lines(lines), Some(rules)) => {
                for (id, line) in lines.iter().filter_map(|(id, line)| Some((id, line.as_ref()?))) {
                    for inner in rules.line.iter().filter(|f| plain(&f.kind, &f.policy)) {
                        if let Some(Value::Text(text)) = line.get(&inner.name) {
                            let name = format!("{}.{}", field.name, inner.name);
                            found.push((Spot { field: name, line: Some(id.clone()) }, text.clone()));
                        }
                    }
                }
            }
            _ => {}
        }
    }
    found
}

/// A value as a producer would put it into an event.
pub fn typed(value: &Value) -> TypedValue {
    match value {
        Value::Null => TypedValue::Null,
        Value::Bool(on) => TypedValue::Bool(*on),
        Value::Int(number) => TypedValue::Integer(*number),
        Value::Text(text) => TypedValue::Text(text.clone()),
        Value::Set(members) => TypedValue::Set(members.iter().cloned().collect()),
        Value::Lines(lines) => {
            let line = |line: &model::Line| line.iter().flatten().map(|(name, v)| (name.clone(), typed(v))).collect();
            TypedValue::Lines(lines.iter().map(|(id, fields)| (id.clone(), line(fields))).collect())
        }
    }
}
