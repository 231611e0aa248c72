//! Named scenarios: what makes polling NetSuite hard, reproduced one at a time.
//!
//! Each does to the account what was seen to happen on real ones, and answers with the ids it did it to.

mod children;
mod records;
mod stamps;

use serde::Deserialize;
use serde_json::{Map, Value as Json, json};

use super::draft::Draft;
use super::kind::CUSTOMER;
use super::overlay::ChangeKind;
use super::refusal::{Refusal, WorldError};
use super::save::{Author, Saving};
use super::settings::Overload;
use super::{SchemaChange, Settings, World};

/// What a scenario is told beside its name; each takes what it needs.
#[derive(Debug, Clone, Default, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Script {
    pub(crate) name: String,
    /// How many records, where a scenario makes many.
    pub(crate) count: Option<u32>,
    /// How long, where something lasts.
    pub(crate) seconds: Option<u32>,
    /// Table of a schema change.
    pub(crate) table: Option<String>,
    /// Column of a schema change.
    pub(crate) column: Option<String>,
    /// A new name, a language.
    pub(crate) to: Option<String>,
}

/// A scenario.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    /// What goes wrong for those who do not expect it.
    pub(crate) pitfall: &'static str,
    run: fn(&World, &Script) -> Result<Json, WorldError>,
}

/// Every scenario.
pub(crate) const SCENARIOS: [Scenario; 22] = [
    Scenario {
        name: "day-boundary",
        pitfall: "a cursor cut to the day loses the rows around midnight",
        run: stamps::day_boundary,
    },
    Scenario {
        name: "dst-hour",
        pitfall: "the hour that repeats in autumn runs backwards in local time",
        run: stamps::dst_hour,
    },
    Scenario { name: "same-second", pitfall: "more rows of one second than a page holds", run: stamps::same_second },
    Scenario {
        name: "late-commit",
        pitfall: "a row becomes visible after rows with later stamps",
        run: stamps::late_commit,
    },
    Scenario {
        name: "out-of-order",
        pitfall: "an import writes rows with stamps of the past",
        run: stamps::out_of_order,
    },
    Scenario {
        name: "locked-record",
        pitfall: "an open transaction holds a record: writes are refused",
        run: stamps::locked_record,
    },
    Scenario {
        name: "line-only",
        pitfall: "a line changes and the header's stamp does not move",
        run: children::line_only,
    },
    Scenario {
        name: "address-only",
        pitfall: "an address changes, without a stamp, and its customer does not move",
        run: children::address_only,
    },
    Scenario {
        name: "inventory-movement",
        pitfall: "stock moves and its item does not",
        run: children::inventory_movement,
    },
    Scenario {
        name: "price-change",
        pitfall: "a price changes; neither it nor its item has a stamp that moves",
        run: children::price_change,
    },
    Scenario {
        name: "component-change",
        pitfall: "a component of a bill of materials changes without any stamp",
        run: children::component_change,
    },
    Scenario {
        name: "silent-import",
        pitfall: "a CSV import changes records and no script runs",
        run: records::silent_import,
    },
    Scenario {
        name: "silent-workflow",
        pitfall: "a workflow rewrites a field after a save and no script runs",
        run: records::silent_workflow,
    },
    Scenario {
        name: "untracked-delete",
        pitfall: "a record is deleted and deletedrecord does not say so",
        run: records::untracked_delete,
    },
    Scenario {
        name: "make-copy",
        pitfall: "a copy carries the custom fields of its original, write stamps included",
        run: records::make_copy,
    },
    Scenario {
        name: "column-removed",
        pitfall: "a column is gone while queries select it",
        run: |world, script| schema(world, script, ChangeKind::Remove),
    },
    Scenario {
        name: "column-renamed",
        pitfall: "a column has another name while queries select it",
        run: |world, script| schema(world, script, ChangeKind::Rename),
    },
    Scenario {
        name: "column-hidden",
        pitfall: "a column is hidden from the role while queries select it",
        run: |world, script| schema(world, script, ChangeKind::Forbid),
    },
    Scenario {
        name: "unstable-order",
        pitfall: "offset pages without a total order repeat and miss rows",
        run: |world, _| set(world, |settings| settings.unstable_order = true),
    },
    Scenario {
        name: "row-cap",
        pitfall: "a result ends at the cap and nobody says so",
        run: |world, script| {
            let cap = script.count.unwrap_or(1_000).max(1) as usize;
            set(world, |settings| settings.row_cap = cap)
        },
    },
    Scenario {
        name: "language",
        pitfall: "the user's language is not the company's: calls must name it",
        run: |world, script| {
            let language = script.to.clone().unwrap_or_else(|| "de-DE".to_owned());
            set(world, |settings| settings.language = Some(language))
        },
    },
    Scenario {
        name: "overload-as-401",
        pitfall: "an overloaded account answers as if the login were wrong",
        run: |world, _| set(world, |settings| settings.overload = Overload::InvalidLogin),
    },
];

impl World {
    /// Carries a scenario out.
    ///
    /// # Errors
    /// A refusal when there is no such scenario, or it lacks what it needs.
    pub(crate) fn play(&self, script: &Script) -> Result<Json, WorldError> {
        let found = SCENARIOS.iter().find(|scenario| scenario.name == script.name);
        let unknown = || Refusal::new("INVALID_PARAMETER", format!("There is no scenario {}.", script.name)).at("name");
        (found.ok_or_else(unknown)?.run)(self, script)
    }
}

fn schema(world: &World, script: &Script, change: ChangeKind) -> Result<Json, WorldError> {
    let table = script.table.clone().unwrap_or_else(|| "customer".to_owned());
    let column = script.column.clone().unwrap_or_else(|| "phone".to_owned());
    let to = script.to.clone().unwrap_or_else(|| format!("{column}2"));
    world.change_schema(&SchemaChange {
        table: table.clone(),
        column: Some(column.clone()),
        change,
        to: Some(to.clone()),
    })?;
    Ok(json!({ "table": table, "column": column, "to": to }))
}

fn set(world: &World, change: impl FnOnce(&mut Settings)) -> Result<Json, WorldError> {
    let mut settings = world.settings().as_ref().clone();
    change(&mut settings);
    world.put(world.overlay().as_ref().clone(), settings.clone())?;
    Ok(json!({ "settings": settings }))
}

fn members(json: Json) -> Map<String, Json> {
    match json {
        Json::Object(members) => members,
        _ => Map::new(),
    }
}

fn author(context: &str) -> Author {
    Author { user: "scenario".to_owned(), context: context.to_owned() }
}

/// A new customer of that name; returns its id.
fn customer(saving: &Saving<'_>, name: &str) -> Result<i64, WorldError> {
    let draft = Draft::from_json(*CUSTOMER, &members(json!({ "companyname": name, "phone": "1" })))?;
    Ok(saving.create(*CUSTOMER, &draft, None)?.id)
}
