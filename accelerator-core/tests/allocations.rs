//! A hit is free: no allocation on an L1 hit, static or through `dyn Cache`; few on a miss, a batch and a wait.

use std::alloc::System;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use accelerator_core::testkit::{MemoryBus, MemoryL1};
use accelerator_core::{Begin, Cache, LevelCache, Lookup, Probe, ReadOptions, Tickets};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

type Payload = Arc<[u64; 4]>;

/// What `f` allocates; the allocator counts for the whole process, so all is one test.
fn allocations(f: impl FnOnce()) -> usize {
    let region = Region::new(ALLOCATOR);
    f();
    let change = region.change();
    change.allocations + change.reallocations
}

fn now<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(out) => out,
        Poll::Pending => unreachable!("an L1 hit is ready at the first poll"),
    }
}

fn cache() -> LevelCache<u64, Payload, MemoryL1<u64, Payload>> {
    LevelCache::<u64, Payload>::builder()
        .area("a")
        .l1(MemoryL1::with_capacity(1000))
        .ttl(Duration::from_secs(60))
        .loader(|key| std::future::ready(Ok::<_, std::io::Error>(Some(Arc::new([key; 4])))))
        .build()
        .expect("valid settings")
}

#[test]
fn hits_misses_batches_and_waits_allocate_what_is_promised() {
    let cache = cache();
    let erased: Arc<dyn Cache<u64, Payload>> = Arc::new(cache.clone());
    for key in 0..1000 {
        now(cache.get(&key)).expect("a loaded value");
    }

    // Hits.
    let hit = 999;
    assert_eq!(allocations(|| drop(now(cache.get(&hit)))), 0, "get");
    assert_eq!(allocations(|| assert!(matches!(cache.try_get(&hit), Lookup::Hit(_)))), 0, "try_get");
    assert_eq!(allocations(|| assert!(matches!(now(cache.lookup(&hit)), Lookup::Hit(_)))), 0, "lookup");
    let body = || async { Ok::<_, std::io::Error>(Some(Arc::new([0; 4]))) };
    let borrowed = allocations(|| assert!(now(cache.get_or_load(&hit, body())).is_ok()));
    assert_eq!(borrowed, 0, "get_or_load with a borrowed body");
    assert_eq!(allocations(|| drop(now(erased.get(&hit)))), 0, "get through dyn");
    assert_eq!(allocations(|| assert!(matches!(now(erased.begin(&hit)), Begin::Hit(_)))), 0, "begin through dyn");
    assert_eq!(
        allocations(|| assert!(matches!(erased.hit_or_begin(&hit), Probe::Hit(_)))),
        0,
        "hit_or_begin through dyn"
    );
    let options = ReadOptions::new();
    assert_eq!(allocations(|| drop(now(erased.get_with(&hit, options)))), 0, "get_with through dyn");
    assert_eq!(allocations(|| assert!(matches!(erased.try_get(&hit), Lookup::Hit(_)))), 0, "try_get through dyn");
    assert_eq!(allocations(|| assert!(matches!(now(erased.lookup(&hit)), Lookup::Hit(_)))), 0, "lookup through dyn");
    let borrowed = allocations(|| assert!(now(erased.get_or_load(&hit, body())).is_ok()));
    assert_eq!(borrowed, 0, "get_or_load through dyn");
    let keys: Vec<u64> = (968..1000).collect();
    let batch = allocations(|| assert_eq!(now(cache.mget(&keys)).into_results().len(), 32));
    assert!(batch <= 2, "mget of 32 hits made {batch} allocations");
    let erased = allocations(|| assert_eq!(now(erased.mget(&keys)).into_results().len(), 32));
    assert_eq!(erased, batch, "mget of 32 hits through dyn");

    // Nor does a hit of a cache with a bus.
    let heard = LevelCache::<u64, Payload>::builder().area("a").l1(MemoryL1::new()).ttl(Duration::from_secs(60));
    let heard = heard.bus(MemoryBus::new()).suspect_ttl(Duration::from_secs(60)).build().expect("valid settings");
    drop(heard.set(&hit, Arc::new([0; 4])));
    assert_eq!(allocations(|| assert!(now(heard.get(&hit)).is_ok_and(|value| value.is_some()))), 0, "get with a bus");

    // Futures are small: what waits is boxed.
    let size = size_of_val(&cache.get(&hit));
    assert!(size <= 128, "the future of get has {size} bytes");

    // A miss: the flight, the loader's box, the value's own Arc. Averaged, since tables grow now and then.
    let fresh = allocations(|| (5000..6000).for_each(|key| drop(now(cache.get(&key)))));
    let store = MemoryL1::<u64, Payload>::with_capacity(1000);
    let raw = allocations(|| (5000..6000).for_each(|key| insert(&store, key)));
    println!(
        "allocations per miss: {:.3}, of which the store's own {:.3}",
        fresh as f64 / 1e3,
        (raw - 1000) as f64 / 1e3
    );
    assert!(fresh - (raw - 1000) <= 3 * 1000 + 100, "{fresh} allocations for 1000 misses, the store's own are {raw}");

    waiters_allocate_little();
}

fn insert(store: &MemoryL1<u64, Payload>, key: u64) {
    use accelerator_core::{Entry, L1Store};
    store.insert(key, Entry::new(Some(Arc::new([key; 4])), 0, 1, 1, 1));
}

/// 10,000 waiters on one key: what each allocates beside its task.
fn waiters_allocate_little() {
    const WAITERS: usize = 10_000;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    let runtime = runtime.expect("a runtime");
    let loads = Arc::new(AtomicUsize::new(0));
    let counted = loads.clone();
    let slow = LevelCache::<u64, Payload>::builder()
        .area("a")
        .l1(MemoryL1::new())
        .ttl(Duration::from_secs(60))
        .loader(move |key| {
            let loads = counted.clone();
            async move {
                loads.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(20)).await;
                Ok::<_, std::io::Error>(Some(Arc::new([key; 4])))
            }
        })
        .build()
        .expect("valid settings");
    let tasks_alone = runtime.block_on(async {
        let region = Region::new(ALLOCATOR);
        let tasks: Vec<_> = (0..WAITERS).map(|_| tokio::spawn(tokio::time::sleep(Duration::from_millis(20)))).collect();
        for task in tasks {
            task.await.expect("a task");
        }
        region.change().allocations
    });
    for way in 0..3 {
        let key = way as u64;
        let made = runtime.block_on(async {
            let region = Region::new(ALLOCATOR);
            let tasks: Vec<_> = (0..WAITERS)
                .map(|_| {
                    let slow = slow.clone();
                    tokio::spawn(async move {
                        match way {
                            0 => drop(slow.get(&key).await),
                            1 => drop(slow.mget(&[key]).await),
                            _ => drop(slow.get_or_load(&key, never()).await),
                        }
                    })
                })
                .collect();
            for task in tasks {
                task.await.expect("a task");
            }
            region.change().allocations
        });
        let each = made.saturating_sub(tasks_alone) as f64 / WAITERS as f64;
        println!("allocations per waiter, {}: {each:.3}", ["get", "mget", "get_or_load"][way]);
        assert!(each <= 2.01, "{each} allocations per waiter in way {way}");
    }
    assert_eq!(loads.load(Ordering::Relaxed), 2, "one load for each way that has the loader load");
}

async fn never() -> Result<Option<Payload>, std::io::Error> {
    tokio::time::sleep(Duration::from_millis(20)).await;
    Ok(Some(Arc::new([0; 4])))
}
