//! People's verbs over the console's HTTP API (contracts §6).

use anyhow::{Context, Result};
use clap::{Args, Subcommand, ValueEnum};
use reqwest::Method;
use serde_json::{Value, json};

mod history;
pub(crate) mod print;
mod reach;
mod resync;

pub use history::{OfSide, Timeline, Undo};
pub use reach::Console;

/// How an answer is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Table,
    /// For programs: the API's own answer.
    Json,
}

/// What can be asked of the console.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// A record's canonical state, now or in the past
    State(State),
    /// Everything that happened to a record
    Timeline(Timeline),
    /// Every field of a record with what made it so
    Blame(Timeline),
    /// Put back what a version took from a field
    Undo(Undo),
    /// The immutable log of events
    Events(Events),
    /// Conflicts that wait for a person, or one of them with all its context
    Conflicts(Conflicts),
    /// Decide a conflict
    Resolve(Resolve),
    /// Locks on records and fields
    Locks(Locks),
    /// What failed and waits for a person
    Errors(Errors),
    /// How completely both sides of a type were found to agree, and through when
    Certificate(resync::Certificate),
    /// Look at records again, say what that would write, or carry such a plan out
    Resync(resync::Resync),
}

/// `concord state`.
#[derive(Debug, Args)]
pub struct State {
    /// Account id
    account: String,
    /// Record type: customer, item, salesorder
    record_type: String,
    /// Internal id, netsuite:ID or suitex:ID
    id: String,
    /// The record as of a version
    #[arg(long, conflicts_with = "at")]
    version: Option<u64>,
    /// The record as of a time (RFC 3339)
    #[arg(long)]
    at: Option<String>,
}

/// `concord events`.
#[derive(Debug, Args)]
pub struct Events {
    /// Account id
    #[arg(long)]
    account: Option<String>,
    /// Record type
    #[arg(long = "type")]
    record_type: Option<String>,
    /// The side's own id of the record
    #[arg(long)]
    record: Option<String>,
    /// applied, superseded, noop_echo, conflict, error, dlq
    #[arg(long)]
    disposition: Option<String>,
    #[command(flatten)]
    page: Page,
}

/// Where a listing starts.
#[derive(Debug, Args)]
pub struct Page {
    /// Where the page before ended
    #[arg(long)]
    cursor: Option<String>,
    /// All pages, one after another
    #[arg(long, conflicts_with = "cursor")]
    all: bool,
}

/// `concord conflicts`.
#[derive(Debug, Args)]
pub struct Conflicts {
    /// One conflict, with base, both values, suggestion and rev
    id: Option<String>,
    /// Account id
    #[arg(long)]
    account: Option<String>,
    /// open, resolved or converged
    #[arg(long, default_value = "open")]
    status: String,
    #[command(flatten)]
    page: Page,
}

/// How a conflict is decided.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Action {
    /// SuiteX's value stands
    AcceptSuitex,
    /// NetSuite's value stands
    AcceptNetsuite,
    /// What the conflict suggests
    AcceptSuggested,
    /// Another value, given with --changes
    Edit,
}

impl Action {
    fn word(self) -> &'static str {
        match self {
            Self::AcceptSuitex => "accept_suitex",
            Self::AcceptNetsuite => "accept_netsuite",
            Self::AcceptSuggested => "accept_suggested",
            Self::Edit => "edit",
        }
    }
}

/// `concord resolve`.
#[derive(Debug, Args)]
pub struct Resolve {
    /// The conflict
    id: String,
    /// The revision that was looked at; refused when it has moved on
    #[arg(long)]
    rev: u64,
    /// The decision
    #[arg(value_enum)]
    action: Action,
    /// Field values as JSON, for `edit`
    #[arg(long, required_if_eq("action", "edit"))]
    changes: Option<String>,
    /// Why
    #[arg(long)]
    note: Option<String>,
}

/// `concord locks`.
#[derive(Debug, Args)]
pub struct Locks {
    #[command(subcommand)]
    verb: Option<LocksVerb>,
}

/// What can be done with locks.
#[derive(Debug, Subcommand)]
pub enum LocksVerb {
    /// Locks in force
    List {
        /// Account id
        #[arg(long)]
        account: Option<String>,
    },
    /// Lock a record, or one field of it
    Add {
        /// Account id
        account: String,
        /// Record type
        record_type: String,
        /// Internal id, netsuite:ID or suitex:ID
        id: String,
        /// Only this field
        #[arg(long)]
        field: Option<String>,
        /// Why
        #[arg(long)]
        note: Option<String>,
    },
    /// Release a lock
    Release {
        /// The lock
        id: String,
    },
}

/// `concord errors`.
#[derive(Debug, Args)]
pub struct Errors {
    #[command(subcommand)]
    verb: Option<ErrorsVerb>,
}

