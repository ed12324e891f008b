//! Waiting for a flight that somebody else leads.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::time::Instant;

use crate::level::drive::host::{FlightOf, Host, release, unregister};
use crate::level::drive::in_task::move_to_task;
use crate::level::drive::led::Led;
use crate::level::drive::watch::Watch;
use crate::level::flight::handoff::LOOK_EVERY;
use crate::level::flight::patience::Next;
use crate::level::flight::state::Turn;

/// What a wait ended with.
pub(crate) enum Waited<H: Host> {
    /// The flight is over.
    Over(H::Result),
    /// The leader disappeared and the caller has the ticket now.
    Lead(Led<H>),
    /// The flight is gone: start again.
    Restart,
    /// The leader's time is over, and the caller has nothing to load with; or its work is stuck in one poll.
    TooLong,
}

/// What a follower would load with, if it led.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LoadsWith {
    /// A future of its own.
    Body,
    /// The loader of the cache.
    Loader,
    /// Nothing: it takes over from a leader that disappears, and from no other.
    Nothing,
}

/// Waits for a flight that somebody else leads, or that this caller led until it moved into a task.
pub(crate) struct Follow<H: Host> {
    seat: Option<usize>,
    heir: LoadsWith,
    flight: Option<Arc<FlightOf<H>>>,
    // Since when it waits for a caller's own load, and until when before it does something about it.
    waits: Option<(Instant, H::Limit)>,
    // Its eye on work with limits of its own.
    watch: Watch<H>,
}

impl<H: Host> Drop for Follow<H> {
    fn drop(&mut self) {
        if let Some(flight) = self.flight.take()
            && flight.leave(&mut self.seat)
        {
            release(&flight);
        }
    }
}

impl<H: Host> Follow<H> {
    pub(crate) fn new(flight: Arc<FlightOf<H>>, heir: LoadsWith) -> Self {
        Self { seat: None, heir, flight: Some(flight), waits: None, watch: Watch::new() }
    }

    /// Later readers start anew.
    fn gives_up(flight: &Arc<FlightOf<H>>) -> Waited<H> {
        flight.context.table().detach(flight);
        Waited::TooLong
    }

    /// Waits for a caller's own load, which may never end: see `flight/patience.rs`.
    fn wait_patiently(&mut self, cx: &mut Context<'_>) -> Poll<Waited<H>> {
        let Self { seat, heir, flight: slot, waits, watch } = self;
        let Some(flight) = slot.as_ref() else { return Poll::Ready(Waited::Restart) };
        let (host, hash) = (&flight.context, flight.hash());
        let limits = host.patience();
        let (arrived, until) = waits.get_or_insert_with(|| (Instant::now(), host.limit(limits.patience)));
        while host.is_over(until, cx) {
            let wait = match flight.lose_patience(*arrived, limits) {
                Next::Wait(left) => Some(left),
                Next::Look if watch.look(flight) => return Poll::Ready(Self::gives_up(flight)),
                Next::Look => Some(LOOK_EVERY),
                Next::Ask(answer) => host.ask(hash).then_some(answer),
                Next::Over => {
                    (host.is_alive(hash) && flight.extend_patience(*arrived, limits)).then_some(limits.patience)
                }
            };
            if let Some(wait) = wait {
                *until = host.limit(wait);
                continue;
            }
            if *heir == LoadsWith::Nothing {
                return Poll::Ready(Waited::TooLong);
            }
            if !host.table().register_beside(flight, || host.generation()) {
                // It was ended or invalidated just now: what is there now is better than to wait for it.
                return Poll::Ready(Waited::Restart);
            }
            if flight.lead_beside(seat, *arrived, limits) {
                let led = slot.take().map(Led::beside);
                return Poll::Ready(led.map_or(Waited::Restart, Waited::Lead));
            }
            unregister(flight);
            *until = host.limit(limits.patience);
        }
        host.is_waited_for();
        Poll::Pending
    }
}

impl<H: Host> Future for Follow<H> {
    type Output = Waited<H>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Waited<H>> {
        let this = self.get_mut();
        let Some(flight) = this.flight.as_ref() else { return Poll::Ready(Waited::Restart) };
        let was_seated = this.seat.is_some();
        let waited = match flight.poll_wait(&mut this.seat, this.heir != LoadsWith::Loader, cx) {
            Poll::Ready(Turn::Done) => match flight.result() {
                Some(outcome) => Waited::Over(outcome.clone()),
                None => Waited::Restart,
            },
            Poll::Ready(Turn::Restart) => {
                flight.context.table().detach(flight);
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
