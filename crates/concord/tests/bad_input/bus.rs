//! `events.raw` as another team's producer fills it (contracts §3): with and without attributes, protobuf and JSON, good
//! and poison. What cannot be taken is a row of the error queue; the lane it came on goes on.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use chassis::bus::{Bus, Message, PublishError};
use concord::sides::{Edit, Side};
use model::wire::{change_attributes, encode_change};
use model::{AccountId, ChangeEvent, Ids, NativeId, Operation, RandomIds, RecordType, Source, Timestamp, TypedValue};
use serde_json::json;

use crate::house::{Customer, HUSH, House, Queued, now};
use crate::people;

const RAW: &str = "events.raw";
/// Just below what the broker takes at all.
const NEARLY_TEN_MEGABYTES: usize = 9_900_000;

/// Bytes and attributes that must end in the error queue.
struct Poison {
    name: String,
    message: Message,
    code: &'static str,
    says: &'static str,
}

fn poison(name: &str, message: Message, code: &'static str, says: &'static str) -> Poison {
    Poison { name: name.to_owned(), message, code, says }
}

fn event(house: &House, customer: &Customer, changes: Vec<(&str, TypedValue)>) -> ChangeEvent {
    ChangeEvent {
        event_id: RandomIds.uuid(),
        account: AccountId::parse(&house.account(customer.account).account_id).expect("an account id"),
        record_type: RecordType::parse("customer").expect("a type"),
        record_id: NativeId::parse(&customer.netsuite).expect("an id"),
        operation: Operation::Update,
        source: Source::NetsuiteUe,
        side: model::Side::Netsuite,
        occurred_at: now(),
        base_version: None,
        changes: changes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        full_snapshot_ref: None,
        remote_version: None,
        write_id: None,
        auth_context: None,
        correlation_id: None,
    }
}

fn message(data: impl Into<Bytes>, attributes: BTreeMap<String, String>) -> Message {
    Message { data: data.into(), attributes, ordering_key: None }
}

/// The event as its producer would publish it.
fn published(event: &ChangeEvent) -> Message {
    message(encode_change(event), change_attributes(event))
}

fn with(mut message: Message, name: &str, value: &str) -> Message {
    message.attributes.insert(name.to_owned(), value.to_owned());
    message
}

fn text(value: &str) -> TypedValue {
    TypedValue::Text(value.to_owned())
}

async fn publish(house: &House, message: Message) -> Result<()> {
    for outcome in house.bus.publish(RAW, vec![message]).await {
        outcome?;
    }
    Ok(())
}

/// All of it; what was found.
pub(crate) async fn try_everything(house: &House) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let cases = [unreadable(house), refused_members(house), of_somebody_else(house), json_poison(house)];
    for case in cases.into_iter().flatten() {
        let name = case.name.clone();
        found.extend(swallowed(house, case).await.with_context(|| name)?);
    }
    ten_megabytes_and_more(house).await?;
    good_in_every_spelling(house).await.context("good messages of other teams")?;
    Ok(found)
}

/// Publishes, waits for the row, and sees that everything else goes on; what is wrong with the row.
async fn swallowed(house: &House, case: Poison) -> Result<Option<String>> {
    let data = case.message.data.clone();
    let named = case.message.attributes.contains_key("record_id");
    publish(house, case.message).await?;
    let queued = match data.is_empty() {
        true => house.queued_code(case.code, case.says).await?,
        false => house.queued_payload(&data).await?,
    };
    house.good_event(&house.customers[1]).await.context("another record")?;
    // A dead letter that names a record holds it until a person has looked (seed 002, A6); an error does not.
    let held = locked(house, &house.customers[0], &queued).await?;
    ensure!(held == (named && queued.topic == "events.dlq" && case.code != "unknown_account"), "held: {held}");
    people::settle(house, &queued, "discard").await?;
    house.good_event(&house.customers[0]).await.context("the same record")?;
    Ok(queued.complaint(&case.name, case.code, case.says))
}

/// Does an error hold this record?
async fn locked(house: &House, customer: &Customer, queued: &Queued) -> Result<bool> {
    let sides = &house.sides[customer.account];
    let held: i64 = sqlx::query_scalar(
        "select count(*) from sync.record_lock k join sync.links l on l.account_id = k.account_id and l.rid = k.rid
         where k.account_id = $1 and k.released_at is null and k.reason = 'error' and l.record_type = 'customer'
           and l.side = $2 and l.native_id = $3",
    )
    .bind(&sides.account)
    .bind(Side::Netsuite.as_str())
    .bind(&customer.netsuite)
    .fetch_one(&sides.concord)
    .await?;
    ensure!(held <= 1, "{held} locks for one error ({})", queued.code);
    Ok(held == 1)
}

