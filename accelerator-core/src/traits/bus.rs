//! The way by which the nodes of a fleet hear of each other's writes.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;

use crate::error::StoreResult;

/// A channel that carries invalidations between the caches of a fleet. Messages go to all who listen to their topic, those
/// of the publisher's own process included.
///
/// A bus may lose messages, as long as it says so: between [`BusEvent::Listening`] and the next [`BusEvent::Gap`] everything
/// arrives that is published to the topic. A cache that is told of a gap forgets what it has in L1.
///
/// A topic is a text of 1 to 512 bytes, any text: topics that differ in one byte are different topics. A bus whose server
/// takes less for a name, or reads more into it, encodes it. A message is bytes, of any content.
///
/// `testkit::MemoryBus` is one for tests, and `bus_laws!` proves one of your own.
#[async_trait]
pub trait InvalidationBus: Send + Sync + 'static {
    /// Hands `message` to all who listen to `topic`. Messages of one publisher arrive in the order in which the calls were
    /// made, where each call was awaited before the next.
    ///
    /// # Errors
    /// The bus did not confirm that it took the message. Some of the listeners may have it all the same.
    /// [`StoreErrorKind::TooLarge`](crate::StoreErrorKind::TooLarge) where it is larger than the
    /// [limit](Self::limits): then nobody has.
    ///
    /// # Cancel safety
    /// The message may or may not be published.
    async fn publish(&self, topic: &str, message: Bytes) -> StoreResult<()>;

    /// What arrives at `topic` from now on. The bus connects, and connects again, by itself; the stream ends only when it
    /// is dropped. A bus starts nothing before the stream is polled first.
    ///
    /// A listener that takes nothing off its stream for too long loses everything that waits and gets
    /// [`GapCause::Overflow`].
    fn listen(&self, topic: &str) -> BoxStream<'static, BusEvent>;

    /// What the bus can carry.
    fn limits(&self) -> BusLimits {
        BusLimits::default()
    }

    /// The [identity](crate::L2Store::identity) of the store over whose connection it publishes, if it does: such a store
    /// may publish for it, behind a write and in one round trip with it ([`L2Store::publishes_for`]). `None`, as provided:
    /// it has a connection of its own.
    ///
    /// [`L2Store::publishes_for`]: crate::L2Store::publishes_for
    fn publishes_over(&self) -> Option<usize> {
        None
    }
}

/// What a listener of an [`InvalidationBus`] is told.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BusEvent {
    /// From now on every message arrives, or a gap does.
    Listening,
    /// A message, as it was published. Only between `Listening` and the next gap.
    Message(Bytes),
    /// Messages may have been lost. No message comes before the next `Listening`; another gap may, where the cause has
    /// become another one.
    Gap(GapCause),
}

/// Why messages may have been lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GapCause {
    /// The connection ended, or there was none yet.
    Disconnected,
    /// The server did not answer in time, though the connection stands.
    NoAnswer,
    /// The listener was too slow, and what waited for it was dropped.
    Overflow,
    /// The server refused: no right to listen, or not a server of this kind.
    Refused,
}

impl GapCause {
    /// The cause in a word, for logs and labels of metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Disconnected => "disconnected",
            Self::NoAnswer => "no_answer",
            Self::Overflow => "overflow",
            Self::Refused => "refused",
        }
    }
}

/// What an [`InvalidationBus`] can carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BusLimits {
    /// The largest message in bytes, at least 1,024. The cache splits what is larger.
    pub max_message_bytes: usize,
    /// How many messages wait for a listener at most, at least 64: one more, and it loses them all and is told of a gap.
    /// A bus may have room for fewer where they are large.
    pub max_waiting: usize,
}

impl Default for BusLimits {
    /// Messages of 64 KiB, of which 1,024 wait.
    fn default() -> Self {
        Self { max_message_bytes: 64 * 1024, max_waiting: 1024 }
    }
}

impl BusLimits {
    /// These limits with another largest message.
    #[must_use]
    pub fn max_message_bytes(mut self, bytes: usize) -> Self {
        self.max_message_bytes = bytes;
        self
    }

    /// These limits with so many messages waiting at most.
    #[must_use]
    pub fn max_waiting(mut self, messages: usize) -> Self {
        self.max_waiting = messages;
        self
    }
}

#[async_trait]
impl<B: InvalidationBus + ?Sized> InvalidationBus for Arc<B> {
    async fn publish(&self, topic: &str, message: Bytes) -> StoreResult<()> {
        (**self).publish(topic, message).await
    }

    fn listen(&self, topic: &str) -> BoxStream<'static, BusEvent> {
        (**self).listen(topic)
    }

    fn limits(&self) -> BusLimits {
        (**self).limits()
    }

    fn publishes_over(&self) -> Option<usize> {
        (**self).publishes_over()
    }
}
