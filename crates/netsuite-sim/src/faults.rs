//! Faults by rule: what goes wrong with which requests of an account.

use std::sync::{Mutex, MutexGuard, PoisonError};

use fastrand::Rng;
use serde::{Deserialize, Serialize};

const MAX_RULES: usize = 200;
const DEFAULT_SEED: u64 = 1;

/// Rules as the control API takes them.
#[derive(Debug, Clone, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rules {
    rules: Vec<Rule>,
    /// Seed of every `probability`.
    #[serde(default)]
    seed: Option<u64>,
}

/// One rule: the first that matches a request and fires decides.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rule {
    #[serde(rename = "match", default)]
    matching: Matching,
    pub(crate) fault: FaultKind,
    /// Status of a `status` fault.
    #[serde(default)]
    pub(crate) status: Option<u16>,
    /// Wait of `slow` and `zombie`, in seconds.
    #[serde(default)]
    pub(crate) delay_seconds: f64,
    /// How often the rule fires at most.
    #[serde(default)]
    times: Option<u64>,
}

/// Which requests a rule is for; what is absent matches all.
#[derive(Debug, Clone, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Matching {
    method: Option<String>,
    /// Part of the path with its query.
    path: Option<String>,
    /// A SuiteQL table or record type that the request names.
    table: Option<String>,
    /// Only the n-th matching request, from 1.
    nth: Option<u64>,
    /// Chance from 0 to 1.
    probability: Option<f64>,
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FaultKind {
    /// Answered with that status; nothing is done.
    Status,
    /// Done, late.
    Slow,
    /// The connection is closed; nothing is done.
    Reset,
    /// Done, then the connection is closed.
    LostResponse,
    /// The connection is closed now, the work is done later.
    Zombie,
    /// Done; the answer breaks off in the middle.
    Truncate,
    /// Refused as if the login had ended meanwhile; nothing is done.
    ExpiredToken,
    /// Sent to another data centre; nothing is done.
    Redirect,
}

impl FaultKind {
    /// The kind's word in rules and ledger.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Slow => "slow",
            Self::Reset => "reset",
            Self::LostResponse => "lost_response",
            Self::Zombie => "zombie",
            Self::Truncate => "truncate",
            Self::ExpiredToken => "expired_token",
            Self::Redirect => "redirect",
        }
    }
}

/// What a rule can see of a request.
pub(crate) struct Seen<'a> {
    pub(crate) method: &'a str,
    /// Path with query.
    pub(crate) path: &'a str,
    pub(crate) body: &'a [u8],
}

/// The rules in force for an account.
#[derive(Debug)]
pub(crate) struct Faults {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    rules: Vec<Armed>,
    rng: Rng,
}

#[derive(Debug)]
struct Armed {
    rule: Rule,
    matched: u64,
    fired: u64,
}

impl Default for Faults {
    fn default() -> Self {
        Self { state: Mutex::new(State { rules: Vec::new(), rng: Rng::with_seed(DEFAULT_SEED) }) }
    }
}

impl Faults {
    /// Adds rules behind those in force.
    ///
    /// # Errors
    /// A rule that could not be carried out as written.
    pub(crate) fn add(&self, rules: Rules) -> Result<(), String> {
        for rule in &rules.rules {
            rule.check()?;
        }
        let mut state = self.state();
        if state.rules.len() + rules.rules.len() > MAX_RULES {
            return Err(format!("at most {MAX_RULES} rules"));
        }
        if let Some(seed) = rules.seed {
            state.rng = Rng::with_seed(seed);
        }
        state.rules.extend(rules.rules.into_iter().map(|rule| Armed { rule, matched: 0, fired: 0 }));
        Ok(())
    }

    /// Removes every rule.
    pub(crate) fn clear(&self) {
        let mut state = self.state();
        state.rules.clear();
        state.rng = Rng::with_seed(DEFAULT_SEED);
    }

