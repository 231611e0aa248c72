//! Scripts of the tests' own, to see what NetSuite does around a script.

use std::path::Path;

use reqwest::{Method, StatusCode};
use serde_json::{Value as Json, json};
use tempfile::TempDir;

use crate::harness::Sim;

/// A project in a folder: files of the cabinet, and one object for each script.
pub(crate) struct ScriptFolder {
    folder: TempDir,
}

impl ScriptFolder {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for part in ["Objects", "FileCabinet/SuiteScripts"] {
            std::fs::create_dir_all(folder.path().join(part)).unwrap();
        }
        let manifest = "<deploy><objects><path>~/Objects/*</path></objects></deploy>";
        std::fs::write(folder.path().join("deploy.xml"), manifest).unwrap();
        Self { folder }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A module that scripts need.
    pub(crate) fn module(self, name: &str, source: &str) -> Self {
        std::fs::write(self.path().join(format!("FileCabinet/SuiteScripts/{name}.js")), source).unwrap();
        self
    }

    fn script(self, tag: &str, name: &str, deployment: &str, source: &str) -> Self {
        let object = format!(
            "<{tag} scriptid=\"customscript_{name}\"><scriptfile>[/SuiteScripts/{name}.js]</scriptfile>\
             <scriptdeployments><scriptdeployment scriptid=\"customdeploy_{name}\"><isdeployed>T</isdeployed>\
             {deployment}</scriptdeployment></scriptdeployments></{tag}>"
        );
        std::fs::write(self.path().join(format!("Objects/customscript_{name}.xml")), object).unwrap();
        self.module(name, source)
    }

    /// A released user event on customers; `more` limits its deployment.
    pub(crate) fn user_event(self, name: &str, more: &str, source: &str) -> Self {
        let deployment = format!("<status>RELEASED</status><recordtype>CUSTOMER</recordtype>{more}");
        self.script("usereventscript", name, &deployment, source)
    }

    pub(crate) fn restlet(self, name: &str, source: &str) -> Self {
        self.script("restlet", name, "<status>RELEASED</status>", source)
    }

    pub(crate) fn map_reduce(self, name: &str, source: &str) -> Self {
        self.script("mapreducescript", name, "<status>NOTSCHEDULED</status>", source)
    }
}

impl Sim {
    /// The usual account with these scripts and no others.
    pub(crate) async fn with_scripts(project: &ScriptFolder) -> Self {
        Self::with(|account| account.scripts.folder = Some(project.path().to_owned())).await
    }

    /// Calls a RESTlet of the project; status and JSON of its answer.
    pub(crate) async fn call(&self, name: &str, body: Json) -> (StatusCode, Json) {
        let path = format!("/app/site/hosting/restlet.nl?script=customscript_{name}&deploy=customdeploy_{name}");
        let reply = self.tba(Method::POST, &path).json(&body).send().await.unwrap();
        let status = reply.status();
        let text = reply.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Json::from(text)))
    }

    /// Titles of the execution log.
    async fn logged(&self) -> Vec<String> {
        let entries = self.ask("script-log").await["entries"].clone();
        entries.as_array().unwrap().iter().map(|entry| entry["title"].as_str().unwrap().to_owned()).collect()
    }
}

const GUARD: &str = "define(['N/error'], (error) => ({
    beforeSubmit: ({ newRecord, oldRecord, type }) => {
        const name = newRecord.getValue({ fieldId: 'companyname' });
        if (name === 'Forbidden') throw error.create({ name: 'NOT_HERE', message: 'This name is not wanted.' });
        const before = oldRecord ? oldRecord.getValue('companyname') : 'nothing';
        newRecord.setValue({ fieldId: 'comments', value: `${type}: ${before} to ${name}, ${newRecord.id}` });
    },
}));";

#[tokio::test]
async fn a_script_before_the_save_may_change_it_and_may_refuse_it() {
    let sim = Sim::with_scripts(&ScriptFolder::new().user_event("guard", "", GUARD)).await;
    let id = sim.scripted("create", None, json!({ "companyname": "A" })).await;
    assert_eq!(sim.fields("customer", &id).await["comments"], "create: nothing to A, null");
    let path = format!("/services/rest/record/v1/customer/{id}");
    let patched = sim.tba(Method::PATCH, &path).json(&json!({ "companyName": "B" })).send().await.unwrap();
    assert_eq!(patched.status(), StatusCode::NO_CONTENT);
    assert_eq!(sim.fields("customer", &id).await["comments"], format!("edit: A to B, {id}"));
    let refused = sim.tba(Method::PATCH, &path).json(&json!({ "companyName": "Forbidden" })).send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
    let body: Json = refused.json().await.unwrap();
    assert_eq!(body["o:errorDetails"][0]["o:errorCode"], "USER_ERROR");
    assert_eq!(body["o:errorDetails"][0]["detail"], "Error while accessing a resource. This name is not wanted.");
    let edit =
        json!({ "operation": "update", "type": "customer", "id": id, "changes": { "companyname": "Forbidden" } });
    let refused = sim.try_tell("edit", edit).await;
    assert_eq!(refused.json::<Json>().await.unwrap()["detail"], "This name is not wanted.");
    assert_eq!(sim.fields("customer", &id).await["companyname"], "B");
}

