//! The bus: its handle, and publishing.

pub(crate) mod builder;
mod driver;
mod rare_warning;
mod reply;
mod stream;
pub(crate) mod subscriber;
mod topics;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use accelerator_core::{
    BoxStream, BusEvent, BusLimits, Bytes, InvalidationBus, L2Store, StoreError, StoreErrorKind, StoreResult,
};
use async_trait::async_trait;
use redis::Value;
use tokio::time::timeout;

use crate::RedisStore;
use crate::bus::builder::RedisBusBuilder;
use crate::bus::rare_warning::RareWarning;
use crate::bus::stream::Listening;
use crate::bus::subscriber::{Subscriber, SubscriberLimits};
use crate::commands::command::PUBLISH;
use crate::server_error;

/// An [`InvalidationBus`] by Pub/Sub of Redis, Valkey or what speaks like them, beside any L2 or none. A cheap handle:
/// clones share its connections.
///
/// All its streams share one connection, however many topics there are; publishing has another. Both are made when they
/// are first needed, by a task on the runtime of whoever needs them; where that runtime ends or isn't run any more, the
/// next that polls a stream or publishes takes over. A connection that is lost is made again, with pauses that grow. The
/// one that listens is asked for a sign of life every 2 s, which must come within 1 s.
///
/// A listener has room for 1,024 messages, and 4 MiB of them. One more, and it loses them all and is told of a gap.
///
/// The channel of a topic is `<key_prefix>bus.<database>.<topic>`. A user of the server needs
/// `+subscribe +unsubscribe +publish +ping &<key_prefix>*`. Where the server refuses, listeners are told of
/// [`GapCause::Refused`](accelerator_core::GapCause), a warning is logged with the server's own words, and the bus goes on
/// trying.
///
/// ```no_run
/// use accelerator_backend_redis::RedisBus;
/// use accelerator_core::{BusEvent, InvalidationBus};
/// use futures_util::StreamExt;
///
/// async fn example() -> Result<(), Box<dyn std::error::Error>> {
///     let bus = RedisBus::builder().url("redis://127.0.0.1:6379").key_prefix("shop:").build()?;
///     let mut heard = bus.listen("prices");
///     while heard.next().await != Some(BusEvent::Listening) {}
///     bus.publish("prices", "news".into()).await?;
///     assert_eq!(heard.next().await, Some(BusEvent::Message("news".into())));
///     Ok(())
/// }
/// ```
#[derive(Clone)]
pub struct RedisBus(Arc<Inner>);

struct Inner {
    /// What publishes: only its connection is used.
    publisher: RedisStore,
    publish_timeout: Duration,
    warning: RareWarning,
    subscriber: Arc<Subscriber>,
}

impl RedisBus {
    /// Begins a bus; a URL is all it needs.
    pub fn builder() -> RedisBusBuilder {
        RedisBusBuilder::new()
    }

    pub(crate) fn new(publisher: RedisStore, publish_timeout: Duration, limits: SubscriberLimits) -> Self {
        let subscriber = Arc::new(Subscriber::new(Arc::clone(&publisher.inner().shared), limits));
        Self(Arc::new(Inner { publisher, publish_timeout, warning: RareWarning::default(), subscriber }))
    }

    fn channel(&self, topic: &str) -> Bytes {
        self.0.publisher.inner().channel(topic).into()
    }
}

#[async_trait]
impl InvalidationBus for RedisBus {
    async fn publish(&self, topic: &str, message: Bytes) -> StoreResult<()> {
        let limits = self.limits();
        if message.len() > limits.max_message_bytes {
            let context = format!("publish: a message has at most {} bytes", limits.max_message_bytes);
            return Err(StoreError::new(StoreErrorKind::TooLarge, context));
        }
        let publisher = self.0.publisher.inner();
        let cmd = publisher.commands.publish(&publisher.channel(topic), &message);
        let (limit, asked) = (self.0.publish_timeout, publisher.ask(PUBLISH, cmd));
        // Without a runtime, or its timers, there is no connection either.
        let Ok(asked) = catch_unwind(AssertUnwindSafe(|| timeout(limit, asked))) else {
            return Err(StoreError::new(StoreErrorKind::Unavailable, "publish: it takes a tokio runtime (enable_all)"));
        };
        let Ok(answer) = asked.await else {
            let context = format!("publish: no answer within publish_timeout = {limit:?}");
            return Err(StoreError::new(StoreErrorKind::Timeout, context));
        };
        let answer = answer?;
        published(&answer).inspect_err(|error| {
            let target = &publisher.shared.dialer.target;
            self.0.warning.say(target, "Redis takes no messages of the bus", &format!("{error:#}"));
        })
    }

    fn listen(&self, topic: &str) -> BoxStream<'static, BusEvent> {
        Box::pin(Listening::new(Arc::clone(&self.0.subscriber), self.channel(topic)))
    }

    fn limits(&self) -> BusLimits {
        let limits = self.0.subscriber.limits;
        BusLimits::default().max_message_bytes(limits.max_message_bytes).max_waiting(limits.max_waiting)
    }

    fn publishes_over(&self) -> Option<usize> {
        self.0.publisher.identity()
    }
}

/// What the server said of a message.
pub(crate) fn published(answer: &Value) -> StoreResult<()> {
    match answer {
        // How many have heard it is known to one server of a cluster at best.
        Value::Int(_) => Ok(()),
        refused => Err(server_error::unexpected(PUBLISH, refused)),
    }
}

impl fmt::Debug for RedisBus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = self.0.publisher.inner();
        f.debug_struct("RedisBus")
            .field("server", &format_args!("{}", inner.shared.dialer.target))
            .field("key_prefix", &inner.commands.prefix)
            .field("subscriber", &self.0.subscriber)
            .finish_non_exhaustive()
    }
}
