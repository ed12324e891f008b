//! Leading a flight by work of its own, polled in place.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::level::drive::host::{FlightOf, Host, give_up, unregister};
use crate::level::drive::in_task::{leave_to_task, move_to_task, run_in_task};
use crate::level::drive::led::Led;
use crate::level::flight::handoff::Poller;

/// Polls the work of a flight for the first time; `make` makes it, or the end of the flight where there is nothing to do.
/// `Err`: it goes on; wait for it.
pub(crate) fn launch<H: Host>(
    host: &H,
    flight: Arc<FlightOf<H>>,
    make: impl FnOnce(&Arc<FlightOf<H>>) -> Result<H::Work, H::End>,
    cx: &mut Context<'_>,
) -> Result<H::Result, Arc<FlightOf<H>>> {
    let mut work = match make(&flight) {
        Ok(work) => work,
        Err(end) => return Ok(host.end(flight, None, end, true)),
    };
    match host.poll_work(&mut work, cx) {
        Poll::Ready(end) => Ok(host.end(flight, Some(work), end, true)),
        Poll::Pending => {
            if let Some(hand) = flight.park(work, cx.waker()) {
                run_in_task(flight.clone(), hand);
            }
            Err(flight)
        }
    }
}

/// [`launch`] by one whose flight may have been led before, with a ticket or by others. `Err`: it goes on.
pub(crate) async fn first_poll<'h, H: Host>(
    host: &'h H,
    led: Led<H>,
    make: impl FnOnce(&Arc<FlightOf<H>>) -> Result<H::Work, H::End>,
) -> Result<H::Result, Option<InPlace<'h, H>>> {
    let mut first = Some((led, make));
    let first = std::future::poll_fn(|cx| {
        let first = first.take().and_then(|(led, make)| Some((led.take()?, make)));
        Poll::Ready(first.map(|(flight, make)| {
            if flight.start_work() {
                return launch(host, flight, make, cx);
            }
            // Another leader has ended it.
            give_up(&flight, false);
            Err(flight)
        }))
    });
    match first.await {
        None => Err(None),
        Some(Ok(result)) => Ok(result),
        Some(Err(flight)) => {
            // Others wait since a leader before us disappeared.
            if flight.is_awaited() {
                move_to_task(&flight);
            }
            Err(Some(InPlace::new(host, flight)))
        }
    }
}

/// Polls the work in place until it is over (`Ok`) or has moved into a task (`Err`).
pub(crate) async fn lead_in_place<H: Host>(
    host: &H,
    led: Led<H>,
    make: impl FnOnce(&Arc<FlightOf<H>>) -> Result<H::Work, H::End>,
) -> Result<H::Result, Option<Arc<FlightOf<H>>>> {
    match first_poll(host, led, make).await {
        Ok(result) => Ok(result),
        Err(Some(in_place)) => in_place.await,
        Err(None) => Err(None),
    }
}

/// The leader of a flight with work of its own, after the first poll. Ends with `Ok` when the work did, with `Err` when
/// it has moved into a task. Dropped before that, the work moves into a task: its callers may go, the load goes on.
pub(crate) struct InPlace<'e, H: Host> {
    host: &'e H,
    flight: Option<Arc<FlightOf<H>>>,
}

impl<'e, H: Host> InPlace<'e, H> {
    pub(crate) fn new(host: &'e H, flight: Arc<FlightOf<H>>) -> Self {
        Self { host, flight: Some(flight) }
    }
}

impl<H: Host> Future for InPlace<'_, H> {
    type Output = Result<H::Result, Option<Arc<FlightOf<H>>>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { host, flight: slot } = self.get_mut();
        let Some(flight) = slot.as_ref() else { return Poll::Ready(Err(None)) };
        // Somebody who leads beside this caller, with a ticket, has ended the flight; by a miss if it had nothing to load
        // with.
        if let Some(outcome) = flight.result().filter(|result| H::is_answer(result)).cloned()
            && let Some(work) = flight.unpark(Poller::Leader)
        {
            host.drop_work(work);
            unregister(flight);
            *slot = None;
            return Poll::Ready(Ok(outcome));
        }
        let Some(mut work) = flight.unpark(Poller::Leader) else { return Poll::Ready(Err(slot.take())) };
        match host.poll_work(&mut work, cx) {
            Poll::Ready(end) => {
                let Some(flight) = slot.take() else { return Poll::Ready(Err(None)) };
                Poll::Ready(Ok(host.end(flight, Some(work), end, true)))
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

impl<H: Host> Drop for InPlace<'_, H> {
    fn drop(&mut self) {
        if let Some(flight) = self.flight.take() {
            leave_to_task(&flight);
        }
    }
}
