//! NetSuite's codes, what each means, and our sentence for it.

use super::Meaning::{self, Absent, Changed, Content, Login, Permission, Query, Setup, TooMany, Trouble};
use super::body::Told;

/// Every code the fact sheet names. What is not here goes by its status.
const KNOWN: &[(&str, Meaning)] = &[
    ("INVALID_LOGIN", Login),
    ("INVALID_LOGIN_ATTEMPT", Login),
    ("INVALID_LOGIN_CREDENTIALS", Login),
    ("TWO_FA_REQD", Login),
    ("invalid_grant", Login),
    ("invalid_request", Login),
    ("invalid_client", Login),
    ("INSUFFICIENT_PERMISSION", Permission),
    ("CONCURRENCY_LIMIT_EXCEEDED", TooMany),
    ("SSS_REQUEST_LIMIT_EXCEEDED", TooMany),
    ("SSS_USAGE_LIMIT_EXCEEDED", TooMany),
    ("SSS_TIME_LIMIT_EXCEEDED", Trouble),
    ("UNEXPECTED_ERROR", Trouble),
    ("NONEXISTENT_ID", Absent),
    ("RCRD_DSNT_EXIST", Absent),
    ("RCRD_HAS_BEEN_CHANGED", Changed),
    ("IDEMPOTENCY_ERROR", Changed),
    ("USER_ERROR", Content),
    ("DUP_RCRD", Content),
    ("INVALID_ID", Content),
    ("INVALID_CONTENT", Content),
    ("INVALID_KEY_OR_REF", Content),
    ("INVALID_PARAMETER", Content),
    ("NONEXISTENT_FIELD", Content),
    ("SSS_SEARCH_ERROR_OCCURRED", Query),
    ("INVALID_HEADER", Setup),
    ("INVALID_REQUEST", Setup),
    ("INVALID_RETURN_DATA_FORMAT", Setup),
    ("SSS_INVALID_SCRIPTLET_ID", Setup),
    ("MODULE_DOES_NOT_EXIST", Setup),
];

/// Refusals for load that come before the script starts. Running out of units comes in its middle.
pub(super) const REFUSED_AT_THE_DOOR: &[&str] = &["CONCURRENCY_LIMIT_EXCEEDED", "SSS_REQUEST_LIMIT_EXCEEDED"];

/// Refusals that say no script of ours has run.
pub(super) const NEVER_RAN: &[&str] = &[
    "INVALID_HEADER",
    "INVALID_REQUEST",
    "SSS_INVALID_SCRIPTLET_ID",
    "MODULE_DOES_NOT_EXIST",
    "http_404",
    "http_405",
    "http_406",
    "http_413",
    "http_415",
];

/// Longest code of a record's refusal that is passed on.
const LONGEST_CODE: usize = 100;

/// The code in our own spelling, with its meaning.
pub(super) fn known(code: &str) -> Option<(&'static str, Meaning)> {
    KNOWN.iter().find(|(name, _)| *name == code).copied()
}

/// The code of a record's refusal as NetSuite gave it, if it has the shape of one.
pub(crate) fn record_code(code: Option<&str>) -> String {
    let fits = |code: &&str| {
        (1..=LONGEST_CODE).contains(&code.len()) && code.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    };
    code.filter(fits).unwrap_or("UNNAMED").to_owned()
}

/// The wordings of a refused query (fact sheet §3.7): all share one code, so the words have to tell.
pub(super) fn query_fault(told: &Told) -> Option<(Meaning, &'static str)> {
    if told.says("Unknown identifier") {
        Some((Query, "unknown_column"))
    } else if told.says("Invalid search type") {
        Some((Query, "unknown_table"))
    } else if told.says("Record '") && told.says("was not found") {
        // The table exists, but not for this role. Never the same as "no rows".
        Some((Permission, "table_not_visible"))
    } else if told.says("Parse of date/time") {
        Some((Query, "date_not_parsed"))
    } else if told.says("Invalid or unsupported search") {
        Some((Query, "unsupported_query"))
    } else if told.says("Field '") {
        Some((Query, "field_not_exposed"))
    } else if told.says("Invalid search query") {
        Some((Query, "query_refused"))
    } else {
        None
    }
}

/// Our sentence. Known wordings give up the name of a field, column or table; nothing else is taken over.
pub(super) fn sentence(meaning: Meaning, code: &str, told: &Told) -> String {
    let unnamed = || "that is not named".to_owned();
    match code {
        "unknown_column" => {
            let column = told.name("Unknown identifier '", "'").unwrap_or_else(unnamed);
            format!("The column {column} is not there in this account, or hidden from our role.")
        }
        "unknown_table" => {
            let table = told.name("Invalid search type: ", ".").unwrap_or_else(unnamed);
            format!("The table {table} is not known in this account.")
        }
        "table_not_visible" => {
            let table = told.name("Record '", "'").unwrap_or_else(unnamed);
            format!("The table {table} is hidden: our role lacks the permission, or the feature is switched off.")
        }
        "field_not_exposed" => {
            let field = told.name("Field '", "'").unwrap_or_else(unnamed);
            format!("The field {field} cannot be queried.")
        }
        "INVALID_HEADER" => match told.about.as_deref() {
            Some("Accept-Language") => "The integration user's language differs from the company's: set \
                                        accept_language to the company's."
                .to_owned(),
            _ => "A request header was refused.".to_owned(),
        },
        "USER_ERROR" | "already_exists" | "record_refused" => content_sentence(told),
        _ => general(meaning, code),
    }
}

fn content_sentence(told: &Told) -> String {
    if told.says("already exists") {
        "A record with this name, number or external id already exists.".to_owned()
    } else if told.says("Please enter value(s) for") {
        let fields = told.name("Please enter value(s) for: ", "").unwrap_or_else(|| "a required field".to_owned());
        format!("NetSuite requires a value for {}.", fields.trim_end_matches('.'))
    } else if told.says("Invalid Field Value") {
        let field = told.name("for the following field: ", "").unwrap_or_else(|| "a field".to_owned());
        format!("NetSuite does not accept the value for {}.", field.trim_end_matches('.'))
    } else if told.names_dependents() {
        "The record cannot be deleted: other records depend on it.".to_owned()
    } else {
        "NetSuite, or a script or workflow in the account, refused the record.".to_owned()
    }
}

fn general(meaning: Meaning, code: &str) -> String {
    match meaning {
        Login => format!("NetSuite refused the login ({code}); the reason is in the account's Login Audit Trail."),
        Permission => format!("Our role in the account may not do this ({code})."),
        TooMany => format!("The account has no room for another request or no units left ({code})."),
        Absent => "The record does not exist.".to_owned(),
        Changed => "The record was changed or is held by somebody else.".to_owned(),
        Content => format!("NetSuite refused the content of the record ({code})."),
        Query => format!("NetSuite could not carry out the query ({code})."),
        Setup => format!("Scripts, addresses or headers in the account are not set up as expected ({code})."),
        Trouble => format!("NetSuite had trouble of its own ({code})."),
        Meaning::Redirected => "The account answers from another data centre: correct the addresses.".to_owned(),
    }
}
