//! The fence: an invalidation beats every fill that began before it, in L1 and, on this node, in L2.

use std::sync::Arc;

use shuttle::thread;

use crate::rig::Cache;

/// Runs all of them at once, and waits.
fn all(threads: Vec<Box<dyn FnOnce() + Send>>) {
    let threads: Vec<_> = threads.into_iter().map(thread::spawn).collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

fn reader(cache: &Arc<Cache>) -> Box<dyn FnOnce() + Send> {
    let cache = cache.clone();
    Box::new(move || {
        cache.read();
        cache.read();
    })
}

/// Changes the source, then says so by `how`, then reads.
fn writer(cache: &Arc<Cache>, how: impl FnOnce(&Cache, u64) + Send + 'static) -> Box<dyn FnOnce() + Send> {
    let cache = cache.clone();
    Box::new(move || {
        let change = cache.change();
        how(&cache, change);
        cache.acknowledge(change);
        cache.read();
    })
}

fn by_del(cache: &Cache, _: u64) {
    cache.del();
}

fn by_clear(cache: &Cache, _: u64) {
    cache.clear();
}

fn by_set(cache: &Cache, change: u64) {
    let at = cache.begin();
    cache.set(&at, change, true);
}

pub(crate) fn load_against_del() {
    let cache = Cache::new();
    all(vec![reader(&cache), reader(&cache), writer(&cache, by_del)]);
    cache.at_rest();
}

pub(crate) fn load_against_two_dels() {
    let cache = Cache::new();
    all(vec![reader(&cache), writer(&cache, by_del), writer(&cache, by_del)]);
    cache.at_rest();
}

pub(crate) fn lookup_against_del() {
    let cache = Cache::with_l2(true);
    let lookup = || -> Box<dyn FnOnce() + Send> {
        let cache = cache.clone();
        Box::new(move || {
            cache.look();
            cache.look();
        })
    };
    all(vec![lookup(), lookup(), writer(&cache, by_del)]);
    cache.at_rest();
}

pub(crate) fn fill_against_del() {
    let cache = Cache::with_l2(false);
    all(vec![reader(&cache), reader(&cache), writer(&cache, by_del)]);
    cache.at_rest();
}

pub(crate) fn load_against_set() {
    let cache = Cache::new();
    all(vec![reader(&cache), reader(&cache), writer(&cache, by_set)]);
    cache.at_rest();
}

pub(crate) fn fill_against_set() {
    let cache = Cache::with_l2(false);
    all(vec![reader(&cache), reader(&cache), writer(&cache, by_set)]);
    cache.at_rest();
}

/// L1 never disagrees with L2 for good, whichever of two unordered writers was last there.
pub(crate) fn two_sets() {
    let cache = Cache::with_l2(true);
    let set = |value| -> Box<dyn FnOnce() + Send> {
        let cache = cache.clone();
        Box::new(move || {
            let at = cache.begin();
            cache.set(&at, value, false);
        })
    };
    let lookup = {
        let cache = cache.clone();
        Box::new(move || {
            cache.look();
        })
    };
    all(vec![set(1), set(2), lookup]);
    at_one(&cache);
}

/// A `set` that began before a `del` was acknowledged doesn't undo it in L1.
pub(crate) fn set_against_del() {
    let cache = Cache::with_l2(true);
    let set = {
        let cache = cache.clone();
        Box::new(move || {
            let at = cache.begin();
            cache.set(&at, 1, false);
        })
    };
    let del = {
        let cache = cache.clone();
        Box::new(move || cache.del())
    };
    let lookup = {
        let cache = cache.clone();
        Box::new(move || {
            cache.look();
        })
    };
    all(vec![set, del, lookup]);
    at_one(&cache);
}

/// A write that was called before another one doesn't undo it in L2, whichever task comes first.
fn called_in_order(first: u64, then: impl FnOnce(&Arc<Cache>) -> Box<dyn FnOnce() + Send>) -> Arc<Cache> {
    let cache = Cache::with_l2(true);
    let at = cache.begin();
    let then = then(&cache);
    let set = {
        let cache = cache.clone();
        Box::new(move || cache.set(&at, first, true))
    };
    all(vec![set, then]);
    at_one(&cache);
    cache
}

pub(crate) fn set_called_before_del() {
    let cache = called_in_order(1, |cache| {
        let (cache, at) = (cache.clone(), cache.call_del());
        Box::new(move || cache.end_del(&at))
    });
    assert_eq!(cache.l2(), None);
}

pub(crate) fn set_called_before_set() {
    let cache = called_in_order(1, |cache| {
        let (cache, at) = (cache.clone(), cache.begin());
        Box::new(move || cache.set(&at, 2, true))
    });
    assert_eq!(cache.l2(), Some(2));
}

fn at_one(cache: &Cache) {
    let (l1, l2) = (cache.l1(), cache.l2());
    assert!(l1.is_none() || l1 == l2, "L1 stays with {l1:?}, L2 with {l2:?}");
    cache.is_empty();
}

pub(crate) fn load_against_clear() {
    let cache = Cache::new();
    all(vec![reader(&cache), reader(&cache), writer(&cache, by_clear)]);
    cache.at_rest();
}

pub(crate) fn backfill_against_clear() {
    let cache = Cache::with_l2(true);
    all(vec![reader(&cache), reader(&cache), writer(&cache, by_clear)]);
    cache.at_rest();
}

pub(crate) fn fill_against_clear() {
    let cache = Cache::with_l2(false);
    all(vec![reader(&cache), reader(&cache), writer(&cache, by_clear)]);
    cache.at_rest();
}
