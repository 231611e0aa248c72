//! `concord migrate`: forward only, under an advisory lock; a second run finds nothing to do.

use crate::say::say;
use anyhow::{Context, Result};
use chassis::accounts::Accounts;
use chassis::settings::Settings;
use secrecy::ExposeSecret;

/// Brings Concord's schema up to date, and with `tenants` the schema `concord` of every tenant's database.
///
/// # Errors
/// When a database does not answer or a migration fails; for a tenant the account is named.
pub async fn run(database_url: &str, tenants: bool) -> Result<()> {
    crate::dev::databases::migrate(database_url).await?;
    say("Concord's schema is up to date");
    if !tenants {
        return Ok(());
    }
    let settings = Settings::from_process()?;
    for account in Accounts::from_settings(&settings)?.iter() {
        let Some(url) = &account.suitex_database_url else { continue };
        let pool = store::connect(url.expose_secret(), 1, "concord-migrate").await?;
        let migrated = suitex::migrate(&pool).await;
        pool.close().await;
        migrated.with_context(|| format!("account {}", account.id))?;
        say(format_args!("the tenant of account {} is up to date", account.id));
    }
    Ok(())
}
