//! The keys that this node guards itself. It caches them nowhere, whatever L2 says of them or fails to say.
//!
//! A load asks here after it has registered in the key's slot. A guard enters its key first and purges then. So a load
//! that did not see the guard is void by the purge.

use std::hash::{BuildHasher, Hash};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use crate::level::time::policy::MAX_REMEMBERED;
use crate::sync::{Mutex, enter};

/// Keys with living guards, and keys whose guard was dropped while its hold lasts.
pub(crate) struct Guarded<K> {
    // Almost always 0: then nothing is locked.
    len: AtomicUsize,
    hasher: RandomState,
    inner: Mutex<Inner<K>>,
}

struct Inner<K> {
    map: HashTable<Guards<K>>,
    /// Guards that live.
    living: usize,
    /// When the last hold of a dropped guard has ended, in milliseconds of the cache's clock.
    last_end: u64,
    /// Until then all keys count as guarded: more guards were dropped than are remembered.
    all_until: u64,
}

struct Guards<K> {
    key: K,
    living: usize,
    /// When the last hold of the dropped ones has ended.
    end: u64,
}

impl<K: Hash + Eq + Clone> Guarded<K> {
    pub(crate) fn new() -> Self {
        let inner = Inner { map: HashTable::new(), living: 0, last_end: 0, all_until: 0 };
        Self { len: AtomicUsize::new(0), hasher: RandomState::default(), inner: Mutex::new(inner) }
    }

    /// Whether no key is guarded.
    #[inline(always)]
    pub(crate) fn is_empty(&self) -> bool {
        // The lock of the key's slot, which a load takes before and a guard's purge after, makes this read late enough.
        self.len.load(Relaxed) == 0
    }

    /// Whether `key` is guarded at `now`.
    #[cold]
    pub(crate) fn has(&self, key: &K, now: u64) -> bool {
        if self.is_empty() {
            return false;
        }
        let hash = self.hasher.hash_one(key);
        let mut inner = enter(&self.inner);
        if inner.living == 0 && inner.last_end <= now {
            // The keys, which are the user's, are dropped outside of the lock.
            let over = std::mem::replace(&mut inner.map, HashTable::new());
            inner.all_until = 0;
            self.note(&inner);
            drop(inner);
            drop(over);
            return false;
        }
        let own = inner.map.find(hash, |guards| guards.key == *key);
        inner.all_until > now || own.is_some_and(|guards| guards.living > 0 || guards.end > now)
    }

    /// A guard of `key` begins.
    pub(crate) fn begin(&self, key: &K) {
        let (hash, new) = (self.hasher.hash_one(key), Guards { key: key.clone(), living: 1, end: 0 });
        let mut inner = enter(&self.inner);
        inner.living += 1;
        // Kept until the lock is free.
        let spare = match inner.map.find_mut(hash, |guards| guards.key == *key) {
            Some(guards) => {
                guards.living += 1;
                Some(new)
            }
            None => {
                let hasher = &self.hasher;
                inner.map.insert_unique(hash, new, |guards| hasher.hash_one(&guards.key));
                None
            }
        };
        self.note(&inner);
        drop(inner);
        drop(spare);
    }

    /// A guard of `key` ends. `hold_ends`: where it was dropped, its hold lasts until then.
    pub(crate) fn end(&self, key: &K, hold_ends: Option<u64>) {
        let hash = self.hasher.hash_one(key);
        let mut inner = enter(&self.inner);
        inner.living = inner.living.saturating_sub(1);
        inner.last_end = inner.last_end.max(hold_ends.unwrap_or(0));
        let full = inner.map.len() > MAX_REMEMBERED;
        let mut over = None;
        if let Ok(mut entry) = inner.map.find_entry(hash, |guards| guards.key == *key) {
            let guards = entry.get_mut();
            guards.living = guards.living.saturating_sub(1);
            guards.end = guards.end.max(hold_ends.unwrap_or(0));
            let end = guards.end;
            if guards.living == 0 && (full || end == 0) {
                over = Some(entry.remove().0);
                inner.all_until = inner.all_until.max(end);
            }
        }
        self.note(&inner);
        drop(inner);
        drop(over);
    }

    fn note(&self, inner: &Inner<K>) {
        self.len.store(inner.map.len() + usize::from(inner.all_until > 0), Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_dropped_guards_than_are_remembered_count_for_all_keys() {
        let guarded = Guarded::new();
        for key in 0..MAX_REMEMBERED as u64 + 2 {
            guarded.begin(&key);
            guarded.end(&key, Some(100));
        }
        assert!(guarded.has(&0, 99) && guarded.has(&u64::MAX, 99));
        assert!(!guarded.has(&0, 100) && guarded.is_empty());
    }

    #[test]
    fn a_key_is_guarded_until_the_last_of_its_guards_ends() {
        let guarded = Guarded::new();
        guarded.begin(&1);
        guarded.begin(&1);
        guarded.end(&1, Some(50));
        assert!(guarded.has(&1, 60) && !guarded.has(&2, 60), "one lives");
        guarded.end(&1, None);
        assert!(guarded.has(&1, 49), "one was dropped");
        assert!(!guarded.has(&1, 50) && guarded.is_empty());
        guarded.begin(&1);
        guarded.end(&1, None);
        assert!(guarded.is_empty());
    }
}
