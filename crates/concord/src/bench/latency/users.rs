//! Users of both systems: some edit at a steady rate, others look at all records again and again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use model::Side;
use serde_json::json;
use sqlx::PgPool;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::board::Board;
use crate::sides::{Edit, Sides};

/// Edits under way at once on one side; more would be a queue of ours, not of the systems'.
const AT_ONCE: usize = 6;
/// How often SuiteX is looked at.
const LOOK_SUITEX: Duration = Duration::from_millis(20);
/// Shortest time between two looks at all of NetSuite, each of which reads every record.
const LOOK_NETSUITE: Duration = Duration::from_millis(100);
/// What was written longer ago than this was looked at before.
const LOOK_BACK_SECONDS: f64 = 5.0;

const MAIL_START: &str = "m";
const MAIL_END: &str = "@bench.example";
const PHONE_START: &str = "+1 555 ";

/// A record by both its ids.
#[derive(Debug, Clone)]
pub struct Pair {
    /// SuiteX's.
    pub suitex: String,
    /// NetSuite's.
    pub netsuite: String,
}

/// Everybody.
#[derive(Clone)]
pub struct Users {
    /// Both systems.
    pub sides: Arc<Sides>,
    /// Edits made in SuiteX, watched in NetSuite.
    pub to_netsuite: Arc<Board>,
    /// Edits made in NetSuite, watched in SuiteX.
    pub to_suitex: Arc<Board>,
    /// Looks at NetSuite so far.
    pub looks: Arc<AtomicU64>,
}

impl Users {
    /// Edits on one side, `per_second` of them, record after record, until told to stop.
    ///
    /// # Errors
    /// When an edit is refused.
    pub async fn edit(self, side: Side, pairs: Vec<Pair>, per_second: f64, stop: CancellationToken) -> Result<()> {
        let start = tokio::time::Instant::now();
        let room = Arc::new(Semaphore::new(AT_ONCE));
        let mut under_way = JoinSet::new();
        for (number, pair) in (1_u64..).zip(pairs.iter().cycle()) {
            let due = start + Duration::from_secs_f64((number - 1) as f64 / per_second);
            if stop.run_until_cancelled(tokio::time::sleep_until(due)).await.is_none() {
                break;
            }
            let place = Arc::clone(&room).acquire_owned().await.context("there is always room again")?;
            let (users, pair) = (self.clone(), pair.clone());
            under_way.spawn(async move {
                let made = users.edit_one(side, &pair, number).await;
                drop(place);
                made
            });
            while let Some(done) = under_way.try_join_next() {
                done??;
            }
        }
        while let Some(done) = under_way.join_next().await {
            done??;
        }
        Ok(())
    }

    async fn edit_one(&self, side: Side, pair: &Pair, number: u64) -> Result<()> {
        // The clock runs from before the request: what the system itself takes to save is part of the wait.
        match side {
            Side::Suitex => {
                let id: i64 = pair.suitex.parse().context("ids of the application are numbers")?;
                self.to_netsuite.made(&pair.netsuite, number, Instant::now());
                sqlx::query("update app.customers set phone = $2 where id = $1")
                    .bind(id)
                    .bind(format!("{PHONE_START}{number:08}"))
                    .execute(&self.sides.suitex)
                    .await?;
                Ok(())
            }
            Side::Netsuite => {
                let changes = json!({ "email": format!("{MAIL_START}{number}{MAIL_END}") });
                self.to_suitex.made(&pair.suitex, number, Instant::now());
                self.sides.netsuite.edit(&Edit::update("customer", &pair.netsuite, changes)).await.map(drop)
            }
        }
    }

    /// Looks at SuiteX until told to stop.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn watch_suitex(self, stop: CancellationToken) -> Result<()> {
        while !stop.is_cancelled() {
            for (id, mail) in recent_mails(&self.sides.suitex).await? {
                let at = Instant::now();
                if let Some(number) = number_in(&mail, MAIL_START, MAIL_END) {
                    self.to_suitex.shows(&id.to_string(), number, at);
                }
            }
            tokio::time::sleep(LOOK_SUITEX).await;
        }
        Ok(())
    }

    /// Looks at NetSuite until told to stop.
    ///
    /// # Errors
    /// When the simulator does not answer.
    pub async fn watch_netsuite(self, stop: CancellationToken) -> Result<()> {
        while !stop.is_cancelled() {
            let begun = tokio::time::Instant::now();
            let records = self.sides.netsuite.dump("customer").await?;
            let at = Instant::now();
            for (id, fields) in &records {
                let phone = fields.get("phone").and_then(serde_json::Value::as_str).unwrap_or_default();
                if let Some(number) = number_in(phone, PHONE_START, "") {
                    self.to_netsuite.shows(id, number, at);
                }
            }
            self.looks.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep_until(begun + LOOK_NETSUITE).await;
        }
        Ok(())
    }
}

async fn recent_mails(pool: &PgPool) -> Result<Vec<(i64, String)>> {
    let rows = sqlx::query_as(
        "select id, email from app.customers where email is not null and updated_at > now() - make_interval(secs => $1)",
    )
    .bind(LOOK_BACK_SECONDS)
    .fetch_all(pool)
    .await?;
    Ok(rows)
}

fn number_in(text: &str, start: &str, end: &str) -> Option<u64> {
    text.strip_prefix(start)?.strip_suffix(end)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_values_carry_a_number() {
        assert_eq!(number_in("m17@bench.example", MAIL_START, MAIL_END), Some(17));
        assert_eq!(number_in("+1 555 00000123", PHONE_START, ""), Some(123));
        assert_eq!(number_in("mary@bench.example", MAIL_START, MAIL_END), None);
        assert_eq!(number_in("+1 206 5551234", PHONE_START, ""), None);
    }
}
