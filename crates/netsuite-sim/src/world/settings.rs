//! What differs from account to account, beside its catalogue: tier, language, limits, and the oddities of its data.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use crate::catalog::RecordType;

/// Rows that a query shows at most in an account without SuiteAnalytics Connect.
const ROW_CAP: usize = 100_000;
/// Seconds that a query takes at most.
const QUERY_SECONDS: u64 = 300;

/// A service tier; it decides how many requests may run at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// 5 requests at once.
    Standard,
    /// 15 requests at once.
    Premium,
    /// 20 requests at once.
    Enterprise,
    /// 20 requests at once.
    Ultimate,
}

impl Tier {
    /// Requests at once, with the SuiteCloud Plus licences bought beside it.
    pub fn concurrency(self, suitecloud_plus: u32) -> u32 {
        let base = match self {
            Self::Standard => 5,
            Self::Premium => 15,
            Self::Enterprise | Self::Ultimate => 20,
        };
        base + 10 * suitecloud_plus
    }
}

/// How an overloaded account answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Overload {
    /// REST 429, RESTlets 400, as documented.
    #[default]
    Refused,
    /// 401, as if the login had failed: seen on real accounts.
    InvalidLogin,
}

/// A workflow that rewrites a field whenever a record of the type is saved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Workflow {
    /// Record type.
    #[serde(rename = "type")]
    pub(crate) type_name: String,
    /// Field it rewrites, in SuiteQL spelling.
    pub(crate) field: String,
    pub(crate) rewrite: Rewrite,
}

/// What a workflow makes of a field's text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Rewrite {
    /// Upper case.
    Upper,
    /// Lower case.
    Lower,
    /// Digits only.
    Digits,
    /// Always this text.
    To(String),
}

impl Rewrite {
    /// The text after the workflow.
    pub(crate) fn apply(&self, text: &str) -> String {
        match self {
            Self::Upper => text.to_uppercase(),
            Self::Lower => text.to_lowercase(),
            Self::Digits => text.chars().filter(char::is_ascii_digit).collect(),
            Self::To(text) => text.clone(),
        }
    }
}

/// Settings that can be changed while the account runs; they survive a restart and end with a reset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Settings {
    /// Decides the concurrency limit instead of the configured number.
    pub(crate) tier: Option<Tier>,
    /// SuiteCloud Plus licences: ten more requests at once each.
    pub(crate) suitecloud_plus: u32,
    pub(crate) overload: Overload,
    /// Rows a query shows at most.
    pub(crate) row_cap: usize,
    /// Seconds that a query may take; then the answer is 500 with an Error ID.
    pub(crate) query_seconds: u64,
    /// The integration user's language differs from the company's: calls must send this one in `Accept-Language`.
    pub(crate) language: Option<String>,
    /// Rows that no ORDER BY tells apart come in another order for every page.
    pub(crate) unstable_order: bool,
    /// Record types whose deletion leaves no deletedrecord row.
    pub(crate) untracked_deletes: BTreeSet<String>,
    /// Record types that the role may not use over record REST.
    pub(crate) forbidden_records: BTreeSet<String>,
    pub(crate) workflows: Vec<Workflow>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            tier: None,
            suitecloud_plus: 0,
            overload: Overload::default(),
            row_cap: ROW_CAP,
            query_seconds: QUERY_SECONDS,
            language: None,
            unstable_order: false,
            untracked_deletes: BTreeSet::new(),
            forbidden_records: BTreeSet::new(),
            workflows: Vec::new(),
        }
    }
}

impl Settings {
    /// The settings with those members changed; a null goes back to the default.
    ///
    /// # Errors
    /// Names the member that is not accepted.
    pub(crate) fn changed(&self, changes: &Map<String, Json>) -> Result<Self, (String, String)> {
        let whole = |error: serde_json::Error| ("settings".to_owned(), error.to_string());
        let Json::Object(mut members) = serde_json::to_value(self).map_err(whole)? else { return Ok(self.clone()) };
        for (name, value) in changes {
            if value.is_null() {
                members.remove(name);
            } else {
                members.insert(name.clone(), value.clone());
            }
            let tried = serde_json::from_value::<Self>(Json::Object(members.clone()));
            tried.map_err(|error| (name.clone(), error.to_string()))?;
        }
        let next: Self = serde_json::from_value(Json::Object(members)).map_err(whole)?;
        next.check()?;
        Ok(next)
    }

    fn check(&self) -> Result<(), (String, String)> {
        for (member, names) in
            [("untracked_deletes", &self.untracked_deletes), ("forbidden_records", &self.forbidden_records)]
        {
            if let Some(name) = names.iter().find(|name| RecordType::named(name).is_none()) {
                return Err((member.to_owned(), format!("there is no record type {name}")));
            }
        }
        for Workflow { type_name, field, .. } in &self.workflows {
            let known = RecordType::named(type_name).is_some_and(|kind| kind.position(field).is_some());
            if !known {
                return Err(("workflows".to_owned(), format!("{type_name} has no field {field}")));
            }
        }
        if self.row_cap == 0 {
            return Err(("row_cap".to_owned(), "row_cap is 1 or more".to_owned()));
        }
        if !(1..=3_600).contains(&self.query_seconds) {
            return Err(("query_seconds".to_owned(), "query_seconds is from 1 to 3600".to_owned()));
        }
        Ok(())
    }

    /// Whether the set names that type, in any spelling.
    pub(crate) fn names(set: &BTreeSet<String>, kind: &RecordType) -> bool {
        set.iter().any(|name| RecordType::named(name).is_some_and(|own| std::ptr::eq(own, kind)))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn members_change_one_by_one_and_wrong_ones_are_named() {
        let change = |json: Json| match json {
            Json::Object(members) => Settings::default().changed(&members),
            _ => panic!("an object"),
        };
        let settings = change(json!({ "tier": "premium", "suitecloud_plus": 2, "row_cap": 10 })).unwrap();
        assert_eq!(settings.tier.map(|tier| tier.concurrency(settings.suitecloud_plus)), Some(35));
        assert_eq!(settings.row_cap, 10);
        for (bad, member) in [
            (json!({ "tier": "gold" }), "tier"),
            (json!({ "nothing": 1 }), "nothing"),
            (json!({ "untracked_deletes": ["ship"] }), "untracked_deletes"),
            (json!({ "workflows": [{ "type": "customer", "field": "x", "rewrite": "upper" }] }), "workflows"),
            (json!({ "row_cap": 0 }), "row_cap"),
        ] {
            assert_eq!(change(bad).unwrap_err().0, member);
        }
    }
}