#[tokio::test]
async fn a_script_that_throws_after_the_save_leaves_the_save_alone() {
    let bad = "define([], () => ({ afterSubmit: () => { throw new TypeError('x is no y'); } }));";
    let later = "define(['N/log'], (log) => ({ afterSubmit: () => log.audit('not reached') }));";
    let project = ScriptFolder::new().user_event("bad", "", bad).user_event("later", "", later);
    let sim = Sim::with_scripts(&project).await;
    let id = sim.scripted("create", None, json!({ "companyname": "A" })).await;
    assert_eq!(sim.fields("customer", &id).await["companyname"], "A");
    let made = sim.tba(Method::POST, "/services/rest/record/v1/customer").json(&json!({ "companyName": "B" }));
    assert_eq!(made.send().await.unwrap().status(), StatusCode::NO_CONTENT);
    assert_eq!(sim.logged().await, ["afterSubmit: TypeError", "afterSubmit: TypeError"]);
    let ledger = sim.ask("ledger").await;
    assert_eq!(ledger["scripts"]["customscript_bad"], json!({ "runs": 2, "units": 0, "worst": 0, "failures": 2 }));
}

/// It makes another customer for each one, and would never end if its own saves ran it.
const ECHO: &str = "define(['N/record', 'N/runtime'], (record, runtime) => ({
    afterSubmit: () => {
        const made = record.create({ type: record.Type.CUSTOMER });
        made.setValue('companyname', `Echo in ${runtime.executionContext}`);
        made.save();
    },
}));";

#[tokio::test]
async fn a_user_event_s_own_saves_run_no_user_events() {
    let sim = Sim::with_scripts(&ScriptFolder::new().user_event("echo", "", ECHO)).await;
    sim.scripted("create", None, json!({ "companyname": "A" })).await;
    let names = sim.rows("SELECT companyname FROM customer ORDER BY id ASC").await;
    assert_eq!(names, [json!({ "companyname": "A" }), json!({ "companyname": "Echo in USERINTERFACE" })]);
    let ledger = sim.ask("ledger").await;
    assert_eq!(ledger["scripts"]["customscript_echo"], json!({ "runs": 1, "units": 15, "worst": 15, "failures": 0 }));
}

#[tokio::test]
async fn a_run_without_units_ends_whatever_it_catches() {
    let greedy = "define(['N/record', 'N/log'], (record, log) => ({
        afterSubmit: ({ newRecord }) => {
            for (let n = 0; n < 300; n += 1) {
                try { record.load({ type: 'customer', id: newRecord.id }); } catch ({ name }) { log.audit('caught', name); }
            }
            log.audit({ title: 'went on' });
        },
    }));";
    let sim = Sim::with_scripts(&ScriptFolder::new().user_event("greedy", "", greedy)).await;
    sim.scripted("create", None, json!({ "companyname": "A" })).await;
    let ledger = sim.ask("ledger").await;
    let counted = json!({ "runs": 1, "units": 1_000, "worst": 1_000, "failures": 1 });
    assert_eq!(ledger["scripts"]["customscript_greedy"], counted);
    assert_eq!(sim.logged().await.last().unwrap(), "afterSubmit: SSS_USAGE_LIMIT_EXCEEDED");
}

#[tokio::test]
async fn deployments_say_which_events_and_contexts_a_script_is_for() {
    let tell = |title: &str| format!("define(['N/log'], (log) => ({{ afterSubmit: () => log.audit('{title}') }}));");
    let project = ScriptFolder::new()
        .user_event("a", "<eventtype>EDIT</eventtype>", &tell("an edit"))
        .user_event("b", "<executioncontext>RESTLET|RESTWEBSERVICES</executioncontext>", &tell("a call"))
        .user_event("c", "<eventtype>XEDIT</eventtype>", &tell("an inline edit"));
    let sim = Sim::with_scripts(&project).await;
    let id = sim.scripted("create", None, json!({ "companyname": "A" })).await;
    assert_eq!(sim.logged().await, Vec::<String>::new());
    sim.scripted("update", Some(&id), json!({ "phone": "1" })).await;
    let inline = json!({
        "operation": "update", "type": "customer", "id": id, "changes": { "phone": "2" }, "inline": true,
    });
    sim.tell("edit", inline).await;
    let path = format!("/services/rest/record/v1/customer/{id}");
    sim.tba(Method::DELETE, &path).send().await.unwrap();
    assert_eq!(sim.logged().await, ["an edit", "an inline edit", "a call"]);
}

