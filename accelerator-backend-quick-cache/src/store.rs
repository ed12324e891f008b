//! The store on `quick_cache::sync::Cache`.

use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::marker::PhantomData;
use std::sync::Arc;

use accelerator_core::{CacheError, CacheResult, Entry, ErrorKind, L1Stats, L1Store};
use foldhash::fast::RandomState;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::weight::{Counted, Weighed};

/// What an entry is taken to weigh on average where only the bound is known.
const TYPICAL_WEIGHT: u64 = 512;

/// An [`L1Store`] on [quick_cache](https://docs.rs/quick_cache): bounded by entries or by weight, evicting by its
/// own mix of S3-FIFO and CLOCK-Pro. A cheap handle: clones share the entries.
///
/// It is sharded, and the bound is divided among the shards: it holds within a shard, so an uneven spread of keys
/// evicts a little early. It has no expiry of its own: a dead entry stays until it is evicted, removed or replaced.
///
/// ```
/// use accelerator_backend_quick_cache::QuickCacheL1;
/// use accelerator_core::{Entry, L1Store};
/// let by_entries = QuickCacheL1::<u64, String>::new(10_000);
/// let by_bytes = QuickCacheL1::<u64, String>::builder()
///     .weigher(64 << 20, |_key, entry| entry.value().map_or(0, |v| v.len() as u32) + 100)
///     .build()?;
/// by_bytes.insert(1, Entry::new(Some("one".to_owned()), 0, 60_000, 60_000, 0));
/// assert!(by_bytes.get(&1).is_some());
/// # let _ = by_entries;
/// # Ok::<(), accelerator_core::CacheError>(())
/// ```
pub struct QuickCacheL1<K, V, W = Counted, S = RandomState> {
    cache: Arc<Cache<K, Entry<V>, W, S>>,
    weighs: bool,
}

impl<K, V> QuickCacheL1<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// A store of up to `capacity` entries; zero stores nothing.
    #[must_use]
    pub fn new(capacity: u64) -> Self {
        Self::builder().capacity(capacity).assemble(capacity)
    }

    /// Begins a store; `capacity` or `weigher` is all it needs.
    pub fn builder() -> QuickCacheL1Builder<K, V> {
        let (hasher, kinds) = (RandomState::default(), PhantomData);
        QuickCacheL1Builder { max: None, estimate: None, weight: Counted, hasher, weighs: false, kinds }
    }
}

/// Sets a [`QuickCacheL1`] up. Nothing is checked before [`build`](Self::build).
#[must_use = "call build()"]
pub struct QuickCacheL1Builder<K, V, W = Counted, S = RandomState> {
    max: Option<u64>,
    estimate: Option<u64>,
    weight: W,
    hasher: S,
    weighs: bool,
    kinds: PhantomData<fn() -> (K, V)>,
}

impl<K, V, W, S> QuickCacheL1Builder<K, V, W, S> {
    /// Bounded by a number of entries; zero stores nothing. This or [`weigher`](Self::weigher) is required: there are no
    /// unbounded stores.
    pub fn capacity(self, entries: u64) -> QuickCacheL1Builder<K, V, Counted, S> {
        let Self { estimate, hasher, kinds, .. } = self;
        QuickCacheL1Builder { max: Some(entries), estimate, weight: Counted, hasher, weighs: false, kinds }
    }

    /// Bounded by weight: the `weigher` says what an entry weighs, in bytes or any unit, and together they stay below
    /// `max`. A weight of zero counts as one: quick_cache would never evict such an entry. It must always say the same
    /// of the same entry, and must not call the cache.
    ///
    /// An entry heavier than a shard's part of `max` is not stored, see
    /// [`estimated_entries`](Self::estimated_entries).
    pub fn weigher<F>(self, max: u64, weigher: F) -> QuickCacheL1Builder<K, V, Weighed<F>, S>
    where
        F: Fn(&K, &Entry<V>) -> u32 + Send + Sync + 'static,
    {
        let Self { estimate, hasher, kinds, .. } = self;
        let weight = Weighed::new(weigher);
        QuickCacheL1Builder { max: Some(max), estimate, weight, hasher, weighs: true, kinds }
    }

