//! Writes by PATCH against the simulator: what its system notes tell of edits that nothing could refuse.
#![allow(clippy::unwrap_used, unreachable_pub)] // a test that cannot go on has failed

#[path = "../../../tests/support/simulator.rs"]
#[allow(dead_code)]
mod simulator;
#[path = "../../../tests/support/stage.rs"]
#[allow(dead_code)] // every service's tests use a part of it
mod stage;

use std::sync::Arc;
use std::time::Duration;

use model::accounts::AccountSettings;
use model::spec::{TypeSpec, World};
use model::{
    AccountId, Clock, Fields, LineIds, NativeId, Observed, RandomIds, ReadRequest, RecordType, Remote, Rid,
    SystemClock, Value, WriteKind, WriteOutcome, WriteRequest,
};
use netsuite::NetsuiteRemote;
use serde_json::{Value as Json, json};
use simulator::Simulator;
use stage::{ACCOUNT, account, until};
use uuid::Uuid;

/// The customer of the sample world, were there no custom field for our stamp.
fn customer() -> TypeSpec {
    let stamp = "stamp_field = \"custentity_concord_stamp\"";
    let rest = |text: String, (name, rest): (&str, &str)| {
        text.replacen(&format!("name = \"{name}\","), &format!("name = \"{name}\", rest = \"{rest}\","), 1)
    };
    let text = World::SAMPLE.replacen(stamp, "notes = { record_type_id = -2 }", 1);
    let text = [("companyname", "companyName"), ("creditlimit", "creditLimit")].into_iter().fold(text, rest);
    World::parse(&text).unwrap().get(&RecordType::parse("customer").unwrap()).unwrap().clone()
}

/// The item of the sample world, likewise.
fn item() -> TypeSpec {
    let text =
        World::SAMPLE.replacen("stamp_field = \"custitem_concord_stamp\"", "notes = { record_type_id = -10 }", 1);
    let text = text.replacen("name = \"itemid\",", "name = \"itemid\", rest = \"itemId\",", 1);
    World::parse(&text).unwrap().get(&RecordType::parse("item").unwrap()).unwrap().clone()
}

struct Side {
    simulator: Simulator,
    remote: NetsuiteRemote,
    spec: TypeSpec,
    account: AccountId,
}

impl Side {
    async fn new() -> Self {
        let simulator = Simulator::start().await;
        let spec = customer();
        let settings = account(ACCOUNT, &simulator.url(), None);
        let id = settings.id.clone();
        let nobody = Self { remote: open(settings.clone()), simulator, spec, account: id };
        let first = nobody.create(1, &[("companyname", Value::text("First"))]).await;
        assert_eq!(first, WriteOutcome::Refused { code: "integration_user_missing".to_owned() });
        let mut settings = settings;
        settings.netsuite.integration_user = Some(nobody.integration_user().await);
        Self { remote: open(settings), ..nobody }
    }

    /// The id of the employee our credentials belong to.
    async fn integration_user(&self) -> i64 {
        let ids: Vec<String> =
            serde_json::from_value(self.simulator.ask("records/employee").await["ids"].clone()).unwrap();
        for id in ids {
            if self.simulator.ask(&format!("records/employee/{id}")).await["fields"]["entityid"]
                == netsuite_sim::INTEGRATION_USER
            {
                return id.parse().unwrap();
            }
        }
        panic!("the integration user is no employee");
    }

    fn request(&self, n: u128, kind: WriteKind, changes: &[(&str, Value)]) -> WriteRequest {
        WriteRequest {
            write_id: Uuid::from_u128(1_000 + n),
            rid: Rid(Uuid::from_u128(n)),
            kind,
            native_id: None,
            generation: 1,
            stamp: 1,
            expect: 0,
            token: None,
            changes: fields(changes),
            pre: Fields::new(),
            line_ids: LineIds::new(),
            note: 0,
            deadline: SystemClock.now().checked_add(Duration::from_secs(25)).unwrap(),
        }
    }

    async fn create(&self, n: u128, values: &[(&str, Value)]) -> WriteOutcome {
        let request = self.request(n, WriteKind::Create, values);
        self.write(&request).await
    }

    async fn write(&self, request: &WriteRequest) -> WriteOutcome {
        let outcomes = self.remote.write(&self.account, &self.spec, std::slice::from_ref(request)).await;
        outcomes.into_iter().next().unwrap()
    }