#[tokio::test]
async fn an_inline_edit_s_record_holds_the_edited_fields_only() {
    let look = "define(['N/log'], (log) => ({ afterSubmit: ({ newRecord, oldRecord, type }) => {
        log.audit(type, [newRecord.getFields(), newRecord.getValue('phone'), newRecord.getValue('companyname'),
            oldRecord.getValue('phone'), oldRecord.getValue('companyname')]);
    } }));";
    let restlet = "define(['N/record'], (record) => ({ post: ({ id }) =>
        ({ id: record.submitFields({ type: 'customer', id, values: { phone: '2', isinactive: 'T' } }) }) }));";
    let sim = Sim::with_scripts(&ScriptFolder::new().user_event("look", "", look).restlet("submit", restlet)).await;
    let id = sim.customer(json!({ "phone": "1" })).await;
    let (status, answer) = sim.call("submit", json!({ "id": id })).await;
    assert_eq!((status, &answer["id"]), (StatusCode::OK, &json!(id.parse::<u64>().unwrap())));
    let entry = sim.ask("script-log").await["entries"][0].clone();
    let seen: Json = serde_json::from_str(entry["details"].as_str().unwrap()).unwrap();
    assert_eq!((&entry["title"], &seen), (&json!("xedit"), &json!([["isinactive", "phone"], "2", "", "1", "Acme"])));
    assert_eq!(sim.fields("customer", &id).await["isinactive"], true);
}

#[tokio::test]
async fn a_restlet_s_errors_reach_its_caller_as_netsuite_words_them() {
    let restlet = "define(['N/error', 'N/record', 'N/https'], (error, record, https) => ({
        post: ({ what }) => ({
            own: () => { throw error.create({ name: 'OWN', message: 'Mine.', notifyOff: true }); },
            plain: () => { throw new RangeError('Too far.'); },
            text: () => { throw 'just text'; },
            gone: () => record.load({ type: 'customer', id: 999999 }),
            type: () => record.load({ type: 'spaceship', id: 1 }),
            item: () => record.load({ type: 'serviceitem', id: 101 }),
            http: () => https.get({ url: 'http://ingest.example/' }),
            absent: () => record.transform({ fromType: 'salesorder', fromId: 1, toType: 'invoice' }),
        })[what](),
    }));";
    let sim = Sim::with_scripts(&ScriptFolder::new().restlet("throws", restlet)).await;
    sim.edit("create", "item", None, json!({ "itemid": "W-1" })).await;
    for (what, code, message) in [
        ("own", "OWN", "Mine."),
        ("plain", "RangeError", "Too far."),
        ("text", "UNEXPECTED_ERROR", "just text"),
        ("gone", "RCRD_DSNT_EXIST", "That record does not exist."),
        ("type", "INVALID_RCRD_TYPE", "The record type [spaceship] is invalid."),
        ("item", "RCRD_DSNT_EXIST", "That record does not exist."),
        ("http", "SSS_INVALID_URL", "The URL must be a fully qualified HTTPS URL."),
        ("absent", "NOT_SIMULATED", "N/record has no transform in this simulator"),
        ("nothing", "TypeError", "not a function"),
    ] {
        let (status, body) = sim.call("throws", json!({ "what": what })).await;
        assert_eq!((status, &body["error"]["code"]), (StatusCode::BAD_REQUEST, &json!(code)), "{what}");
        let told: Json = serde_json::from_str(body["error"]["message"].as_str().unwrap()).unwrap();
        assert_eq!((&told["type"], &told["name"]), (&json!("error.SuiteScriptError"), &json!(code)));
        assert!(told["message"].as_str().unwrap().contains(message), "{told}");
        assert!(told["stack"].is_array());
    }
}

#[tokio::test]
async fn a_restlet_has_a_function_for_each_method_and_may_answer_text() {
    let restlet = "define([], () => ({ get: (asked) => asked.a + asked.b, put: async (body) => ({ body }) }));";
    let sim = Sim::with_scripts(&ScriptFolder::new().restlet("many", restlet)).await;
    let path = "/app/site/hosting/restlet.nl?script=customscript_many&deploy=customdeploy_many";
    let got = sim.tba(Method::GET, &format!("{path}&a=1&b=2")).send().await.unwrap();
    assert_eq!(got.text().await.unwrap(), "12");
    let put = sim.tba(Method::PUT, path).json(&json!([1])).send().await.unwrap();
    assert_eq!(put.json::<Json>().await.unwrap(), json!({ "body": [1] }));
    assert_eq!(sim.call("many", json!({})).await.0, StatusCode::METHOD_NOT_ALLOWED);
}

