//! The await of a body that others wait for, and whose callers want to know that it is alive.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::cache::LoadTicket;
use crate::pulse::Pulse;
use crate::watch::watch;

/// Awaits the body of a load: as long as it is polled when it is asked, those who wait for the ticket wait on, and run no
/// body of their own beside it. A panic of the body, and no other, is told to them.
///
/// # Cancel safety
/// As the body.
#[inline]
pub fn alive<'a, V, F: Future>(ticket: &'a LoadTicket<V>, body: Pin<&'a mut F>) -> Alive<'a, V, F> {
    Alive { ticket, body, pulse: Pulse::default() }
}

/// The future of [`alive`]: written by hand, since a miss pays for every state machine.
#[must_use = "futures do nothing unless awaited"]
#[expect(missing_debug_implementations, reason = "it holds a body, which has none")]
pub struct Alive<'a, V, F> {
    ticket: &'a LoadTicket<V>,
    body: Pin<&'a mut F>,
    pulse: Pulse,
}

impl<V, F: Future> Future for Alive<'_, V, F> {
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let Self { ticket, body, pulse } = self.get_mut();
        watch(|| std::iter::once(*ticket), || pulse.poll(body.as_mut(), || ticket.pulse_point(), cx))
    }
}
