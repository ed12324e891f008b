//! A small bounded map from keys to the time until which something holds for them.

use std::hash::{BuildHasher, Hash};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use crate::level::policy::MAX_REMEMBERED;
use crate::sync::{Mutex, enter, lock, peek};

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
    map: HashTable<Item<K, T>>,
    all_until: u64,
    sweep_after: u64,
    // Of the next insertion.
    number: u64,
}

struct Item<K, T> {
    key: K,
    until: u64,
    number: u64,
    payload: T,
}

impl<K: Hash + Eq + Clone, T: Clone> Remembered<K, T> {
    pub(crate) fn new(when_full: WhenFull) -> Self {
        let inner = Mutex::new(Inner { map: HashTable::new(), all_until: 0, sweep_after: 0, number: 0 });
        Self { len: AtomicUsize::new(0), when_full, hasher: RandomState::default(), inner }
    }

    /// Remembers `key` until `until`; latest wins. `false`: there was no room for it.
    pub(crate) fn insert(&self, key: &K, now: u64, until: u64, payload: T) -> bool {
        let hash = self.hasher.hash_one(key);
        let mut inner = enter(&self.inner);
        let item = Item { key: key.clone(), until, number: inner.number, payload };
        inner.number += 1;
        let kept = if let Some(old) = inner.map.find_mut(hash, |item| item.key == *key) {
            *old = item;
            true
        } else {
            if inner.map.len() >= MAX_REMEMBERED && now >= inner.sweep_after {
                inner.map.retain(|item| item.until > now);
                // A full map of living keys is not searched for dead ones again and again.
                inner.sweep_after = now + 100;
            }
            let room = inner.map.len() < MAX_REMEMBERED;
            if room {
                let hasher = &self.hasher;
                inner.map.insert_unique(hash, item, |item| hasher.hash_one(&item.key));
            } else if self.when_full == WhenFull::HoldForAll {
                inner.all_until = inner.all_until.max(until);
            }
            room
        };
        self.note(&inner, now);
        kept
    }

    /// The payload, while it holds; `Some(None)` where it holds for all keys.
    pub(crate) fn get(&self, key: &K, now: u64) -> Option<Option<T>> {
        if self.holds_nothing() {
            return None;
        }
        let mut inner = enter(&self.inner);
        let found = match inner.map.find_entry(self.hasher.hash_one(key), |item| item.key == *key) {
            Ok(entry) if entry.get().until > now => Some(Some(entry.get().payload.clone())),
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
    #[inline]
    pub(crate) fn remove(&self, key: &K, now: u64) {
        self.remove_before(key, u64::MAX, now);
    }

    /// What is inserted from now on has this number, or a later one.
    pub(crate) fn mark(&self) -> u64 {
        lock(&self.inner).number
    }

    /// Forgets `key`, if it was inserted before `mark`.
    #[inline]
    pub(crate) fn remove_before(&self, key: &K, mark: u64, now: u64) {
        if !self.holds_nothing() {
            self.remove_from_map(key, mark, now);
        }
    }

    #[cold]
    fn remove_from_map(&self, key: &K, mark: u64, now: u64) {
        let mut inner = enter(&self.inner);
        if let Ok(entry) = inner.map.find_entry(self.hasher.hash_one(key), |item| item.key == *key)
            && entry.get().number < mark
        {
            entry.remove();
        }
        self.note(&inner, now);
    }

    /// Up to `n` remembered keys, from the `from`-th on and then from the first; those whose time is over are forgotten.
    pub(crate) fn some(&self, from: usize, n: usize, now: u64) -> Vec<K> {
        let mut inner = enter(&self.inner);
        inner.map.retain(|item| item.until > now);
        let from = from.checked_rem(inner.map.len()).unwrap_or(0);
        let (first, then) = (inner.map.iter().skip(from), inner.map.iter().take(from));
        let keys = first.chain(then).take(n).map(|item| item.key.clone()).collect();
        self.note(&inner, now);
        keys
    }

    /// Whether nothing holds for any key.
    pub(crate) fn holds_nothing(&self) -> bool {
        self.len.load(Relaxed) == 0
    }

    /// How many keys are remembered.
    pub(crate) fn len(&self) -> usize {
        // Where this thread holds the lock: to the nearest one.
        if self.holds_nothing() { 0 } else { peek(&self.inner).map_or_else(|| self.len.load(Relaxed), |i| i.map.len()) }
    }

    fn note(&self, inner: &Inner<K, T>, now: u64) {
        self.len.store(inner.map.len() + usize::from(inner.all_until > now), Relaxed);
    }
}
