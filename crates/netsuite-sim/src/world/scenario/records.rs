//! Records that change, go and appear without anyone being told.

use serde_json::{Value as Json, json};

use super::{Script, author, customer, members};
use crate::world::draft::Draft;
use crate::world::kind::CUSTOMER;
use crate::world::{World, WorldError, read};

pub(super) fn silent_import(world: &World, _: &Script) -> Result<Json, WorldError> {
    let id = world.commit(&author("USERINTERFACE"), |saving, _| customer(saving, "Imported Over"))?;
    change(world, id, "CSVIMPORT", json!({ "phone": "from the file" }), false)?;
    Ok(json!({ "id": id.to_string() }))
}

pub(super) fn silent_workflow(world: &World, _: &Script) -> Result<Json, WorldError> {
    let id = world.commit(&author("USERINTERFACE"), |saving, _| customer(saving, "Worked Over"))?;
    change(world, id, "USERINTERFACE", json!({ "phone": "+1 (510) 555-0100" }), true)?;
    change(world, id, "WORKFLOW", json!({ "phone": "15105550100" }), false)?;
    Ok(json!({ "id": id.to_string() }))
}

fn change(world: &World, id: i64, context: &str, changes: Json, scripts: bool) -> Result<(), WorldError> {
    let draft = Draft::from_json(*CUSTOMER, &members(changes))?;
    world.commit(&author(context), |saving, scripted| {
        let before = read::find(saving.tx, *CUSTOMER, id, saving.zone)?.ok_or(WorldError::Absent)?;
        let saved = saving.update(*CUSTOMER, &before, &draft)?;
        if scripts {
            scripted.push(saved);
        }
        Ok(())
    })
}

pub(super) fn untracked_delete(world: &World, _: &Script) -> Result<Json, WorldError> {
    let (kept, lost) = world.commit(&author("USERINTERFACE"), |saving, _| {
        Ok((customer(saving, "Deleted and Noted")?, customer(saving, "Deleted Unnoticed")?))
    })?;
    world.commit(&author("USERINTERFACE"), |saving, _| {
        for id in [kept, lost] {
            let stored = read::find(saving.tx, *CUSTOMER, id, saving.zone)?.ok_or(WorldError::Absent)?;
            saving.delete(*CUSTOMER, &stored)?;
        }
        saving.tx.execute("DELETE FROM deletedrecord WHERE recordid = ? AND recordtypeid = -2", [lost])?;
        Ok(())
    })?;
    Ok(json!({ "tracked": kept.to_string(), "untracked": lost.to_string() }))
}

pub(super) fn make_copy(world: &World, _: &Script) -> Result<Json, WorldError> {
    let original = world.commit(&author("USERINTERFACE"), |saving, _| {
        let fields = json!({
            "companyname": "Original", "externalid": format!("COPY-{}", saving.at.as_second()), "custentity_loyalty_points": 7,
            "custentity_concord_stamp": "00000000-0000-7000-8000-000000000000:3",
        });
        Ok(saving.create(*CUSTOMER, &Draft::from_json(*CUSTOMER, &members(fields))?, None)?.id)
    })?;
    let (copy, _) = world.copy(*CUSTOMER, original, &author("USERINTERFACE"), false)?;
    Ok(json!({ "original": original.to_string(), "copy": copy.id.to_string() }))
}
