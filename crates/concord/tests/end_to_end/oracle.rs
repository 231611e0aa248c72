//! What must have become of everything that users did (semantics §3, I2): a value somebody typed is on both sides, or
//! somebody who had it on the screen typed another over it, or it is named in `sync.overrides`. Sums are the sums of
//! all that was added, sets what was put in and not taken out. Records that a user deleted are left out.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use concord::sides::agreement::{Plain, Record, World};
use model::Side;
use serde_json::Value;
use unicode_normalization::UnicodeNormalization;

use crate::arena::Arena;
use crate::diary::{Deed, Place};
use crate::notes::Note;

const POINTS: &str = "custentity_loyalty_points";
const TAGS: &str = "custentity_tags";
/// Fields whose values are typed once only.
const UNIQUE: &[&str] =
    &["companyname", "email", "phone", "comments", "creditlimit", "displayname", "description", "baseprice", "memo"];
const SHOWN: usize = 10;

/// What happened to one field.
#[derive(Debug, Default)]
struct Story {
    typed: HashSet<String>,
    seen: HashSet<String>,
    sum: i64,
    put: BTreeSet<String>,
    took: BTreeSet<String>,
    /// Put more than once: a user of NetSuite saved a screen that showed the element after somebody had taken it out.
    /// Whether it stands depends on who was last, which is not told here.
    again: BTreeSet<String>,
}

/// Checks every field of every record of the account.
pub(crate) async fn check(arena: &Arena, notes: &[Note]) {
    let world = World::read(&arena.sides).await.expect("both sides can be read");
    assert_eq!(world.differences(), Vec::<String>::new());
    let rids = rids(arena).await;
    let mut stories: BTreeMap<(String, String), Story> = BTreeMap::new();
    let mut deleted: HashSet<String> = HashSet::new();
    for (place, deed) in arena.diary.deeds() {
        // An order that was deleted before anybody heard of it leaves no link.
        let Some(rid) = rids.get(&place) else { continue };
        match deed {
            Deed::Deleted => {
                deleted.insert(rid.clone());
            }
            deed => tell(&mut stories, rid, deed),
        }
    }
    for note in notes {
        let place = Place { record_type: note.record_type, side: Side::Netsuite, id: note.id.clone() };
        let Some(rid) = rids.get(&place) else { continue };
        for deed in deeds(note) {
            tell(&mut stories, rid, deed);
        }
    }
    let finals: HashMap<&String, &Record> = world
        .netsuite
        .iter()
        .filter_map(|((record_type, id), record)| {
            Some((rids.get(&Place { record_type, side: Side::Netsuite, id: id.clone() })?, record))
        })
        .collect();
    let overrides = overrides(arena).await;
    let mut wrong = Vec::new();
    let mut checked = BTreeMap::<&str, usize>::new();
    for ((rid, field), story) in &stories {
        if deleted.contains(rid) {
            continue;
        }
        let Some(record) = finals.get(rid) else {
            wrong.push(format!("{rid} is gone although no user deleted it"));
            continue;
        };
        let verdict = judge(field, story, &record[field.as_str()], overrides.get(&(rid.clone(), field.clone())));
        *checked.entry(kind(field)).or_default() += 1;
        wrong.extend(verdict.into_iter().map(|what| format!("{rid} {field}: {what}")));
    }
    wrong.extend(groups(&world));
    wrong.extend(duplicates(&world));
    let shown: Vec<&String> = wrong.iter().take(SHOWN).collect();
    assert!(wrong.is_empty(), "{} things are not as users left them:\n{shown:#?}", wrong.len());
    println!("{}: fields checked {checked:?}", arena.sides.account);
    for kind in ["typed", "summed", "united"] {
        assert!(checked.get(kind).is_some_and(|n| *n >= 3), "hardly any fields were {kind}: {checked:?}");
    }
}

fn kind(field: &str) -> &'static str {
    match field {
        POINTS => "summed",
        TAGS => "united",
        _ => "typed",
    }
}

fn tell(stories: &mut BTreeMap<(String, String), Story>, rid: &str, deed: Deed) {
    let field = match &deed {
        Deed::Typed { field, .. } | Deed::Added { field, .. } | Deed::Put { field, .. } | Deed::Took { field, .. } => {
            *field
        }
        Deed::Deleted => return,
    };
    let story = stories.entry((rid.to_owned(), field.to_owned())).or_default();
    match deed {
        Deed::Typed { old, new, .. } => {
            story.seen.extend(old.map(|value| canonical(&value)));
            story.typed.extend(new.map(|value| canonical(&value)));
        }
        Deed::Added { amount, .. } => story.sum += amount,
        Deed::Put { element, .. } => {
            if !story.put.insert(element.clone()) {
                story.again.insert(element);
            }
        }
        Deed::Took { element, .. } => {
            story.took.insert(element);
        }
        Deed::Deleted => {}
    }
}

