//! Which values have a trial before they are stored in L2: the first of a cache, and one now and then. A type that
//! doesn't come back as it was written is found out before anybody reads it.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// So many values of a cache have their trial first.
const FIRST: u64 = 16;
/// Then one in so many.
const ONE_IN: u64 = 10_000;

#[derive(Default)]
pub(crate) struct Trials(AtomicU64);

impl Trials {
    /// Whether the next value has one.
    pub(crate) fn is_due(&self) -> bool {
        let before = self.0.fetch_add(1, Relaxed);
        before < FIRST || before.is_multiple_of(ONE_IN)
    }
}
