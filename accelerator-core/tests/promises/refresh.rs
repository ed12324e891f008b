//! Refresh-ahead: a new value before the old one expires, never in a caller's time, never a storm.

use accelerator_core::testkit::{Fault, MemoryL1, Op, settle};
use accelerator_core::{ErrorKind, Loaded, Lookup, StoreErrorKind};

use crate::common::{Away, Level, TTL, World, ms, ok, secs};

fn cache(w: &World) -> Level {
    ok(w.both().refresh_ahead_window(secs(10)))
}

#[tokio::test(start_paused = true)]
async fn a_hit_in_the_window_answers_at_once_and_refreshes_both_levels_behind_the_caller() {
    let w = World::new();
    let cache = cache(&w);
    cache.get(&1).await.unwrap();
    w.source.put(2);
    w.clock.advance(secs(50) - ms(1)).await;
    cache.get(&1).await.unwrap();
    settle().await;
    assert_eq!(cache.stats().refreshes, 0, "not yet in the window");
    w.clock.advance(ms(1)).await;
    let door = w.source.door();
    assert_eq!(cache.get(&1).await.unwrap(), Some(1001), "the old value, without waiting");
    door.reached().await;
    assert_eq!(cache.get(&1).await.unwrap(), Some(1001));
    door.open();
    settle().await;
    assert_eq!(cache.try_get(&1), Lookup::Hit(1002));
    assert_eq!(w.in_l2(1).await, Some(Some(1002)));
    w.clock.advance(TTL - ms(1)).await;
    assert_eq!(cache.try_get(&1), Lookup::Hit(1002), "with a whole new life");
    settle().await;
    assert_eq!(cache.stats().flights, 0);
    let stats = cache.stats();
    assert_eq!((stats.refreshes, stats.refreshes_ok, stats.refreshes_failed), (1, 1, 0), "a `try_get` begins none");
}

#[tokio::test(start_paused = true)]
async fn one_refresh_per_key_however_many_hits() {
    let w = World::new();
    let cache = cache(&w);
    cache.mget(&[1, 2]).await.into_values().unwrap();
    w.clock.advance(secs(55)).await;
    let door = w.source.door();
    let other = w.source.door();
    for _ in 0..1000 {
        cache.get(&1).await.unwrap();
        cache.mget(&[1, 2]).await.into_values().unwrap();
        let _ = cache.try_get(&1);
        settle().await;
    }
    assert_eq!((cache.stats().refreshes, w.source.asked()), (2, 4), "two keys, loaded and refreshed once each");
    door.open();
    other.open();
    settle().await;
    for _ in 0..1000 {
        cache.get(&1).await.unwrap();
    }
    settle().await;
    assert_eq!(w.source.asked(), 4, "refreshed: no hit is in the window now");
}

#[tokio::test(start_paused = true)]
async fn a_reader_of_an_expired_value_joins_the_refresh() {
    let w = World::new();
    let cache = cache(&w);
    cache.get(&1).await.unwrap();
    w.clock.advance(secs(59)).await;
    w.source.put(2);
    let door = w.source.door();
    cache.get(&1).await.unwrap();
    door.reached().await;
    w.clock.advance(secs(1)).await;
    let (value, ()) = tokio::join!(cache.get(&1), async { door.open() });
    assert_eq!(value.unwrap(), Some(1002));
    assert_eq!(w.source.asked(), 2);
    settle().await;
    let stats = cache.stats();
    assert_eq!((stats.refreshes, stats.refreshes_ok, stats.refreshes_failed), (1, 1, 0), "its work has moved");
}

