//! `concord certificate` and `concord resync`.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use jiff::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};

use super::{Console, Output, print, segment};
use crate::say::say;

/// From one look at a request to the next.
const GLANCE: Duration = Duration::from_millis(300);

/// `concord certificate`.
#[derive(Debug, Args)]
pub struct Certificate {
    /// Account id
    account: String,
    /// Record type: customer, item, salesorder
    record_type: String,
    /// Ask for a sweep now, and wait for its certificate
    #[arg(long)]
    renew: bool,
}

/// `concord resync`.
#[derive(Debug, Args)]
pub struct Resync {
    /// Account id
    #[arg(required_unless_present = "apply")]
    account: Option<String>,
    /// Record type: customer, item, salesorder
    #[arg(required_unless_present = "apply")]
    record_type: Option<String>,
    /// Internal ids, netsuite:ID or suitex:ID; none: all records of the type
    ids: Vec<String>,
    /// Say what it would write, and write nothing; exit code 2 when that is anything
    #[arg(long)]
    plan: bool,
    /// Carry out a plan, if everything it stands on still stands
    #[arg(long, value_name = "PLAN", conflicts_with_all = ["account", "plan"])]
    apply: Option<String>,
}

/// The newest certificate.
pub(super) async fn certificate(console: &Console, wanted: Certificate) -> Result<Value> {
    let path = format!("/api/v1/certificates/{}/{}", segment(&wanted.account), segment(&wanted.record_type));
    if !wanted.renew {
        return console.call(Method::GET, &path, &[], None).await;
    }
    let asked = console.call(Method::POST, &path, &[], None).await?;
    let asked_at = instant(&asked["asked_at"]).context("the console does not say when the sweep was asked for")?;
    loop {
        // 404 until the first one ends: any other refusal ends the wait at the next call.
        match console.call(Method::GET, &path, &[], None).await {
            Ok(found) if instant(&found["answers"]).is_some_and(|answers| answers >= asked_at) => return Ok(found),
            Ok(_) => {}
            Err(error) if error.to_string().starts_with("404") => {}
            Err(error) => return Err(error),
        }
        tokio::time::sleep(GLANCE).await;
    }
}

fn instant(value: &Value) -> Option<Timestamp> {
    value.as_str()?.parse().ok()
}

/// Asks, waits for the end and prints it. True: it is a plan that would change something.
pub(super) async fn resync(console: &Console, wanted: Resync, output: Output) -> Result<bool> {
    let body = match &wanted.apply {
        Some(plan) => json!({ "plan": plan }),
        None if wanted.ids.is_empty() => json!({ "account": wanted.account, "type": wanted.record_type }),
        None => json!({ "account": wanted.account, "type": wanted.record_type, "ids": wanted.ids }),
    };
    let query: &[(&str, String)] = if wanted.plan { &[("plan", "true".to_owned())] } else { &[] };
    let asked = console.call(Method::POST, "/api/v1/resync", query, Some(body)).await?;
    let id = asked["id"].as_str().context("the console does not name the request")?.to_owned();
    let ended = wait(console, &id).await?;
    match ended["status"].as_str() {
        Some("failed") => bail!("the resync failed: {} ({id})", ended["reason"].as_str().unwrap_or("no reason given")),
        Some("moved") => bail!("the plan was not carried out, these records have moved: {} ({id})", ended["moved"]),
        _ => {}
    }
    if output == Output::Json {
        print::answer(&ended, output)?;
    } else {
        let word = |name: &str| ended[name].as_str().unwrap_or_default().to_owned();
        let (records, differences) = (&ended["records"], &ended["differences"]);
        say(format!(
            "{} {} is {}: {records} records, {differences} with differences",
            word("kind"),
            word("id"),
            word("status")
        ));
        if wanted.plan {
            print::answer(&json!({ "items": lines(&ended["items"]), "next_cursor": null }), output)?;
        }
    }
    Ok(wanted.plan && ended["differences"].as_u64() != Some(0))
}

/// A plan's items, one line for each id nobody knew, and for each field that would be written, lose or need a person.
fn lines(items: &Value) -> Vec<Value> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mut lines = Vec::new();
    for item in list(items) {
        let record = &item["record_id"];
        for (side, id) in item["strangers"].as_object().into_iter().flatten() {
            lines.push(json!({ "record_id": record, "side": side, "kind": item["becomes"], "native_id": id,
                "reason": item["candidates"] }));
        }
        for write in list(&item["writes"]) {
            for (field, change) in write["fields"].as_object().into_iter().flatten() {
                lines.push(json!({ "record_id": record, "side": write["side"], "kind": write["kind"],
                    "native_id": write["native_id"], "field": field, "from": change["from"], "to": change["to"] }));
            }
        }
        for lost in list(&item["overrides"]) {
            lines.push(json!({ "record_id": record, "side": lost["losing_side"], "kind": "override",
                "field": lost["field"], "from": lost["losing_value"], "to": lost["winning_value"] }));
        }
        for field in list(&item["conflicts"]) {
            lines.push(json!({ "record_id": record, "kind": "conflict", "field": field }));
        }
        for why in list(&item["held"]) {
            lines.push(json!({ "record_id": record, "kind": "held", "reason": why }));
        }
    }
    lines
}

/// The request at its end, with all items of a plan.
async fn wait(console: &Console, id: &str) -> Result<Value> {
    let path = format!("/api/v1/resync/{}", segment(id));
    let mut found = loop {
        let found = console.call(Method::GET, &path, &[], None).await?;
        if !matches!(found["status"].as_str(), Some("queued" | "running" | "checking" | "applying")) {
            break found;
        }
        tokio::time::sleep(GLANCE).await;
    };
    while let Some(cursor) = found["next_cursor"].as_str().map(str::to_owned) {
        let next = console.call(Method::GET, &path, &[("cursor", cursor)], None).await?;
        let more = next["items"].as_array().cloned().unwrap_or_default();
        found["items"].as_array_mut().context("a plan has items")?.extend(more);
        found["next_cursor"] = next["next_cursor"].clone();
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_printed_field_by_field_and_nothing_of_it_is_left_out() {
        let items = json!([{
            "record_id": "r1",
            "writes": [{ "side": "suitex", "kind": "update", "native_id": "7",
                         "fields": { "email": { "from": "a", "to": "b" }, "phone": { "from": null, "to": "1" } } }],
            "overrides": [{ "field": "phone", "losing_side": "netsuite", "losing_value": "2", "winning_value": "1" }],
            "conflicts": ["comments"],
            "held": ["netsuite_in_flight"]
        }]);
        let lines = lines(&items);
        let told = |field: &str| lines.iter().filter(|line| line["field"] == field).count();
        assert_eq!((lines.len(), told("email"), told("phone"), told("comments")), (5, 1, 2, 1));
        assert!(lines.iter().all(|line| line["record_id"] == "r1"));
        assert_eq!(lines[4]["reason"], "netsuite_in_flight");
    }

    #[test]
    fn ids_nobody_knew_are_printed_with_what_they_become() {
        let items = json!([{
            "record_id": null, "strangers": { "suitex": "7", "netsuite": "8" }, "becomes": "new",
            "writes": [], "overrides": [], "conflicts": [], "held": []
        }]);
        let lines = lines(&items);
        let told: Vec<_> = lines.iter().map(|line| (&line["side"], &line["native_id"], &line["kind"])).collect();
        let (suitex, netsuite) = (json!("suitex"), json!("netsuite"));
        assert_eq!(told, [(&netsuite, &json!("8"), &json!("new")), (&suitex, &json!("7"), &json!("new"))]);
    }
}
