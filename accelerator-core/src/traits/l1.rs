//! L1: in process, typed, synchronous, infallible.

use std::sync::Arc;

use crate::entry::Entry;

/// An in-process store in front of everything else.
///
/// Removal and insertion are synchronous: when the call returns, `get` sees the change. Expiry is the engine's
/// business, so a store without TTL support is a full citizen; a store may drop an entry at any time. It must not read
/// from the cache, and neither may the `Clone`, `Hash`, `Eq`, `Drop` or weigher that it calls: the engine holds a lock
/// around `insert` and `remove`, and around the second `get` after a miss. What they may do is said at
/// [`Value`](crate::Value). An `insert` that panics is followed by a `remove`, and must leave the store in order.
///
/// ```
/// use accelerator_core::{Entry, Key, L1Stats, L1Store, Value};
/// use std::collections::HashMap;
/// use std::sync::{Mutex, MutexGuard, PoisonError};
///
/// /// A map of at most so many entries. What comes later is refused.
/// struct MapL1<K, V>(usize, Mutex<HashMap<K, Entry<V>>>);
///
/// impl<K, V> MapL1<K, V> {
///     fn map(&self) -> MutexGuard<'_, HashMap<K, Entry<V>>> {
///         self.1.lock().unwrap_or_else(PoisonError::into_inner)
///     }
/// }
///
/// impl<K: Key, V: Value> L1Store<K, V> for MapL1<K, V> {
///     fn get(&self, key: &K) -> Option<Entry<V>> {
///         self.map().get(key).cloned()
///     }
///     fn insert(&self, key: K, entry: Entry<V>) {
///         let mut map = self.map();
///         map.remove(&key);
///         if map.len() < self.0 {
///             map.insert(key, entry);
///         }
///     }
///     fn remove(&self, key: &K) {
///         self.map().remove(key);
///     }
///     fn clear(&self) {
///         self.map().clear();
///     }
///     fn stats(&self) -> L1Stats {
///         L1Stats::new(self.map().len() as u64, None)
///     }
/// }
/// ```
///
/// Prove a store with one line: `accelerator_core::l1_laws!(my_store, MyStore::new(1000));`
pub trait L1Store<K, V>: Send + Sync + 'static {
    /// One read. No filtering by time.
    fn get(&self, key: &K) -> Option<Entry<V>>;
    /// [`get`](L1Store::get) once more, a moment after it found nothing (another load may have ended in between). A store
    /// whose eviction policy counts reads should not count this one: a miss would look like two.
    fn recheck(&self, key: &K) -> Option<Entry<V>> {
        self.get(key)
    }
    /// Inserts or replaces. May evict others, or refuse this one; must not leave an older entry of the same key.
    fn insert(&self, key: K, entry: Entry<V>);
    /// Removes the key, if present.
    fn remove(&self, key: &K);
    /// Removes everything.
    fn clear(&self);
    /// What the store knows about itself; may lag a little.
    fn stats(&self) -> L1Stats;
    /// A number that all clones of a handle have, and no other store of the process while one of them lives: the address
    /// of what they share will do. Two caches on one store would answer with each other's values, so
    /// [`LevelCacheBuilder::build`](crate::LevelCacheBuilder::build) refuses the second. `None`, as provided: it isn't noticed. (In an `Arc`
    /// it is: that has an address.)
    fn identity(&self) -> Option<usize> {
        None
    }
}

/// What an [`L1Store`] knows about itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct L1Stats {
    /// Entries held.
    pub entries: u64,
    /// Their weight, in the unit of the store's weigher, where it has one.
    pub weight: Option<u64>,
}

impl L1Stats {
    /// So many entries, so much weight.
    #[must_use]
    pub fn new(entries: u64, weight: Option<u64>) -> Self {
        Self { entries, weight }
    }
}

impl<K: 'static, V: 'static, S: L1Store<K, V> + ?Sized> L1Store<K, V> for Arc<S> {
    #[inline]
    fn get(&self, key: &K) -> Option<Entry<V>> {
        (**self).get(key)
    }
    fn recheck(&self, key: &K) -> Option<Entry<V>> {
        (**self).recheck(key)
    }
    fn insert(&self, key: K, entry: Entry<V>) {
        (**self).insert(key, entry);
    }
    fn remove(&self, key: &K) {
        (**self).remove(key);
    }
    fn clear(&self) {
        (**self).clear();
    }
    fn stats(&self) -> L1Stats {
        (**self).stats()
    }
    fn identity(&self) -> Option<usize> {
        (**self).identity().or_else(|| Some(Arc::as_ptr(self).addr()))
    }
}

/// The null object: a cache without L1.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoL1;

impl<K, V> L1Store<K, V> for NoL1 {
    #[inline]
    fn get(&self, _: &K) -> Option<Entry<V>> {
        None
    }
    fn insert(&self, _: K, _: Entry<V>) {}
    fn remove(&self, _: &K) {}
    fn clear(&self) {}
    fn stats(&self) -> L1Stats {
        L1Stats::default()
    }
}