    /// Another hasher than foldhash's.
    pub fn hasher<T>(self, hasher: T) -> QuickCacheL1Builder<K, V, W, T> {
        let Self { max, estimate, weight, weighs, kinds, .. } = self;
        QuickCacheL1Builder { max, estimate, weight, hasher, weighs, kinds }
    }

    /// How many entries are expected; the order of magnitude will do. Without it: the capacity, or one entry per
    /// 512 of weight.
    ///
    /// It decides how many keys are remembered after their eviction, and how many shards there are: four per core, but
    /// fewer where a shard would get less than 32 of these. Few large values want a small number here, because an
    /// entry must fit into one shard's part of the weight.
    ///
    /// ```
    /// use accelerator_backend_quick_cache::QuickCacheL1;
    /// // Some 500 pages of up to 2 MiB each.
    /// let pages = QuickCacheL1::<u64, String>::builder()
    ///     .weigher(1 << 30, |_key, entry| entry.value().map_or(0, |page| page.len() as u32) + 100)
    ///     .estimated_entries(500)
    ///     .build()?;
    /// # let _ = pages;
    /// # Ok::<(), accelerator_core::CacheError>(())
    /// ```
    pub fn estimated_entries(mut self, entries: u64) -> Self {
        self.estimate = Some(entries);
        self
    }
}

impl<K, V, W, S> QuickCacheL1Builder<K, V, W, S>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    W: Weighter<K, Entry<V>> + Clone + Send + Sync + 'static,
    S: BuildHasher + Clone + Send + Sync + 'static,
{
    /// The store.
    ///
    /// # Errors
    /// `InvalidConfig` where nothing bounds it.
    pub fn build(self) -> CacheResult<QuickCacheL1<K, V, W, S>> {
        let Some(max) = self.max else {
            let message = "capacity = (not set): takes a number of entries; or bound the store by weigher(max, ..)";
            return Err(CacheError::new(ErrorKind::InvalidConfig, message));
        };
        Ok(self.assemble(max))
    }

    fn assemble(self, max: u64) -> QuickCacheL1<K, V, W, S> {
        let typical = if self.weighs { max / TYPICAL_WEIGHT } else { max };
        let estimate = usize::try_from(self.estimate.unwrap_or(typical)).unwrap_or(usize::MAX);
        let cache = Cache::with(estimate, max, self.weight, self.hasher, Default::default());
        QuickCacheL1 { cache: Arc::new(cache), weighs: self.weighs }
    }
}

impl<K, V, W, S> L1Store<K, V> for QuickCacheL1<K, V, W, S>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    W: Weighter<K, Entry<V>> + Clone + Send + Sync + 'static,
    S: BuildHasher + Clone + Send + Sync + 'static,
{
    #[inline]
    fn get(&self, key: &K) -> Option<Entry<V>> {
        self.cache.get(key)
    }

    fn insert(&self, key: K, entry: Entry<V>) {
        self.cache.insert(key, entry);
    }

    fn remove(&self, key: &K) {
        self.cache.remove(key);
    }

    fn clear(&self) {
        self.cache.clear();
    }

    fn stats(&self) -> L1Stats {
        L1Stats::new(self.cache.len() as u64, self.weighs.then(|| self.cache.weight()))
    }

    fn identity(&self) -> Option<usize> {
        Some(Arc::as_ptr(&self.cache).addr())
    }
}

impl<K, V, W, S> Clone for QuickCacheL1<K, V, W, S> {
    fn clone(&self) -> Self {
        Self { cache: Arc::clone(&self.cache), weighs: self.weighs }
    }
}

// By hand: neither keys nor values belong into a log.
impl<K, V, W, S> fmt::Debug for QuickCacheL1<K, V, W, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QuickCacheL1").field("weighs", &self.weighs).finish_non_exhaustive()
    }
}