/// A system note as deeds.
fn deeds(note: &Note) -> Vec<Deed> {
    let number = |value: &Option<String>| value.as_ref().map_or(0, |text| text.parse().expect("points are a number"));
    match note.field.as_str() {
        POINTS => vec![Deed::Added { field: POINTS, amount: number(&note.new) - number(&note.old) }],
        TAGS => {
            let set = |value: &Option<String>| -> BTreeSet<String> {
                value.iter().flat_map(|text| text.split(", ")).map(str::to_owned).collect()
            };
            let (old, new) = (set(&note.old), set(&note.new));
            let put = new.difference(&old).map(|element| Deed::Put { field: TAGS, element: element.clone() });
            let took = old.difference(&new).map(|element| Deed::Took { field: TAGS, element: element.clone() });
            put.chain(took).collect()
        }
        field => match UNIQUE.iter().find(|unique| **unique == field) {
            Some(field) => vec![Deed::Typed { field, old: note.old.clone(), new: note.new.clone() }],
            None => Vec::new(),
        },
    }
}

/// What is wrong with the end of a field's story.
fn judge(field: &str, story: &Story, end: &Plain, overrides: Option<&HashSet<String>>) -> Vec<String> {
    match field {
        POINTS => {
            let sum = Plain::Number(story.sum.into());
            let right = *end == sum || (*end == Plain::Empty && story.sum == 0);
            (!right).then(|| format!("users added up to {sum}, the field holds {end}")).into_iter().collect()
        }
        TAGS => {
            let left: BTreeSet<String> = story.put.difference(&story.took).cloned().collect();
            let there = match end {
                Plain::Set(set) => set.clone(),
                _ => BTreeSet::new(),
            };
            let told = |elements: BTreeSet<String>| elements.difference(&story.again).cloned().collect::<Vec<_>>();
            let lost = told(left.difference(&there).cloned().collect());
            let risen = told(there.difference(&left).cloned().collect());
            let right = lost.is_empty() && risen.is_empty();
            (!right).then(|| format!("lost {lost:?}, risen {risen:?}")).into_iter().collect()
        }
        _ => {
            let end = match end {
                Plain::Text(text) => text.clone(),
                Plain::Number(number) => number.to_string(),
                _ => String::new(),
            };
            let kept = |value: &&String| {
                **value == end || story.seen.contains(*value) || overrides.is_some_and(|lost| lost.contains(*value))
            };
            let lost: Vec<&String> = story.typed.iter().filter(|value| !kept(value)).collect();
            let invented = !end.is_empty() && !story.typed.contains(&end);
            let mut wrong: Vec<String> =
                lost.into_iter().map(|v| format!("{v:?} vanished; the field holds {end:?}")).collect();
            if invented && !story.seen.contains(&end) {
                wrong.push(format!("nobody typed {end:?}"));
            }
            wrong
        }
    }
}

/// One spelling for values typed, noted and stored.
fn canonical(value: &str) -> String {
    let composed: String = value.nfc().collect();
    let trimmed = composed.trim();
    match trimmed.parse::<rust_decimal::Decimal>() {
        Ok(number) => number.normalize().to_string(),
        Err(_) => trimmed.to_owned(),
    }
}

/// Payment terms and their currency are one value: users only ever typed equal ones, so no other pair may exist.
fn groups(world: &World) -> Vec<String> {
    let torn = |record: &Record| {
        let (terms, currency) = (&record["terms"], &record["currency"]);
        // A customer made without terms has NetSuite's base currency alone.
        *terms != Plain::Empty && terms != currency
    };
    let customers = world.netsuite.iter().filter(|((record_type, _), _)| *record_type == "customer");
    customers
        .filter(|(_, record)| torn(record))
        .map(|((_, id), r)| format!("customer {id}: {} with {}", r["terms"], r["currency"]))
        .collect()
}

/// Names that are given once must stand once: a create that was sent twice would show here.
fn duplicates(world: &World) -> Vec<String> {
    let mut names: BTreeMap<(&str, &Plain), usize> = BTreeMap::new();
    for ((record_type, _), record) in &world.netsuite {
        let name = match *record_type {
            "item" => "itemid",
            "salesorder" => "tranid",
            _ => "companyname",
        };
        *names.entry((record_type, &record[name])).or_default() += 1;
    }
    names.into_iter().filter(|(_, n)| *n > 1).map(|((kind, name), n)| format!("{n} records of {kind} {name}")).collect()
}

/// Every id that ever belonged to a record.
async fn rids(arena: &Arena) -> HashMap<Place, String> {
    let rows: Vec<(String, String, String, String)> =
        sqlx::query_as("select record_type, side, native_id, rid::text from sync.links where account_id = $1")
            .bind(&arena.sides.account)
            .fetch_all(&arena.sides.concord)
            .await
            .expect("links can be read");
    let place = |(record_type, side, id, rid): (String, String, String, String)| {
        let record_type =
            concord::sides::agreement::TYPES.into_iter().find(|t| *t == record_type).expect("a synced type");
        let side = if side == "suitex" { Side::Suitex } else { Side::Netsuite };
        (Place { record_type, side, id }, rid)
    };
    rows.into_iter().map(place).collect()
}

/// Values that gave way, by record and field.
async fn overrides(arena: &Arena) -> HashMap<(String, String), HashSet<String>> {
    let rows: Vec<(String, String, Value)> =
        sqlx::query_as("select record_id, field, losing_value from sync.overrides where account_id = $1")
            .bind(&arena.sides.account)
            .fetch_all(&arena.sides.concord)
            .await
            .expect("overrides can be read");
    let mut found: HashMap<(String, String), HashSet<String>> = HashMap::new();
    for (rid, field, value) in rows {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        found.entry((rid, field)).or_default().insert(canonical(&text));
    }
    found
}
