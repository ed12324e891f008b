//! What `scripts/bench.sh selftest --inject` puts into the hit path, to show that the gate sees it. Built for that test
//! only, and into the benchmark: the library knows nothing of it.

use std::hint::black_box;
use std::sync::OnceLock;
use std::time::Duration;

use accelerator::{Entry, L1Stats, L1Store, LevelCache};

use crate::clock::thread_cpu;
use crate::matrix::subject::static_hits;
use crate::matrix::{Payload, WARM, make};

/// What a busy loop adds to a hit, as a part of it.
const SLOWER: f64 = 0.30;

/// Rounds of the busy loop in a hit.
static ROUNDS: OnceLock<u64> = OnceLock::new();

/// A store whose hits take longer, or allocate.
#[derive(Clone)]
pub(super) struct Injected<S>(S);

impl<S: L1Store<u64, Payload> + Clone> Injected<S> {
    pub(super) fn into(store: S) -> Self {
        if cfg!(accelerator_inject = "slow") {
            ROUNDS.get_or_init(|| rounds(&store));
        }
        Self(store)
    }
}

/// How long the busy loop has to be.
fn rounds<S: L1Store<u64, Payload> + Clone>(store: &S) -> u64 {
    let builder = LevelCache::builder().area("bench").l1(store.clone()).ttl(Duration::from_secs(3600));
    let cache = builder.build().expect("the settings are valid");
    drop(cache.mset((0..WARM).map(|key| (key, Some(make(key))))));
    let hit = nanoseconds(20_000, |count| static_hits(&cache, 0, count));
    (SLOWER * hit / nanoseconds(1_000_000, busy)).round() as u64
}

/// Of one, the least of many measurements.
fn nanoseconds(count: u64, run: impl Fn(u64)) -> f64 {
    let time = || {
        let start = thread_cpu();
        run(black_box(count));
        thread_cpu() - start
    };
    (0..25).map(|_| time()).min().unwrap_or(Duration::ZERO).as_secs_f64() * 1e9 / count as f64
}

fn busy(rounds: u64) {
    for round in 0..rounds {
        black_box(round);
    }
}

fn inject() {
    if cfg!(accelerator_inject = "slow") {
        busy(*ROUNDS.get().unwrap_or(&0));
    } else {
        drop(black_box(Box::new(0_u64)));
    }
}

impl<K: 'static, V: 'static, S: L1Store<K, V>> L1Store<K, V> for Injected<S> {
    fn get(&self, key: &K) -> Option<Entry<V>> {
        self.0.get(key).inspect(|_| inject())
    }
    fn recheck(&self, key: &K) -> Option<Entry<V>> {
        self.0.recheck(key)
    }
    fn insert(&self, key: K, entry: Entry<V>) {
        self.0.insert(key, entry);
    }
    fn remove(&self, key: &K) {
        self.0.remove(key);
    }
    fn clear(&self) {
        self.0.clear();
    }
    fn stats(&self) -> L1Stats {
        self.0.stats()
    }
}
