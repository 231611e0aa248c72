//! Users' work on several records of both sides, in which every crash point is passed.

use std::collections::BTreeMap;

use concord::sides::{Edit, Sides};
use serde_json::json;
use uuid::Uuid;

use crate::play::{Pair, Play};

/// Customers that users go on editing, on each side.
const CUSTOMERS: usize = 3;

/// The records, and what users did to them.
pub(crate) struct Work<'p> {
    play: &'p Play,
    /// Edited in SuiteX.
    ours: Vec<Pair>,
    /// Edited in NetSuite.
    theirs: Vec<Pair>,
    /// Edited by both, in different fields.
    shared: Pair,
}

/// What users did while somebody died.
#[derive(Debug, Default)]
struct Done {
    /// Operations of SuiteX's users on records that are there, and records they made.
    suitex: i64,
    suitex_made: Vec<String>,
    netsuite: i64,
    netsuite_made: Vec<String>,
    /// By record and field, what somebody typed last.
    typed: BTreeMap<(Uuid, &'static str), (Pair, String)>,
}

impl Done {
    fn typed(&mut self, pair: &Pair, field: &'static str, value: String) {
        self.typed.insert((pair.rid, field), (pair.clone(), value));
    }
}

impl<'p> Work<'p> {
    pub(crate) async fn begin(play: &'p Play) -> Self {
        let mut customers = Vec::new();
        for _ in 0..=2 * CUSTOMERS {
            customers.push(play.customer(json!({ "phone": "0", "custentity_loyalty_points": 10 })).await);
        }
        let shared = customers.pop().unwrap();
        let theirs = customers.split_off(CUSTOMERS);
        play.rest().await;
        Self { play, ours: customers, theirs, shared }
    }

    /// Services die at points, one after the other, users working all the while; then everything must be right.
    pub(crate) async fn goes_on_while(&self, deaths: &[(&str, &str)]) {
        let play = self.play;
        let (before, fates) = (play.writes(0).await, fates(&play.sides[0]).await);
        let days = days(&play.sides[0]).await;
        let mut done = Done::default();
        let mut points = 10 * i64::from(play.next() + 1);
        play.sx(&self.shared, &format!("loyalty_points = {points}")).await;
        done.suitex += 1;
        play.rest().await;
        for (service, point) in deaths {
            let armed = play.arm(service, point);
            self.edit(&mut done).await;
            play.sx(&self.shared, "loyalty_points = loyalty_points + 5").await;
            done.suitex += 1;
            points += 5;
            play.died(&armed).await;
        }
        play.rest().await;

        assert_eq!(play.differences().await, Vec::<String>::new());
        assert_eq!(
            play.values(&self.shared, "custentity_loyalty_points").await,
            [points.to_string(), points.to_string()]
        );
        for ((_, field), (pair, value)) in &done.typed {
            assert_eq!(play.values(pair, field).await, [value.clone(), value.clone()], "{field} of {pair:?}");
        }
        let sides = &play.sides[0];
        for name in done.suitex_made.iter().chain(&done.netsuite_made) {
            assert_eq!(made(sides, name).await, [1, 1], "records called {name}, in NetSuite and in SuiteX");
        }
        every_event_has_its_outcome(sides).await;
        // A write that died before it was sent was looked for in vain, one that died after it landed was found.
        let fates_now = self::fates(&play.sides[0]).await;
        for (n, point) in ["K6", "K7"].into_iter().enumerate() {
            let asked = deaths.iter().any(|(_, died_at)| *died_at == point);
            assert!(!asked || fates_now[n] > fates[n], "{point}: recoveries {fates:?}, then {fates_now:?}");
        }
        let written = play.writes(0).await - before;
        let made_here = i64::try_from(done.suitex_made.len()).unwrap();
        let made_there = i64::try_from(done.netsuite_made.len()).unwrap();
        assert_eq!((written.creates, written.deletes), (made_here, 0), "{written:?} for {done:?}");
        assert!((1..=done.suitex).contains(&written.updates), "{written:?} for {done:?}");
        // The day a record was made is NetSuite's to say: west of Greenwich it is yesterday for some hours, and then a
        // record made here is told its day, once.
        let days = self::days(&play.sides[0]).await - days;
        assert!(days <= made_here, "{days} for {done:?}");
        assert!((1..=done.netsuite + made_there + days).contains(&written.suitex), "{written:?}, {days} for {done:?}");
    }