    /// The rules with how often each matched and fired.
    pub(crate) fn list(&self) -> Vec<serde_json::Value> {
        let state = self.state();
        let shown = state
            .rules
            .iter()
            .map(|armed| serde_json::json!({ "rule": armed.rule, "matched": armed.matched, "fired": armed.fired }));
        shown.collect()
    }

    /// What goes wrong with this request, if anything does.
    pub(crate) fn decide(&self, seen: &Seen<'_>) -> Option<Rule> {
        let mut state = self.state();
        let State { rules, rng } = &mut *state;
        let mut decided = None;
        // Every rule counts every request it matches, so that "the second" means the same in each.
        for armed in rules {
            if !armed.rule.matching.covers(seen) {
                continue;
            }
            armed.matched += 1;
            let spent = armed.rule.times.is_some_and(|times| armed.fired >= times);
            let is_turn = armed.rule.matching.nth.is_none_or(|nth| nth == armed.matched);
            if decided.is_some() || spent || !is_turn {
                continue;
            }
            if armed.rule.matching.probability.is_none_or(|chance| rng.f64() < chance) {
                armed.fired += 1;
                decided = Some(armed.rule.clone());
            }
        }
        decided
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rule {
    fn check(&self) -> Result<(), String> {
        let is_status = self.status.is_some_and(|status| (400..600).contains(&status));
        if self.fault == FaultKind::Status && !is_status {
            return Err("a status fault needs a status from 400 to 599".to_owned());
        }
        if !(0.0..=3_600.0).contains(&self.delay_seconds) {
            return Err("delay_seconds is from 0 to 3600".to_owned());
        }
        if self.matching.probability.is_some_and(|chance| !(0.0..=1.0).contains(&chance)) {
            return Err("probability is from 0 to 1".to_owned());
        }
        if self.matching.nth == Some(0) {
            return Err("nth counts from 1".to_owned());
        }
        Ok(())
    }
}

impl Matching {
    fn covers(&self, seen: &Seen<'_>) -> bool {
        self.method.as_deref().is_none_or(|method| method.eq_ignore_ascii_case(seen.method))
            && self.path.as_deref().is_none_or(|path| seen.path.contains(path))
            && self.table.as_deref().is_none_or(|table| names(seen, table))
    }
}

/// Whether path or body names the table as a whole word.
fn names(seen: &Seen<'_>, table: &str) -> bool {
    let table = table.to_lowercase();
    [seen.path.to_lowercase(), String::from_utf8_lossy(seen.body).to_lowercase()]
        .iter()
        .any(|text| text.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == table))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(path: &'static str) -> Seen<'static> {
        Seen { method: "POST", path, body: br#"{"q":"SELECT id FROM customer"}"# }
    }

    fn faults(rules: serde_json::Value) -> Faults {
        let faults = Faults::default();
        faults.add(serde_json::from_value(rules).unwrap()).unwrap();
        faults
    }

    #[test]
    fn the_nth_match_alone_fires() {
        let faults =
            faults(serde_json::json!({"rules": [{"match": {"table": "Customer", "nth": 2}, "fault": "reset"}]}));
        let fired: Vec<bool> = (0..3).map(|_| faults.decide(&seen("/q")).is_some()).collect();
        assert_eq!(fired, [false, true, false]);
        assert!(faults.decide(&Seen { body: b"SELECT id FROM customers", ..seen("/q") }).is_none());
    }

    #[test]
    fn probability_follows_its_seed() {
        let rules = serde_json::json!({"seed": 7, "rules": [{"match": {"probability": 0.3}, "fault": "reset"}]});
        let run = |faults: Faults| (0..200).filter(|_| faults.decide(&seen("/q")).is_some()).count();
        let (one, two) = (run(faults(rules.clone())), run(faults(rules)));
        assert_eq!(one, two);
        assert!((30..90).contains(&one), "{one}");
    }

    #[test]
    fn rules_that_mean_nothing_are_refused() {
        let faults = Faults::default();
        let rules = serde_json::from_value(serde_json::json!({"rules": [{"fault": "status"}]})).unwrap();
        assert!(faults.add(rules).is_err());
    }
}
