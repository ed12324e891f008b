//! What `clear` makes of L2: a value that was written up to it is a miss for this node (ADR 0030).
//!
//! Times are those of wall clocks, in Unix milliseconds. Within one of them the order on this node decides: what is
//! sealed after a `clear` carries a later time than it, and a `clear` counts as later than all that was sealed before.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};

use crate::level::wire::envelope::MAX_AHEAD_MS;

/// How far a `clear` goes ahead of the clock, for the sake of values sealed before the clock was put back. Less than what
/// readers believe, by more than a tick of the coarse clock: what is sealed next is later still.
const MAX_CLEARED_AHEAD_MS: u64 = MAX_AHEAD_MS - 100;

/// When this node was last cleared, and up to when it has sealed values.
#[derive(Default)]
pub(crate) struct Cleared {
    up_to: AtomicU64,
    sealed: AtomicU64,
}

impl Cleared {
    /// When a value counts as written that is sealed at `now`.
    #[inline]
    pub(crate) fn stamp(&self, now: u64) -> u64 {
        let later = self.up_to.load(Acquire).saturating_add(1);
        // A clock that was put back further: no reader would believe the later time.
        let believed = later <= now.saturating_add(MAX_AHEAD_MS);
        let at = if later > now && believed { later } else { now };
        // One write for all values of a tick.
        if self.sealed.load(Relaxed) < at {
            self.sealed.fetch_max(at, AcqRel);
        }
        at
    }

    /// What was written up to `now`, or sealed here before, counts as cleared. `now` is exact: other nodes' values may
    /// carry any time up to it.
    pub(crate) fn clear(&self, now: u64) {
        let sealed = self.sealed.load(Acquire).min(now.saturating_add(MAX_CLEARED_AHEAD_MS));
        self.up_to.fetch_max(now.max(sealed), AcqRel);
    }

    /// Whether a value counts as written before the last `clear`.
    #[inline]
    pub(crate) fn covers(&self, written_at: u64) -> bool {
        written_at <= self.up_to.load(Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_748_779_200_000;

    #[test]
    fn within_a_millisecond_the_order_of_calls_decides() {
        let cleared = Cleared::default();
        let mut before = Vec::new();
        for _ in 0..5 {
            before.push(cleared.stamp(NOW));
            cleared.clear(NOW);
            assert!(before.iter().all(|&at| cleared.covers(at)));
            assert!(!cleared.covers(cleared.stamp(NOW)));
            // The coarse clock lags behind the exact one.
            before.push(cleared.stamp(NOW - 9));
            assert!(!cleared.covers(before[before.len() - 1]));
        }
    }

    #[test]
    fn a_clock_that_is_put_back_changes_nothing_within_what_readers_believe() {
        for back in [1, 10, 4_000, 4_900] {
            let cleared = Cleared::default();
            let before = cleared.stamp(NOW);
            cleared.clear(NOW - back);
            assert!(cleared.covers(before), "{back}");
            let after = cleared.stamp(NOW - back - 10);
            assert!(!cleared.covers(after) && after <= NOW - back - 10 + MAX_AHEAD_MS, "{back}");
        }
        // Further back: times that nobody believes are not handed out.
        let cleared = Cleared::default();
        cleared.clear(NOW);
        assert_eq!(cleared.stamp(NOW - 60_000), NOW - 60_000);
    }
}