    /// Every record is edited and one is made on each side.
    async fn edit(&self, done: &mut Done) {
        let play = self.play;
        for pair in &self.ours {
            let phone = play.next().to_string();
            play.sx(pair, &format!("phone = '{phone}'")).await;
            done.typed(pair, "phone", phone);
        }
        for (n, pair) in self.theirs.iter().chain([&self.shared]).enumerate() {
            let email = format!("u{}@example.test", play.next());
            let changes = json!({ "email": email });
            // One edit goes past the scripts: only the poller will notice.
            if n == 0 {
                play.ns_quietly(pair, changes).await
            } else {
                play.ns(pair, changes).await
            }
            done.typed(pair, "email", email);
        }
        let (here, there) = (format!("Made here {}", play.next()), format!("Made there {}", play.next()));
        // With every field that a side would fill in by itself, and tell the other.
        let values =
            format!("insert into app.customers (company_name, loyalty_points, currency) values ('{here}', 1, '1')");
        play.sql(0, &values).await;
        let fields = json!({ "companyname": there, "custentity_loyalty_points": 1, "currency": 1 });
        let create = Edit::create("customer", fields);
        play.sides[0].netsuite.edit(&create).await.unwrap();
        done.suitex += i64::try_from(self.ours.len()).unwrap();
        done.netsuite += i64::try_from(self.theirs.len()).unwrap() + 1;
        done.suitex_made.push(here);
        done.netsuite_made.push(there);
    }
}

/// Recoveries that found nothing, and that found the write.
async fn fates(sides: &Sides) -> [i64; 2] {
    let query = "select count(*) filter (where outcome = 'unknown'), count(*) filter (where outcome = 'recovered')
         from sync.event_audit_log where account_id = $1";
    let (vain, found) = sqlx::query_as(query).bind(&sides.account).fetch_one(&sides.concord).await.unwrap();
    [vain, found]
}

/// Versions that say nothing but the day on which NetSuite made the record.
async fn days(sides: &Sides) -> i64 {
    let query = "select count(*) from sync.versions
         where account_id = $1 and version > 1 and delta::jsonb ? 'datecreated' and delta::jsonb - 'datecreated' = '{}'";
    sqlx::query_scalar(query).bind(&sides.account).fetch_one(&sides.concord).await.unwrap()
}

/// Records of this name in NetSuite and in SuiteX.
async fn made(sides: &Sides, name: &str) -> [usize; 2] {
    let there = sides.netsuite.dump("customer").await.unwrap();
    let there = there.iter().filter(|(_, fields)| fields["companyname"] == name).count();
    let query = "select count(*) from app.customers where company_name = $1";
    let here: i64 = sqlx::query_scalar(query).bind(name).fetch_one(&sides.suitex).await.unwrap();
    [there, usize::try_from(here).unwrap()]
}

/// Every event the tenant's outbox ever had is in the log, and every event of the log has an outcome that is no failure.
pub(crate) async fn every_event_has_its_outcome(sides: &Sides) {
    let sent: Vec<Uuid> = sqlx::query_scalar(
        "select event_id from concord.outbox_events where record_type in ('customer', 'item', 'salesorder')",
    )
    .fetch_all(&sides.suitex)
    .await
    .unwrap();
    let (arrived, failed): (i64, i64) = sqlx::query_as(
        "select count(*) filter (where event_id = any($2)), count(*) filter (where coalesce(disposition, '') not in
             ('applied', 'superseded', 'noop_echo', 'conflict'))
         from sync.events where account_id = $1 and kind = 'hint'",
    )
    .bind(&sides.account)
    .bind(&sent)
    .fetch_one(&sides.concord)
    .await
    .unwrap();
    assert_eq!(
        (usize::try_from(arrived).unwrap(), failed),
        (sent.len(), 0),
        "events in the log, and without good outcome"
    );
}