fn unreadable(house: &House) -> Vec<Poison> {
    let customer = &house.customers[0];
    let attributes = || change_attributes(&event(house, customer, vec![]));
    let surrogate = encode_change(&event(house, customer, vec![("comments", text(&format!("@@@{HUSH}")))]));
    let at = surrogate.windows(3).position(|w| w == b"@@@").expect("the text stands in the bytes");
    let mut surrogate = surrogate.to_vec();
    surrogate[at..at + 3].copy_from_slice(&[0xed, 0xa0, 0x80]);
    let whole = encode_change(&event(house, customer, vec![("comments", text(HUSH))]));
    let many: BTreeMap<String, String> = (0..100).map(|n| (format!("a{n}"), "é".repeat(512))).collect();
    let garbage = |number: u8| format!("{HUSH} is no protobuf {number}").into_bytes();
    vec![
        poison("garbage", message(garbage(1), BTreeMap::new()), "unreadable_payload", "protobuf"),
        poison("garbage with attributes", message(garbage(2), attributes()), "unreadable_payload", "protobuf"),
        poison("garbage with 100 long attributes", message(garbage(3), many), "unreadable_payload", "protobuf"),
        poison("a lone surrogate", message(surrogate, attributes()), "unreadable_payload", "protobuf"),
        poison(
            "half an event",
            message(whole.slice(..whole.len() - 4), attributes()),
            "unreadable_payload",
            "protobuf",
        ),
        poison(
            "an unknown content type",
            with(message(garbage(4), attributes()), "content-type", "text/xml"),
            "unknown_content_type",
            "content type",
        ),
        poison(
            "zeros",
            message(vec![0_u8; 64], BTreeMap::from([("event_id".into(), "no uuid".into())])),
            "unreadable_payload",
            "protobuf",
        ),
    ]
}

fn refused_members(house: &House) -> Vec<Poison> {
    let member = |name: &str, field: &'static str, value: TypedValue, says: &'static str| {
        poison(name, published(&event(house, &house.customers[0], vec![(field, value)])), "bad_member", says)
    };
    let lines = |key: &str, field: &str| {
        TypedValue::Lines([(key.to_owned(), BTreeMap::from([(field.to_owned(), text(HUSH))]))].into())
    };
    let absurd = event(house, &house.customers[0], vec![]);
    let late = ChangeEvent { occurred_at: Timestamp::MAX, ..absurd.clone() };
    let early = ChangeEvent { occurred_at: Timestamp::MIN, ..absurd.clone() };
    let fields = (0..5_001).map(|n| (format!("f{n}"), text(HUSH))).collect();
    let nothing = message(Bytes::new(), change_attributes(&absurd));
    vec![
        member("NUL in text", "comments", text(&format!("{HUSH}\0")), "/changes/comments"),
        member("a number of 400 digits", "creditlimit", TypedValue::Decimal("1e400".into()), "/changes/creditlimit"),
        member("a number that is none", "creditlimit", TypedValue::Decimal(HUSH.into()), "/changes/creditlimit"),
        member("NaN", "creditlimit", TypedValue::Decimal("NaN".into()), "/changes/creditlimit"),
        member("the year 99999", "datecreated", TypedValue::Date("99999-01-01".into()), "/changes/datecreated"),
        member(
            "a moment of the year 99999",
            "datecreated",
            TypedValue::DateTime("99999-01-01T00:00:00Z".into()),
            "/changes/datecreated",
        ),
        member(
            "NUL in a set",
            "custentity_tags",
            TypedValue::Set(vec!["1".into(), "\0".into()]),
            "/changes/custentity_tags/1",
        ),
        member("a line without a name", "lines", lines("", "item"), "/changes/lines/"),
        member("NUL in the name of a field of a line", "lines", lines("1", "it\0em"), "/changes/lines/1/"),
        member(
            "ten million bytes, nearly",
            "comments",
            text(&HUSH.repeat(NEARLY_TEN_MEGABYTES / HUSH.len())),
            "/changes/comments",
        ),
        poison("an event of the year 9999", published(&late), "bad_member", "occurred_at"),
        poison("an event before our era", published(&early), "bad_member", "occurred_at"),
        poison("5,001 fields", published(&ChangeEvent { changes: fields, ..absurd }), "bad_member", "/changes"),
        poison("attributes alone", nothing, "bad_member", "operation"),
        poison(
            "text for a number",
            published(&event(house, &house.customers[0], vec![("creditlimit", text(HUSH))])),
            "bad_value",
            "creditlimit",
        ),
        poison(
            "text beyond the field's length",
            published(&event(house, &house.customers[0], vec![("phone", text(&HUSH.repeat(6)))])),
            "bad_value",
            "phone",
        ),
    ]
}

