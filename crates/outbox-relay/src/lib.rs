#![doc = include_str!("../README.md")]

mod config;
mod relay;

use std::sync::Arc;

use chassis::Parts;
use chassis::duty::Waker;
use secrecy::ExposeSecret;

pub use config::Config;

/// Relays every account's outbox until shutdown. Accounts do not wait for each other.
///
/// # Errors
/// Settings of an account that cannot be used.
pub async fn start(parts: Parts, config: Config) -> anyhow::Result<()> {
    let world = Arc::new(chassis::sync::world(&parts.core)?);
    let mut running = Vec::new();
    for account in parts.accounts.iter() {
        let Some(url) = &account.suitex_database_url else { continue };
        let waker = Waker::silent();
        let duty = Arc::new(relay::Relay {
            account: account.id.clone(),
            tenant: suitex::connect(url.expose_secret(), config.tenant_pool)?,
            world: world.clone(),
            parts: parts.clone(),
            config: config.clone(),
        });
        let (parts, wake, name) = (parts.clone(), waker.bell(), format!("outbox of {}", account.id));
        let bell = relay::ring(duty.clone(), waker);
        running.push(async move {
            tokio::join!(bell, chassis::duty::run(&parts, &name, wake, duty));
        });
    }
    tokio::join!(futures::future::join_all(running), parts.relay());
    Ok(())
}
