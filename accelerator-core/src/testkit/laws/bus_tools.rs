//! What the laws of a bus have in common: topics of one's own, and a listener that judges what it hears.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;

use crate::traits::bus::{BusEvent, InvalidationBus};

/// What takes longer does not come at all.
const PATIENCE: Duration = Duration::from_secs(20);

/// A topic that no other test has.
pub(super) fn fresh_topic() -> String {
    format!("law.{:016x}", fastrand::u64(..))
}

pub(super) fn number(n: usize) -> Bytes {
    n.to_string().into()
}

pub(super) async fn publish<B: InvalidationBus + ?Sized>(bus: &B, topic: &str, message: Bytes) {
    bus.publish(topic, message).await.expect("publish");
}

/// A listener that has been told that it listens. It panics where it hears what may not come.
pub(super) struct Heard {
    stream: BoxStream<'static, BusEvent>,
    listening: bool,
}

impl Heard {
    /// Begins to listen, and waits until it does.
    pub(super) async fn at<B: InvalidationBus + ?Sized>(bus: &B, topic: &str) -> Self {
        let mut heard = Self { stream: bus.listen(topic), listening: false };
        while heard.event().await != BusEvent::Listening {}
        heard
    }

    /// The next event, which may be any that is allowed now.
    pub(super) async fn event(&mut self) -> BusEvent {
        let next = tokio::time::timeout(PATIENCE, self.stream.next()).await;
        let event = next.expect("an event comes within the patience of a law");
        let event = event.expect("a stream ends only when it is dropped");
        match event {
            BusEvent::Listening => assert!(!self.listening, "`Listening` twice without a gap"),
            BusEvent::Message(_) => assert!(self.listening, "a message before `Listening`"),
            BusEvent::Gap(_) => {}
        }
        self.listening = event == BusEvent::Listening || (self.listening && matches!(event, BusEvent::Message(_)));
        event
    }

    /// The next event, which must be a message.
    pub(super) async fn message(&mut self) -> Bytes {
        let event = self.event().await;
        let message = if let BusEvent::Message(message) = &event { Some(message.clone()) } else { None };
        assert!(message.is_some(), "{event:?} in place of a message, and nothing was interrupted");
        message.unwrap_or_default()
    }

    /// Goes on to the next gap; how many messages came before.
    pub(super) async fn until_gap(&mut self) -> usize {
        let mut messages = 0;
        loop {
            match self.event().await {
                BusEvent::Gap(_) => return messages,
                BusEvent::Message(_) => messages += 1,
                BusEvent::Listening => {}
            }
        }
    }

    /// Goes on to this message, whatever comes before.
    pub(super) async fn until(&mut self, message: &Bytes) {
        while self.event().await != BusEvent::Message(message.clone()) {}
    }

    pub(super) async fn until_listening(&mut self) {
        while !self.listening {
            self.event().await;
        }
    }
}
