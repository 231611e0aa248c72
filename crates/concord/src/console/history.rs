//! A record's past: what happened to it, what made its fields so, and putting a value back.

use anyhow::Result;
use clap::{Args, ValueEnum};
use reqwest::Method;
use serde_json::{Value, json};

use super::{Console, segment};

/// `concord timeline`, `concord blame`.
#[derive(Debug, Args)]
pub struct Timeline {
    /// Account id
    account: String,
    /// Record type: customer, item, salesorder
    record_type: String,
    /// Internal id, netsuite:ID or suitex:ID
    id: String,
}

impl Timeline {
    fn path(&self, what: &str) -> String {
        let Self { account, record_type, id } = self;
        format!("/api/v1/records/{}/{}/{}/{what}", segment(account), segment(record_type), segment(id))
    }
}

/// `concord undo`.
#[derive(Debug, Args)]
pub struct Undo {
    #[command(flatten)]
    record: Timeline,
    /// The field; of a line: SUBLIST.LINE KEY.FIELD
    #[arg(long)]
    field: String,
    /// The version that took its value
    #[arg(long)]
    version: u64,
    /// Whose value, where the version took both sides'
    #[arg(long, value_enum)]
    side: Option<OfSide>,
    /// Why
    #[arg(long)]
    note: Option<String>,
}

/// Whose value.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum OfSide {
    /// SuiteX's
    Suitex,
    /// NetSuite's
    Netsuite,
}

pub(super) async fn timeline(console: &Console, record: &Timeline) -> Result<Value> {
    console.call(Method::GET, &record.path("timeline"), &[], None).await
}

pub(super) async fn blame(console: &Console, record: &Timeline) -> Result<Value> {
    console.call(Method::GET, &record.path("blame"), &[], None).await
}

pub(super) async fn undo(console: &Console, undo: Undo) -> Result<Value> {
    let mut body = json!({ "field": undo.field, "version": undo.version });
    if let Some(side) = undo.side {
        body["side"] = match side {
            OfSide::Suitex => "suitex",
            OfSide::Netsuite => "netsuite",
        }
        .into();
    }
    if let Some(note) = undo.note {
        body["note"] = note.into();
    }
    console.call(Method::POST, &undo.record.path("undo"), &[], Some(body)).await
}
