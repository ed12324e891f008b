//! A small bounded map from keys to the time until which something holds for them.

use std::hash::{BuildHasher, Hash};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use foldhash::fast::RandomState;
use hashbrown::HashTable;

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
    /// The most that all keys may weigh together.
    most: usize,
    hasher: RandomState,
    inner: Mutex<Inner<K, T>>,
}

/// Items in a row, so that a task can go through them a part at a time; found by their hash.
struct Inner<K, T> {
    items: Vec<Item<K, T>>,
    places: HashTable<usize>,
    weight: usize,
    all_until: u64,
    sweep_after: u64,
    // Of the next insertion.
    number: u64,
}

struct Item<K, T> {
    key: K,
    hash: u64,
    until: u64,
    number: u64,
    weight: usize,
    payload: T,
}

impl<K: Eq, T> Inner<K, T> {
    fn find(&self, hash: u64, key: &K) -> Option<usize> {
        let Self { items, places, .. } = self;
        places.find(hash, |&at| items[at].key == *key).copied()
    }

    fn push(&mut self, item: Item<K, T>) {
        let Self { items, places, weight, .. } = self;
        *weight += item.weight;
        places.insert_unique(item.hash, items.len(), |&at| items[at].hash);
        items.push(item);
    }

    /// Takes an item out; the last one moves to its place.
    fn take(&mut self, at: usize) {
        let last = self.items.len() - 1;
        if let Ok(place) = self.places.find_entry(self.items[at].hash, |&other| other == at) {
            place.remove();
        }
        if at != last
            && let Some(place) = self.places.find_mut(self.items[last].hash, |&other| other == last)
        {
            *place = at;
        }
        self.weight -= self.items.swap_remove(at).weight;
    }

    /// Takes out all whose time is over.
    fn sweep(&mut self, now: u64) {
        let mut at = 0;
        while at < self.items.len() {
            if self.items[at].until > now { at += 1 } else { self.take(at) }
        }
    }
}

impl<K: Hash + Eq + Clone, T: Clone> Remembered<K, T> {
    pub(crate) fn new(when_full: WhenFull, most: usize) -> Self {
        let inner =
            Inner { items: Vec::new(), places: HashTable::new(), weight: 0, all_until: 0, sweep_after: 0, number: 0 };
        Self { len: AtomicUsize::new(0), when_full, most, hasher: RandomState::default(), inner: Mutex::new(inner) }
    }

    /// Remembers `key`, which weighs 1, until `until`; latest wins. `false`: there was no room for it.
    pub(crate) fn insert(&self, key: &K, now: u64, until: u64, payload: T) -> bool {
        self.insert_weighing(1, key, now, until, payload)
    }

    /// [`insert`](Self::insert) of a key that weighs so much.
    pub(crate) fn insert_weighing(&self, weight: usize, key: &K, now: u64, until: u64, payload: T) -> bool {
        let hash = self.hasher.hash_one(key);
        let mut inner = enter(&self.inner);
        let item = Item { key: key.clone(), hash, until, number: inner.number, weight, payload };
        inner.number += 1;
        let kept = if let Some(at) = inner.find(hash, key) {
            inner.weight = inner.weight - inner.items[at].weight + weight;
            inner.items[at] = item;
            true
        } else {
            if inner.weight + weight > self.most && now >= inner.sweep_after {
                inner.sweep(now);
                // A full map of living keys is not searched for dead ones again and again.
                inner.sweep_after = now + 100;
            }
            let room = inner.weight + weight <= self.most;
            if room {
                inner.push(item);
            } else if self.when_full == WhenFull::HoldForAll {
                inner.all_until = inner.all_until.max(until);
            }
            room
        };
        self.note(&inner, now);
        kept
    }

    /// The payload of `key` itself, while it holds.
    #[inline]
    pub(crate) fn get(&self, key: &K, now: u64) -> Option<T> {
        if self.holds_nothing() { None } else { self.get_from_map(key, now).0 }
    }

    /// Whether it holds for `key`: by itself, or because it holds for all keys.
    #[inline]
    pub(crate) fn holds_for(&self, key: &K, now: u64) -> bool {
        !self.holds_nothing() && matches!(self.get_from_map(key, now), (Some(_), _) | (_, true))
    }

    /// The payload of `key`, and whether it holds for all keys.
    #[cold]
    fn get_from_map(&self, key: &K, now: u64) -> (Option<T>, bool) {
        let mut inner = enter(&self.inner);
        let found = match inner.find(self.hasher.hash_one(key), key) {
            Some(at) if inner.items[at].until > now => Some(inner.items[at].payload.clone()),
            Some(dead) => {
                inner.take(dead);
                None
            }
            None => None,
        };
        self.note(&inner, now);
        (found, inner.all_until > now)
    }

    /// Whether `key` itself is remembered.
    pub(crate) fn has(&self, key: &K) -> bool {
        !self.holds_nothing() && enter(&self.inner).find(self.hasher.hash_one(key), key).is_some()
    }

    /// Forgets `key`.
    #[inline]
    pub(crate) fn remove(&self, key: &K, now: u64) {
        self.remove_before(key, u64::MAX, now);
    }

    /// What is inserted from now on has this number, or a later one. Zero where nothing is remembered.
    pub(crate) fn mark(&self) -> u64 {
        if self.holds_nothing() { 0 } else { lock(&self.inner).number }
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
        if let Some(at) = inner.find(self.hasher.hash_one(key), key)
            && inner.items[at].number < mark
        {
            inner.take(at);
        }
        self.note(&inner, now);
    }

    /// Up to `n` remembered keys, from the `from`-th on and then from the first; those whose time is over are forgotten.
    pub(crate) fn some(&self, from: usize, n: usize, now: u64) -> Vec<K> {
        let mut inner = enter(&self.inner);
        let mut at = from.checked_rem(inner.items.len()).unwrap_or(0);
        let (mut keys, mut left) = (Vec::new(), inner.items.len());
        while left > 0 && keys.len() < n {
            left -= 1;
            // Behind the last one, or the last one was taken out.
            at = if at < inner.items.len() { at } else { 0 };
            if inner.items[at].until > now {
                keys.push(inner.items[at].key.clone());
                at += 1;
            } else {
                inner.take(at);
            }
        }
        self.note(&inner, now);
        keys
    }

    /// Whether nothing holds for any key.
    #[inline]
    pub(crate) fn holds_nothing(&self) -> bool {
        self.len.load(Relaxed) == 0
    }

    /// How many keys are remembered.
    pub(crate) fn len(&self) -> usize {
        // Where this thread holds the lock: to the nearest one.
        if self.holds_nothing() {
            0
        } else {
            peek(&self.inner).map_or_else(|| self.len.load(Relaxed), |i| i.items.len())
        }
    }

    fn note(&self, inner: &Inner<K, T>, now: u64) {
        self.len.store(inner.items.len() + usize::from(inner.all_until > now), Relaxed);
    }
}
