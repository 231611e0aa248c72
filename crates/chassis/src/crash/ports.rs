//! Ports that pass crash points on their way.

use std::sync::Arc;

use async_trait::async_trait;
use model::record::Windows;
use model::spec::TypeSpec;
use model::{AccountId, NativeId, Observed, ReadRequest, RemoteError, Side, Timestamp, WriteOutcome, WriteRequest};
use store::StoreError;
use store::records::{Around, Hint, Intake, Pick, Plan, View};

use super::point;
use crate::bus::{BusError, Message, MessageId, PublishError, Subscription, SubscriptionSpec, Topology};
use crate::settings::Topics;

pub(super) struct Records(pub(super) Arc<dyn store::records::Records>);

#[async_trait]
impl Around for Records {
    fn within(&self) -> &dyn store::records::Records {
        self.0.as_ref()
    }

    async fn take_in(
        &self,
        hints: &[&Hint],
        now: Timestamp,
        windows: &Windows,
        plan: &mut Plan<'_>,
    ) -> Result<Vec<Intake>, StoreError> {
        let mut dying = |views: &[View]| {
            let patches = plan(views);
            // The hints are stored, the transaction is open.
            if !views.is_empty() {
                point("K1");
            }
            patches
        };
        let stored = self.0.take_in(hints, now, windows, &mut dying).await?;
        point("K2");
        Ok(stored)
    }

    async fn transact(&self, pick: &Pick, pending: bool, plan: &mut Plan<'_>) -> Result<usize, StoreError> {
        let taken = self.0.transact(pick, pending, plan).await?;
        if taken > 0 {
            point("K12");
        }
        Ok(taken)
    }
}

pub(super) struct Remote(pub(super) Arc<dyn model::Remote>);

#[async_trait]
impl model::Remote for Remote {
    fn side(&self) -> Side {
        self.0.side()
    }

    async fn read(
        &self,
        account: &AccountId,
        spec: &TypeSpec,
        wants: &[ReadRequest],
    ) -> Vec<Result<Observed, RemoteError>> {
        let read = self.0.read(account, spec, wants).await;
        point("K3");
        read
    }

    async fn write(&self, account: &AccountId, spec: &TypeSpec, writes: &[WriteRequest]) -> Vec<WriteOutcome> {
        point("K6");
        let outcomes = self.0.write(account, spec, writes).await;
        if outcomes.iter().any(|outcome| matches!(outcome, WriteOutcome::Ok { .. })) {
            point("K7");
        }
        outcomes
    }

    fn quarantine(&self, account: &AccountId, spec: &TypeSpec) -> std::time::Duration {
        self.0.quarantine(account, spec)
    }

    async fn list(
        &self,
        account: &AccountId,
        spec: &TypeSpec,
        after: Option<&NativeId>,
        limit: usize,
    ) -> Result<Vec<NativeId>, RemoteError> {
        self.0.list(account, spec, after, limit).await
    }
}

#[derive(Debug)]
pub(super) struct Bus {
    pub(super) bus: Arc<dyn crate::bus::Bus>,
    pub(super) topics: Topics,
}

#[async_trait]
impl crate::bus::Bus for Bus {
    async fn publish(&self, topic: &str, messages: Vec<Message>) -> Vec<Result<MessageId, PublishError>> {
        let (before, after) = match topic {
            topic if topic == self.topics.merged => ("K4", "K5"),
            topic if topic == self.topics.raw => ("K11", "K10"),
            _ => return self.bus.publish(topic, messages).await,
        };
        point(before);
        let outcomes = self.bus.publish(topic, messages).await;
        point(after);
        outcomes
    }

    async fn subscribe(&self, spec: SubscriptionSpec) -> Result<Box<dyn Subscription>, BusError> {
        self.bus.subscribe(spec).await
    }

    async fn ensure(&self, topology: &Topology) -> Result<(), BusError> {
        self.bus.ensure(topology).await
    }

    async fn ping(&self) -> Result<(), BusError> {
        self.bus.ping().await
    }

    async fn close(&self) {
        self.bus.close().await;
    }
}
