//! N/record and the look-ups of N/search, on the account's world.

use serde_json::{Map, Value as Json, json};

use super::fault::Fault;
use super::run::{Loaded, Run, members, text};
use super::shape::{self, Shape};
use crate::catalog::catalog;
use crate::world::{
    CustomType, Draft, LineDraft, Operation, RecordType, Refusal, Saved, Saving, Stored, Value, line_values,
};

const LOOKUP_UNITS: u32 = 1;

fn shape_of(arguments: &Json) -> Result<Shape, Fault> {
    let name = text(arguments, "type")?;
    Shape::named(name).ok_or_else(|| Fault::new("INVALID_RCRD_TYPE", &format!("The record type [{name}] is invalid.")))
}

/// Ids that are no numbers are of no record.
fn id_of(arguments: &Json) -> Result<i64, Fault> {
    text(arguments, "id")?.trim().parse().map_err(|_| Fault::absent())
}

/// What a record type looks like.
pub(super) fn shape(arguments: &Json) -> Result<Json, Fault> {
    shape_of(arguments).map(Shape::to_json)
}

/// A new record, empty as the platform keeps it.
pub(super) fn create(run: &mut Run, arguments: &Json) -> Result<Json, Fault> {
    run.spend(shape_of(arguments)?.units().0)?;
    Ok(json!({}))
}

pub(super) fn load(run: &mut Run, arguments: &Json) -> Result<Json, Fault> {
    let shape = shape_of(arguments)?;
    run.spend(shape.units().0)?;
    let id = id_of(arguments)?;
    let world = run.scripts.world.clone();
    let mut contents = Map::new();
    let handle = match shape {
        Shape::Custom(kind) => {
            let row = world.custom(kind, id)?.ok_or_else(Fault::absent)?;
            let fields = kind.fields.iter().zip(&row.values);
            let fields: Map<String, Json> =
                fields.map(|(field, value)| (field.name.to_owned(), value.to_json())).collect();
            contents.insert("fields".to_owned(), Json::Object(fields));
            run.keep(Loaded::Custom(row))?
        }
        Shape::Standard(kind) => {
            let stored = world.find(kind, id)?.ok_or_else(Fault::absent)?;
            contents = shape::contents(kind, &stored);
            run.keep(Loaded::Standard(Box::new(stored)))?
        }
    };
    contents.insert("handle".to_owned(), Json::from(handle));
    contents.insert("id".to_owned(), Json::from(id));
    Ok(Json::Object(contents))
}

pub(super) fn save(run: &mut Run, arguments: &Json) -> Result<Json, Fault> {
    let shape = shape_of(arguments)?;
    run.spend(shape.units().1)?;
    match shape {
        Shape::Custom(kind) => save_custom(run, kind, arguments),
        Shape::Standard(kind) => save_standard(run, kind, arguments),
    }
}

fn save_custom(run: &mut Run, kind: &'static CustomType, arguments: &Json) -> Result<Json, Fault> {
    let set = members(arguments, "set")?;
    let world = &run.scripts.world;
    let loaded = arguments["handle"].as_u64().and_then(|handle| run.open.get(usize::try_from(handle).ok()?));
    if let Some(Loaded::Custom(row)) = loaded {
        world.change_custom(kind, row.id, Some(row), &set)?;
        return Ok(Json::from(row.id));
    }
    let mut values = kind.blank();
    kind.fill(&mut values, &set)?;
    Ok(Json::from(world.add_custom(kind, &values, &run.cause.author.user)?))
}

fn save_standard(run: &mut Run, kind: &'static RecordType, arguments: &Json) -> Result<Json, Fault> {
    let mut draft = draft(kind, arguments)?;
    let handle = arguments["handle"].as_u64().and_then(|handle| usize::try_from(handle).ok());
    let loaded = match handle.and_then(|handle| run.open.get(handle)) {
        Some(Loaded::Standard(stored)) => Some(stored.clone()),
        _ => None,
    };
    let operation = if loaded.is_some() { Operation::Update } else { Operation::Create };
    let author = run.cause.author.clone();
    let attempt = |saving: &Saving<'_>, draft: &Draft| match &loaded {
        None => saving.create(kind, draft, None),
        Some(loaded) => {
            let stored = saving.load_unlocked(kind, loaded.id)?;
            // NetSuite's own check: the record has to be what it was when it was loaded.
            if stored != **loaded {
                return Err(Refusal::locked().into());
            }
            saving.update(kind, &stored, draft)
        }
    };
    draft.values.extend(run.before_save(|saving| attempt(saving, &draft))?);
    let (id, saves) = run.scripts.world.clone().transact(&author, |saving, scripted| {
        let saved = attempt(saving, &draft)?;
        let id = saved.id;
        scripted.push(saved);
        Ok(id)
    })?;
    run.saved(operation, &saves);
    Ok(Json::from(id))
}

