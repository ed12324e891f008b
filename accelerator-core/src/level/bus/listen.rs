//! Listening: one task of the cache hears of what other nodes write.
//!
//! 1. the bus listens: forget all of L1, which may have missed something until now; then give full lives
//! 2. a message: note its number, purge its keys; a number that skips one: forget all of L1
//! 3. a gap of the bus: short lives, then forget all of L1, until the bus listens again
//! 4. every second: say that it is alive, say hello where that is due, warn where this node does not hear itself; once, after
//!    30 s: forget all of L1 if others had said something before they were heard first
//!
//! The task keeps its stream and not the cache. Where its runtime ends or isn't run, whoever misses in L1 starts another one,
//! and L1 is forgotten: nobody has heard anything meanwhile.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Weak};
use std::task::Poll;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::inside::forget_panic;
use crate::level::bounds::{Key, Value};
use crate::level::bus::Bus;
use crate::level::bus::message::{Content, Message};
use crate::level::bus::origins::Lost;
use crate::level::flight::handoff::ASLEEP;
use crate::level::stats::bus_figures::{BusCount, Gap};
use crate::level::time::timer::{Timer, from_now};
use crate::sync::lock;
use crate::time::millis;
use crate::traits::bus::BusEvent;

/// The task is back within this time, whatever happens.
const TICK: Duration = Duration::from_secs(1);
/// Others have their turn after so many messages.
const IN_A_ROW: u32 = 64;

impl<K: Key, V: Value> Bus<K, V> {
    /// Whoever misses in L1 sees to it that somebody listens.
    #[inline]
    pub(crate) fn tend(self: &Arc<Self>) {
        if self.age() >= self.tended_until.load(Relaxed) {
            self.listen();
        }
    }

    fn age(&self) -> u64 {
        millis(self.began.elapsed())
    }

    #[cold]
    fn listen(self: &Arc<Self>) {
        if *self.closing.borrow() {
            return;
        }
        let Some(number) = self.listening.begin() else { return };
        let mut health = lock(&self.health);
        let was_up = health.is_up();
        // What an earlier task hears from here on counts for nothing.
        health.begin(number, Instant::now());
        drop(health);
        if was_up {
            self.suspect(number, Some(Gap::Asleep));
        }
        let task = Listener { bus: Arc::downgrade(self), number, closing: self.closing.subscribe() };
        self.local.tasks.spawn_to_stay(async move { task.run().await });
    }

    /// The cache was shut down: nobody listens from now on, and what is in L1 is not believed.
    pub(crate) fn close(&self) {
        self.closing.send_replace(true);
        lock(&self.health).number = u64::MAX;
        self.suspect(u64::MAX, None);
    }

    /// Step 3. `false`: another task has taken the place of this one.
    fn suspect(&self, number: u64, gap: Option<Gap>) -> bool {
        // All of it under the lock, so that no two tasks do it at once.
        let mut health = lock(&self.health);
        if health.number != number {
            return false;
        }
        health.is_cut();
        self.figures().set_up(false);
        self.figures().hears_itself.store(false, Relaxed);
        self.local.policy.bound_l1(self.suspect_ttl);
        self.local.forget_all();
        drop(health);
        gap.is_none_or(|gap| self.count_gap(number, gap))
    }

    /// Messages may have been lost, and the bus listens on.
    fn forget(&self, number: u64, gap: Gap) -> bool {
        self.local.forget_all();
        self.count_gap(number, gap)
    }

    fn count_gap(&self, number: u64, gap: Gap) -> bool {
        self.figures().gap(gap);
        let mut health = lock(&self.health);
        let due = health.gap(gap, Instant::now());
        let is_mine = health.number == number;
        drop(health);
        if due {
            tracing::warn!(
                target: "accelerator::bus", area = %self.area, cause = gap.as_str(),
                "messages of other nodes may have been lost: L1 is forgotten"
            );
        }
        is_mine
    }

    /// Step 1.
    fn hears(self: &Arc<Self>, number: u64) -> bool {
        let mut health = lock(&self.health);
        if health.number != number {
            return false;
        }
        health.listens(Instant::now());
        self.local.forget_all();
        self.local.policy.bound_l1(u64::MAX);
        self.figures().set_up(true);
        drop(health);
        lock(&self.outbox).greet();
        self.publish();
        true
    }

    /// What the bus has said. `false`: the task ends.
    fn hear(self: &Arc<Self>, number: u64, event: &BusEvent) -> bool {
        match event {
            BusEvent::Listening => self.hears(number),
            BusEvent::Gap(cause) => self.suspect(number, Some(Gap::of(*cause))),
            BusEvent::Message(bytes) => match Message::decode(bytes) {
                None => {
                    self.figures().add(BusCount::ReceiveFailed, 1);
                    self.forget(number, Gap::Undecodable)
                }
                // A bus that takes two topics for one.
                Some(message) if message.area != &*self.area => true,
                Some(message) if message.origin == self.origin => self.hear_itself(number, &message),
                Some(message) => self.hear_another(number, &message),
            },
        }
    }

    fn hear_itself(&self, number: u64, message: &Message<'_>) -> bool {
        let now = Instant::now();
        let delay = lock(&self.outbox).echo(message.number, message.content == Content::Hello, now);
        if let Some(delay) = delay {
            self.figures().own.add(delay);
        }
        let mut health = lock(&self.health);
        health.heard_itself();
        self.figures().hears_itself.store(health.hears_itself(now), Relaxed);
        health.number == number
    }

