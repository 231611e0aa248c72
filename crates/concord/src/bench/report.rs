//! How a measurement is told: tables for people, one JSON value for programs, from the same numbers.

use anyhow::{Result, ensure};
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use serde_json::{Value, json};

use crate::say::say;

/// A finished measurement.
#[derive(Debug)]
pub struct Report {
    /// `pipeline` or `latency`.
    pub bench: &'static str,
    /// How it was asked for.
    pub settings: Value,
    /// The figures: name, value, and what it is held against.
    pub figures: Vec<Figure>,
    /// Further tables.
    pub tables: Vec<Rows>,
    /// Sentences a reader needs.
    pub notes: Vec<String>,
}

/// A table beside the figures.
#[derive(Debug)]
pub struct Rows {
    /// What it shows; its name in JSON.
    pub title: &'static str,
    /// Members of the rows, in the order of their columns.
    pub columns: &'static [&'static str],
    /// The rows, each an object.
    pub rows: Vec<Value>,
}

/// One figure.
#[derive(Debug, Clone)]
pub struct Figure {
    /// Stable name in JSON.
    pub name: &'static str,
    /// What it is, in words.
    pub what: String,
    /// Its value.
    pub value: f64,
    /// Its unit.
    pub unit: &'static str,
    /// What it should be, if anything.
    pub target: Option<Target>,
}

/// What a figure should be.
#[derive(Debug, Clone, Copy)]
pub enum Target {
    /// At least this.
    AtLeast(f64),
    /// At most this.
    AtMost(f64),
}

impl Figure {
    /// A figure without a target.
    pub fn new(name: &'static str, what: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self { name, what: what.into(), value, unit, target: None }
    }

    /// The same with a target.
    pub fn held_to(mut self, target: Target) -> Self {
        self.target = Some(target);
        self
    }

    fn met(&self) -> Option<bool> {
        self.target.map(|target| match target {
            Target::AtLeast(least) => self.value >= least,
            Target::AtMost(most) => self.value <= most,
        })
    }
}

/// A number to so many digits after the point.
pub fn rounded(value: f64, digits: i32) -> f64 {
    let scale = 10_f64.powi(digits);
    (value * scale).round() / scale
}

impl Report {
    /// The whole measurement as JSON.
    pub fn to_json(&self) -> Value {
        let figures = self.figures.iter().map(|figure| {
            let target = figure.target.map(|target| match target {
                Target::AtLeast(least) => json!({ "at_least": least }),
                Target::AtMost(most) => json!({ "at_most": most }),
            });
            let told = json!({ "value": rounded(figure.value, 3), "unit": figure.unit, "target": target, "met": figure.met() });
            (figure.name.to_owned(), told)
        });
        let tables = self.tables.iter().map(|table| (table.title.to_owned(), Value::from(table.rows.clone())));
        json!({
            "bench": self.bench,
            "machine": super::machine::describe(),
            "settings": self.settings,
            "figures": figures.collect::<serde_json::Map<_, _>>(),
            "tables": tables.collect::<serde_json::Map<_, _>>(),
            "notes": self.notes,
        })
    }

    /// Fails when a figure is not what it should be.
    ///
    /// # Errors
    /// Names every such figure with its value.
    pub fn kept(&self) -> Result<()> {
        let missed = self.figures.iter().filter(|figure| figure.met() == Some(false));
        let missed: Vec<String> =
            missed.map(|figure| format!("{} {}", figure.what, rounded(figure.value, 3))).collect();
        ensure!(missed.is_empty(), "not as it should be: {}", missed.join(", "));
        Ok(())
    }