    async fn read(&self, n: u128, id: Option<&NativeId>, unresolved: &[&WriteRequest]) -> Observed {
        let want = ReadRequest {
            rid: Rid(Uuid::from_u128(n)),
            native_id: id.cloned(),
            generation: 1,
            unresolved: unresolved.iter().map(|write| write.write_id).collect(),
            note: unresolved.iter().map(|write| write.note).min().unwrap_or_default(),
        };
        self.remote.read(&self.account, &self.spec, &[want]).await.into_iter().next().unwrap().unwrap()
    }

    /// A customer of ours with a phone number, as it was read.
    async fn customer(&self, n: u128, phone: &str) -> (NativeId, Observed) {
        let values = [("companyname", Value::text(format!("Customer {n}"))), ("phone", Value::text(phone))];
        let WriteOutcome::Ok { native_id, .. } = self.create(n, &values).await else { panic!("not made") };
        let observed = self.read(n, Some(&native_id), &[]).await;
        (native_id, observed)
    }

    /// An update of what was read.
    fn update(&self, n: u128, seen: &Observed, changes: &[(&str, Value)]) -> WriteRequest {
        let held = |name: &str| seen.fields.get(name).cloned().unwrap_or_default();
        WriteRequest {
            native_id: seen.native_id.clone(),
            pre: changes.iter().map(|(name, _)| ((*name).to_owned(), held(name))).collect(),
            note: seen.note.unwrap(),
            ..self.request(n, WriteKind::Update, changes)
        }
    }

    async fn calls(&self) -> u64 {
        self.simulator.ask("ledger").await["calls"].as_u64().unwrap()
    }

    /// Writes, and lets a user edit between the look and the arrival of the write.
    async fn write_over(&self, request: &WriteRequest, edit: Json) -> WriteOutcome {
        self.simulator
            .faults(json!([{ "match": { "method": "PATCH" }, "fault": "slow", "delay_seconds": 2, "times": 1 }]))
            .await;
        let before = self.calls().await;
        let id = request.native_id.as_ref().unwrap().as_str();
        let user = async {
            until("the record was looked at", async || self.calls().await >= before + 2).await;
            self.simulator.edit("update", Some(id), edit).await;
        };
        tokio::join!(self.write(request), user).0
    }
}

fn open(settings: AccountSettings) -> NetsuiteRemote {
    NetsuiteRemote::open(&[(&settings).into()], Arc::new(SystemClock), Arc::new(RandomIds)).unwrap()
}

fn fields(of: &[(&str, Value)]) -> Fields {
    of.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
}

fn before(outcome: &WriteOutcome) -> Option<Fields> {
    let WriteOutcome::Ok { before, .. } = outcome else { panic!("{outcome:?}") };
    before.as_ref().map(|observed| observed.fields.clone())
}

#[tokio::test]
async fn what_is_made_is_known_by_its_external_id_and_never_made_twice() {
    let side = Side::new().await;
    let values = [("companyname", Value::text("Acme")), ("creditlimit", Value::text("2500.50"))];
    let create = side.request(7, WriteKind::Create, &values);
    let WriteOutcome::Ok { native_id, .. } = side.write(&create).await else { panic!("not made") };
    let stored = side.simulator.customer(native_id.as_str()).await;
    assert_eq!((&stored["companyname"], &stored["externalid"]), (&json!("Acme"), &json!(format!("sx_{}", create.rid))));
    assert_eq!(side.write(&create).await, WriteOutcome::Duplicate);
    let found = side.read(7, None, &[&create]).await;
    assert_eq!((found.native_id, found.landed), (Some(native_id.clone()), vec![create.write_id]));
    let read = side.read(7, Some(&native_id), &[]).await;
    assert_eq!(read.fields["creditlimit"], Value::text("2500.50"));
    assert!(read.note.unwrap() > 1, "its creation left notes");
}

#[tokio::test]
async fn a_name_that_is_taken_is_no_earlier_attempt_of_ours() {
    let side = Side { spec: item(), ..Side::new().await };
    let values = [("itemid", Value::text("BOLT-8"))];
    let first = side.create(7, &values).await;
    assert!(matches!(first, WriteOutcome::Ok { .. }), "{first:?}");
    let WriteOutcome::Invalid { code, .. } = side.create(8, &values).await else { panic!("two of one name") };
    assert_eq!(code, "already_exists");
}

