//! The store on `moka::sync::Cache`.

use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::time::{Duration, Instant};

use accelerator_core::{CacheResult, Entry, L1Stats, L1Store};
use foldhash::fast::RandomState;
use moka::Expiry;
use moka::sync::Cache;

use crate::builder::{builder, unbounded};
use crate::clearing::Clearing;

/// The longest life moka is told: it counts nanoseconds in 64 bits, and nobody measures a century.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// An [`L1Store`] on [moka](https://docs.rs/moka): bounded by entries or by weight, evicting by TinyLFU. An entry
/// leaves by itself when its life is over (or at one age for all: [`MokaL1Builder::longest_life`]). A cheap handle:
/// clones share the entries.
///
/// ```
/// use accelerator_backend_moka::MokaL1;
/// use accelerator_core::{Entry, L1Store};
/// let by_entries = MokaL1::<u64, String>::new(10_000);
/// let by_bytes = MokaL1::<u64, String>::builder()
///     .weigher(64 << 20, |_key, entry| entry.value().map_or(0, |v| v.len() as u32) + 100)
///     .build()?;
/// by_bytes.insert(1, Entry::new(Some("one".to_owned()), 0, 60_000, 60_000, 0));
/// assert!(by_bytes.get(&1).is_some());
/// # let _ = by_entries;
/// # Ok::<(), accelerator_core::CacheError>(())
/// ```
pub struct MokaL1<K, V, S = RandomState> {
    cache: Cache<K, Entry<V>, S>,
    clearing: Clearing,
    weighs: bool,
}

builder!(MokaL1, MokaL1Builder, moka, Option<Duration>);

impl<K, V, S> MokaL1Builder<K, V, S>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    S: BuildHasher + Clone + Send + Sync + 'static,
{
    /// One age at which entries leave, in place of a life for each: none stays longer than `life`, and those whose own
    /// life is shorter may stay dead until then. (The cache never serves a dead entry.) moka does less on a read then:
    /// a hit takes a fifth fewer instructions.
    ///
    /// For caches whose entries live about equally long: give what `ttl` (or `l1_ttl`) and `stale_on_error` come to.
    /// Less than that, and entries leave before their end; far more than most lives, and dead entries take the room of
    /// others. Zero keeps nothing.
    ///
    /// ```
    /// use std::time::Duration;
    /// use accelerator_backend_moka::MokaL1;
    /// let ttl = Duration::from_secs(60);
    /// let store = MokaL1::<u64, String>::builder().capacity(10_000).longest_life(ttl).build()?;
    /// # let _ = store;
    /// # Ok::<(), accelerator_core::CacheError>(())
    /// ```
    pub fn longest_life(mut self, life: Duration) -> Self {
        self.extra = Some(life.min(LONGEST));
        self
    }

    fn assemble(self) -> MokaL1<K, V, S> {
        let inner = match self.extra {
            Some(life) => self.inner.time_to_live(life),
            None => self.inner.expire_after(ByLife),
        };
        let cache = inner.build_with_hasher(self.hasher);
        MokaL1 { cache, clearing: Clearing::default(), weighs: self.weighs }
    }
}

impl<K, V, S> L1Store<K, V> for MokaL1<K, V, S>
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
        self.cache.insert(key, entry);
    }

    fn remove(&self, key: &K) {
        self.cache.invalidate(key);
    }

    fn clear(&self) {
        self.clearing.run(|| self.cache.invalidate_all());
        // Nobody can read the entries any more; this frees them, or a quiet cache would hold them for ever.
        self.cache.run_pending_tasks();
    }

    fn stats(&self) -> L1Stats {
        // The counters lag by everything that waits for the next batch of bookkeeping.
        self.cache.run_pending_tasks();
        L1Stats::new(self.cache.entry_count(), self.weighs.then(|| self.cache.weighted_size()))
    }

    fn identity(&self) -> Option<usize> {
        Some(self.clearing.address())
    }
}

impl<K, V, S: Clone> Clone for MokaL1<K, V, S> {
    fn clone(&self) -> Self {
        Self { cache: self.cache.clone(), clearing: self.clearing.clone(), weighs: self.weighs }
    }
}

// By hand: neither keys nor values belong into a log.
impl<K, V, S> fmt::Debug for MokaL1<K, V, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MokaL1").field("entries", &self.cache.entry_count()).finish_non_exhaustive()
    }
}

/// An entry's life is moka's TTL for it.
struct ByLife;

fn life<V>(entry: &Entry<V>) -> Option<Duration> {
    Some(entry.life().min(LONGEST))
}

impl<K, V> Expiry<K, Entry<V>> for ByLife {
    fn expire_after_create(&self, _: &K, entry: &Entry<V>, _: Instant) -> Option<Duration> {
        life(entry)
    }

    // The provided method would leave the life of the entry that was replaced.
    fn expire_after_update(&self, _: &K, entry: &Entry<V>, _: Instant, _: Option<Duration>) -> Option<Duration> {
        life(entry)
    }
}