#[test]
fn a_refresh_whose_runtime_ends_has_failed() {
    let w = World::new();
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let (first, second) = (runtime(), runtime());
    let cache = cache(&w);
    first.block_on(async {
        cache.get(&1).await.unwrap();
        w.clock.advance(secs(55)).await;
        let door = w.source.door();
        cache.get(&1).await.unwrap();
        door.reached().await;
    });
    let stats = cache.stats();
    assert_eq!((stats.refreshes, stats.refreshes_ok, stats.refreshes_failed), (1, 0, 0), "in progress");
    drop(first);
    second.block_on(settle());
    let stats = cache.stats();
    assert_eq!((stats.refreshes, stats.refreshes_ok, stats.refreshes_failed), (1, 0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_failed_refresh_keeps_the_old_value_and_waits_a_second() {
    for with_l2 in [false, true] {
        let w = World::new();
        let builder = if with_l2 { w.both() } else { w.l1() };
        let cache = ok(builder.refresh_ahead_window(secs(10)));
        cache.get(&1).await.unwrap();
        w.clock.advance(secs(52)).await;
        w.source.away(true);
        for _ in 0..3 {
            for _ in 0..50 {
                assert_eq!(cache.get(&1).await.unwrap(), Some(1001));
                settle().await;
                w.clock.advance(ms(20)).await;
            }
        }
        let asked = w.source.asked() - 1;
        assert!((2..=3).contains(&asked), "asked {asked} times in 3 s");
        let stats = cache.stats();
        assert_eq!((stats.refreshes_failed, stats.refreshes_ok), (stats.refreshes, 0));
        w.clock.advance(secs(10)).await;
        assert_eq!(cache.get(&1).await.unwrap_err().kind(), ErrorKind::Loader, "a failed refresh renews nothing");
    }
}

#[tokio::test(start_paused = true)]
async fn a_panicking_refresh_harms_nobody() {
    let w = World::new();
    let calls = std::sync::atomic::AtomicUsize::new(0);
    let load = move |key: u64| {
        let n = calls.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        assert!(n != 1, "bang");
        async move { Ok::<_, Away>(Some(key)) }
    };
    let cache = ok(w.no_loader().loader(load).refresh_ahead_window(secs(10)));
    cache.get(&1).await.unwrap();
    w.clock.advance(secs(55)).await;
    assert_eq!(cache.get(&1).await.unwrap(), Some(1));
    settle().await;
    assert_eq!(cache.get(&1).await.unwrap(), Some(1));
    assert_eq!((cache.stats().loads_panic, cache.stats().flights), (1, 0));
    assert_eq!(cache.stats().refreshes_failed, 1);
    w.clock.advance(secs(2)).await;
    assert_eq!(cache.get(&1).await.unwrap(), Some(1));
    settle().await;
    assert_eq!(cache.stats().loads_ok, 2);
}

#[tokio::test(start_paused = true)]
async fn what_another_node_refreshed_is_taken_from_l2() {
    let w = World::new();
    let (first, second) = (cache(&w), ok(w.twin().both().refresh_ahead_window(secs(10))));
    first.get(&1).await.unwrap();
    second.get(&1).await.unwrap();
    w.clock.advance(secs(55)).await;
    w.source.put(2);
    first.get(&1).await.unwrap();
    settle().await;
    second.get(&1).await.unwrap();
    settle().await;
    assert_eq!(second.try_get(&1), Lookup::Hit(1002));
    assert_eq!(w.source.asked(), 2, "one load at first, one refresh, for two nodes");
    assert_eq!(second.stats().refreshes_ok, 1, "a new answer all the same");
}

#[tokio::test(start_paused = true)]
async fn a_refresh_does_not_depend_on_l2() {
    let w = World::new();
    let cache = cache(&w);
    cache.get(&1).await.unwrap();
    w.clock.advance(secs(55)).await;
    w.source.put(2);
    w.l2.always(Some(Fault::Error(StoreErrorKind::Unavailable)));
    cache.get(&1).await.unwrap();
    settle().await;
    assert_eq!(cache.try_get(&1), Lookup::Hit(1002));
}

#[tokio::test(start_paused = true)]
async fn a_window_not_shorter_than_the_ttl_is_refused() {
    let w = World::new();
    for window in [TTL, secs(61), ms(0)] {
        let e = w.both().refresh_ahead_window(window).build().unwrap_err();
        assert_eq!(e.kind(), ErrorKind::InvalidConfig);
        assert!(e.to_string().contains("refresh_ahead_window"), "{e}");
    }
    assert!(w.both().l1_ttl(secs(5)).refresh_ahead_window(secs(5)).build().is_err(), "L1's TTL is what counts");
}

#[tokio::test(start_paused = true)]
async fn a_short_life_of_its_own_does_not_make_every_hit_a_refresh() {
    let w = World::new();
    let source = w.source.clone();
    let load = move |key: u64| {
        let source = source.clone();
        async move { source.load(key).await.map(|v| Loaded::from(v).ttl(secs(4))) }
    };
    for with_l2 in [false, true] {
        let builder = if with_l2 { w.no_loader() } else { w.bare().l1(MemoryL1::new()) };
        let cache = ok(builder.loader(load.clone()).refresh_ahead_window(secs(10)));
        cache.get(&1).await.unwrap();
        let before = w.source.asked();
        // 20 s of a hit every 100 ms, with lives of 4 s: a refresh every 2 s at most.
        for _ in 0..200 {
            cache.get(&1).await.unwrap();
            settle().await;
            w.clock.advance(ms(100)).await;
        }
        let asked = w.source.asked() - before;
        assert!((4..=11).contains(&asked), "{asked} refreshes in 20 s");
    }
}

#[tokio::test(start_paused = true)]
async fn at_most_256_refreshes_run_at_once() {
    let w = World::new();
    let cache = ok(w.l1().refresh_ahead_window(secs(10)));
    let keys: Vec<u64> = (0..1000).collect();
    cache.mget(&keys).await.into_values().unwrap();
    w.clock.advance(secs(55)).await;
    let asked = w.source.asked();
    w.source.slow(secs(1));
    for _ in 0..2 {
        for key in &keys {
            cache.get(key).await.unwrap();
        }
        settle().await;
    }
    assert_eq!((w.source.asked() - asked, cache.stats().refreshes), (256, 256));
    w.clock.advance(secs(2)).await;
    for key in &keys {
        cache.get(key).await.unwrap();
    }
    settle().await;
    assert_eq!(w.source.asked() - asked, 512, "the permits came back");
}

#[tokio::test(start_paused = true)]
async fn a_refresh_that_finds_the_value_gone_ends_the_old_one_in_both_levels() {
    // Whether or not "absent" may be cached.
    for cached in [true, false] {
        let w = World::new();
        let cache = ok(w.both().cache_null_value(cached).refresh_ahead_window(secs(10)));
        cache.get(&1).await.unwrap();
        w.clock.advance(secs(55)).await;
        w.source.put(0);
        cache.get(&1).await.unwrap();
        settle().await;
        assert_eq!(cache.get(&1).await.unwrap(), None, "cache_null_value({cached}): the old value is back");
        assert!(w.l2.calls(Op::Get) > 0);
    }
}
