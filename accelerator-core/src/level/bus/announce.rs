//! Announcing what has changed: taken by the publisher at once, and awaited by the call that acknowledges it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::error::{StoreError, StoreErrorKind, StoreResult};
use crate::level::bounds::{Key, Value};
use crate::level::bus::Bus;
use crate::level::bus::message::Message;
use crate::level::bus::pending::{Clear, News};
use crate::level::flight::handoff::ASLEEP;
use crate::level::local::Local;
use crate::level::stats::bus_figures::BusCount;
use crate::level::time::policy::RECOVERY_PAUSE;
use crate::level::time::timer::from_now;
use crate::sync::lock;

/// What a call will have to tell. Dropped, it is told all the same: the call's task was lost, or there is no runtime, and
/// nobody knows what has changed.
pub(crate) struct Announcement<K: Key, V: Value> {
    bus: Arc<Bus<K, V>>,
    news: Option<News>,
}

/// A message that goes behind a write of L2, in one round trip with it. Dropped, nobody knows whether it was published: it
/// is told again.
pub(crate) struct Attached<K: Key, V: Value> {
    bus: Arc<Bus<K, V>>,
    number: u64,
    message: Bytes,
    /// What L2 said of it; `None`: nothing yet.
    published: Option<StoreResult<()>>,
}

/// What was told, and is on its way.
pub(crate) struct PendingAnswer<K: Key, V: Value> {
    bus: Arc<Bus<K, V>>,
    answer: oneshot::Receiver<StoreResult<()>>,
    has_runtime: bool,
}

impl<K: Key, V: Value> Bus<K, V> {
    /// These keys are to change.
    pub(crate) fn announce<'k>(self: &Arc<Self>, keys: impl Iterator<Item = &'k K>) -> Announcement<K, V> {
        self.tend();
        // A key's own code: where it panics, others purge all.
        let texts = Local::<K, V>::caught("a key's encode", || keys.map(|key| self.text(key)).collect());
        let news = texts.map_or(News::Clear(Clear::L1), News::Keys);
        Announcement { bus: self.clone(), news: Some(news) }
    }

    /// All that is cached is to become a miss.
    pub(crate) fn announce_clear(self: &Arc<Self>) -> Announcement<K, V> {
        self.tend();
        Announcement { bus: self.clone(), news: Some(News::Clear(Clear::AlsoL2)) }
    }

    fn text(&self, key: &K) -> Arc<str> {
        let mut text = String::with_capacity(24);
        (self.text.encode)(key, &mut text);
        text.into()
    }

    /// Keys that the bus has yet to take; a clear is one.
    pub(crate) fn unpublished(&self) -> usize {
        lock(&self.outbox).len()
    }
}

impl<K: Key, V: Value> Announcement<K, V> {
    /// It has happened: the others are told from now on, whether or not the answer is waited for.
    pub(crate) fn tell(mut self) -> PendingAnswer<K, V> {
        let (waits, answer) = oneshot::channel();
        let news = self.news.take().unwrap_or(News::Keys(Vec::new()));
        lock(&self.bus.outbox).put(news, self.bus.room, Some(waits));
        let has_runtime = self.bus.publish();
        PendingAnswer { bus: self.bus.clone(), answer, has_runtime }
    }

    /// Its message, for L2 to publish behind a write that takes `limit` at most. `None`: L2 can't, or something else is to be
    /// told first.
    pub(crate) fn attach(&mut self, limit: Duration) -> Option<Attached<K, V>> {
        let bus = &self.bus;
        let Some(News::Keys(_)) = self.news.as_ref().filter(|_| bus.is_of_l2) else { return None };
        let Some(News::Keys(keys)) = self.news.take() else { return None };
        let (now, sent_at) = (Instant::now(), bus.local.clock.unix_exact());
        let until = from_now(limit.saturating_add(ASLEEP));
        let attached = lock(&bus.outbox).attach(keys, bus.room, now, until, |number, content| {
            Message { origin: bus.origin, number, sent_at, area: &bus.area, content }.encode()
        });
        match attached {
            Ok((number, message)) => {
                lock(&bus.health).said(now);
                Some(Attached { bus: bus.clone(), number, message, published: None })
            }
            Err(keys) => {
                self.news = Some(News::Keys(keys));
                None
            }
        }
    }
}

impl<K: Key, V: Value> Attached<K, V> {
    pub(crate) fn topic(&self) -> &str {
        &self.bus.topic
    }

    pub(crate) fn message(&self) -> Bytes {
        self.message.clone()
    }

    pub(crate) fn published(&mut self, answer: StoreResult<()>) {
        self.published = Some(answer);
    }

    /// The write has ended. What became of the message.
    pub(crate) fn ended(mut self) -> StoreResult<()> {
        let context = "the write that the message went behind was not answered in time";
        let unknown = || Err(StoreError::new(StoreErrorKind::Timeout, context));
        self.published.get_or_insert_with(unknown).clone()
    }
}

impl<K: Key, V: Value> Drop for Attached<K, V> {
    fn drop(&mut self) {
        let (bus, is_published) = (&self.bus, matches!(self.published, Some(Ok(()))));
        let again_at = (!is_published).then(|| from_now(RECOVERY_PAUSE.0));
        let (count, has_work) = {
            let mut outbox = lock(&bus.outbox);
            (outbox.attached_ended(self.number, again_at, bus.room), outbox.has_work())
        };
        if let Some(count) = count {
            bus.figures().add(if is_published { BusCount::Published } else { BusCount::PublishFailed }, count);
        }
        // What came meanwhile has waited for it.
        if has_work {
            bus.publish();
        }
    }
}

impl<K: Key, V: Value> Drop for Announcement<K, V> {
    fn drop(&mut self) {
        if let Some(news) = self.news.take() {
            lock(&self.bus.outbox).put(news, self.bus.room, None);
            self.bus.publish();
        }
    }
}

impl<K: Key, V: Value> PendingAnswer<K, V> {
    /// Whether somebody tells it now.
    pub(crate) fn has_runtime(&self) -> bool {
        self.has_runtime
    }

    /// What the bus answered. Without an answer in time the keys stay queued.
    pub(crate) async fn answer(mut self) -> StoreResult<()> {
        let bus = &self.bus;
        // A message that was on its way, the own one, and a runtime that stands still.
        let longest = bus.local.policy.l2_write_timeout.saturating_mul(4).saturating_add(ASLEEP * 2);
        let begun = Instant::now();
        loop {
            if bus.local.tasks.handle().is_none() {
                // Nobody can say when it was too long.
                return (&mut self.answer).await.unwrap_or_else(|_| Err(lost()));
            }
            match bus.local.tasks.within(ASLEEP, &mut self.answer).await {
                Some(Ok(answer)) => return answer,
                Some(Err(_)) => return Err(lost()),
                // Its runtime may stand still: then another takes its place.
                None => bus.publish(),
            };
            if begun.elapsed() >= longest {
                return Err(StoreError::new(StoreErrorKind::Timeout, "the bus did not answer in time"));
            }
        }
    }
}

fn lost() -> StoreError {
    StoreError::new(StoreErrorKind::Other, "the task that publishes was lost")
}
