//! Who waits for work in a task looks at it now and then.

use std::sync::Arc;
use std::task::Context;

use tokio::time::Instant;

use crate::level::drive::host::{FlightOf, Host};
use crate::level::drive::in_task::look_after;
use crate::level::flight::handoff::LOOK_EVERY;

/// A follower's eye on work that has limits of its own.
pub(crate) struct Watch<H: Host> {
    // Until the next look, from the first poll on.
    next: Option<H::Limit>,
    // Since when every look found the work in the middle of a poll.
    polled: Option<Instant>,
}

impl<H: Host> Watch<H> {
    pub(crate) fn new() -> Self {
        Self { next: None, polled: None }
    }

    /// Looks, where it is time to. `true`: the work is in the middle of one poll for longer than all of it may take.
    pub(crate) fn poll(&mut self, flight: &Arc<FlightOf<H>>, cx: &mut Context<'_>) -> bool {
        is_time(&mut self.next, &flight.context, cx) && self.look(flight)
    }

    /// One such look.
    pub(crate) fn look(&mut self, flight: &Arc<FlightOf<H>>) -> bool {
        if !look_after(flight) {
            self.polled = None;
            return false;
        }
        self.polled.get_or_insert_with(Instant::now).elapsed() > flight.context.patience().patience
    }
}

/// Whether it is time for a look; who polls is woken when it is time for the next.
pub(crate) fn is_time<H: Host>(next: &mut Option<H::Limit>, host: &H, cx: &mut Context<'_>) -> bool {
    let mut is_time = false;
    while host.is_over(next.get_or_insert_with(|| host.limit(LOOK_EVERY)), cx) {
        if is_time {
            break;
        }
        (*next, is_time) = (None, true);
    }
    is_time
}
