//! Waiting for a flight: as its leader, who polls the work in place, or as one of many.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::time::Instant;

use crate::level::bounds::{Key, Value};
use crate::level::drive::in_task::{Watch, leave_to_task, move_to_task, run_in_task};
use crate::level::flight::handoff::{Hand, LOOK_EVERY};
use crate::level::flight::join::Join;
use crate::level::flight::patience::Next;
use crate::level::flight::state::Turn;
use crate::level::local::commit::{Ending, Held};
use crate::level::local::outcome::Outcome;
use crate::level::local::{Flight, Joined, Local};
use crate::level::time::ticker::Limit;
use crate::pulse::waits_for_the_cache;

/// What a wait ended with.
pub(crate) enum Waited<K: Key, V: Value> {
    /// The flight is over.
    Over(Outcome<V>),
    /// The leader disappeared and the caller has the ticket now.
    Lead(Led<K, V>),
    /// The flight is gone: start again.
    Restart,
    /// The leader's time is over, and the caller has nothing to load with; or its work is stuck in one poll.
    TooLong,
}

/// The ticket of a flight. Dropped, it passes on.
pub(crate) struct Led<K: Key, V: Value> {
    flight: Option<Arc<Flight<K, V>>>,
    // Others hold tickets of it as well, and one of them may have the lease of L2.
    beside: bool,
}

impl<K: Key, V: Value> Led<K, V> {
    pub(crate) fn new(flight: Arc<Flight<K, V>>) -> Self {
        Self { flight: Some(flight), beside: false }
    }

    fn beside(flight: Arc<Flight<K, V>>) -> Self {
        Self { flight: Some(flight), beside: true }
    }

    pub(crate) fn flight(&self) -> Option<&Arc<Flight<K, V>>> {
        self.flight.as_ref()
    }

    /// Whether others hold tickets of the flight as well.
    pub(crate) fn is_beside(&self) -> bool {
        self.beside
    }

    /// The flight, without the duty.
    pub(crate) fn take(mut self) -> Option<Arc<Flight<K, V>>> {
        self.flight.take()
    }
}

impl<K: Key, V: Value> Drop for Led<K, V> {
    fn drop(&mut self) {
        if let Some(flight) = self.flight.take() {
            flight.context.give_up(&flight, false);
        }
    }
}

/// A [`Joined`] that owns what it leads: a future that holds it may be dropped before its first poll.
pub(crate) enum Step<K: Key, V: Value> {
    Hit(Option<V>),
    Lead(Led<K, V>),
    Follow(Arc<Flight<K, V>>),
}

impl<K: Key, V: Value> Step<K, V> {
    pub(crate) fn new(joined: Joined<K, V>) -> Self {
        match joined {
            Join::Hit(value) => Self::Hit(value),
            Join::Lead(flight) => Self::Lead(Led::new(flight)),
            Join::Follow(flight) => Self::Follow(flight),
        }
    }
}

/// What a follower would load with, if it led.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heir {
    /// A future of its own.
    Body,
    /// The loader of the cache.
    Loader,
    /// Nothing: it takes over from a leader that disappears, and from no other.
    Nothing,
}

/// Waits for a flight that somebody else leads, or that this caller led until it moved into a task.
pub(crate) struct Follow<K: Key, V: Value> {
    seat: Option<usize>,
    heir: Heir,
    flight: Option<Arc<Flight<K, V>>>,
    // Since when it waits for a caller's own load, and until when before it does something about it.
    waits: Option<(Instant, Limit)>,
    // Its eye on work with limits of its own.
    watch: Watch,
}

impl<K: Key, V: Value> Drop for Follow<K, V> {
    fn drop(&mut self) {
        if let Some(flight) = self.flight.take()
            && flight.leave(&mut self.seat)
        {
            flight.context.release(&flight);
        }
    }
}

impl<K: Key, V: Value> Follow<K, V> {
    pub(crate) fn new(flight: Arc<Flight<K, V>>, heir: Heir) -> Self {
        Self { seat: None, heir, flight: Some(flight), waits: None, watch: Watch::default() }
    }

    /// Later readers start anew.
    fn gives_up(flight: &Arc<Flight<K, V>>) -> Waited<K, V> {
        flight.context.table.detach(flight);
        Waited::TooLong
    }

