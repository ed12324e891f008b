//! When a batch may ask by `MGET` first, and for leases of what is missing after that (ADR 0018): it takes a round trip more
//! where something is missing, so it has to be earned.

use std::sync::atomic::{AtomicI32, Ordering};

/// Batches that found all their keys, for which one may take a round trip more.
const PRICE: i32 = 32;
/// More of them are not saved up.
const MOST_EARNED: i32 = 2 * PRICE;
/// Batches that were under way together may all have to pay. No deeper debt is remembered.
const MOST_OWED: i32 = -(PRICE << 16);

/// Batches that found all their keys, less what is to be paid.
#[derive(Default)]
pub(crate) struct MgetFirst(AtomicI32);

impl MgetFirst {
    /// Whether a batch may read first and lease then, which is cheaper where nothing is missing: of those that do, and
    /// then find something missing, there is in the long run at most one for `PRICE` that found everything.
    pub(crate) fn is_earned(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= PRICE
    }

    /// A batch has found all its keys.
    pub(crate) fn earn(&self) {
        self.change(|earned| (earned < MOST_EARNED).then_some(earned + 1));
    }

    /// A batch that read first has missed.
    pub(crate) fn pay(&self) {
        self.change(|earned| Some((earned - PRICE).max(MOST_OWED)));
    }

    /// Another server, of which nothing is known.
    pub(crate) fn reset(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    fn change(&self, change: impl Fn(i32) -> Option<i32>) {
        // Where there is nothing to change, nothing is.
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, change);
    }
}
