//! The bus: its handle, and publishing.

pub(crate) mod builder;
mod driver;
mod publishes;
mod rare_warning;
mod stream;
mod subject;
pub(crate) mod subscriber;
mod topics;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use accelerator_core::{
    BoxStream, BusEvent, BusLimits, Bytes, InvalidationBus, StoreError, StoreErrorKind, StoreResult,
};
use async_trait::async_trait;
use tokio::time::timeout;

use crate::bus::builder::NatsBusBuilder;
use crate::bus::stream::Listening;
use crate::bus::subscriber::{Subscriber, SubscriberLimits};
use crate::connection::dial::Dialer;

/// An [`InvalidationBus`] by core NATS, beside any L2 or none. A cheap handle: clones share its connection.
///
/// There is one connection, however many topics there are, for listening and for publishing. It is made when it is first
/// needed, by a task on the runtime of whoever needs it; where that runtime ends or isn't run any more, the next that polls a
/// stream or publishes takes over. A connection that is lost is made again, with pauses that grow. It is asked for a sign of
/// life every 2 s, which must come within 1 s. It ends when nobody listens, and the handles that have published are gone.
///
/// `Listening` and the `Ok` of a publish are the server's word: it has answered what was sent behind them, and has refused
/// neither. A server that hands a message on to others of its cluster does so later.
///
/// A listener has room for 1,024 messages, and 4 MiB of them. One more, and it loses them all and is told of a gap.
///
/// The subject of a topic is `<subject_prefix>.bus.<topic>`, where all of the topic but letters, digits and `-_:/` is
/// percent-encoded. A user of the server must be allowed to subscribe and to publish to `<subject_prefix>.bus.>`. Where the
/// server refuses, listeners are told of [`GapCause::Refused`](accelerator_core::GapCause), a warning is logged with the
/// server's own words, and the bus goes on trying.
///
/// ```no_run
/// use accelerator_backend_nats::NatsBus;
/// use accelerator_core::{BusEvent, InvalidationBus};
/// use futures_util::StreamExt;
///
/// async fn example() -> Result<(), Box<dyn std::error::Error>> {
///     let bus = NatsBus::builder().url("nats://127.0.0.1:4222").subject_prefix("shop").build()?;
///     let mut heard = bus.listen("prices");
///     while heard.next().await != Some(BusEvent::Listening) {}
///     bus.publish("prices", "news".into()).await?;
///     assert_eq!(heard.next().await, Some(BusEvent::Message("news".into())));
///     Ok(())
/// }
/// ```
#[derive(Clone)]
pub struct NatsBus(Arc<Inner>);

struct Inner {
    subject_prefix: String,
    publish_timeout: Duration,
    subscriber: Arc<Subscriber>,
}

impl NatsBus {
    /// Begins a bus; a URL is all it needs.
    pub fn builder() -> NatsBusBuilder {
        NatsBusBuilder::new()
    }

    pub(crate) fn new(
        dialer: Dialer,
        subject_prefix: String,
        publish_timeout: Duration,
        limits: SubscriberLimits,
    ) -> Self {
        let subscriber = Arc::new(Subscriber::new(dialer, limits));
        Self(Arc::new(Inner { subject_prefix, publish_timeout, subscriber }))
    }

    fn subject(&self, topic: &str) -> Bytes {
        subject::of(&self.0.subject_prefix, topic).into()
    }
}

#[async_trait]
impl InvalidationBus for NatsBus {
    async fn publish(&self, topic: &str, message: Bytes) -> StoreResult<()> {
        let most = self.limits().max_message_bytes;
        if message.len() > most {
            let context = format!("publish: a message has at most {most} bytes");
            return Err(StoreError::new(StoreErrorKind::TooLarge, context));
        }
        let subscriber = &self.0.subscriber;
        let limit = self.0.publish_timeout;
        let asked = subscriber.publish(self.subject(topic), message)?;
        // A runtime that has no timers has no connections either.
        let Ok(asked) = catch_unwind(AssertUnwindSafe(|| timeout(limit, asked))) else {
            return Err(StoreError::new(StoreErrorKind::Unavailable, "publish: it takes a tokio runtime (enable_all)"));
        };
        match asked.await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(subscriber.lost()),
            Err(_) => {
                let context = format!("publish: no answer within publish_timeout = {limit:?}");
                Err(StoreError::new(StoreErrorKind::Timeout, context))
            }
        }
    }

    fn listen(&self, topic: &str) -> BoxStream<'static, BusEvent> {
        Box::pin(Listening::new(Arc::clone(&self.0.subscriber), self.subject(topic)))
    }

    fn limits(&self) -> BusLimits {
        let subscriber = &self.0.subscriber;
        BusLimits::default()
            .max_message_bytes(subscriber.dialer.max_message_bytes)
            .max_waiting(subscriber.limits.max_waiting)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.subscriber.publishes_no_more();
    }
}

impl fmt::Debug for NatsBus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsBus")
            .field("server", &format_args!("{}", self.0.subscriber.dialer.target))
            .field("subject_prefix", &self.0.subject_prefix)
            .field("subscriber", &self.0.subscriber)
            .finish_non_exhaustive()
    }
}
