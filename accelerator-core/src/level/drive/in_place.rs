//! Leading a flight by work of its own, polled in place.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::level::drive::host::{FlightOf, Host, unregister};
use crate::level::drive::in_task::{leave_to_task, run_in_task};
use crate::level::flight::handoff::Hand;

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
            && let Some(work) = flight.unpark(Hand::Leader)
        {
            H::drop_work(work);
            unregister(flight);
            *slot = None;
            return Poll::Ready(Ok(outcome));
        }
        let Some(mut work) = flight.unpark(Hand::Leader) else { return Poll::Ready(Err(slot.take())) };
        match host.poll_work(&mut work, cx) {
            Poll::Ready(end) => {
                let Some(flight) = slot.take() else { return Poll::Ready(Err(None)) };
                H::drop_work(work);
                Poll::Ready(Ok(host.end(flight, end, true)))
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
