//! The simplest L1.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Arc, Mutex};

use super::lock;
use crate::entry::Entry;
use crate::traits::l1::{L1Stats, L1Store};

/// An [`L1Store`] over one map: keeps everything, or the newest so many. A cheap handle: clones share the entries.
///
/// ```
/// use accelerator_core::testkit::MemoryL1;
/// use accelerator_core::{Entry, L1Store};
/// let store = MemoryL1::with_capacity(1);
/// store.insert("a", Entry::new(Some(1), 0, 10, 10, 0));
/// store.insert("b", Entry::new(Some(2), 0, 10, 10, 0));
/// assert!(store.get(&"a").is_none() && store.get(&"b").is_some());
/// ```
#[derive(Debug)]
pub struct MemoryL1<K, V>(Arc<Inner<K, V>>);

#[derive(Debug)]
struct Inner<K, V> {
    capacity: usize,
    state: Mutex<State<K, V>>,
}

#[derive(Debug)]
struct State<K, V> {
    entries: HashMap<K, Entry<V>>,
    // First in, first out; holds exactly the keys of `entries`.
    order: VecDeque<K>,
}

impl<K: Hash + Eq + Clone, V> MemoryL1<K, V> {
    /// A store without a limit.
    #[must_use]
    pub fn new() -> Self {
        Self::with_capacity(usize::MAX)
    }

    /// A store that holds up to `capacity` entries and drops the oldest beyond; with zero, it holds nothing.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        let state = State { entries: HashMap::new(), order: VecDeque::new() };
        Self(Arc::new(Inner { capacity, state: Mutex::new(state) }))
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        lock(&self.0.state).entries.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<K: Hash + Eq + Clone, V> Default for MemoryL1<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K, V> Clone for MemoryL1<K, V> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K, V> L1Store<K, V> for MemoryL1<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    fn get(&self, key: &K) -> Option<Entry<V>> {
        lock(&self.0.state).entries.get(key).cloned()
    }

    // A value's own `Drop` may ask the store: what goes is dropped after the lock.
    fn insert(&self, key: K, entry: Entry<V>) {
        if self.0.capacity == 0 {
            return;
        }
        let mut evicted = None;
        let mut state = lock(&self.0.state);
        let replaced = state.entries.insert(key.clone(), entry);
        if replaced.is_none() {
            state.order.push_back(key);
        }
        if state.entries.len() > self.0.capacity
            && let Some(oldest) = state.order.pop_front()
        {
            evicted = state.entries.remove_entry(&oldest);
        }
        drop(state);
        drop((replaced, evicted));
    }

    fn remove(&self, key: &K) {
        let mut state = lock(&self.0.state);
        let removed = state.entries.remove_entry(key);
        if removed.is_some() {
            state.order.retain(|k| k != key);
        }
        drop(state);
        drop(removed);
    }

    fn clear(&self) {
        let mut state = lock(&self.0.state);
        let all = (std::mem::take(&mut state.entries), std::mem::take(&mut state.order));
        drop(state);
        drop(all);
    }

    fn stats(&self) -> L1Stats {
        L1Stats::new(self.len() as u64, None)
    }

    fn identity(&self) -> Option<usize> {
        Some(Arc::as_ptr(&self.0).addr())
    }
}