fn of_somebody_else(house: &House) -> Vec<Poison> {
    let ours = event(house, &house.customers[0], vec![("comments", text(HUSH))]);
    let unknown = ChangeEvent { account: AccountId::parse("NOBODY").expect("an id"), ..ours.clone() };
    let unicorn = ChangeEvent { record_type: RecordType::parse("unicorn").expect("a type"), ..ours.clone() };
    let other = house.account(1).account_id.clone();
    vec![
        poison("an unknown account", published(&unknown), "unknown_account", "NOBODY"),
        poison(
            "an unknown account without attributes",
            message(encode_change(&ChangeEvent { event_id: RandomIds.uuid(), ..unknown }), BTreeMap::new()),
            "unknown_account",
            "NOBODY",
        ),
        poison("an unknown record type", published(&unicorn), "unknown_record_type", "unicorn"),
        poison("two accounts in one message", with(published(&ours), "account_id", &other), "bad_member", "account_id"),
    ]
}

fn json_poison(house: &House) -> Vec<Poison> {
    let json = |body: String, attributes: BTreeMap<String, String>| {
        with(message(body, attributes), "content-type", "application/json")
    };
    let envelope = |changes: &str| {
        let (_, envelope) = house.envelope(&house.customers[0], json!("@"));
        envelope.to_string().replace("\"@\"", changes)
    };
    let none = BTreeMap::new;
    let (_, mut nowhere) = house.envelope(&house.customers[0], json!({ "comments": HUSH }));
    nowhere.as_object_mut().expect("an object").remove("accountId");
    let (_, mut nameless) = house.envelope(&house.customers[0], json!({ "comments": HUSH }));
    nameless.as_object_mut().expect("an object").remove("eventId");
    let wrapped = format!("[{}]", envelope("{}"));
    vec![
        poison("broken JSON", json(format!("{{\"comments\":\"{HUSH}"), none()), "unreadable_payload", "JSON"),
        poison("JSON called protobuf", message(envelope("{}"), none()), "unreadable_payload", "protobuf"),
        poison("a list of events", json(wrapped, none()), "bad_member", ""),
        poison("JSON without an account", json(nowhere.to_string(), none()), "bad_member", "/accountId"),
        poison("JSON without an event id", json(nameless.to_string(), none()), "bad_member", "/eventId"),
        poison(
            "NUL in JSON",
            json(envelope(&format!("{{\"comments\":\"{HUSH}\\u0000\"}}")), none()),
            "bad_member",
            "/changes/comments",
        ),
        poison(
            "a lone surrogate in JSON",
            json(envelope(&format!("{{\"comments\":\"{HUSH}\\ud800\"}}")), none()),
            "bad_member",
            "/changes/comments",
        ),
        poison(
            "1e400 in JSON",
            json(envelope("{\"creditlimit\":1e400}"), none()),
            "bad_member",
            "/changes/creditlimit",
        ),
    ]
}

/// More than the broker carries is refused by the broker; absurd versions are only advice and harm nobody.
async fn ten_megabytes_and_more(house: &House) -> Result<()> {
    let too_much = event(house, &house.customers[0], vec![("comments", text(&"x".repeat(10 * 1024 * 1024)))]);
    let outcome = house.bus.publish(RAW, vec![published(&too_much)]).await.pop().context("one outcome")?;
    ensure!(matches!(outcome, Err(PublishError::Refused { .. })), "ten MiB: {outcome:?}");
    let (base, remote) = (Some(u64::MAX), Some(i64::MAX));
    let absurd =
        ChangeEvent { base_version: base, remote_version: remote, ..event(house, &house.customers[0], vec![]) };
    publish(house, published(&absurd)).await?;
    house.settled(0, absurd.event_id).await.context("absurd versions")?;
    house.goes_on().await
}

/// Each spelling that contracts §3 accepts: the edit it announces reaches SuiteX and the event is in the log.
async fn good_in_every_spelling(house: &House) -> Result<()> {
    let customer = &house.customers[0];
    for spelling in
        ["protobuf", "protobuf without attributes", "JSON", "JSON with its ids in attributes", "a key of its own"]
    {
        let email = format!("spelled{}@example.test", house.next());
        let edit = Edit::update("customer", &customer.netsuite, json!({ "email": email }));
        house.sides[0].netsuite.edit(&Edit { scripts: false, ..edit }).await?;
        let mut event = event(house, customer, vec![("email", text(&email))]);
        let (id, mut envelope) = house.envelope(customer, json!({ "email": email }));
        let json = |body: &serde_json::Value| {
            with(message(body.to_string(), BTreeMap::new()), "content-type", "application/json")
        };
        let message = match spelling {
            "protobuf" => published(&event),
            "protobuf without attributes" => message(encode_change(&event), BTreeMap::new()),
            "a key of its own" => Message { ordering_key: Some("whatever they like".into()), ..published(&event) },
            "JSON" => {
                event.event_id = id;
                json(&envelope)
            }
            _ => {
                event.event_id = id;
                let members = envelope.as_object_mut().context("an object")?;
                members.remove("eventId");
                members.remove("accountId");
                with(with(json(&envelope), "event_id", &id.to_string()), "account_id", &house.account(0).account_id)
            }
        };
        publish(house, message).await?;
        house.settled(0, event.event_id).await.context(spelling)?;
        house.suitex_reads(customer, "email", &email).await.context(spelling)?;
    }
    Ok(())
}
