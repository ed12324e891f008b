//! A small bounded map from keys to the time until which something holds for them.

use std::hash::{BuildHasher, Hash};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use crate::level::policy::MAX_REMEMBERED;
use crate::sync::{Mutex, lock};

/// What to do with a key that finds the map full.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum WhenFull {
    /// Forget the new key: nothing wrong follows.
    Forget,
    /// Let it hold for all keys: forgetting would be wrong.
    HoldForAll,
}

/// Keys with a deadline (milliseconds of the cache's clock) and a payload `T`.
pub(crate) struct Remembered<K, T> {
    // Almost always 0: then nothing is locked.
    len: AtomicUsize,
    when_full: WhenFull,
    hasher: RandomState,
    inner: Mutex<Inner<K, T>>,
}

struct Inner<K, T> {
    map: HashTable<(K, u64, T)>,
    all_until: u64,
    sweep_after: u64,
}

impl<K: Hash + Eq + Clone, T: Clone> Remembered<K, T> {
    pub(crate) fn new(when_full: WhenFull) -> Self {
        let inner = Mutex::new(Inner { map: HashTable::new(), all_until: 0, sweep_after: 0 });
        Self { len: AtomicUsize::new(0), when_full, hasher: RandomState::default(), inner }
    }

    /// Remembers `key` until `until`; latest wins.
    pub(crate) fn insert(&self, key: &K, now: u64, until: u64, payload: T) {
        let hash = self.hasher.hash_one(key);
        let mut inner = lock(&self.inner);
        if let Some(old) = inner.map.find_mut(hash, |e| e.0 == *key) {
            *old = (key.clone(), until, payload);
        } else {
            if inner.map.len() >= MAX_REMEMBERED && now >= inner.sweep_after {
                inner.map.retain(|e| e.1 > now);
                // A full map of living keys is not searched for dead ones again and again.
                inner.sweep_after = now + 100;
            }
            if inner.map.len() < MAX_REMEMBERED {
                let hasher = &self.hasher;
                inner.map.insert_unique(hash, (key.clone(), until, payload), |e| hasher.hash_one(&e.0));
            } else if self.when_full == WhenFull::HoldForAll {
                inner.all_until = inner.all_until.max(until);
            }
        }
        self.note(&inner, now);
    }

    /// The payload, while it holds; `Err` where it holds for all keys.
    pub(crate) fn get(&self, key: &K, now: u64) -> Option<Option<T>> {
        if self.len.load(Relaxed) == 0 {
            return None;
        }
        let mut inner = lock(&self.inner);
        let found = match inner.map.find_entry(self.hasher.hash_one(key), |e| e.0 == *key) {
            Ok(entry) if entry.get().1 > now => Some(Some(entry.get().2.clone())),
            Ok(dead) => {
                dead.remove();
                None
            }
            Err(_) => None,
        };
        self.note(&inner, now);
        found.or((inner.all_until > now).then_some(None))
    }

    /// Forgets `key`.
    pub(crate) fn remove(&self, key: &K, now: u64) {
        if self.len.load(Relaxed) == 0 {
            return;
        }
        let mut inner = lock(&self.inner);
        if let Ok(entry) = inner.map.find_entry(self.hasher.hash_one(key), |e| e.0 == *key) {
            entry.remove();
        }
        self.note(&inner, now);
    }

    fn note(&self, inner: &Inner<K, T>, now: u64) {
        self.len.store(inner.map.len() + usize::from(inner.all_until > now), Relaxed);
    }
}
