//! This machine's wall clock, held against that of L2 where it is known (ADR 0031).
//!
//! A value is stamped by the earlier of the two, and its age counted by the later: so no machine's clock makes a value
//! younger than it is. A clock that is behind only shortens lives, as it always has.

use crate::level::time::policy::Life;
use crate::level::wire::cleared::Cleared;
use crate::level::wire::envelope::MAX_AHEAD_MS;
use crate::traits::l2::L2Store;

/// When a value counts as written, and how long it lives from then on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) written_at: u64,
    pub(crate) life: Life,
}

/// For a value whose `life` begins now, which is `own` by this machine's clock.
pub(crate) fn stamp(store: &dyn L2Store, cleared: &Cleared, own: u64, mut life: Life) -> Stamp {
    let mut now = own;
    if let Some(there) = store.unix_ms() {
        now = own.min(*there.start());
        if own > there.end().saturating_add(MAX_AHEAD_MS) {
            // As where nobody knows the time of the store: a clock that is as wrong as this is not believed.
            life.fresh = 0;
        }
    }
    let written_at = cleared.stamp(now);
    // A stamp that is later than now for the sake of a `clear` moves the beginning, not the end.
    let ahead = written_at - now;
    let (fresh, useful) = (life.fresh.saturating_sub(ahead), life.useful.saturating_sub(ahead));
    Stamp { written_at, life: Life { fresh, useful } }
}

/// The time by which to say how old a value is.
#[inline]
pub(crate) fn to_read(store: &dyn L2Store, own: u64) -> u64 {
    let there = store.unix_ms();
    there.map_or(own, |there| own.max(*there.end()))
}

/// The time of a `clear`: what is stamped from now on is later, or can be.
pub(crate) fn to_clear(store: &dyn L2Store, own: u64) -> u64 {
    store.unix_ms().map_or(own, |there| own.min(*there.end()))
}