/// What can be done with errors.
#[derive(Debug, Subcommand)]
pub enum ErrorsVerb {
    /// The error queue
    List {
        /// Account id
        #[arg(long)]
        account: Option<String>,
        /// open, retried, discarded or resolved
        #[arg(long)]
        status: Option<String>,
        /// Where the listing starts
        #[command(flatten)]
        page: Page,
    },
    /// Send the message again
    Retry {
        /// The error
        id: String,
    },
    /// Give up on the message
    Discard {
        /// The error
        id: String,
    },
    /// Send the message again with other values
    Edit {
        /// The error
        id: String,
        /// Field values as JSON
        #[arg(long)]
        changes: String,
    },
}

/// Asks, and prints the answer. True: it is a plan with differences.
///
/// # Errors
/// When the console refuses or does not answer.
pub async fn run(console: &Console, verb: Verb, output: Output) -> Result<bool> {
    let answer = match verb {
        Verb::State(state) => state_of(console, state).await?,
        Verb::Timeline(record) => history::timeline(console, &record).await?,
        Verb::Blame(record) => history::blame(console, &record).await?,
        Verb::Undo(undo) => history::undo(console, undo).await?,
        Verb::Events(events) => {
            let filters = vec![
                ("account", events.account),
                ("type", events.record_type),
                ("record", events.record),
                ("disposition", events.disposition),
            ];
            console.list("/api/v1/events", filters, events.page).await?
        }
        Verb::Conflicts(Conflicts { id: Some(id), .. }) => {
            console.call(Method::GET, &format!("/api/v1/conflicts/{}", segment(&id)), &[], None).await?
        }
        Verb::Conflicts(conflicts) => {
            let filters = vec![("account", conflicts.account), ("status", Some(conflicts.status))];
            console.list("/api/v1/conflicts", filters, conflicts.page).await?
        }
        Verb::Resolve(resolve) => decide(console, resolve).await?,
        Verb::Locks(locks) => with_locks(console, locks).await?,
        Verb::Errors(errors) => with_errors(console, errors).await?,
        Verb::Certificate(wanted) => resync::certificate(console, wanted).await?,
        Verb::Resync(wanted) => return resync::resync(console, wanted, output).await,
    };
    print::answer(&answer, output)?;
    Ok(false)
}

async fn state_of(console: &Console, state: State) -> Result<Value> {
    let path =
        format!("/api/v1/state/{}/{}/{}", segment(&state.account), segment(&state.record_type), segment(&state.id));
    let mut query = Vec::new();
    query.extend(state.version.map(|version| ("version", version.to_string())));
    query.extend(state.at.map(|at| ("at", at)));
    console.call(Method::GET, &path, &query, None).await
}

async fn decide(console: &Console, resolve: Resolve) -> Result<Value> {
    let mut body = json!({ "rev": resolve.rev, "action": resolve.action.word() });
    if let Some(changes) = resolve.changes {
        body["changes"] = serde_json::from_str(&changes).context("--changes is not JSON")?;
    }
    if let Some(note) = resolve.note {
        body["note"] = note.into();
    }
    console.call(Method::POST, &format!("/api/v1/conflicts/{}/resolve", segment(&resolve.id)), &[], Some(body)).await
}

async fn with_locks(console: &Console, locks: Locks) -> Result<Value> {
    match locks.verb.unwrap_or(LocksVerb::List { account: None }) {
        LocksVerb::List { account } => {
            console.list("/api/v1/locks", vec![("account", account)], Page { cursor: None, all: true }).await
        }
        LocksVerb::Add { account, record_type, id, field, note } => {
            let body = json!({ "account": account, "type": record_type, "id": id, "field": field, "note": note });
            console.call(Method::POST, "/api/v1/locks", &[], Some(body)).await
        }
        LocksVerb::Release { id } => {
            console.call(Method::DELETE, &format!("/api/v1/locks/{}", segment(&id)), &[], None).await
        }
    }
}

async fn with_errors(console: &Console, errors: Errors) -> Result<Value> {
    let default = ErrorsVerb::List { account: None, status: None, page: Page { cursor: None, all: false } };
    let act = |id: String, what: &str| format!("/api/v1/errors/{}/{what}", segment(&id));
    match errors.verb.unwrap_or(default) {
        ErrorsVerb::List { account, status, page } => {
            console.list("/api/v1/errors", vec![("account", account), ("status", status)], page).await
        }
        ErrorsVerb::Retry { id } => console.call(Method::POST, &act(id, "retry"), &[], None).await,
        ErrorsVerb::Discard { id } => console.call(Method::POST, &act(id, "discard"), &[], None).await,
        ErrorsVerb::Edit { id, changes } => {
            let changes: Value = serde_json::from_str(&changes).context("--changes is not JSON")?;
            console.call(Method::POST, &act(id, "edit"), &[], Some(json!({ "changes": changes }))).await
        }
    }
}

/// One segment of a path, whatever characters an id has.
fn segment(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}
