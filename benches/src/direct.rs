//! Caches with loaders beside the raw stores, for `hit_path` and `hit_counts`.

use std::collections::HashMap;
use std::time::Duration;

use accelerator::stores::{MiniMokaL1, MokaL1, QuickCacheL1};
use accelerator::{Entry, L1Store, LevelCache};

use crate::matrix::{Payload, make};

/// Entries that an L1 may hold.
const CAPACITY: u64 = 10_000;

/// The entry that a raw store holds, the same type that ours hold.
pub fn entry(key: u64) -> Entry<Payload> {
    Entry::new(Some(make(key)), 0, 3_600_000, 3_600_000, 1)
}

/// The stores of this workspace, built alike.
pub fn quick() -> QuickCacheL1<u64, Payload> {
    QuickCacheL1::new(CAPACITY)
}

/// See [`quick`].
pub fn moka() -> MokaL1<u64, Payload> {
    MokaL1::new(CAPACITY)
}

/// [`moka()`], where entries leave at one age.
pub fn moka_longest_life() -> MokaL1<u64, Payload> {
    MokaL1::builder().capacity(CAPACITY).longest_life(Duration::from_secs(3600)).build().expect("it has a bound")
}

/// See [`quick`].
pub fn mini_moka() -> MiniMokaL1<u64, Payload> {
    MiniMokaL1::new(CAPACITY)
}

/// A cache over `store`, with a loader that is ready at once.
pub fn cache<S: L1Store<u64, Payload> + Clone>(store: S) -> LevelCache<u64, Payload, S> {
    let built = LevelCache::<u64, Payload>::builder()
        .area("bench")
        .l1(store)
        .ttl(Duration::from_secs(3600))
        .loader(|key| std::future::ready(Ok::<_, std::io::Error>(Some(make(key)))))
        .build();
    built.expect("the settings above are valid")
}

/// A cache over `store`, with a batch loader that is ready at once.
pub fn batch_cache<S: L1Store<u64, Payload> + Clone>(store: S) -> LevelCache<u64, Payload, S> {
    let built = LevelCache::<u64, Payload>::builder()
        .area("bench")
        .l1(store)
        .ttl(Duration::from_secs(3600))
        .batch_loader(|keys: Vec<u64>| std::future::ready(Ok::<_, std::io::Error>(load_many(&keys))))
        .build();
    built.expect("the settings above are valid")
}

/// What a batch load makes.
fn load_many(keys: &[u64]) -> HashMap<u64, Option<Payload>> {
    keys.iter().map(|&k| (k, Some(make(k)))).collect()
}

/// 32 keys that nobody has asked for.
pub fn fresh_keys(i: u64) -> [u64; 32] {
    std::array::from_fn(|at| (1 << 40) + i * 32 + at as u64)
}

/// What a careful engineer writes: load the batch, keep and return what was found, in the order of the keys.
pub fn raw_batch_miss(store: &impl L1Store<u64, Payload>, keys: &[u64]) -> Vec<Option<Payload>> {
    let missing: Vec<u64> = keys.iter().copied().filter(|k| store.get(k).is_none()).collect();
    let mut found = load_many(&missing);
    let mut out = Vec::with_capacity(keys.len());
    for key in missing {
        let value = found.remove(&key).flatten();
        store.insert(key, Entry::new(value.clone(), 0, 3_600_000, 3_600_000, 1));
        out.push(value);
    }
    out
}
