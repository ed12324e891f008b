//! A bus that fails on command.

use std::future::pending;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;

use super::fault::{Fault, Op, Then};
use super::faulty::Faulty;
use super::faulty_store::scripted;
use crate::error::StoreResult;
use crate::traits::bus::{BusEvent, BusLimits, InvalidationBus};

/// Publishing is [`Op::Publish`], with the topic as its key; listening never fails. [`Fault::Garbage`] is published in
/// place of the message.
#[async_trait]
impl<B: InvalidationBus> InvalidationBus for Faulty<B> {
    async fn publish(&self, topic: &str, message: Bytes) -> StoreResult<()> {
        let fate = self.arrive(Op::Publish, &[topic], false);
        if let Some(gate) = &fate.before {
            gate.pass().await;
        }
        let fault = match fate.fault {
            Fault::At(positions, fault) if positions.contains(&0) => *fault,
            Fault::At(..) => Fault::None,
            fault => fault,
        };
        let message = match &fault {
            Fault::Hang => pending().await,
            Fault::Error(kind) => return Err(scripted(*kind)),
            Fault::Garbage(bytes) => bytes.clone(),
            _ => message,
        };
        if let Fault::Delay(by) = fault {
            tokio::time::sleep(by).await;
        }
        let answer = self.inner().publish(topic, message).await;
        if let Some(gate) = &fate.after {
            gate.pass().await;
        }
        match fault {
            Fault::LostReply(Then::Hang) => pending().await,
            Fault::LostReply(Then::Error(kind)) => Err(scripted(kind)),
            _ => answer,
        }
    }

    fn listen(&self, topic: &str) -> BoxStream<'static, BusEvent> {
        self.inner().listen(topic)
    }

    fn limits(&self) -> BusLimits {
        self.inner().limits()
    }
}
