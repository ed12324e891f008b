//! The task that listens: where it runs, what takes its place, and when it ends.

use std::time::{Duration, Instant};

use accelerator_core::testkit::{MemoryBus, settle};
use accelerator_core::{BusState, ErrorKind, Lookup};
use tokio::runtime::{Builder, Runtime};

use super::{Pair, WAYS, Way};
use crate::common::{World, ok, secs};

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

#[tokio::test(start_paused = true)]
async fn it_ends_with_the_last_handle_or_the_shutdown() {
    for way in WAYS {
        let p = Pair::new(way).await;
        p.fill(&[1]).await;
        assert_eq!((p.at_a.listeners(), p.at_b.listeners()), (1, 1), "{way:?}");
        let clone = p.a.clone();
        drop(p.a);
        settle().await;
        assert_eq!(p.at_a.listeners(), 1, "{way:?}: a handle is left");
        drop(clone);
        settle().await;
        assert_eq!(p.at_a.listeners(), 0, "{way:?}");
        let left = p.b.shutdown(secs(1)).await;
        settle().await;
        assert_eq!((left.unpublished, p.at_b.listeners()), (0, 0), "{way:?}");
        assert_eq!(p.b.try_get(&1), Lookup::Miss, "{way:?}: nobody hears for it any more");
        assert_eq!(p.b.get(&1).await.expect_err("it was shut down").kind(), ErrorKind::Shutdown);
        assert_eq!(p.at_b.listeners(), 0, "{way:?}");
    }
}

#[test]
fn it_begins_with_the_first_use_where_the_cache_was_built_outside_of_a_runtime() {
    for how in ["get", "mget", "ticket", "get_or_load", "set", "del"] {
        for way in [Way::L1, Way::Both] {
            let (w, bus) = (way.world(), MemoryBus::new());
            let cache = ok(way.builder(&w).bus(bus.clone()));
            assert_eq!((bus.listeners(), cache.stats().bus), (0, BusState::Suspect));
            runtime().block_on(async {
                match how {
                    "get" => drop(cache.get(&1).await),
                    "mget" => drop(cache.mget(&[1, 2]).await),
                    "ticket" => drop(accelerator_core::Tickets::begin(&cache, &1).await),
                    "get_or_load" => drop(cache.get_or_load(&1, w.source.clone().load(1)).await),
                    "set" => drop(cache.set(&1, 7).await),
                    _ => drop(cache.del(&1).await),
                }
                settle().await;
                assert_eq!((bus.listeners(), cache.stats().bus), (1, BusState::Up), "{how} {way:?}");
            });
        }
    }
}

#[test]
fn what_is_written_outside_of_a_runtime_is_told_from_the_next_one() {
    for way in [Way::L1, Way::Both] {
        let (w, bus) = (way.world(), MemoryBus::new());
        let (a, b) = (ok(way.builder(&w).bus(bus.clone())), ok(way.builder(&w.twin()).bus(bus.node())));
        let runs = runtime();
        runs.block_on(async {
            b.get(&1).await.expect("a value");
            b.get(&1).await.expect("a value");
            settle().await;
            b.get(&1).await.expect("a value");
        });
        assert_eq!(b.try_get(&1), Lookup::Hit(1001));
        let outside = futures_util::FutureExt::now_or_never(a.del(&1)).expect("at once");
        assert_eq!(outside.expect_err("no runtime").kind(), ErrorKind::NoRuntime, "{way:?}");
        runs.block_on(async {
            a.get(&1).await.expect("a value");
            let begun = Instant::now();
            while b.try_get(&1) != Lookup::Miss {
                assert!(begun.elapsed() < Duration::from_secs(20), "{way:?}: it was not told");
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
    }
}

#[test]
fn where_its_runtime_ends_l1_is_not_believed_until_another_listens() {
    let (w, bus) = (World::new(), MemoryBus::new());
    let first = runtime();
    let cache = first.block_on(async {
        let cache = ok(w.l1().bus(bus.clone()));
        settle().await;
        cache.get(&1).await.expect("a value");
        cache
    });
    assert_eq!(cache.try_get(&1), Lookup::Hit(1001));
    drop(first);
    assert_eq!((cache.try_get(&1), cache.stats().gaps.asleep), (Lookup::Miss, 1));
    assert_eq!((cache.stats().bus, bus.listeners()), (BusState::Suspect, 0));
    runtime().block_on(async {
        cache.get(&1).await.expect("a value");
        settle().await;
        assert_eq!((cache.stats().bus, bus.listeners()), (BusState::Up, 1));
    });
}

#[test]
fn where_its_runtime_is_not_run_another_takes_its_place() {
    let (w, bus) = (World::new(), MemoryBus::new());
    let idle = runtime();
    let cache = idle.block_on(async {
        let cache = ok(w.l1().bus(bus.clone()));
        settle().await;
        cache.get(&1).await.expect("a value");
        cache
    });
    let begun = Instant::now();
    runtime().block_on(async {
        let mut key = 2;
        while cache.stats().gaps.asleep == 0 {
            assert!(begun.elapsed() < Duration::from_secs(20), "nobody has taken its place");
            cache.get(&key).await.expect("a value");
            key += 1;
            tokio::task::yield_now().await;
        }
        assert_eq!(cache.try_get(&1), Lookup::Miss, "nobody has heard for it");
        settle().await;
        assert_eq!(cache.stats().bus, BusState::Up);
        cache.get(&1).await.expect("a value");
        // The old task comes back, and ends.
        std::thread::scope(|scope| {
            scope.spawn(|| {
                idle.block_on(async {
                    while bus.listeners() > 1 {
                        tokio::task::yield_now().await
                    }
                })
            });
        });
        assert_eq!((cache.stats().bus, bus.listeners()), (BusState::Up, 1));
    });
}

#[test]
fn the_builders_runtime_is_the_better_one() {
    let (w, bus) = (World::new(), MemoryBus::new());
    let runs = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let idle = runtime();
    let cache = idle.block_on(async { ok(w.l1().bus(bus.clone()).runtime(runs.handle().clone())) });
    let begun = Instant::now();
    while cache.stats().bus != BusState::Up {
        assert!(begun.elapsed() < Duration::from_secs(20), "nobody listens");
        std::thread::yield_now();
    }
    idle.block_on(cache.get(&1)).expect("a value");
    drop(idle);
    assert_eq!((cache.try_get(&1), cache.stats().gaps.total()), (Lookup::Hit(1001), 0));
}
