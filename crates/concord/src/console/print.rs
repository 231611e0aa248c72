//! Answers of the API as tables.

use anyhow::Result;
use comfy_table::{ContentArrangement, Table, presets};
use serde_json::Value;

use super::Output;
use crate::say::say;

/// Columns of listings, in this order, where the answer has them; the rest is for `--output json`.
const COLUMNS: &[&str] = &[
    "id",
    "what",
    "conflict_id",
    "lock_id",
    "event_id",
    "account_id",
    "record_type",
    "record_id",
    "field",
    "value",
    "from",
    "to",
    "side",
    "native_id",
    "policy",
    "winner",
    "source",
    "actor",
    "fields",
    "conflicts",
    "overrides",
    "kind",
    "disposition",
    "status",
    "reason",
    "class",
    "code",
    "rev",
    "base",
    "suitex",
    "netsuite",
    "suggested",
    "note",
    "attempts",
    "version",
    "occurred_at",
    "created_at",
    "created_ts",
    "locked_at",
    "received_at",
];

/// Prints an answer.
///
/// # Errors
/// When it cannot be written as JSON.
pub(crate) fn answer(answer: &Value, output: Output) -> Result<()> {
    match output {
        Output::Json => say(serde_json::to_string_pretty(answer)?),
        Output::Table => say(table(answer)),
    }
    Ok(())
}

fn table(answer: &Value) -> String {
    match answer.get("items").and_then(Value::as_array) {
        Some(items) => {
            let more = answer["next_cursor"].as_str().map(|c| format!("\nmore: --cursor {c}")).unwrap_or_default();
            let told = if items.is_empty() { "none".to_owned() } else { listing(items) };
            format!("{}{told}{more}", beside(answer))
        }
        None => match answer.as_object() {
            Some(members) => {
                let mut table = plain();
                for (name, value) in members {
                    table.add_row([name.clone(), cell(value)]);
                }
                table.to_string()
            }
            None => cell(answer),
        },
    }
}

/// What an answer says beside its items.
fn beside(answer: &Value) -> String {
    let mut table = plain();
    for (name, value) in answer.as_object().into_iter().flatten() {
        if !["items", "next_cursor"].contains(&name.as_str()) {
            table.add_row([name.clone(), cell(value)]);
        }
    }
    if table.is_empty() { String::new() } else { format!("{table}\n") }
}

fn listing(items: &[Value]) -> String {
    let columns: Vec<&str> = COLUMNS.iter().copied().filter(|c| items.iter().any(|i| i.get(c).is_some())).collect();
    let mut table = plain();
    table.set_header(&columns);
    for item in items {
        table.add_row(columns.iter().map(|column| cell(&item[*column])));
    }
    table.to_string()
}

fn plain() -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic);
    table
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => "–".to_owned(),
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::Array(_) | Value::Object(_) => serde_json::to_string_pretty(value).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_listing_shows_the_columns_it_has_in_a_fixed_order() {
        let text = table(&json!({"items": [{"status": "open", "conflict_id": "c1", "zebra": 1}], "next_cursor": "n"}));
        let header = text.lines().nth(1).unwrap();
        assert!(header.find("conflict_id").unwrap() < header.find("status").unwrap());
        assert!(!text.contains("zebra") && text.contains("c1") && text.ends_with("--cursor n"), "{text}");
        assert_eq!(table(&json!({"items": [], "next_cursor": null})), "none");
        let counted = table(&json!({"items": [], "differing": 3}));
        assert!(counted.contains("differing") && counted.ends_with("none"), "{counted}");
    }

    #[test]
    fn a_single_answer_shows_every_member() {
        let text = table(&json!({"version": 3, "state": {"email": "a@b.example"}, "gone": null}));
        assert!(text.contains("version") && text.contains("a@b.example") && text.contains('–'), "{text}");
    }
}
