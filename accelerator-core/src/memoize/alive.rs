//! The await of a body that others wait for, and whose callers want to know that it is alive.

use std::fmt;
use std::future::Future;
use std::mem::{ManuallyDrop, forget, replace, take};
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::cache::LoadTicket;
use crate::pulse::Pulse;
use crate::watch::watch;

/// The turn to load of one who runs the body itself, and the pulse of that body. Dropped, it passes on.
///
/// A future that holds one is dropped after each hit as well, where there is none in it. Who drops the future should see
/// that in place, without a call. So its end is one call, and what it consists of is not the compiler's to look into.
pub struct Lead<V> {
    ticket: ManuallyDrop<LoadTicket<V>>,
    pulse: ManuallyDrop<Pulse>,
}

impl<V> Lead<V> {
    #[inline]
    pub(super) fn new(ticket: LoadTicket<V>) -> Self {
        Self { ticket: ManuallyDrop::new(ticket), pulse: ManuallyDrop::default() }
    }

    /// The ticket, once the body is over.
    #[inline]
    pub fn into_ticket(mut self) -> LoadTicket<V> {
        let ticket = self.take();
        // There is nothing left to drop in it.
        forget(self);
        ticket
    }

    /// The body is over, or given up.
    #[inline]
    fn take(&mut self) -> LoadTicket<V> {
        drop(ManuallyDrop::into_inner(take(&mut self.pulse)));
        ManuallyDrop::into_inner(replace(&mut self.ticket, ManuallyDrop::new(LoadTicket::detached())))
    }
}

impl<V> Drop for Lead<V> {
    #[cold]
    #[inline(never)]
    fn drop(&mut self) {
        drop(self.take());
    }
}

impl<V> fmt::Debug for Lead<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Lead").field(&self.ticket).finish()
    }
}

/// Awaits the body of a load: as long as it is polled when it is asked, those who wait for the ticket wait on, and run no
/// body of their own beside it. A panic of the body, and no other, is told to them.
///
/// # Cancel safety
/// As the body.
#[inline]
pub fn alive<'a, V, F: Future>(lead: &'a mut Lead<V>, body: Pin<&'a mut F>) -> Alive<'a, V, F> {
    Alive { lead, body }
}

/// The future of [`alive`]: written by hand, since a miss pays for every state machine.
#[must_use = "futures do nothing unless awaited"]
#[expect(missing_debug_implementations, reason = "it holds a body, which has none")]
pub struct Alive<'a, V, F> {
    lead: &'a mut Lead<V>,
    body: Pin<&'a mut F>,
}

impl<V, F: Future> Future for Alive<'_, V, F> {
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let Self { lead, body } = self.get_mut();
        let Lead { ticket, pulse } = lead;
        let ticket: &LoadTicket<V> = ticket;
        watch(|| std::iter::once(ticket), || pulse.poll(body.as_mut(), || ticket.pulse_point(), cx))
    }
}
