//! User events: what runs before and after a save.

use std::sync::Arc;

use serde_json::{Map, Value as Json, json};

use super::engine::Outcome;
use super::objects::{Deployment, Script, ScriptKind};
use super::run::{Allowance, Cause, Run};
use super::{Scripts, shape};
use crate::world::{Author, Draft, Operation, Refusal, Saved, Saving, Value, WorldError};

const USER_EVENT: Allowance = Allowance { units: 1_000, seconds: 300 };
const EVENT_SUBSCRIBER: Allowance = Allowance { units: 1_000, seconds: 3_600 };

impl Scripts {
    /// Whether any script has a say before a save.
    pub(crate) fn has_before_submit(&self) -> bool {
        let mut scripts = self.project.scripts.iter().filter(|script| script.kind == ScriptKind::UserEvent);
        scripts.any(|script| self.has_entry(script, "beforeSubmit"))
    }

    /// Runs the scripts that precede a save, which is tried and taken back to see what it would become. Answers the
    /// fields they set, by their position, for the save itself to set as well.
    ///
    /// They run before the save has begun, so that none holds up other people's saves. What somebody else does to the
    /// record in between they do not see.
    ///
    /// # Errors
    /// What the save itself would be refused for, or what a script threw.
    pub(crate) fn before_submit(
        self: &Arc<Self>,
        author: &Author,
        attempt: impl FnOnce(&Saving<'_>) -> Result<Saved, WorldError>,
    ) -> Result<Vec<(usize, Value)>, WorldError> {
        let mut set = Vec::new();
        if !self.has_before_submit() {
            return Ok(set);
        }
        let mut saved = self.world.rehearse(author, attempt)?;
        let found = self.listeners(&saved, (ScriptKind::UserEvent, "beforeSubmit"));
        let listeners: Vec<(Arc<Script>, Deployment)> =
            found.into_iter().map(|(script, deployment)| (script.clone(), deployment.clone())).collect();
        for (script, deployment) in listeners {
            let mut argument = shape::event(&saved, event_type(&saved));
            if saved.operation == Operation::Create {
                argument["newRecord"]["id"] = Json::Null;
            }
            let cause = self.cause(&saved, &script, &deployment);
            let (outcome, _) = self.call(cause, "beforeSubmit", "event", &argument.to_string());
            let fields = match outcome {
                Outcome::Done(Json::Object(fields)) => fields,
                Outcome::Failed(fault) => return Err(Refusal::new("USER_ERROR", fault.message).into()),
                Outcome::Done(_) | Outcome::Absent => Map::new(),
            };
            let draft = Draft::from_json(saved.kind, &shape::named(saved.kind, &fields))?;
            for (position, value) in draft.values {
                if let Some(after) = &mut saved.after {
                    after.values[position] = value.clone();
                }
                set.push((position, value));
            }
        }
        Ok(set)
    }

    /// Runs the scripts that follow committed saves, one after the other. Whatever becomes of them, the saves are done:
    /// what they throw is in the execution log.
    pub(crate) fn after_submit(self: &Arc<Self>, saves: &[Saved]) {
        for saved in saves {
            let mut units = None;
            for (script, deployment) in self.listeners(saved, (ScriptKind::UserEvent, "afterSubmit")) {
                let argument = shape::event(saved, event_type(saved)).to_string();
                let (outcome, used) =
                    self.call(self.cause(saved, script, deployment), "afterSubmit", "event", &argument);
                *units.get_or_insert(0) += used;
                // Oracle: an error in one script keeps the others from running.
                if matches!(outcome, Outcome::Failed(_)) {
                    break;
                }
            }
            if let Some(units) = units {
                self.ledger.save_units(units);
            }
            self.tell_subscribers(saved);
        }
    }

    /// Hands a save to the event subscribers, which run by themselves: nobody waits for them.
    fn tell_subscribers(self: &Arc<Self>, saved: &Saved) {
        let found = self.listeners(saved, (ScriptKind::EventSubscriber, "handle"));
        // Several criteria mean any of them.
        let Some((script, deployment)) = found.into_iter().next() else { return };
        let record_type = shape::record_type(saved.kind);
        let argument = json!({
            "context": { "recordType": record_type.to_uppercase() }, "payload": { "recordId": saved.id.to_string() },
        });
        let mut cause = self.cause(saved, script, deployment);
        cause.allowance = EVENT_SUBSCRIBER;
        cause.is_user_event = false;
        cause.author.context = "NONE".to_owned();
        let scripts = self.clone();
        self.courier.runtime().spawn_blocking(move || scripts.call(cause, "handle", "plain", &argument.to_string()));
    }

    /// The released deployments for a save whose script is of that kind and has that entry point.
    fn listeners(&self, saved: &Saved, (kind, entry): (ScriptKind, &str)) -> Vec<(&Arc<Script>, &Deployment)> {
        let record_type = shape::record_type(saved.kind);
        // An event subscriber hears of updates of all kinds.
        let heard = match (kind, event_type(saved)) {
            (ScriptKind::EventSubscriber, "xedit") => "edit",
            (_, event_type) => event_type,
        };
        let scripts = self.project.scripts.iter().filter(|script| script.kind == kind);
        scripts
            .filter(|script| self.has_entry(script, entry))
            .flat_map(|script| script.deployments.iter().map(move |deployment| (script, deployment)))
            .filter(|(_, deployment)| {
                deployment.is_released
                    && deployment.record_type == record_type
                    && (deployment.event_type.is_empty() || deployment.event_type == heard)
                    && (deployment.contexts.is_empty() || deployment.contexts.contains(&saved.author.context))
            })
            .collect()
    }

    fn cause(&self, saved: &Saved, script: &Arc<Script>, deployment: &Deployment) -> Cause {
        Cause {
            script: script.clone(),
            deployment: deployment.id.clone(),
            author: saved.author.clone(),
            user: saved.by,
            allowance: USER_EVENT,
            is_user_event: true,
        }
    }
}

/// `context.type` of a save.
fn event_type(saved: &Saved) -> &'static str {
    match (saved.operation, &saved.inline) {
        (Operation::Create, _) => "create",
        (Operation::Update, Some(_)) => "xedit",
        (Operation::Update, None) => "edit",
        (Operation::Delete, _) => "delete",
    }
}

impl Run {
    /// What precedes a save that a script makes: user events, unless it is a user event itself.
    pub(super) fn before_save(
        &self,
        attempt: impl FnOnce(&Saving<'_>) -> Result<Saved, WorldError>,
    ) -> Result<Vec<(usize, Value)>, WorldError> {
        if self.cause.is_user_event {
            return Ok(Vec::new());
        }
        self.scripts.before_submit(&self.cause.author, attempt)
    }

    /// What follows a save that a script made: user events, unless it is a user event itself.
    pub(super) fn saved(&mut self, operation: Operation, saves: &[Saved]) {
        if self.cause.author.context == "RESTLET" && !self.cause.is_user_event {
            self.scripts.ledger.write_done(operation);
        }
        if !self.cause.is_user_event {
            self.scripts.clone().after_submit(saves);
        }
    }
}
