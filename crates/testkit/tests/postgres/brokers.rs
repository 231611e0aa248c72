//! The three buses that can carry a world's messages.

use std::sync::Arc;
use std::time::Duration;

use chassis::bus::Bus;
use chassis::bus::memory::MemoryBus;
use chassis::bus::postgres::{PostgresBus, PostgresBusLimits};
use chassis::bus::pubsub::PubSubBus;
use chassis::settings::{PubSubSettings, Topics};
use tokio::runtime::Runtime;

use crate::emulator::Emulator;

/// Connections of one world's bus: a listener, a claim, a settlement, leases that are prolonged.
const CONNECTIONS: u32 = 4;

/// A broker.
pub(crate) enum Broker {
    /// In this process.
    Memory,
    /// In the world's own database.
    Postgres,
    /// Google's emulator.
    PubSub(Box<Emulator>),
}

impl Broker {
    /// A bus no other world uses, with Concord's topology. `database` is the world's.
    pub(crate) fn bus(&self, runtime: &Runtime, database: &str, world: &str) -> Arc<dyn Bus> {
        runtime.block_on(async {
            let bus: Arc<dyn Bus> = match self {
                Self::Memory => Arc::new(MemoryBus::new()),
                Self::Postgres => {
                    let pool = store::connect(database, CONNECTIONS, "testkit").await.unwrap();
                    // A long poll, so that a lost ring fails a world instead of hiding behind it.
                    let limits = PostgresBusLimits { poll: Duration::from_secs(300), ..PostgresBusLimits::default() };
                    Arc::new(PostgresBus::new(pool, limits))
                }
                Self::PubSub(emulator) => {
                    let emulator_host = Some(emulator.host().to_owned());
                    let settings = PubSubSettings { project: world.to_owned(), emulator_host, ordered: false };
                    Arc::new(PubSubBus::connect(&settings).await.unwrap())
                }
            };
            bus.ensure(&Topics::default().topology()).await.unwrap();
            bus
        })
    }

    /// Does a lane keep its order? Subscriptions of the emulator keep none, as on the local stack.
    pub(crate) fn keeps_order(&self) -> bool {
        match self {
            Self::Memory | Self::Postgres => true,
            Self::PubSub(_) => false,
        }
    }

    /// Is a message that was acknowledged never delivered again?
    pub(crate) fn never_repeats(&self) -> bool {
        match self {
            Self::Memory | Self::Postgres => true,
            Self::PubSub(_) => false,
        }
    }
}
