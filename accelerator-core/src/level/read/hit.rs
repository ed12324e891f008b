//! Read: a hit of L1. Here it ends.
//!
//! The store is probed by its own type, as this is the one place where static dispatch pays. All else is the same for
//! every store.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::entry::Entry;
use crate::level::bounds::{Key, Value};
use crate::level::engine::Engine;
use crate::level::local::Local;
use crate::level::read::refresh::refresh_ahead;
use crate::level::stats::counters::Count;
use crate::traits::l1::L1Store;

/// What L1 has: a hit as its caller gets it (`None`: known to be absent), or nothing.
pub(crate) enum Probed<V> {
    Hit(Option<V>),
    Miss,
}

/// What L1 has, with what to answer for a hit and for a miss: a value goes from where the store put it to where the caller
/// wants it, without a stop between. Each stop costs more time than instructions (ADR 0006). `refresh`: one may start.
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "inlined; a struct would be one more stop")]
pub(crate) fn probe_or<K: Key, V: Value, L1: L1Store<K, V>, R>(
    l1: &L1,
    local: &Local<K, V>,
    engine: &Arc<Engine<K, V>>,
    key: &K,
    allow_stale: bool,
    refresh: bool,
    hit: impl FnOnce(Option<V>) -> R,
    miss: impl FnOnce() -> R,
) -> R {
    // The clock first: nothing has to be kept across its call then.
    let now = local.clock.now();
    let found = l1.get(key);
    let Some(entry) = &found else { return miss() };
    if entry.is_plainly_fresh(now) && entry.generation() == local.generation.load(Ordering::Relaxed) {
        local.counters.l1_hit(entry.value().is_none());
        return hit(found.and_then(Entry::into_value));
    }
    drop(found);
    match look_again(engine, key, allow_stale, refresh) {
        Some(entry) => hit(entry.into_value()),
        None => miss(),
    }
}

#[cold]
#[inline(never)]
fn look_again<K: Key, V: Value>(
    engine: &Arc<Engine<K, V>>,
    key: &K,
    allow_stale: bool,
    refresh: bool,
) -> Option<Entry<V>> {
    let entry = engine.local.l1.recheck(key)?;
    probe_slow(engine, key, entry, allow_stale, refresh)
}

/// What to answer of an entry that is not plainly fresh; counted as a hit.
#[cold]
#[inline(never)]
pub(crate) fn probe_slow<K: Key, V: Value>(
    engine: &Arc<Engine<K, V>>,
    key: &K,
    entry: Entry<V>,
    allow_stale: bool,
    refresh: bool,
) -> Option<Entry<V>> {
    let local = &engine.local;
    if !local.is_of_now(&entry) {
        return None;
    }
    let now = local.now();
    if now < entry.fresh_until() {
        if refresh {
            refresh_ahead(engine, key, now);
        }
        local.counters.l1_hit(entry.value().is_none());
        return Some(entry);
    }
    // The source failed a moment ago: don't ask it again for every read of a stale value.
    let throttled = || local.throttle.get(key, now).is_some();
    if allow_stale && local.policy.stale > 0 && now < entry.useful_until() && throttled() {
        local.counters.one(Count::StaleServed);
        return Some(entry);
    }
    None
}
