//! What an entry weighs.

use std::fmt;
use std::sync::Arc;

use accelerator_core::Entry;
use quick_cache::Weighter;

/// Every entry weighs one: the store is bounded by a number of entries.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counted;

impl<K, V> Weighter<K, Entry<V>> for Counted {
    #[inline]
    fn weight(&self, _: &K, _: &Entry<V>) -> u64 {
        1
    }
}

/// Entries weigh what a function says, but at least one: quick_cache never evicts what weighs nothing.
pub struct Weighed<F>(Arc<F>);

impl<F> Weighed<F> {
    pub(crate) fn new(weigher: F) -> Self {
        Self(Arc::new(weigher))
    }
}

impl<K, V, F: Fn(&K, &Entry<V>) -> u32> Weighter<K, Entry<V>> for Weighed<F> {
    #[inline]
    fn weight(&self, key: &K, entry: &Entry<V>) -> u64 {
        u64::from((self.0)(key, entry)).max(1)
    }
}

// quick_cache keeps one weigher per shard; they share the function, which then needs no `Clone`.
impl<F> Clone for Weighed<F> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<F> fmt::Debug for Weighed<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Weighed").finish_non_exhaustive()
    }
}
