//! Stamps that run other than one thinks.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value as Json, json};

use super::{Script, author, customer, members};
use crate::world::save::Operation;
use crate::world::{Edit, Refusal, World, WorldError, iso};

const SAME_SECOND: u32 = 5_000;
const LATE_SECONDS: u32 = 60;

fn seconds(at: Timestamp, seconds: i64) -> Timestamp {
    at.checked_add(SignedDuration::from_secs(seconds)).unwrap_or(at)
}

/// Two customers, saved in those moments.
fn pair(world: &World, moments: [Timestamp; 2], names: [&str; 2]) -> Result<Json, WorldError> {
    let mut made = Vec::new();
    for (at, name) in moments.into_iter().zip(names) {
        let (id, _) = world.commit_at(&author("USERINTERFACE"), Some(at), |saving, _| customer(saving, name))?;
        made.push(json!({ "id": id.to_string(), "lastModified": iso(at) }));
    }
    Ok(json!({ "records": made }))
}

pub(super) fn day_boundary(world: &World, _: &Script) -> Result<Json, WorldError> {
    let today = world.now().to_zoned(world.zone.clone()).date();
    let midnight = today.to_zoned(world.zone.clone()).map_or(world.now(), |zoned| zoned.timestamp());
    pair(world, [seconds(midnight, -1), midnight], ["Before Midnight", "After Midnight"])
}

pub(super) fn dst_hour(world: &World, _: &Script) -> Result<Json, WorldError> {
    let back = world.zone.preceding(world.now()).find(|transition| {
        let before = world.zone.to_offset(seconds(transition.timestamp(), -1));
        transition.offset() < before
    });
    let none = || Refusal::new("INVALID_PARAMETER", "The account's zone has no hour that repeats.").at("name");
    let at = back.ok_or_else(none)?.timestamp();
    // Half an hour before and after: the same time on the wall.
    pair(world, [seconds(at, -1_800), seconds(at, 1_800)], ["First Time Round", "Second Time Round"])
}

pub(super) fn same_second(world: &World, script: &Script) -> Result<Json, WorldError> {
    let count = script.count.unwrap_or(SAME_SECOND);
    if count > 25_000 {
        return Err(Refusal::new("INVALID_PARAMETER", "At most 25000 records.").at("count").into());
    }
    let ids = world.commit(&author("CSVIMPORT"), |saving, _| {
        (0..count).map(|index| customer(saving, &format!("Import {index}"))).collect::<Result<Vec<_>, _>>()
    })?;
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    Ok(json!({ "ids": ids }))
}

fn edit(changes: Json, id: Option<i64>, late: u32) -> Edit {
    Edit {
        user: "scenario".to_owned(),
        context: "USERINTERFACE".to_owned(),
        operation: if id.is_some() { Operation::Update } else { Operation::Create },
        type_name: "customer".to_owned(),
        id,
        changes: members(changes),
        scripts: false,
        inline: false,
        visible_after_seconds: late,
    }
}

pub(super) fn late_commit(world: &World, script: &Script) -> Result<Json, WorldError> {
    let after = script.seconds.unwrap_or(LATE_SECONDS);
    let (late, _) = world.edit(&edit(json!({ "companyname": "Late" }), None, after))?;
    let (prompt, _) = world.edit(&edit(json!({ "companyname": "Prompt" }), None, 0))?;
    Ok(json!({
        "late": late.id.to_string(), "prompt": prompt.id.to_string(), "lastModified": iso(late.at),
        "visibleAfterSeconds": after,
    }))
}

pub(super) fn out_of_order(world: &World, script: &Script) -> Result<Json, WorldError> {
    let back = i64::from(script.seconds.unwrap_or(600));
    let now = world.now();
    pair(world, [now, seconds(now, -back)], ["Present", "Past"])
}

pub(super) fn locked_record(world: &World, script: &Script) -> Result<Json, WorldError> {
    let after = script.seconds.unwrap_or(LATE_SECONDS);
    let id = world.commit(&author("USERINTERFACE"), |saving, _| customer(saving, "Locked"))?;
    world.edit(&edit(json!({ "phone": "2" }), Some(id), after))?;
    Ok(json!({ "id": id.to_string(), "lockedForSeconds": after }))
}
