//! Whose panic it is that drops a ticket: of the load that it is for, or of something else in the same task.

use crate::cache::LoadTicket;
use crate::error::{CacheError, ErrorKind};

/// Polls, or runs a part of, the load of these tickets. If it panics, all who wait hear of it: not every one of them
/// should run into the same panic. A panic of anything else drops the tickets, which pass on.
#[inline]
pub(crate) fn watch<'t, V: 't, I: Iterator<Item = &'t LoadTicket<V>>, T>(
    tickets: impl Fn() -> I,
    load: impl FnOnce() -> T,
) -> T {
    let watched = Watched(|| tickets().for_each(fail));
    let out = load();
    // It has not panicked. There is nothing to drop in it.
    std::mem::forget(watched);
    out
}

struct Watched<F: Fn()>(F);

impl<F: Fn()> Drop for Watched<F> {
    #[cold]
    fn drop(&mut self) {
        (self.0)();
    }
}

/// Ends the flight. (What comes after is the drop of the ticket, which finds it over.)
fn fail<V>(ticket: &LoadTicket<V>) {
    if let Some(flight) = ticket.flight() {
        flight.fail(CacheError::new(ErrorKind::Panic, "the load that was waited for panicked"));
    }
}