#[tokio::test]
async fn an_edit_in_the_gap_is_told_with_the_write_that_replaced_it() {
    let side = Side::new().await;
    let (id, seen) = side.customer(7, "1").await;
    let undisturbed = side.write(&side.update(7, &seen, &[("phone", Value::text("2"))])).await;
    assert_eq!(before(&undisturbed), None);
    let seen = side.read(7, Some(&id), &[]).await;
    assert_eq!(seen.fields["phone"], Value::text("2"));
    let request = side.update(7, &seen, &[("phone", Value::text("3"))]);
    let replaced = side.write_over(&request, json!({ "phone": "9", "email": "a@b.example" })).await;
    let expected = fields(&[("phone", Value::text("9")), ("email", Value::text("a@b.example"))]);
    assert_eq!(before(&replaced), Some(expected));
    assert_eq!(side.simulator.customer(id.as_str()).await["phone"], "3", "for now our value stands there");
}

#[tokio::test]
async fn an_equal_increment_in_the_gap_is_told_although_our_write_leaves_no_note() {
    let side = Side::new().await;
    let (id, _) = side.customer(7, "1").await;
    let points = "custentity_loyalty_points";
    side.simulator.edit("update", Some(id.as_str()), json!({ points: 10 })).await;
    let seen = side.read(7, Some(&id), &[]).await;
    let request = side.update(7, &seen, &[(points, Value::Int(15))]);
    let same = side.write_over(&request, json!({ points: 15 })).await;
    assert_eq!(before(&same), Some(fields(&[(points, Value::Int(15))])));
}

#[tokio::test]
async fn a_write_nobody_heard_of_is_found_by_its_notes_with_what_it_replaced() {
    let side = Side::new().await;
    let (id, seen) = side.customer(7, "1").await;
    let request = side.update(7, &seen, &[("phone", Value::text("2"))]);
    let nothing = side.read(7, Some(&id), &[&request]).await;
    assert!(nothing.landed.is_empty(), "the notes of its creation are older");
    side.simulator.faults(json!([{ "match": { "method": "PATCH" }, "fault": "lost_response", "times": 1 }])).await;
    assert_eq!(side.write(&request).await, WriteOutcome::Unknown);
    let found = side.read(7, Some(&id), &[&request]).await;
    assert_eq!(found.landed, [request.write_id]);
    assert_eq!(found.before.unwrap().fields["phone"], Value::text("1"));
    assert!(side.remote.quarantine(&side.account, &side.spec) > Duration::from_secs(60));
}

#[tokio::test]
async fn nothing_is_written_over_what_is_not_as_we_thought_or_was_never_looked_at() {
    let side = Side::new().await;
    let (id, seen) = side.customer(7, "1").await;
    let request = side.update(7, &seen, &[("phone", Value::text("2"))]);
    let never_looked = WriteRequest { note: 0, ..request.clone() };
    assert_eq!(side.write(&never_looked).await, WriteOutcome::Stale);
    side.simulator.edit("update", Some(id.as_str()), json!({ "phone": "9" })).await;
    assert_eq!(side.write(&request).await, WriteOutcome::Stale);
    assert_eq!(side.simulator.customer(id.as_str()).await["phone"], "9");
}

#[tokio::test]
async fn what_no_note_can_vouch_for_is_named_and_no_deletion_is_made() {
    let side = Side::new().await;
    let (id, seen) = side.customer(7, "1").await;
    let tags = Value::Set(["1".to_owned()].into());
    let request = side.update(7, &seen, &[("custentity_tags", tags), ("phone", Value::text("2"))]);
    let WriteOutcome::Ok { unproven, .. } = side.write(&request).await else { panic!("not written") };
    assert_eq!(unproven, ["custentity_tags"]);
    let delete = WriteRequest { kind: WriteKind::Delete, changes: Fields::new(), pre: Fields::new(), ..request };
    let WriteOutcome::Invalid { code, .. } = side.write(&delete).await else { panic!("deleted") };
    assert_eq!(code, "unguarded_delete");
    assert!(!side.simulator.customer(id.as_str()).await.is_null());
}
