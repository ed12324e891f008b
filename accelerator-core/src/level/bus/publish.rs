//! Publishing: one message is on its way at a time, and what comes meanwhile goes together in the next one.
//!
//! 1. calls put keys into the outbox; one task of the cache takes all that is there
//! 2. split to the size of messages, each under a time limit; the calls are answered
//! 3. the bus did not take it: the keys are kept, and told again after a pause, which grows
//! 4. nothing is left: the task ends
//!
//! No number is used twice, also where a publish failed: nobody knows who has heard it. A number that somebody did not hear
//! is a gap to him, and nothing worse.

use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::select;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::backoff::Backoff;
use crate::error::{StoreError, StoreErrorKind, StoreResult};
use crate::inside::forget_panic;
use crate::level::bounds::{Key, Value};
use crate::level::bus::Bus;
use crate::level::bus::message::Message;
use crate::level::bus::outbox::{Job, What};
use crate::level::stats::bus_figures::BusCount;
use crate::level::time::policy::RECOVERY_PAUSE;
use crate::level::time::timer::{Timer, from_now};
use crate::sync::lock;

impl<K: Key, V: Value> Bus<K, V> {
    /// Sees to it that the outbox is emptied. `false`: there is no runtime.
    pub(crate) fn publish(self: &Arc<Self>) -> bool {
        let Some(number) = self.publishing.begin() else {
            self.wakes_publisher.notify_one();
            return true;
        };
        // Of a task that is gone, or late.
        lock(&self.outbox).take_back(self.room);
        let wakes = self.wakes_publisher.clone();
        let (first, longest) = RECOVERY_PAUSE;
        let task = Publishing { bus: Arc::downgrade(self), number, wakes, backoff: Backoff::new(first, longest) };
        // Held until the first message is on its way: the last handle may go meanwhile.
        let held = self.clone();
        self.local.tasks.spawn_to_stay(async move { task.run(held).await })
    }

    /// Sends the next message of these keys, or a hello. `None`: there is none.
    async fn send(&self, what: What) -> Option<StoreResult<()>> {
        let (bytes, count) = {
            let (now, sent_at) = (Instant::now(), self.local.clock.unix_exact());
            let next = lock(&self.outbox).next_message(what, self.room, now, |number, content| {
                Message { origin: self.origin, number, sent_at, area: &self.area, content }.encode()
            })?;
            lock(&self.health).said(now);
            next
        };
        let limit = self.local.policy.l2_write_timeout;
        let publishing = AssertUnwindSafe(async { self.bus.publish(&self.topic, bytes).await }).catch_unwind();
        let sent = match self.local.tasks.within(limit, publishing).await {
            Some(Ok(answer)) => answer,
            Some(Err(payload)) => {
                forget_panic(payload);
                Err(StoreError::new(StoreErrorKind::Other, "the bus panicked"))
            }
            None => {
                let context = format!("the bus did not take the message within {limit:?}");
                Err(StoreError::new(StoreErrorKind::Timeout, context))
            }
        };
        self.figures().add(if sent.is_ok() { BusCount::Published } else { BusCount::PublishFailed }, count);
        Some(sent)
    }
}

/// The task of step 1. It keeps the cache only while it sends.
struct Publishing<K: Key, V: Value> {
    bus: Weak<Bus<K, V>>,
    /// Its number in `publishing`.
    number: u64,
    wakes: Arc<Notify>,
    backoff: Backoff,
}

impl<K: Key, V: Value> Publishing<K, V> {
    async fn run(mut self, held: Arc<Bus<K, V>>) {
        let mut held = Some(held);
        loop {
            let Some(bus) = held.take().or_else(|| self.bus.upgrade()) else { return };
            if !self.is_the_one(&bus, bus.local.policy.l2_write_timeout) {
                return;
            }
            let job = lock(&bus.outbox).next(Instant::now(), bus.room, |waits| drop(waits.send(Ok(()))));
            let goes_on = match job {
                Job::Tell => self.tell(&bus).await,
                Job::TellAgain => self.tell_again(&bus).await,
                Job::Hello => {
                    // One that is not taken is followed by another.
                    let _ = bus.send(What::Hello).await;
                    true
                }
                Job::Wait(until) => {
                    let pause = until.saturating_duration_since(Instant::now());
                    let waits = self.is_the_one(&bus, pause);
                    drop(bus);
                    waits && self.pause(until).await
                }
                Job::Nothing => {
                    // Step 4. Whoever puts something in from here on starts a task; what came before is seen here.
                    bus.publishing.end(self.number);
                    let number = if lock(&bus.outbox).has_work() { bus.publishing.begin() } else { None };
                    self.number = number.unwrap_or(self.number);
                    number.is_some()
                }
            };
            if !goes_on {
                return;
            }
        }
    }

    /// It will be back within this time. `false`: another task has taken its place, with what was on its way.
    fn is_the_one(&self, bus: &Bus<K, V>, within: Duration) -> bool {
        bus.publishing.promise(self.number, within)
    }

    /// Step 2.
    async fn tell(&mut self, bus: &Bus<K, V>) -> bool {
        let mut answer = Ok(());
        while let Some(sent) = bus.send(What::Sending).await {
            if !self.is_the_one(bus, bus.local.policy.l2_write_timeout) {
                return false;
            }
            if sent.is_err() {
                answer = sent;
                break;
            }
            lock(&bus.outbox).sending.pending.told(bus.room);
        }
        let waits = match &answer {
            Ok(()) => {
                self.backoff.reset();
                lock(&bus.outbox).all_taken()
            }
            Err(error) => {
                let again_at = from_now(self.backoff.pause());
                lock(&bus.outbox).not_taken(error.kind(), again_at, bus.room)
            }
        };
        waits.into_iter().for_each(|waits| drop(waits.send(answer.clone())));
        true
    }

    /// Step 3.
    async fn tell_again(&mut self, bus: &Bus<K, V>) -> bool {
        let sent = bus.send(What::Failed).await;
        if !self.is_the_one(bus, bus.local.policy.l2_write_timeout) {
            return false;
        }
        let mut outbox = lock(&bus.outbox);
        match sent {
            Some(Err(_)) => outbox.again_at = Some(from_now(self.backoff.pause())),
            _ => {
                self.backoff.reset();
                outbox.failed.told(bus.room);
            }
        }
        true
    }

    /// Until then, or until somebody has something to tell.
    async fn pause(&self, until: Instant) -> bool {
        let Some(timer) = Timer::until(until, None) else { return false };
        select(pin!(self.wakes.notified()), timer).await;
        true
    }
}

impl<K: Key, V: Value> Drop for Publishing<K, V> {
    fn drop(&mut self) {
        if let Some(bus) = self.bus.upgrade() {
            bus.publishing.end(self.number);
        }
    }
}
