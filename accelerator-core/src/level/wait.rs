//! Waiting for a flight: as its leader, who polls the work in place, or as one of many.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::level::engine::{Engine, Flight, Key, Outcome, Value};
use crate::level::finish::{Ending, Held};
use crate::level::flight::Turn;
use crate::level::in_task::Watch;
use crate::level::place::Hand;
use crate::level::ticker::Limit;

/// What a wait ended with.
pub(crate) enum Waited<K: Key, V: Value> {
    /// The flight is over.
    Over(Outcome<V>),
    /// The leader disappeared and the caller has the ticket now.
    Lead(Led<K, V>),
    /// The flight is gone: start again.
    Restart,
    /// The leader's time is over, and somebody still holds the ticket.
    TooLong(Arc<Flight<K, V>>),
}

/// The ticket of a flight. Dropped, it passes on.
pub(crate) struct Led<K: Key, V: Value>(Option<Arc<Flight<K, V>>>);

impl<K: Key, V: Value> Led<K, V> {
    pub(crate) fn new(flight: Arc<Flight<K, V>>) -> Self {
        Self(Some(flight))
    }

    pub(crate) fn flight(&self) -> Option<&Arc<Flight<K, V>>> {
        self.0.as_ref()
    }

    /// The flight, without the duty.
    pub(crate) fn take(mut self) -> Option<Arc<Flight<K, V>>> {
        self.0.take()
    }
}

impl<K: Key, V: Value> Drop for Led<K, V> {
    fn drop(&mut self) {
        if let Some(flight) = self.0.take() {
            flight.context.give_up(&flight);
        }
    }
}

/// Waits for a flight that somebody else leads, or that this caller led until it moved into a task.
pub(crate) struct Follow<K: Key, V: Value> {
    seat: Option<usize>,
    borrows: bool,
    flight: Option<Arc<Flight<K, V>>>,
    limit: Option<Limit>,
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
    /// `borrows`: the caller would lead with a future of its own.
    pub(crate) fn new(flight: Arc<Flight<K, V>>, borrows: bool) -> Self {
        Self { seat: None, borrows, flight: Some(flight), limit: None, watch: Watch::default() }
    }
}

impl<K: Key, V: Value> Future for Follow<K, V> {
    type Output = Waited<K, V>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Waited<K, V>> {
        let this = self.get_mut();
        let Some(flight) = this.flight.as_ref() else { return Poll::Ready(Waited::Restart) };
        let was_seated = this.seat.is_some();
        let waited = match flight.poll_wait(&mut this.seat, this.borrows, cx) {
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
                    flight.context.move_to_task(flight);
                }
                if flight.is_borrowed() && this.limit.is_none() {
                    this.limit = Some(Limit::new(flight.context.ticker.clone(), flight.context.longest_wait()));
                }
                let is_over = match this.limit.as_mut() {
                    Some(limit) => matches!(flight.context.poll_limit(limit, cx), Poll::Ready(Ok(()))),
                    None => this.watch.poll(flight, cx),
                };
                if !is_over {
                    return Poll::Pending;
                }
                // Dropping this future leaves the seat. Later readers start anew.
                flight.context.table.detach(flight);
                return Poll::Ready(Waited::TooLong(flight.clone()));
            }
        };
        this.flight = None;
        Poll::Ready(waited)
    }
}

/// The leader of a flight with work of its own, after the first poll. Ends with `Ok` when the work did, with `Err` when
/// it has moved into a task. Dropped before that, the work moves into a task: its callers may go, the load goes on.
pub(crate) struct InPlace<'e, K: Key, V: Value> {
    engine: &'e Arc<Engine<K, V>>,
    flight: Option<Arc<Flight<K, V>>>,
}

impl<'e, K: Key, V: Value> InPlace<'e, K, V> {
    pub(crate) fn new(engine: &'e Arc<Engine<K, V>>, flight: Arc<Flight<K, V>>) -> Self {
        Self { engine, flight: Some(flight) }
    }
}

impl<K: Key, V: Value> Future for InPlace<'_, K, V> {
    type Output = Result<Outcome<V>, Option<Arc<Flight<K, V>>>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { engine, flight: slot } = self.get_mut();
        let Some(flight) = slot.as_ref() else { return Poll::Ready(Err(None)) };
        let Some(mut work) = flight.unpark(Hand::Leader) else { return Poll::Ready(Err(slot.take())) };
        let _inside = engine.enter();
        match work.poll(engine, cx) {
            Poll::Ready(end) => {
                let Some(flight) = slot.take() else { return Poll::Ready(Err(None)) };
                let ending = Ending::new(engine, Held::Flight(flight));
                work.end();
                Poll::Ready(Ok(ending.end_alone(end)))
            }
            Poll::Pending => match flight.park(work, cx.waker()) {
                None => Poll::Pending,
                Some(hand) => {
                    engine.run_in_task(flight.clone(), hand);
                    Poll::Ready(Err(slot.take()))
                }
            },
        }
    }
}

impl<K: Key, V: Value> Drop for InPlace<'_, K, V> {
    fn drop(&mut self) {
        if let Some(flight) = self.flight.take() {
            self.engine.leave_to_task(&flight);
        }
    }
}
