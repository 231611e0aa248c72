//! From the transaction that committed messages to the relay of the same process: what is in memory need not be read back.
//!
//! The rows stand in `sync.outbox` all the same, and leave it when they are published. Whatever is lost on the way (a
//! crash, a full queue, a broker that is away) is found there by the sweep.

use std::time::Duration;

use tokio::sync::mpsc;

use crate::records::Outgoing;

/// How long a sweep leaves rows to the process that committed them.
pub const PATIENCE: Duration = Duration::from_secs(2);
/// Transactions whose messages may wait for the relay; those of the next one are left to the sweep.
const QUEUE: usize = 16;

/// A committed message and its row.
#[derive(Debug, Clone, PartialEq)]
pub struct Committed {
    /// The row in `sync.outbox`.
    pub id: i64,
    /// What it says.
    pub message: Outgoing,
}

/// The end that transactions hand their messages to.
#[derive(Debug, Clone)]
pub struct Handoff(mpsc::Sender<Vec<Committed>>);

/// The relay's end.
#[derive(Debug)]
pub struct Handed(mpsc::Receiver<Vec<Committed>>);

/// Both ends.
pub fn handoff() -> (Handoff, Handed) {
    let (sender, receiver) = mpsc::channel(QUEUE);
    (Handoff(sender), Handed(receiver))
}

impl Handoff {
    /// Hands over what a transaction committed. Never waits.
    pub(crate) fn give(&self, messages: Vec<Committed>) {
        if !messages.is_empty() {
            // Full, or nobody relays any more: the rows are the sweep's.
            let _ = self.0.try_send(messages);
        }
    }
}

impl Handed {
    /// What was handed over and not taken yet; `None` when that is nothing.
    pub fn try_next(&mut self, most: usize) -> Option<Vec<Committed>> {
        let messages = self.0.try_recv().ok()?;
        Some(self.fill(messages, most))
    }

    /// The messages of the next transactions, at most about `most` of them; `None` when none can come any more.
    pub async fn next(&mut self, most: usize) -> Option<Vec<Committed>> {
        let messages = self.0.recv().await?;
        Some(self.fill(messages, most))
    }

    fn fill(&mut self, mut messages: Vec<Committed>, most: usize) -> Vec<Committed> {
        while messages.len() < most {
            match self.0.try_recv() {
                Ok(more) => messages.extend(more),
                Err(_) => break,
            }
        }
        messages
    }
}
