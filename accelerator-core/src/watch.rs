//! Whose panic it is that drops a ticket: of the load that it is for, or of something else in the same task.

use crate::cache::LoadTicket;

/// Polls, or runs a part of, the load of these tickets. If it panics, all who wait hear of it: not every one of them
/// should run into the same panic. A panic of anything else drops the tickets, which pass on.
#[inline]
pub(crate) fn watch<'t, V: 't, I: Iterator<Item = &'t LoadTicket<V>>, T>(
    tickets: impl Fn() -> I,
    load: impl FnOnce() -> T,
) -> T {
    let watched = Watched(|| tickets().for_each(LoadTicket::panicked));
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
