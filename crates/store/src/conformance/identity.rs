//! Who is who on which side.

use std::sync::Arc;

use model::{NativeId, RecordRef, Rid, Side};

use super::given::{account, answer, change, fields, hint, id, known, native, observe, record_type, take_in, view};
use crate::records::{Hint, Intake, Patch, Pick, Records, View};

async fn lookup(records: &Arc<dyn Records>, side: Side, native_id: &str) -> Option<Rid> {
    let ids = [(record_type(), native(native_id)), (record_type(), native("nobody"))];
    let found = records.lookup(&account("A"), side, &ids).await.expect("ids are looked up");
    assert!(found.len() <= 1);
    found.into_values().next()
}

/// What NetSuite's id, or SuiteX's that begins with an s, stood for before.
async fn formerly(records: &Arc<dyn Records>, native_id: &str) -> Vec<Rid> {
    let side = if native_id.starts_with('s') { Side::Suitex } else { Side::Netsuite };
    let ids = [(record_type(), native(native_id))];
    let found = records.links(&account("A"), side, &ids).await.expect("ids are looked up");
    found.into_values().flat_map(|link| link.formerly).collect()
}

async fn native_id(records: &Arc<dyn Records>, side: Side, record: &RecordRef) -> Option<NativeId> {
    let rids = [(record_type(), record.rid), (record_type(), Rid(id(77_777)))];
    let found = records.native_ids(&account("A"), side, &rids).await.expect("records are looked up");
    assert!(found.len() <= 1);
    found.into_values().next()
}

/// Deleted there and made anew: the old id still leads here, the new one is current.
pub async fn a_moved_link_retires_the_old_id(records: Arc<dyn Records>) {
    let record = known(&records, hint(1, "7"), 0).await;
    let moved = |to: Option<&'static str>| {
        move |_: &View, patch: &mut Patch| {
            patch.record.shadows.netsuite.native_id = to.map(native);
            patch.record.shadows.netsuite.generation += 1;
        }
    };
    change(&records, &record, moved(Some("8"))).await;
    for told in ["7", "8"] {
        assert_eq!(lookup(&records, Side::Netsuite, told).await, Some(record.rid));
    }
    assert_eq!(native_id(&records, Side::Netsuite, &record).await, Some(native("8")));
    assert_eq!(native_id(&records, Side::Suitex, &record).await, None);
    assert_eq!(known(&records, hint(2, "7"), 1).await, record, "a late hint for the old id rings the record");
    change(&records, &record, moved(None)).await;
    assert_eq!(native_id(&records, Side::Netsuite, &record).await, None);
    assert_eq!(lookup(&records, Side::Netsuite, "8").await, Some(record.rid));
    change(&records, &record, moved(Some("7"))).await;
    assert_eq!(native_id(&records, Side::Netsuite, &record).await, Some(native("7")), "an id of its own may come back");
}

/// Makes the record of `told` become `heir`, as the first observation does that finds another record's mark.
async fn become_another(records: &Arc<dyn Records>, provisional: &RecordRef, heir: &RecordRef) {
    let mut plan = |views: &[View]| {
        views
            .iter()
            .map(|view| {
                let mut patch = Patch::of(view.record.clone());
                let record = &mut patch.record;
                if view.record.key == *provisional {
                    record.head.merged_into = Some(heir.rid);
                    answer(record, Side::Netsuite);
                    record.shadows.netsuite.native_id = None;
                } else {
                    record.shadows.netsuite.native_id = Some(native("7"));
                }
                patch
            })
            .collect()
    };
    let both = Pick::These(vec![provisional.clone(), heir.clone()]);
    assert_eq!(records.transact(&both, true, &mut plan).await.expect("the link moves"), 2);
}

/// The doorbell rings where the record now is, for later hints too.
pub async fn hints_follow_a_record_that_became_another(records: Arc<dyn Records>) {
    let told = Hint { side: Side::Suitex, new_rid: Rid(id(2_000_000)), ..hint(1, "s1") };
    let heir = known(&records, told, 0).await;
    let provisional = known(&records, hint(2, "7"), 0).await;
    assert_ne!(heir, provisional);
    become_another(&records, &provisional, &heir).await;
    assert_eq!(lookup(&records, Side::Netsuite, "7").await, Some(heir.rid));
    assert_eq!(native_id(&records, Side::Netsuite, &heir).await, Some(native("7")));
    let before = native_id(&records, Side::Netsuite, &provisional).await;
    assert_eq!(before, Some(native("7")), "who referred to it before still finds its id");
    assert_eq!(formerly(&records, "7").await, [provisional.rid]);
    assert_eq!(formerly(&records, "s1").await, [provisional.rid], "on either side");
    let answers = take_in(&records, &[hint(3, "7")], 5).await;
    assert_eq!(answers, [Intake::Stored(heir.clone())]);
    assert!(view(&records, &heir).await.record.shadows.netsuite.dirty());
    assert!(!view(&records, &provisional).await.record.shadows.netsuite.dirty());
}

/// A provisional record became another provisional one, and that one a third: all names lead to the last.
pub async fn a_record_that_became_another_by_way_of_others_is_found(records: Arc<dyn Records>) {
    let told = |n: u128, native: &str| Hint { side: Side::Suitex, new_rid: Rid(id(2_000_000 + n)), ..hint(n, native) };
    let heir = known(&records, told(1, "s1"), 0).await;
    let last = known(&records, told(2, "s2"), 0).await;
    let first = known(&records, told(3, "s3"), 0).await;
    let provisional = known(&records, hint(4, "7"), 0).await;
    become_another(&records, &provisional, &first).await;
    become_another(&records, &first, &last).await;
    become_another(&records, &last, &heir).await;
    assert_eq!(lookup(&records, Side::Netsuite, "7").await, Some(heir.rid));
    let mut names = [provisional.rid, first.rid, last.rid];
    names.sort_unstable();
    assert_eq!(formerly(&records, "7").await, names);
    for name in [&provisional, &first, &last, &heir] {
        assert_eq!(native_id(&records, Side::Netsuite, name).await, Some(native("7")), "{name}");
    }
}