pub(super) fn delete(run: &mut Run, arguments: &Json) -> Result<Json, Fault> {
    let shape = shape_of(arguments)?;
    run.spend(shape.units().1)?;
    let id = id_of(arguments)?;
    let Shape::Standard(kind) = shape else {
        if let Shape::Custom(kind) = shape {
            run.scripts.world.remove_custom(kind, id)?;
        }
        return Ok(Json::from(id));
    };
    let author = run.cause.author.clone();
    let attempt = |saving: &Saving<'_>| {
        let stored = saving.load_unlocked(kind, id)?;
        saving.delete(kind, &stored)
    };
    run.before_save(attempt)?;
    let ((), saves) = run.scripts.world.clone().transact(&author, |saving, scripted| {
        scripted.push(attempt(saving)?);
        Ok(())
    })?;
    run.saved(Operation::Delete, &saves);
    Ok(Json::from(id))
}

/// Sets fields without loading, and without minding what others did to the record.
pub(super) fn submit_fields(run: &mut Run, arguments: &Json) -> Result<Json, Fault> {
    let shape = shape_of(arguments)?;
    run.spend(shape.units().0)?;
    let id = id_of(arguments)?;
    let values = members(arguments, "values")?;
    let kind = match shape {
        Shape::Standard(kind) => kind,
        Shape::Custom(kind) => {
            run.scripts.world.change_custom(kind, id, None, &values)?;
            return Ok(Json::from(id));
        }
    };
    let mut draft = Draft::from_json(kind, &shape::named(kind, &values))?;
    let inline: Vec<&'static str> = draft.values.iter().map(|(position, _)| kind.fields[*position].name).collect();
    let author = run.cause.author.clone();
    let attempt = |saving: &Saving<'_>, draft: &Draft| {
        let stored = saving.load_unlocked(kind, id)?;
        Ok(Saved { inline: Some(inline.clone()), ..saving.update(kind, &stored, draft)? })
    };
    draft.values.extend(run.before_save(|saving| attempt(saving, &draft))?);
    let ((), saves) = run.scripts.world.clone().transact(&author, |saving, scripted| {
        scripted.push(attempt(saving, &draft)?);
        Ok(())
    })?;
    run.saved(Operation::Update, &saves);
    Ok(Json::from(id))
}

/// What a script set on a record, as a draft.
fn draft(kind: &RecordType, arguments: &Json) -> Result<Draft, Fault> {
    let mut draft = Draft::from_json(kind, &shape::named(kind, members(arguments, "set")?.as_ref()))?;
    let list = |name: &str| arguments[name].as_array().cloned().unwrap_or_default();
    draft.remove.extend(list("removed").iter().filter_map(Json::as_i64));
    for (index, line) in list("lines").iter().enumerate() {
        let Some(set) = line["set"].as_object().filter(|set| !set.is_empty()) else { continue };
        let key = index.to_string();
        let values = line_values(kind, &key, set)?;
        draft.upsert.push(LineDraft { key, line: line["line"].as_i64(), values });
    }
    Ok(draft)
}

/// Fields of a record without loading it; of a record that is not there, none.
pub(super) fn lookup_fields(run: &mut Run, arguments: &Json) -> Result<Json, Fault> {
    run.spend(LOOKUP_UNITS)?;
    let name = text(arguments, "type")?;
    // Searches know all records of a table as one type; each record is of one of them.
    let table = match Shape::named(name) {
        Some(Shape::Standard(kind)) => kind.table,
        Some(Shape::Custom(_)) => "",
        None => name,
    };
    let mut kinds = catalog().records().iter().filter(|kind| kind.table == table).peekable();
    if kinds.peek().is_none() {
        return Err(Fault::new("SSS_INVALID_SRCH_TYPE", &format!("{name} cannot be searched.")));
    }
    let id = id_of(arguments)?;
    let mut held = None;
    for kind in kinds {
        if let Some(stored) = run.scripts.world.find(kind, id)? {
            held = Some((*kind, stored));
            break;
        }
    }
    let Some((kind, stored)) = held else { return Ok(json!({})) };
    let mut found = Map::new();
    for column in arguments["columns"].as_array().into_iter().flatten().filter_map(Json::as_str) {
        found.insert(column.to_owned(), looked_up(run, kind, &stored, column)?);
    }
    Ok(Json::Object(found))
}

fn looked_up(run: &Run, kind: &'static RecordType, stored: &Stored, column: &str) -> Result<Json, Fault> {
    if column == "recordtype" {
        return Ok(Json::from(shape::record_type(kind)));
    }
    let position = kind.position(shape::field_name(kind, column)).ok_or_else(|| {
        let text = format!("An nlobjSearchColumn contains an invalid column, or is not in proper syntax: {column}.");
        Fault::new("SSS_INVALID_SRCH_COL", &text)
    })?;
    Ok(match &stored.values[position] {
        Value::Null => Json::from(""),
        Value::Reference(id) => {
            let table = match kind.fields[position].kind {
                crate::world::Kind::Reference(table) => table,
                _ => kind.table,
            };
            json!([{ "value": id.to_string(), "text": run.scripts.world.title(table, *id)?.unwrap_or_default() }])
        }
        Value::Set(options) => options.iter().map(|option| json!({ "value": option, "text": option })).collect(),
        other => match other.to_json() {
            Json::Number(number) => Json::from(number.to_string()),
            other => other,
        },
    })
}
