//! References among values: every record a value names, in fields and in lines.

use model::spec::FieldSpec;
use model::{Fields, RecordType, Value};

/// Visits the references among these values.
pub fn each_reference(specs: &[FieldSpec], fields: &Fields, visit: &mut dyn FnMut(&RecordType, &str)) {
    for spec in specs {
        let Some(value) = fields.get(&spec.name) else { continue };
        if let (Some(to), Value::Text(id)) = (spec.references(), value) {
            visit(to, id);
        }
        if let (Some(lines), Value::Lines(held)) = (spec.lines(), value) {
            for line in held.values().flatten() {
                each_reference(&lines.line, line, visit);
            }
        }
    }
}

/// The same values with every reference replaced.
///
/// # Errors
/// The first reference that has no counterpart.
pub fn map_references(
    specs: &[FieldSpec],
    fields: &Fields,
    map: &dyn Fn(&RecordType, &str) -> Option<String>,
) -> Result<Fields, (RecordType, String)> {
    let mut mapped = Fields::new();
    for (name, value) in fields {
        let spec = specs.iter().find(|spec| spec.name == *name);
        let new = match (spec.and_then(FieldSpec::references), spec.and_then(FieldSpec::lines), value) {
            (Some(to), _, Value::Text(id)) => Value::Text(map(to, id).ok_or_else(|| (to.clone(), id.clone()))?),
            (_, Some(lines), Value::Lines(held)) => {
                let mut out = model::Lines::new();
                for (key, line) in held {
                    let line = line.as_ref().map(|line| map_references(&lines.line, line, map)).transpose()?;
                    out.insert(key.clone(), line);
                }
                Value::Lines(out)
            }
            (_, _, value) => value.clone(),
        };
        mapped.insert(name.clone(), new);
    }
    Ok(mapped)
}
