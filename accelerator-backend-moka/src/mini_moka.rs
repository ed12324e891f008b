//! The store on `mini_moka::sync::Cache`.

use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::marker::PhantomData;

use accelerator_core::{Entry, L1Stats, L1Store};
use foldhash::fast::RandomState;
use mini_moka::sync::{Cache, CacheBuilder, ConcurrentCacheExt};

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
///     .build();
/// by_bytes.insert(1, Entry::new(Some("one".to_owned()), 0, 60_000, 60_000, 0));
/// assert!(by_bytes.get(&1).is_some());
/// # let _ = by_entries;
/// ```
pub struct MiniMokaL1<K, V, S = RandomState> {
    cache: Cache<K, Entry<V>, S>,
    clearing: Clearing,
    weighs: bool,
    holds_nothing: bool,
}

impl<K, V> MiniMokaL1<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// A store of up to `capacity` entries; zero stores nothing.
    #[must_use]
    pub fn new(capacity: u64) -> Self {
        Self::builder().capacity(capacity).build()
    }

    /// A store with a weigher or a hasher of its own. It asks for a bound first: there are no unbounded stores.
    #[must_use]
    pub fn builder() -> MiniMokaL1Start<K, V> {
        MiniMokaL1Start(PhantomData)
    }
}

/// The first step of [`MiniMokaL1::builder`]: what bounds the store.
pub struct MiniMokaL1Start<K, V>(PhantomData<fn() -> (K, V)>);

impl<K, V> MiniMokaL1Start<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Bounded by a number of entries; zero stores nothing.
    pub fn capacity(self, entries: u64) -> MiniMokaL1Builder<K, V> {
        let inner = Cache::builder().max_capacity(entries);
        MiniMokaL1Builder { inner, hasher: RandomState::default(), weighs: false, holds_nothing: entries == 0 }
    }

    /// Bounded by weight: the `weigher` says what an entry weighs, in bytes or any unit, and together they stay below
    /// `max`. A weight of zero counts as one, so that nothing is stored for nothing. It must always say the same of
    /// the same entry, and must not call the cache.
    pub fn weigher<F>(self, max: u64, weigher: F) -> MiniMokaL1Builder<K, V>
    where
        F: Fn(&K, &Entry<V>) -> u32 + Send + Sync + 'static,
    {
        let inner = Cache::builder().max_capacity(max).weigher(move |key, entry| weigher(key, entry).max(1));
        MiniMokaL1Builder { inner, hasher: RandomState::default(), weighs: true, holds_nothing: max == 0 }
    }
}

/// The second step of [`MiniMokaL1::builder`].
#[must_use]
pub struct MiniMokaL1Builder<K, V, S = RandomState> {
    inner: CacheBuilder<K, Entry<V>, Cache<K, Entry<V>>>,
    hasher: S,
    weighs: bool,
    holds_nothing: bool,
}

impl<K, V, S> MiniMokaL1Builder<K, V, S>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    S: BuildHasher + Clone + Send + Sync + 'static,
{
    /// Another hasher than foldhash's.
    pub fn hasher<T>(self, hasher: T) -> MiniMokaL1Builder<K, V, T> {
        let Self { inner, weighs, holds_nothing, .. } = self;
        MiniMokaL1Builder { inner, hasher, weighs, holds_nothing }
    }

    /// The store.
    #[must_use]
    pub fn build(self) -> MiniMokaL1<K, V, S> {
        let Self { inner, hasher, weighs, holds_nothing } = self;
        let (cache, clearing) = (inner.build_with_hasher(hasher), Clearing::default());
        MiniMokaL1 { cache, clearing, weighs, holds_nothing }
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