/// Between the script's load and its save another user saves.
#[tokio::test]
async fn a_record_that_somebody_saved_after_the_load_is_not_saved_over() {
    let restlet = "define(['N/record', 'N/https'], (record, https) => ({ post: ({ id, meanwhile, edit }) => {
        const loaded = record.load({ type: 'customer', id });
        https.post({ url: meanwhile, headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(edit) });
        loaded.setValue({ fieldId: 'email', value: 'ours@b.example' });
        return { id: loaded.save() };
    } }));";
    let sim = Sim::with_scripts(&ScriptFolder::new().restlet("slow", restlet)).await;
    let id = sim.customer(json!({})).await;
    let edit = |id: &str| json!({ "operation": "update", "type": "customer", "id": id, "changes": { "phone": "1" } });
    let body = |other: &str| json!({ "id": id, "meanwhile": sim.control("edit"), "edit": edit(other) });
    let (status, refused) = sim.call("slow", body(&id)).await;
    assert_eq!((status, &refused["error"]["code"]), (StatusCode::BAD_REQUEST, &json!("RCRD_HAS_BEEN_CHANGED")));
    let fields = sim.fields("customer", &id).await;
    assert_eq!((&fields["phone"], &fields["email"]), (&json!("1"), &Json::Null));
    let other = sim.customer(json!({})).await;
    assert_eq!(sim.call("slow", body(&other)).await.0, StatusCode::OK, "another record's save is no obstacle");
}

#[tokio::test]
async fn no_run_finds_what_another_left_behind() {
    let counter = "define([], () => { let count = 0; return { next: () => { count += 1; return count; } }; });";
    let restlet = "define(['./counter', 'SuiteScripts/counter'], (counter, same) => ({ post: () => {
        globalThis.visits = (globalThis.visits || 0) + 1;
        return { here: counter.next(), there: same.next(), visits: globalThis.visits };
    } }));";
    let sim = Sim::with_scripts(&ScriptFolder::new().module("counter", counter).restlet("state", restlet)).await;
    for _ in 0..3 {
        assert_eq!(sim.call("state", json!({})).await.1, json!({ "here": 1, "there": 2, "visits": 1 }));
    }
}

#[tokio::test]
async fn a_map_reduce_hands_its_values_from_stage_to_stage() {
    let words = "define(['N/log'], (log) => ({
        getInputData: () => ['a b', 'b', 'fail'],
        map: ({ key, value, write }) => {
            if (value === 'fail') throw new Error(`no ${key}`);
            value.split(' ').forEach((word) => write({ key: word, value: 1 }));
        },
        reduce: ({ key, values, write }) => write(key, values.map(Number).reduce((a, b) => a + b)),
        summarize: ({ output, mapSummary, inputSummary }) => {
            output.iterator().each((key, value) => { log.audit(key, value); return true; });
            mapSummary.errors.iterator().each((key, error) => { log.error(key, JSON.parse(error).message); return true; });
            log.audit('input', String(inputSummary.error));
        },
    }));";
    let starter = "define(['N/task'], (task) => ({ post: () => ({ id: task.create({
        taskType: task.TaskType.MAP_REDUCE, scriptId: 'customscript_words', deploymentId: 'customdeploy_words',
    }).submit() }) }));";
    let sim = Sim::with_scripts(&ScriptFolder::new().map_reduce("words", words).restlet("starter", starter)).await;
    let done = sim.tell("tasks", json!({ "script": "customscript_words" })).await;
    assert_eq!((&done["maps"], &done["reduces"], &done["errors"]), (&json!(3), &json!(2), &json!(1)));
    assert_eq!(done["output"], json!([{ "key": "a", "value": "1" }, { "key": "b", "value": "2" }]));
    assert_eq!(sim.logged().await, ["map: Error", "a", "b", "2", "input"]);
    let (status, _) = sim.call("starter", json!({})).await;
    assert_eq!(status, StatusCode::OK);
    while sim.logged().await.len() < 10 {
        tokio::task::yield_now().await;
    }
    let unknown = sim.try_tell("tasks", json!({ "script": "customscript_nothing" })).await;
    assert_eq!(unknown.status(), StatusCode::BAD_REQUEST);
}