    /// Step 2.
    fn hear_another(&self, number: u64, message: &Message<'_>) -> bool {
        let (now, hello) = (Instant::now(), message.content == Content::Hello);
        let lost = {
            let mut health = lock(&self.health);
            let origins = health.origins.as_mut();
            origins.and_then(|origins| origins.hear(message.origin, message.number, hello, now))
        };
        let mut is_mine = true;
        if let Some(lost) = lost {
            is_mine = self.forget(
                number,
                match lost {
                    Lost::Skipped => Gap::Skipped,
                    Lost::Trailing => Gap::Trailing,
                    Lost::Unheard => Gap::Unheard,
                },
            );
        }
        let figures = self.figures();
        match &message.content {
            Content::Hello => return is_mine,
            Content::Clear { .. } => figures.add(BusCount::Received, 1),
            Content::Keys(keys) => figures.add(BusCount::Received, keys.len()),
        }
        if !self.apply(&message.content) {
            figures.add(BusCount::ReceiveFailed, 1);
            is_mine = self.count_gap(number, Gap::Undecodable);
        }
        let late = self.local.clock.unix_exact().saturating_sub(message.sent_at);
        figures.others.add(Duration::from_millis(late));
        is_mine
    }

    /// Step 4. When to come back; `None`: another task has taken the place of this one.
    fn look_around(self: &Arc<Self>, number: u64) -> Option<Instant> {
        if !self.listening.promise(number, TICK) {
            return None;
        }
        self.tended_until.store(self.age().saturating_add(millis(TICK + ASLEEP)), Relaxed);
        let now = Instant::now();
        let (has_work, hello_at) = {
            let mut outbox = lock(&self.outbox);
            (outbox.is_hello_due(now) || outbox.has_work(), outbox.hello_at())
        };
        // Also what was put there while there was no runtime.
        if has_work {
            self.publish();
        }
        let mut health = lock(&self.health);
        let (is_deaf, deaf_at) = (health.is_deaf(now), health.deaf_at());
        self.figures().hears_itself.store(health.hears_itself(now), Relaxed);
        let is_up = health.is_up();
        let missed = health.origins.as_mut().is_some_and(|origins| origins.may_have_missed(now));
        drop(health);
        if missed {
            // No sign of a loss, so none is counted: every node that starts beside others comes here.
            self.local.forget_all();
        }
        if is_deaf {
            tracing::warn!(
                target: "accelerator::bus", area = %self.area, listens = is_up,
                "this node does not hear its own messages on the bus: look at its address and its rights to publish and \
                 to listen; bus_health() says more"
            );
        }
        let next = hello_at.into_iter().chain(deaf_at).filter(|at| *at > now).min();
        Some(next.map_or_else(|| from_now(TICK), |at| at.min(from_now(TICK))))
    }
}

/// The task that listens.
struct Listener<K: Key, V: Value> {
    bus: Weak<Bus<K, V>>,
    /// Its number in `listening`.
    number: u64,
    closing: watch::Receiver<bool>,
}

enum Woken {
    /// The last handle is gone, or the cache was shut down.
    Closing,
    Time,
    Event(BusEvent),
    /// The stream has ended, or panicked.
    Lost,
}

impl<K: Key, V: Value> Listener<K, V> {
    async fn run(self) {
        let mut closing = self.closing.clone();
        let closed = async move { while !*closing.borrow_and_update() && closing.changed().await.is_ok() {} };
        let mut closed = std::pin::pin!(closed);
        let (mut stream, mut timer, mut in_a_row) = (None, None, 0);
        loop {
            let woken = poll_fn(|cx| {
                if closed.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(Woken::Closing);
                }
                if timer.as_mut().is_none_or(|timer| Timer::poll_over(timer, cx).is_ready()) {
                    return Poll::Ready(Woken::Time);
                }
                let Some(stream): Option<&mut BoxStream<'static, BusEvent>> = stream.as_mut() else {
                    return Poll::Pending;
                };
                // Foreign code.
                match catch_unwind(AssertUnwindSafe(|| stream.poll_next_unpin(cx))) {
                    Ok(Poll::Pending) => Poll::Pending,
                    Ok(Poll::Ready(Some(event))) => Poll::Ready(Woken::Event(event)),
                    Ok(Poll::Ready(None)) => Poll::Ready(Woken::Lost),
                    Err(payload) => {
                        forget_panic(payload);
                        Poll::Ready(Woken::Lost)
                    }
                }
            });
            let woken = woken.await;
            let Some(bus) = self.bus.upgrade() else { return };
            let goes_on = match woken {
                Woken::Closing => false,
                Woken::Time => {
                    // The first time, and a while after a stream was lost.
                    if stream.is_none() {
                        stream = bus.begin_stream();
                    }
                    timer = bus.look_around(self.number).and_then(|at| Timer::until(at, None));
                    timer.is_some()
                }
                Woken::Event(event) => bus.hear(self.number, &event),
                Woken::Lost => {
                    stream = None;
                    bus.suspect(self.number, Some(Gap::Disconnected))
                }
            };
            drop(bus);
            if !goes_on {
                return;
            }
            in_a_row += 1;
            if in_a_row >= IN_A_ROW {
                in_a_row = 0;
                tokio::task::yield_now().await;
            }
        }
    }
}

impl<K: Key, V: Value> Bus<K, V> {
    fn begin_stream(&self) -> Option<BoxStream<'static, BusEvent>> {
        catch_unwind(AssertUnwindSafe(|| self.bus.listen(&self.topic))).map_err(forget_panic).ok()
    }
}

impl<K: Key, V: Value> Drop for Listener<K, V> {
    fn drop(&mut self) {
        // Its runtime has ended, or there was none.
        let Some(bus) = self.bus.upgrade() else { return };
        bus.listening.end(self.number);
        bus.tended_until.store(0, Relaxed);
        let health = lock(&bus.health);
        let was_up = health.is_up() && health.number == self.number;
        drop(health);
        if was_up {
            bus.suspect(self.number, Some(Gap::Asleep));
        }
    }
}
