//! One run of a script: who runs it and why, what it may still use, and what it asks the platform for.

use std::sync::Arc;
use std::time::Instant;

use serde_json::{Map, Value as Json, json};

use super::fault::Fault;
use super::objects::Script;
use super::{Scripts, calls, records};
use crate::world::{Author, CustomRow, Stored};

/// Records a run may have loaded at once.
const MOST_OPEN: usize = 10_000;

/// What makes a script run.
#[derive(Debug, Clone)]
pub(crate) struct Cause {
    pub(crate) script: Arc<Script>,
    /// Script id of the deployment.
    pub(crate) deployment: String,
    /// Who it runs as, and `runtime.executionContext`.
    pub(crate) author: Author,
    /// Internal id of that user.
    pub(crate) user: i64,
    /// Governance units and seconds it has.
    pub(crate) allowance: Allowance,
    /// Whether saves made by it run user events: those of a user event do not.
    pub(crate) is_user_event: bool,
}

/// Governance of one run (fact sheet §6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Allowance {
    pub(crate) units: u32,
    pub(crate) seconds: u64,
}

/// A record as it was when the run loaded it.
#[derive(Debug)]
pub(super) enum Loaded {
    Standard(Box<Stored>),
    Custom(CustomRow),
}

/// A run under way.
pub(crate) struct Run {
    pub(super) scripts: Arc<Scripts>,
    pub(super) cause: Cause,
    pub(super) left: u32,
    pub(super) deadline: Instant,
    /// Whether it asked for more units than it had: it is over, whatever it caught.
    pub(super) is_spent: bool,
    pub(super) open: Vec<Loaded>,
}

impl Run {
    pub(crate) fn new(scripts: Arc<Scripts>, cause: Cause) -> Self {
        let deadline = Instant::now() + std::time::Duration::from_secs(cause.allowance.seconds);
        Self { scripts, left: cause.allowance.units, deadline, is_spent: false, open: Vec::new(), cause }
    }

    /// Units used so far.
    pub(crate) fn used(&self) -> u32 {
        self.cause.allowance.units - self.left
    }

    /// Takes units for a call.
    pub(super) fn spend(&mut self, units: u32) -> Result<(), Fault> {
        if self.is_spent || units > self.left {
            self.is_spent = true;
            return Err(Fault::out_of_units());
        }
        self.left -= units;
        Ok(())
    }

    /// Remembers what a record was like, for its save to compare.
    pub(super) fn keep(&mut self, loaded: Loaded) -> Result<usize, Fault> {
        if self.open.len() >= MOST_OPEN {
            return Err(Fault::new("SSS_RECORD_LIMIT_EXCEEDED", &format!("at most {MOST_OPEN} records in one run")));
        }
        self.open.push(loaded);
        Ok(self.open.len() - 1)
    }

    /// One call of the platform.
    pub(super) fn answer(&mut self, name: &str, arguments: &Json) -> Result<Json, Fault> {
        // A limit that was run into ends the run at its next step, whatever the script catches.
        if self.is_spent && name != "log" {
            return Err(Fault::out_of_units());
        }
        match name {
            "record.shape" => records::shape(arguments),
            "record.create" => records::create(self, arguments),
            "record.load" => records::load(self, arguments),
            "record.save" => records::save(self, arguments),
            "record.delete" => records::delete(self, arguments),
            "record.submitFields" => records::submit_fields(self, arguments),
            "search.lookupFields" => records::lookup_fields(self, arguments),
            "query.run" => calls::query(self, arguments),
            "query.page" => calls::query_page(self, arguments),
            "https.request" => calls::request(self, arguments),
            "crypto.secret" => calls::secret(self, arguments),
            "crypto.hmac" => calls::hmac(self, arguments),
            "cache.get" | "cache.put" | "cache.remove" => calls::cache(self, name, arguments),
            "task.submit" => calls::submit(self, arguments),
            "format" => calls::format(self, arguments),
            "log" => {
                calls::log(self, arguments);
                Ok(Json::Null)
            }
            "runtime" => Ok(self.facts()),
            "runtime.parameter" => Ok(self.parameter(text(arguments, "name")?)),
            "runtime.remainingUsage" => Ok(Json::from(self.left)),
            other => Err(Fault::broken(&format!("the platform has no {other}"))),
        }
    }

    fn facts(&self) -> Json {
        let Cause { script, deployment, author, user, .. } = &self.cause;
        json!({
            "account": self.scripts.account, "script": script.id, "deployment": deployment, "context": author.context,
            // Every user of the simulator has the administrator's role.
            "user": { "id": user, "name": author.user, "role": 3, "roleId": "administrator" },
        })
    }

    /// A script reads its own parameters only.
    fn parameter(&self, name: &str) -> Json {
        match self.cause.script.parameters.get(name) {
            None => Json::Null,
            Some(default) => {
                let value = self.scripts.parameters.get(name).or(default.as_ref());
                value.map_or(Json::Null, |value| Json::from(value.as_str()))
            }
        }
    }
}

/// A member of a call's arguments that is text.
pub(super) fn text<'a>(arguments: &'a Json, name: &str) -> Result<&'a str, Fault> {
    arguments[name].as_str().ok_or_else(|| Fault::new("SSS_INVALID_TYPE_ARG", &format!("{name} is text")))
}

/// A member of a call's arguments that is an object; absent, it is empty.
pub(super) fn members<'a>(arguments: &'a Json, name: &str) -> Result<std::borrow::Cow<'a, Map<String, Json>>, Fault> {
    match &arguments[name] {
        Json::Object(members) => Ok(std::borrow::Cow::Borrowed(members)),
        Json::Null => Ok(std::borrow::Cow::Owned(Map::new())),
        _ => Err(Fault::new("SSS_INVALID_TYPE_ARG", &format!("{name} is an object"))),
    }
}
