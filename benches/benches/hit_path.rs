//! Hits, misses and batches beside the raw stores, in one run: compare the ratios, not the nanoseconds.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use accelerator::{Cache, L1Store, ReadOptions};
use accelerator_benches::direct::{batch_cache, cache, entry, fresh_keys, mini_moka, moka, quick, raw_batch_miss};
use accelerator_benches::matrix::{Payload, WARM, make, now};
use criterion::{Criterion, criterion_group, criterion_main};

fn hits<S: L1Store<u64, Payload> + Clone>(c: &mut Criterion, name: &str, store: impl Fn() -> S) {
    let mut group = c.benchmark_group(name);
    group.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1)).sample_size(60);
    let raw = store();
    (0..WARM).for_each(|k| raw.insert(k, entry(k)));
    let ours = cache(store());
    drop(ours.mset((0..WARM).map(|k| (k, Some(make(k))))));
    let erased: Arc<dyn Cache<u64, Payload>> = Arc::new(ours.clone());
    let mut i = 0_u64;
    let mut next = move || {
        i += 1;
        i % WARM
    };
    group.bench_function("hit/raw", |b| b.iter(|| raw.get(&next())));
    group.bench_function("hit/get", |b| b.iter(|| now(ours.get(&next()))));
    group.bench_function("hit/dyn_get", |b| b.iter(|| now(erased.get(&next()))));
    group.bench_function("hit/2 threads/raw", |b| b.iter_custom(|n| two(n, |i| drop(black_box(raw.get(&(i % WARM)))))));
    group.bench_function("hit/2 threads/get", |b| {
        b.iter_custom(|n| two(n, |i| drop(black_box(now(ours.get_with(&(i % WARM), ReadOptions::new()))))));
    });
    let keys: Vec<u64> = (0..32).collect();
    group.bench_function("mget32/raw", |b| {
        b.iter(|| keys.iter().map(|k| raw.get(k).and_then(|e| e.into_value())).collect::<Vec<_>>());
    });
    group.bench_function("mget32/mget", |b| b.iter(|| now(ours.mget(&keys)).map(accelerator::Answers::into_results)));
    group.finish();
}

/// Both threads run the whole count; the time is that of the slower one.
fn two(n: u64, f: impl Fn(u64) + Sync) -> Duration {
    let start = Instant::now();
    std::thread::scope(|s| {
        for _ in 0..2 {
            s.spawn(|| (0..n).for_each(&f));
        }
    });
    start.elapsed()
}

fn misses<S: L1Store<u64, Payload> + Clone>(c: &mut Criterion, name: &str, store: impl Fn() -> S) {
    let mut group = c.benchmark_group(name);
    group.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1)).sample_size(60);
    static FRESH: AtomicU64 = AtomicU64::new(1 << 20);
    let fresh = || FRESH.fetch_add(1, Relaxed);
    let raw = store();
    (0..20_000).for_each(|k| raw.insert(k, entry(k)));
    let ours = cache(store());
    drop(ours.mset((0..20_000).map(|k| (k, Some(make(k))))));
    group.bench_function("miss/raw", |b| {
        b.iter(|| {
            let k = fresh();
            raw.get(&k).is_none().then(|| raw.insert(k, black_box(entry(k))))
        });
    });
    group.bench_function("miss/get", |b| b.iter(|| now(ours.get(&fresh()))));
    let batch = batch_cache(store());
    group.bench_function("mget32 miss/raw", |b| b.iter(|| raw_batch_miss(&raw, &fresh_keys(fresh()))));
    group.bench_function("mget32 miss/mget", |b| {
        b.iter(|| now(batch.mget(&fresh_keys(fresh()))).map(accelerator::Answers::into_results));
    });
    group.finish();
}

fn all(c: &mut Criterion) {
    hits(c, "quick-cache", quick);
    misses(c, "quick-cache", quick);
    hits(c, "moka", moka);
    hits(c, "mini-moka", mini_moka);
}

criterion_group!(benches, all);
criterion_main!(benches);
