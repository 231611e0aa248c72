//! What scripts ask of the platform beside records: queries, requests, secrets, the cache, tasks, formats, the log.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use jiff::civil::Date;
use serde_json::{Map, Value as Json, json};
use sha2::{Sha256, Sha512};

use super::fault::Fault;
use super::journal::Entry;
use super::run::{Run, text};
use crate::suiteql::{Cell, Page, Query};

const QUERY_UNITS: u32 = 10;
const REQUEST_UNITS: u32 = 10;
const CACHE_UNITS: u32 = 1;
const TASK_UNITS: u32 = 20;
/// Rows of a query without pages.
const MOST_ROWS: usize = 5_000;

fn params(arguments: &Json) -> Result<&[Json], Fault> {
    match &arguments["params"] {
        Json::Array(params) => Ok(params),
        Json::Null => Ok(&[]),
        _ => Err(Fault::new("SSS_INVALID_TYPE_ARG", "params is a list")),
    }
}

fn rows(run: &Run, page: Page) -> Json {
    run.scripts.ledger.rows(page.rows.len());
    let columns = page.columns;
    let named = |cells: Vec<Cell>| {
        let row = columns.iter().cloned().zip(cells.into_iter().map(Cell::into_json));
        Json::Object(row.collect::<Map<_, _>>())
    };
    page.rows.into_iter().map(named).collect()
}

pub(super) fn query(run: &mut Run, arguments: &Json) -> Result<Json, Fault> {
    run.spend(QUERY_UNITS)?;
    let query = Query {
        text: text(arguments, "query")?,
        params: params(arguments)?,
        limit: MOST_ROWS,
        offset: 0,
        with_allowed: true,
        counted: false,
    };
    let page = run.scripts.world.query(&query)?;
    Ok(json!({ "rows": rows(run, page) }))
}

/// One page of a paged query; the first call counts all rows and brings the first page along.
pub(super) fn query_page(run: &mut Run, arguments: &Json) -> Result<Json, Fault> {
    run.spend(QUERY_UNITS)?;
    if arguments["kept"] == true {
        return Ok(json!({ "rows": null }));
    }
    let number = |name: &str| arguments[name].as_u64().and_then(|number| usize::try_from(number).ok()).unwrap_or(0);
    let limit = number("pageSize");
    let query = Query {
        text: text(arguments, "query")?,
        params: params(arguments)?,
        limit,
        offset: number("index") * limit,
        with_allowed: true,
        counted: arguments["first"] == true,
    };
    let page = run.scripts.world.query(&query)?;
    let total = page.total;
    Ok(json!({ "total": total, "rows": rows(run, page) }))
}

pub(super) fn request(run: &mut Run, arguments: &Json) -> Result<Json, Fault> {
    run.spend(REQUEST_UNITS)?;
    run.scripts.courier.send(arguments, &run.scripts.ledger)
}

/// Whether there is such a secret.
pub(super) fn secret(run: &mut Run, arguments: &Json) -> Result<Json, Fault> {
    key(run, arguments).map(|_| Json::Null)
}

fn key(run: &Run, arguments: &Json) -> Result<Vec<u8>, Fault> {
    let name = text(arguments, "secret")?;
    let secret = run.scripts.secrets.get(name).ok_or_else(|| {
        Fault::new("INVALID_SECRET_ID", &format!("The API secret {name} does not exist, or is not for this script."))
    })?;
    decoded(text(arguments, "encoding")?, secret.reveal())
}

fn decoded(encoding: &str, text: &str) -> Result<Vec<u8>, Fault> {
    let wrong = || Fault::new("SSS_INVALID_ENCODING", "the text is not in the encoding named for it");
    match encoding {
        "UTF_8" => Ok(text.as_bytes().to_vec()),
        "BASE_64" => STANDARD.decode(text).map_err(|_| wrong()),
        "HEX" => hex::decode(text).map_err(|_| wrong()),
        _ => Err(wrong()),
    }
}

fn encoded(encoding: &str, bytes: &[u8]) -> Result<Json, Fault> {
    match encoding {
        "BASE_64" => Ok(Json::from(STANDARD.encode(bytes))),
        "HEX" => Ok(Json::from(hex::encode_upper(bytes))),
        other => Err(Fault::new("SSS_INVALID_ENCODING", &format!("a digest cannot be shown in {other}"))),
    }
}