    /// Waits for a caller's own load, which may never end: see `patience.rs`.
    fn wait_patiently(&mut self, cx: &mut Context<'_>) -> Poll<Waited<K, V>> {
        let Self { seat, heir, flight: slot, waits, watch } = self;
        let Some(flight) = slot.as_ref() else { return Poll::Ready(Waited::Restart) };
        let (local, hash) = (&flight.context, flight.hash());
        let limits = local.patience;
        let limit = |after| Limit::new(local.tasks.ticker.clone(), after);
        let (arrived, until) = waits.get_or_insert_with(|| (Instant::now(), limit(limits.patience)));
        while let Poll::Ready(Ok(())) = local.tasks.poll_limit(until, cx) {
            let wait = match flight.lose_patience(*arrived, limits) {
                Next::Wait(left) => Some(left),
                Next::Look if watch.look(flight) => return Poll::Ready(Self::gives_up(flight)),
                Next::Look => Some(LOOK_EVERY),
                Next::Ask(answer) => local.pulses.ask(hash).then_some(answer),
                Next::Over => {
                    (local.pulses.is_alive(hash) && flight.extend_patience(*arrived, limits)).then_some(limits.patience)
                }
            };
            if let Some(wait) = wait {
                *until = limit(wait);
                continue;
            }
            if *heir == Heir::Nothing {
                return Poll::Ready(Waited::TooLong);
            }
            if !local.table.register_beside(flight, || local.generation()) {
                // It was ended or invalidated just now: what is there now is better than to wait for it.
                return Poll::Ready(Waited::Restart);
            }
            if flight.lead_beside(seat, *arrived, limits) {
                let led = slot.take().map(Led::beside);
                return Poll::Ready(led.map_or(Waited::Restart, Waited::Lead));
            }
            local.unregister(flight);
            *until = limit(limits.patience);
        }
        waits_for_the_cache();
        Poll::Pending
    }
}

impl<K: Key, V: Value> Future for Follow<K, V> {
    type Output = Waited<K, V>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Waited<K, V>> {
        let this = self.get_mut();
        let Some(flight) = this.flight.as_ref() else { return Poll::Ready(Waited::Restart) };
        let was_seated = this.seat.is_some();
        let waited = match flight.poll_wait(&mut this.seat, this.heir != Heir::Loader, cx) {
            Poll::Ready(Turn::Done) => match flight.result() {
                Some(outcome) => Waited::Over(outcome.clone()),
                None => Waited::Restart,
            },
            Poll::Ready(Turn::Restart) => {
                flight.context.table.detach(flight);
                Waited::Restart
            }
            Poll::Ready(Turn::Lead) => {
                let led = this.flight.take().map(Led::new);
                return Poll::Ready(led.map_or(Waited::Restart, Waited::Lead));
            }
            Poll::Pending => {
                if !was_seated {
                    // Once more, now that we are seen: an heir may have parked its work since the first time.
                    move_to_task(flight);
                }
                // Dropped, this future leaves the seat.
                if flight.is_borrowed() {
                    return this.wait_patiently(cx);
                }
                if this.watch.poll(flight, cx) {
                    return Poll::Ready(Self::gives_up(flight));
                }
                return Poll::Pending;
            }
        };
        this.flight = None;
        Poll::Ready(waited)
    }
}

/// The leader of a flight with work of its own, after the first poll. Ends with `Ok` when the work did, with `Err` when
/// it has moved into a task. Dropped before that, the work moves into a task: its callers may go, the load goes on.
pub(crate) struct InPlace<'e, K: Key, V: Value> {
    local: &'e Arc<Local<K, V>>,
    flight: Option<Arc<Flight<K, V>>>,
}

impl<'e, K: Key, V: Value> InPlace<'e, K, V> {
    pub(crate) fn new(local: &'e Arc<Local<K, V>>, flight: Arc<Flight<K, V>>) -> Self {
        Self { local, flight: Some(flight) }
    }
}

impl<K: Key, V: Value> Future for InPlace<'_, K, V> {
    type Output = Result<Outcome<V>, Option<Arc<Flight<K, V>>>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { local, flight: slot } = self.get_mut();
        let Some(flight) = slot.as_ref() else { return Poll::Ready(Err(None)) };
        // Somebody who leads beside this caller, with a ticket, has ended the flight; by a miss if it had nothing to load
        // with.
        if let Some(outcome) = flight.result().filter(|outcome| !matches!(outcome, Outcome::Missed)).cloned()
            && let Some(work) = flight.unpark(Hand::Leader)
        {
            work.end();
            local.unregister(flight);
            *slot = None;
            return Poll::Ready(Ok(outcome));
        }
        let Some(mut work) = flight.unpark(Hand::Leader) else { return Poll::Ready(Err(slot.take())) };
        let _inside = local.tasks.enter();
        match work.poll(&local.tasks, &local.overdue, cx) {
            Poll::Ready(end) => {
                let Some(flight) = slot.take() else { return Poll::Ready(Err(None)) };
                let ending = Ending::new(local, Held::Flight(flight));
                work.end();
                Poll::Ready(Ok(ending.end_alone(end)))
            }
            Poll::Pending => match flight.park(work, cx.waker()) {
                None => Poll::Pending,
                Some(hand) => {
                    run_in_task(flight.clone(), hand);
                    Poll::Ready(Err(slot.take()))
                }
            },
        }
    }
}

impl<K: Key, V: Value> Drop for InPlace<'_, K, V> {
    fn drop(&mut self) {
        if let Some(flight) = self.flight.take() {
            leave_to_task(&flight);
        }
    }
}
