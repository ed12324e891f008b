//! What an L1 store holds for a key.

use std::mem::needs_drop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use crate::inside::{dropping, forget_panic, report_panic};

/// A value (or the knowledge that there is none) with its life, as kept by an [`L1Store`](crate::L1Store).
///
/// Stores carry it and give it back; they don't look inside, except for [`Entry::life`] (where a store can drop
/// dead entries by itself) and [`Entry::value`] (for weighers). All times are milliseconds of the cache's clock.
///
/// A store drops entries wherever it likes, under locks of its own as well: a `Drop` of the value that panics does not
/// get out of the entry. It is logged, and the store goes on.
#[derive(Clone, Debug)]
pub struct Entry<V> {
    value: Option<V>,
    // Until then a hit is nothing but a hit; the window that follows is still fresh, and due for a refresh.
    refresh_at: u64,
    useful_until: u64,
    birth: u64,
    generation: u32,
    // 32 bits beside the generation cost no space.
    window: u32,
}

impl<V> Entry<V> {
    /// An entry inserted at `birth`, fresh until `fresh_until`, of use as a stale value until `useful_until`.
    ///
    /// For stores' tests and benchmarks; the engine makes its own.
    #[must_use]
    pub fn new(value: Option<V>, birth: u64, fresh_until: u64, useful_until: u64, generation: u32) -> Self {
        Self {
            value,
            refresh_at: fresh_until,
            useful_until: useful_until.max(fresh_until),
            birth,
            generation,
            window: 0,
        }
    }

    /// The value; `None` means known to be absent.
    #[inline]
    #[must_use]
    pub fn value(&self) -> Option<&V> {
        self.value.as_ref()
    }

    /// The value, by move.
    #[inline]
    #[must_use]
    pub fn into_value(mut self) -> Option<V> {
        let value = self.value.take();
        // There is nothing to drop in it, and nothing that a hit need look for.
        std::mem::forget(self);
        value
    }

    /// How long after its insertion the entry is of any use; a store may drop it then.
    #[must_use]
    pub fn life(&self) -> Duration {
        Duration::from_millis(self.useful_until.saturating_sub(self.birth))
    }

    /// The entry with refresh-ahead, never over more than the second half of its life: a life shorter than the window
    /// must not make every hit a refresh.
    pub(crate) fn with_window(mut self, window: u64) -> Self {
        let fresh_until = self.fresh_until();
        let half = fresh_until.saturating_sub(self.birth) / 2;
        self.window = u32::try_from(window.min(half)).unwrap_or(u32::MAX);
        self.refresh_at = fresh_until - u64::from(self.window);
        self
    }

    /// Fresh, and not yet due for a refresh: the one comparison of the hit path.
    #[inline]
    pub(crate) fn is_plainly_fresh(&self, now: u64) -> bool {
        now < self.refresh_at
    }

    #[inline]
    pub(crate) fn fresh_until(&self) -> u64 {
        self.refresh_at.saturating_add(u64::from(self.window))
    }

    #[inline]
    pub(crate) fn useful_until(&self) -> u64 {
        self.useful_until
    }

    #[inline]
    pub(crate) fn generation(&self) -> u32 {
        self.generation
    }
}

impl<V> Drop for Entry<V> {
    #[inline(always)]
    fn drop(&mut self) {
        if needs_drop::<V>()
            && let Some(value) = self.value.take()
        {
            let_go(value);
        }
    }
}

/// Not in the way of a hit, which moves the value out.
#[inline(never)]
fn let_go<V>(value: V) {
    if let Err(payload) = dropping(|| catch_unwind(AssertUnwindSafe(|| drop(value)))) {
        report_panic("a value's Drop");
        forget_panic(payload);
    }
}