    fn to_text(&self) -> String {
        let mut text = format!("\nconcord bench {}\n", self.bench);
        for (title, value) in [("machine", super::machine::describe()), ("settings", self.settings.clone())] {
            let parts = value.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
            let parts: Vec<String> = parts.map(|(key, value)| format!("{key} {}", plain(value))).collect();
            text += &format!("  {title}: {}\n", parts.join(", "));
        }
        let mut table = fresh();
        table.set_header(["figure", "value", "target", ""]);
        for figure in &self.figures {
            let target = match figure.target {
                None => String::new(),
                Some(Target::AtLeast(least)) => format!("≥ {least}"),
                Some(Target::AtMost(most)) => format!("≤ {most}"),
            };
            let value = format!("{} {}", readable(figure.value), figure.unit);
            let met = figure.met().map_or("", |met| if met { "met" } else { "MISSED" });
            table.add_row([&figure.what, value.trim_end(), &target, met]);
        }
        align_right(&mut table, 1);
        text += &format!("{table}\n");
        for table in &self.tables {
            text += &format!("\n{}\n{}\n", table.title, of_rows(table));
        }
        for note in &self.notes {
            text += &format!("\n{note}");
        }
        text + "\n"
    }
}

/// Prints a report: JSON alone, or tables and then the same as JSON.
///
/// # Errors
/// When it cannot be written as JSON.
pub fn print(report: &Report, json_alone: bool) -> Result<()> {
    if !json_alone {
        say(report.to_text());
    }
    say(serde_json::to_string_pretty(&report.to_json())?);
    Ok(())
}

fn fresh() -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic);
    table
}

fn align_right(table: &mut Table, column: usize) {
    if let Some(column) = table.column_mut(column) {
        column.set_cell_alignment(CellAlignment::Right);
    }
}

fn of_rows(Rows { columns, rows, .. }: &Rows) -> Table {
    let mut table = fresh();
    // Columns in which nobody has anything to say are left out.
    let columns: Vec<&&str> = columns.iter().filter(|column| rows.iter().any(|row| !row[**column].is_null())).collect();
    table.set_header(columns.iter().map(|column| column.replace('_', " ")));
    for row in rows {
        table.add_row(columns.iter().map(|column| plain(&row[**column])));
    }
    for (place, column) in columns.iter().enumerate() {
        if rows.iter().any(|row| row[**column].is_number()) {
            align_right(&mut table, place);
        }
    }
    table
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Three digits or more, so that a rate reads as a rate and a share as a share.
fn readable(value: f64) -> String {
    match value.abs() {
        big if big >= 100.0 => format!("{value:.0}"),
        middle if middle >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// The value below which this share of the sorted values lies (nearest rank); zero where there is none.
pub fn percentile(sorted: &[f64], share: f64) -> f64 {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.clamp(1, sorted.len().max(1)) - 1).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let values: Vec<f64> = (1..=200).map(f64::from).collect();
        assert_eq!(
            (percentile(&values, 0.5), percentile(&values, 0.99), percentile(&values, 1.0)),
            (100.0, 198.0, 200.0)
        );
        assert_eq!((percentile(&[7.0], 0.5), percentile(&[], 0.5)), (7.0, 0.0));
    }

    #[test]
    fn a_missed_target_is_said_in_both_forms() {
        let report = Report {
            bench: "pipeline",
            settings: json!({ "records": 10 }),
            figures: vec![
                Figure::new("e", "share of the ceiling", 0.3, "").held_to(Target::AtLeast(0.5)),
                Figure::new("cpu", "cost of one", 90.0, "µs").held_to(Target::AtMost(150.0)),
            ],
            tables: vec![Rows {
                title: "processes",
                columns: &["name", "cores", "empty"],
                rows: vec![json!({ "name": "x", "cores": 1.5, "empty": null })],
            }],
            notes: Vec::new(),
        };
        let json = report.to_json();
        assert_eq!((&json["figures"]["e"]["met"], &json["figures"]["cpu"]["met"]), (&json!(false), &json!(true)));
        let missed = report.kept().unwrap_err().to_string();
        assert_eq!(missed, "not as it should be: share of the ceiling 0.3");
        let text = report.to_text();
        assert!(
            text.contains("MISSED") && text.contains("met") && text.contains("cores") && !text.contains("empty"),
            "{text}"
        );
    }
}
