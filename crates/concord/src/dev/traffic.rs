//! Gentle traffic after the story: now and then a user edits something, on one side or on both, so that there is
//! something to watch.

use std::time::Duration;

use anyhow::{Context, Result};
use model::Side;
use serde_json::json;

use super::manifest::Manifest;
use crate::sides::{Edit, Sides};

/// Mean time between two edits of one account.
const MEAN_PAUSE: Duration = Duration::from_millis(1_500);
/// Customers of an account that take part.
const POPULATION: i64 = 25;
const PHONE_DIGITS: std::ops::Range<u32> = 10_000..100_000;

/// Edits until the future is dropped. The same seed makes the same choices.
///
/// # Errors
/// When a database does not answer at the start; later refusals are a user's and are ignored.
pub async fn run(manifest: &Manifest, seed: u64) -> Result<()> {
    let mut users = Vec::new();
    for (n, account) in (0..).zip(&manifest.accounts) {
        let sides = Sides::open(manifest, account).await.context("traffic cannot begin")?;
        users.push(user(sides, fastrand::Rng::with_seed(seed.wrapping_add(n))));
    }
    futures::future::join_all(users).await;
    Ok(())
}

async fn user(sides: Sides, mut chance: fastrand::Rng) {
    loop {
        tokio::time::sleep(MEAN_PAUSE.mul_f64(0.5 + chance.f64())).await;
        // A user who is refused (a record that is gone by now) just goes on.
        let _ = act(&sides, &mut chance).await;
    }
}

async fn act(sides: &Sides, chance: &mut fastrand::Rng) -> Result<()> {
    let customers: Vec<(i64,)> = sqlx::query_as("select id from app.customers order by id desc limit $1")
        .bind(POPULATION)
        .fetch_all(&sides.suitex)
        .await?;
    let full = i64::try_from(customers.len()).unwrap_or(i64::MAX) >= POPULATION;
    let Some((id,)) = chance.choice(&customers).copied().filter(|_| full || chance.f64() < 0.7) else {
        return create(sides, chance).await;
    };
    let phone = format!("+1 206 {}", chance.u32(PHONE_DIGITS));
    let in_suitex = async {
        sqlx::query(
            "update app.customers set phone = $2, loyalty_points = coalesce(loyalty_points, 0) + 1 where id = $1",
        )
        .bind(id)
        .bind(&phone)
        .execute(&sides.suitex)
        .await?;
        anyhow::Ok(())
    };
    let netsuite_id = sides.counterpart("customer", Side::Suitex, &id.to_string()).await?;
    let limit = chance.u32(1..500) * 100;
    let in_netsuite = async {
        let Some(netsuite_id) = &netsuite_id else { return Ok(()) };
        let changes = json!({ "creditlimit": limit, "email": format!("desk{limit}@example.com") });
        sides.netsuite.edit(&Edit::update("customer", netsuite_id, changes)).await.map(drop)
    };
    match chance.u8(0..5) {
        0 | 1 => in_suitex.await,
        2 | 3 => in_netsuite.await,
        _ => tokio::try_join!(in_suitex, in_netsuite).map(drop),
    }
}

async fn create(sides: &Sides, chance: &mut fastrand::Rng) -> Result<()> {
    let name = format!("Company {}", chance.u32(PHONE_DIGITS));
    if chance.bool() {
        sqlx::query("insert into app.customers (company_name) values ($1)").bind(name).execute(&sides.suitex).await?;
        return Ok(());
    }
    sides.netsuite.edit(&Edit::create("customer", json!({ "companyname": name }))).await.map(drop)
}