/// A claim on somebody else's id changes nothing: refused, or set aside for a person.
pub async fn an_id_of_another_record_is_not_taken(records: Arc<dyn Records>) {
    let owner = known(&records, hint(1, "7"), 0).await;
    change(&records, &owner, |_, patch| {
        observe(patch, 40, Side::Netsuite, fields(&[("email", "a@b.example")]), 1);
    })
    .await;
    let thief = known(&records, hint(2, "8"), 0).await;
    let mut plan = |views: &[View]| {
        let mut patch = Patch::of(views[0].record.clone());
        patch.record.shadows.netsuite.native_id = Some(native("7"));
        vec![patch]
    };
    let _ = records.transact(&Pick::These(vec![thief.clone()]), false, &mut plan).await;
    assert_eq!(lookup(&records, Side::Netsuite, "7").await, Some(owner.rid));
    assert_eq!(native_id(&records, Side::Netsuite, &owner).await, Some(native("7")));
    assert_eq!(native_id(&records, Side::Netsuite, &thief).await, Some(native("8")));
}

/// A hint may come before the answer to our own create: the provisional record it made has no claim to the id.
pub async fn our_own_create_takes_its_id_from_a_provisional_record(records: Arc<dyn Records>) {
    let creator = known(&records, Hint { side: Side::Suitex, new_rid: Rid(id(2_000_000)), ..hint(1, "s1") }, 0).await;
    let provisional = known(&records, hint(2, "7"), 0).await;
    change(&records, &creator, |_, patch| patch.record.shadows.netsuite.native_id = Some(native("7"))).await;
    assert_eq!(lookup(&records, Side::Netsuite, "7").await, Some(creator.rid));
    assert_eq!(native_id(&records, Side::Netsuite, &creator).await, Some(native("7")));
    assert_eq!(known(&records, hint(3, "7"), 1).await, creator);
    assert_eq!(view(&records, &provisional).await.pending.len(), 1, "its hints wait for its first observation");
    assert_eq!(formerly(&records, "7").await, [provisional.rid]);
    become_another(&records, &provisional, &creator).await;
    assert_eq!(formerly(&records, "7").await, [provisional.rid], "it is told once");
    assert_eq!(native_id(&records, Side::Netsuite, &provisional).await, Some(native("7")));
}

/// Only the living, only of that type and account, at most ten.
pub async fn living_records_answer_their_natural_key(records: Arc<dyn Records>) {
    let mut rids = Vec::new();
    for n in 1..=12 {
        let record = known(&records, hint(n, &n.to_string()), 0).await;
        change(&records, &record, |_, patch| {
            observe(patch, 100 + n, Side::Netsuite, fields(&[("email", "a@b.example")]), 1);
            patch.record.head.natural_key = Some("a@b.example".to_owned());
        })
        .await;
        rids.push(record);
    }
    let candidates = async |records: &Arc<dyn Records>, name: &str, key: &str| {
        records.candidates(&account(name), &record_type(), key).await.expect("candidates are found")
    };
    assert_eq!(candidates(&records, "A", "a@b.example").await.len(), 10);
    assert!(candidates(&records, "B", "a@b.example").await.is_empty());
    assert!(candidates(&records, "A", "other").await.is_empty());
    for record in &rids[2..] {
        change(&records, record, |_, patch| patch.record.head.alive = false).await;
    }
    become_other(&records, &rids[1], &rids[0]).await;
    assert_eq!(candidates(&records, "A", "a@b.example").await, [rids[0].rid]);
    change(&records, &rids[0], |_, patch| patch.record.head.natural_key = Some("other".to_owned())).await;
    assert!(candidates(&records, "A", "a@b.example").await.is_empty());
    assert_eq!(candidates(&records, "A", "other").await, [rids[0].rid]);
}

/// Two steps met one thing, and the second one stores later: it has nothing to store, and finds the first next time.
pub async fn who_is_not_alone_any_more_stores_nothing(records: Arc<dyn Records>) {
    let becomes_real = |alone: bool, key: &'static str| {
        move |view: &View, patch: &mut Patch| {
            observe(patch, view.record.key.rid.0.as_u128() % 1_000, Side::Netsuite, fields(&[("email", key)]), 1);
            patch.record.head.natural_key = Some(key.to_owned());
            patch.alone = alone;
        }
    };
    let mut made = Vec::new();
    for n in 1..=4 {
        made.push(known(&records, hint(n, &n.to_string()), 0).await);
    }
    change(&records, &made[0], becomes_real(true, "a@b.example")).await;
    change(&records, &made[1], becomes_real(true, "a@b.example")).await;
    let late = view(&records, &made[1]).await;
    assert_eq!((late.record.head.version, late.pending.len()), (0, 1), "it is what it was");
    assert_eq!(view(&records, &made[0]).await.record.head.version, 1);
    change(&records, &made[2], becomes_real(true, "another@b.example")).await;
    assert_eq!(view(&records, &made[2]).await.record.head.version, 1);
    change(&records, &made[3], becomes_real(false, "a@b.example")).await;
    assert_eq!(view(&records, &made[3]).await.record.head.version, 1, "a person was asked");
}

async fn become_other(records: &Arc<dyn Records>, one: &RecordRef, other: &RecordRef) {
    change(records, one, |_, patch| {
        patch.record.head.merged_into = Some(other.rid);
        patch.record.shadows.netsuite.native_id = None;
    })
    .await;
}