pub(super) fn hmac(run: &mut Run, arguments: &Json) -> Result<Json, Fault> {
    let key = key(run, arguments)?;
    let mut input = Vec::new();
    for part in arguments["inputs"].as_array().into_iter().flatten() {
        input.extend(decoded(text(part, "encoding")?, text(part, "input")?)?);
    }
    let no_key = |_| Fault::new("SSS_INVALID_SECRET", "the secret cannot be a key");
    let digest = match text(arguments, "algorithm")? {
        "SHA256" => {
            let mac = Hmac::<Sha256>::new_from_slice(&key).map_err(no_key)?;
            mac.chain_update(&input).finalize().into_bytes().to_vec()
        }
        "SHA512" => {
            let mac = Hmac::<Sha512>::new_from_slice(&key).map_err(no_key)?;
            mac.chain_update(&input).finalize().into_bytes().to_vec()
        }
        other => return Err(Fault::new("SSS_INVALID_HASH_ALG", &format!("the simulator has no {other}"))),
    };
    encoded(text(arguments, "outputEncoding")?, &digest)
}

pub(super) fn cache(run: &mut Run, name: &str, arguments: &Json) -> Result<Json, Fault> {
    run.spend(CACHE_UNITS)?;
    let place = (text(arguments, "scope")?, text(arguments, "name")?, text(arguments, "key")?);
    let now = run.scripts.world.clock.now();
    let cache = &run.scripts.cache;
    match name {
        "cache.get" => Ok(cache.get(place, now).map_or(Json::Null, Json::from)),
        "cache.put" => cache.put(place, text(arguments, "value")?, arguments["ttl"].as_i64(), now).map(|()| Json::Null),
        _ => {
            cache.remove(place);
            Ok(Json::Null)
        }
    }
}

pub(super) fn submit(run: &mut Run, arguments: &Json) -> Result<Json, Fault> {
    run.spend(TASK_UNITS)?;
    if text(arguments, "taskType")? != "MAP_REDUCE" {
        return Err(Fault::new("NOT_SIMULATED", "only map/reduce scripts can be submitted in this simulator"));
    }
    let deployment = arguments["deploymentId"].as_str();
    let number = run.scripts.clone().submit(text(arguments, "scriptId")?, deployment)?;
    Ok(Json::from(format!("MAPREDUCETASK_{number}")))
}

/// A date or moment in the account's preference, as its users see it.
pub(super) fn format(run: &mut Run, arguments: &Json) -> Result<Json, Fault> {
    let wrong = || Fault::new("SSS_INVALID_TYPE_ARG", "value is no date");
    let world = &run.scripts.world;
    match text(arguments, "type")? {
        "date" => {
            let part = |index: usize| arguments["day"][index].as_i64().and_then(|part| i16::try_from(part).ok());
            let (year, month, day) = (part(0), part(1), part(2));
            let small = |part: Option<i16>| part.and_then(|part| i8::try_from(part).ok()).ok_or_else(wrong);
            let date = Date::new(year.ok_or_else(wrong)?, small(month)?, small(day)?).map_err(|_| wrong())?;
            Ok(Json::from(world.date_format.render(date)))
        }
        "datetime" | "datetimetz" => {
            let milliseconds = arguments["milliseconds"].as_i64().ok_or_else(wrong)?;
            let moment = Timestamp::from_millisecond(milliseconds).map_err(|_| wrong())?;
            let local = moment.to_zoned(world.zone.clone());
            let (hour, half) = match local.hour() {
                hour @ 0..12 => (hour, "am"),
                hour => (hour - 12, "pm"),
            };
            let hour = if hour == 0 { 12 } else { hour };
            let day = world.date_format.render(local.date());
            Ok(Json::from(format!("{day} {hour}:{:02}:{:02} {half}", local.minute(), local.second())))
        }
        other => Err(Fault::new("NOT_SIMULATED", &format!("the simulator does not format {other}"))),
    }
}

/// Writes to the script's execution log, which does not fail.
pub(super) fn log(run: &mut Run, arguments: &Json) {
    let word = |name: &str| arguments[name].as_str().unwrap_or_default().to_owned();
    run.scripts.journal.note(Entry {
        at: run.scripts.world.now(),
        script: run.cause.script.id.clone(),
        deployment: run.cause.deployment.clone(),
        level: word("level"),
        title: word("title"),
        details: word("details"),
    });
}
