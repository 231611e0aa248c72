//! The simulator as a process of its own.

use std::path::PathBuf;

use anyhow::Context;
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

/// A NetSuite in one process.
#[derive(Debug, Parser)]
struct Options {
    /// TOML file with the address, the data folder and the accounts.
    #[arg(long)]
    config: PathBuf,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let config = netsuite_sim::Config::load(&options.config)?;
    let filter = tracing_subscriber::EnvFilter::builder()
        .with_default_directive(tracing::level_filters::LevelFilter::INFO.into())
        .from_env_lossy();
    tracing_subscriber::fmt().json().with_env_filter(filter).with_writer(std::io::stderr).init();
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(run(config))
}

async fn run(config: netsuite_sim::Config) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM cannot be awaited")?;
    let stop = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
    };
    let running = netsuite_sim::start(config, stop).await?;
    tracing::info!(address = %running.address(), "netsuite-sim listens");
    running.stopped().await;
    Ok(())
}
