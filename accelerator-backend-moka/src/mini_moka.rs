//! The store on `mini_moka::sync::Cache`.

use std::fmt;
use std::hash::{BuildHasher, Hash};

use accelerator_core::{CacheResult, Entry, L1Stats, L1Store};
use foldhash::fast::RandomState;
use mini_moka::sync::{Cache, ConcurrentCacheExt};

use crate::builder::{builder, unbounded};
use crate::clearing::Clearing;

/// An [`L1Store`] on [mini-moka](https://docs.rs/mini-moka): bounded by entries or by weight, evicting by TinyLFU. It
/// has no expiry per entry: a dead entry stays until it is evicted, removed or replaced. A cheap handle: clones share
/// the entries.
///
/// ```
/// use accelerator_backend_moka::MiniMokaL1;
/// use accelerator_core::{Entry, L1Store};
/// let by_entries = MiniMokaL1::<u64, String>::new(10_000);
/// let by_bytes = MiniMokaL1::<u64, String>::builder()
///     .weigher(64 << 20, |_key, entry| entry.value().map_or(0, |v| v.len() as u32) + 100)
///     .build()?;
/// by_bytes.insert(1, Entry::new(Some("one".to_owned()), 0, 60_000, 60_000, 0));
/// assert!(by_bytes.get(&1).is_some());
/// # let _ = by_entries;
/// # Ok::<(), accelerator_core::CacheError>(())
/// ```
pub struct MiniMokaL1<K, V, S = RandomState> {
    cache: Cache<K, Entry<V>, S>,
    clearing: Clearing,
    weighs: bool,
    holds_nothing: bool,
}

builder!(MiniMokaL1, MiniMokaL1Builder, mini_moka, ());

impl<K, V, S> MiniMokaL1Builder<K, V, S>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    S: BuildHasher + Clone + Send + Sync + 'static,
{
    fn assemble(self) -> MiniMokaL1<K, V, S> {
        let cache = self.inner.build_with_hasher(self.hasher);
        MiniMokaL1 { cache, clearing: Clearing::default(), weighs: self.weighs, holds_nothing: self.max == Some(0) }
    }
}

impl<K, V, S> L1Store<K, V> for MiniMokaL1<K, V, S>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    S: BuildHasher + Clone + Send + Sync + 'static,
{
    #[inline]
    fn get(&self, key: &K) -> Option<Entry<V>> {
        self.cache.get(key)
    }

    fn recheck(&self, key: &K) -> Option<Entry<V>> {
        // `contains_key` is not counted by the eviction policy.
        if self.cache.contains_key(key) { self.cache.get(key) } else { None }
    }

    fn insert(&self, key: K, entry: Entry<V>) {
        // With a bound of zero mini-moka would hold entries until its next bookkeeping.
        if !self.holds_nothing {
            self.cache.insert(key, entry);
        }
    }

    fn remove(&self, key: &K) {
        self.cache.invalidate(key);
    }

    fn clear(&self) {
        self.clearing.run(|| self.cache.invalidate_all());
        // Nobody can read the entries any more; this frees them, or a quiet cache would hold them for ever.
        self.cache.sync();
    }

    fn stats(&self) -> L1Stats {
        // The counters lag by everything that waits for the next batch of bookkeeping.
        self.cache.sync();
        L1Stats::new(self.cache.entry_count(), self.weighs.then(|| self.cache.weighted_size()))
    }

    fn identity(&self) -> Option<usize> {
        Some(self.clearing.address())
    }
}

impl<K, V, S: Clone> Clone for MiniMokaL1<K, V, S> {
    fn clone(&self) -> Self {
        let (cache, clearing) = (self.cache.clone(), self.clearing.clone());
        Self { cache, clearing, weighs: self.weighs, holds_nothing: self.holds_nothing }
    }
}

// By hand: neither keys nor values belong into a log.
impl<K, V, S> fmt::Debug for MiniMokaL1<K, V, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MiniMokaL1").field("entries", &self.cache.entry_count()).finish_non_exhaustive()
    }
}
