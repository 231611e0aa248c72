//! Map/reduce scripts: their stages one after the other, on a schedule, by N/task and on demand.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::Scripts;
use super::engine::Outcome;
use super::fault::Fault;
use super::objects::{Deployment, Script, ScriptKind};
use super::run::{Allowance, Cause};
use crate::world::{Author, INTEGRATION_USER};

const INPUT: Allowance = Allowance { units: 10_000, seconds: 3_600 };
const MAP: Allowance = Allowance { units: 1_000, seconds: 300 };
const REDUCE: Allowance = Allowance { units: 5_000, seconds: 900 };
const SUMMARIZE: Allowance = Allowance { units: 10_000, seconds: 3_600 };

/// Key and value, as stages hand them on.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Pair {
    key: String,
    value: String,
}

/// What a map/reduce run did.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Finished {
    /// Calls of map and of reduce.
    maps: usize,
    reduces: usize,
    /// Calls that threw, of all stages.
    errors: usize,
    units: u64,
    output: Vec<Pair>,
}

/// A deployment's turn: there is one at a time.
struct Turn {
    scripts: Arc<Scripts>,
    script: Arc<Script>,
    deployment: Deployment,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.scripts.busy().remove(&self.deployment.id);
    }
}

impl Scripts {
    /// Deployments on a schedule, and how often each runs.
    pub(crate) fn schedule(&self) -> Vec<(String, String, Duration)> {
        let scripts = self.project.scripts.iter().filter(|script| script.kind == ScriptKind::MapReduce);
        scripts
            .flat_map(|script| script.deployments.iter().map(move |deployment| (script, deployment)))
            .filter(|(_, deployment)| deployment.is_deployed)
            .filter_map(|(script, deployment)| {
                let every = deployment.every?.unsigned_abs();
                let every = self.schedule_seconds.map_or(every, Duration::from_secs);
                Some((script.id.clone(), deployment.id.clone(), every.max(Duration::from_secs(1))))
            })
            .collect()
    }

    /// Runs a map/reduce script and waits for its end.
    ///
    /// # Errors
    /// There is no such deployment, or it is not finished yet.
    pub(crate) fn run_now(self: &Arc<Self>, script: &str, deployment: Option<&str>) -> Result<Finished, Fault> {
        Ok(self.turn(script, deployment)?.run())
    }

    /// Runs a map/reduce script soon, on a thread of its own; answers the task's number.
    ///
    /// # Errors
    /// There is no such deployment, or it is not finished yet.
    pub(super) fn submit(self: Arc<Self>, script: &str, deployment: Option<&str>) -> Result<u64, Fault> {
        let turn = self.turn(script, deployment)?;
        self.courier.runtime().spawn_blocking(move || turn.run());
        Ok(self.next_serial())
    }

    fn turn(self: &Arc<Self>, script: &str, deployment: Option<&str>) -> Result<Turn, Fault> {
        let found = self.project.script(script).filter(|script| script.kind == ScriptKind::MapReduce);
        let script = found.ok_or_else(|| {
            Fault::new("SSS_INVALID_SCRIPT_ID_1", &format!("There is no map/reduce script {script}."))
        })?;
        let mut busy = self.busy();
        let mut deployments = script.deployments.iter().filter(|own| own.is_deployed);
        let chosen = match deployment {
            Some(id) => deployments.find(|own| own.id == id),
            None => deployments.find(|own| own.every.is_none() && !busy.contains(&own.id)),
        };
        let deployment = chosen.ok_or_else(|| {
            Fault::new("INVALID_SCRIPT_DEPLOYMENT_ID_1", "There is no such deployment, or none is free.")
        })?;
        if !busy.insert(deployment.id.clone()) {
            return Err(Fault::new("MAP_REDUCE_ALREADY_RUNNING", "The map/reduce deployment is not finished yet."));
        }
        Ok(Turn { scripts: self.clone(), script: script.clone(), deployment: deployment.clone() })
    }
}

impl Turn {
    fn run(self) -> Finished {
        let began = Instant::now();
        let mut done = Finished::default();
        let mut failed = BTreeMap::<&'static str, Vec<Pair>>::new();
        let input = match self.stage(&mut done, "getInputData", "input", INPUT, "") {
            Ok(pairs) => pairs,
            Err(fault) => {
                failed.entry("input").or_default().push(Pair { key: "0".to_owned(), value: fault.shown() });
                Vec::new()
            }
        };
        let mut pairs = input;
        if self.scripts.has_entry(&self.script, "map") {
            done.maps = pairs.len();
            let argument = |pair: &Pair| (pair.key.clone(), json!(pair).to_string());
            let calls: Vec<(String, String)> = pairs.iter().map(argument).collect();
            pairs = self.each(&mut done, ("map", MAP), &calls, failed.entry("map").or_default());
        }
        if self.scripts.has_entry(&self.script, "reduce") {
            let mut groups: BTreeMap<String, Vec<String>> = BTreeMap::new();
            pairs.into_iter().for_each(|pair| groups.entry(pair.key).or_default().push(pair.value));
            done.reduces = groups.len();
            let argument = |(key, values)| (String::clone(&key), json!({ "key": key, "values": values }).to_string());
            let calls: Vec<(String, String)> = groups.into_iter().map(argument).collect();
            pairs = self.each(&mut done, ("reduce", REDUCE), &calls, failed.entry("reduce").or_default());
        }
        done.output = pairs;
        let of = |stage: &str| failed.get(stage).cloned().unwrap_or_default();
        let summary = json!({
            "input": of("input").first().map(|pair| pair.value.clone()), "map": of("map"), "reduce": of("reduce"),
            "output": done.output, "usage": done.units, "seconds": began.elapsed().as_secs_f64(),
        });
        if self.scripts.has_entry(&self.script, "summarize") {
            // What it throws is in the execution log.
            let _ = self.stage(&mut done, "summarize", "summarize", SUMMARIZE, &summary.to_string());
        }
        done
    }

    /// Calls a stage for every pair; what it writes, and the keys it failed for.
    fn each(
        &self,
        done: &mut Finished,
        (entry, allowance): (&'static str, Allowance),
        calls: &[(String, String)],
        failed: &mut Vec<Pair>,
    ) -> Vec<Pair> {
        let mut written = Vec::new();
        for (key, argument) in calls {
            match self.stage(done, entry, entry, allowance, argument) {
                Ok(pairs) => written.extend(pairs),
                Err(fault) => failed.push(Pair { key: key.clone(), value: fault.shown() }),
            }
        }
        written
    }

    fn stage(
        &self,
        done: &mut Finished,
        entry: &str,
        shape: &str,
        allowance: Allowance,
        argument: &str,
    ) -> Result<Vec<Pair>, Fault> {
        let cause = Cause {
            script: self.script.clone(),
            deployment: self.deployment.id.clone(),
            author: Author { user: INTEGRATION_USER.to_owned(), context: "MAPREDUCE".to_owned() },
            user: self.scripts.integration,
            allowance,
            is_user_event: false,
        };
        let (outcome, used) = self.scripts.call(cause, entry, shape, argument);
        done.units += u64::from(used);
        match outcome {
            Outcome::Done(Json::Null) => Ok(Vec::new()),
            Outcome::Done(value) => serde_json::from_value(value).map_err(|error| Fault::broken(&error.to_string())),
            Outcome::Absent => Err(Fault::broken(&format!("the script has no {entry}"))),
            Outcome::Failed(fault) => Err(fault),
        }
        .inspect_err(|_| done.errors += 1)
    }
}
