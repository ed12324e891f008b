//! The smallest and the greatest that an option takes: nothing overflows, nothing panics, nothing waits for ever.

use std::time::Duration;

use accelerator_core::testkit::{Fault, MemoryL1, Op, settle};
use accelerator_core::{Entry, L1Store, Loaded, Lookup, ReadOptions, StoreErrorKind, WriteOptions};

use crate::common::{Away, World, ms, ok, secs};

const DAY: u64 = 86_400;
const YEAR: u64 = 365 * DAY;

#[tokio::test(start_paused = true)]
async fn the_greatest_ttl_is_a_long_life_and_no_overflow() {
    let endless = async |key: u64| Ok::<_, Away>(Loaded::value(key).ttl(Duration::MAX));
    for with_l2 in [false, true] {
        let w = World::new();
        let builder = if with_l2 { w.no_loader() } else { w.bare().l1(w.l1.clone()) };
        let cache =
            ok(builder.ttl(secs(10 * YEAR)).l1_ttl(secs(10 * YEAR)).stale_on_error(secs(10 * YEAR)).loader(endless));
        cache.set_with(&1, 1, WriteOptions::new().ttl(Duration::MAX)).await.unwrap();
        cache.mset_with([(2, Some(2)), (3, None)], WriteOptions::new().ttl(Duration::MAX)).await.unwrap();
        assert_eq!(cache.get(&4).await.unwrap(), Some(4));
        assert_eq!(cache.mget(&[5, 6]).await.into_values().unwrap(), [Some(5), Some(6)]);
        assert_eq!(cache.get_or_load(&7, endless(7)).await.unwrap(), Some(7));
        settle().await;
        w.clock.advance(secs(49 * DAY)).await;
        for key in [1, 2, 4, 5, 6, 7] {
            assert_eq!(cache.try_get(&key), Lookup::Hit(key));
        }
        assert_eq!(cache.try_get(&3), Lookup::Absent);
        L1Store::<u64, u64>::clear(&w.l1);
        assert_eq!(cache.lookup(&1).await, if with_l2 { Lookup::Hit(1) } else { Lookup::Miss });
        assert_eq!(cache.stats().flights, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_bypass_ends_with_the_longest_life_in_l2_however_long_a_ttl_was_asked_for() {
    let w = World::new();
    let cache = ok(w.no_loader());
    cache.set_with(&1, 7, WriteOptions::new().ttl(Duration::MAX)).await.unwrap();
    w.l2.always_for(Op::Del, Some(Fault::Error(StoreErrorKind::Unavailable)));
    assert!(cache.del(&1).await.is_err());
    w.clock.advance(ms(u64::from(u32::MAX) - 1)).await;
    assert_eq!(cache.lookup(&1).await, Lookup::Unavailable);
    w.clock.advance(ms(2)).await;
    assert_eq!(cache.lookup(&1).await, Lookup::Miss, "nothing that was written can live there any more");
}

#[tokio::test(start_paused = true)]
async fn batches_of_one_key_do_what_larger_ones_do() {
    for batches in [false, true] {
        let w = World::new();
        let cache = ok(if batches { w.batches() } else { w.both() }.max_batch(1));
        let keys = [3, 1, 3, 2];
        let values = [Some(3001), Some(1001), Some(3001), Some(2001)];
        assert_eq!(cache.mget(&keys).await.into_values().unwrap(), values);
        assert!(w.source.calls().iter().all(|call| call.len() == 1) && w.source.asked() == 3);
        cache.mset(keys.map(|key| (key, Some(key)))).await.unwrap();
        let found = cache.mget_with(&keys, ReadOptions::new().disable_load(true)).await.into_values().unwrap();
        assert_eq!(found, keys.map(Some));
        cache.mdel(&keys).await.unwrap();
        assert_eq!((w.l1.len(), w.l2.inner().len()), (0, 0));
        assert_eq!(cache.warmup(keys).await.ready, 4);
        assert_eq!(cache.stats().flights, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn batches_without_a_limit_are_one_call() {
    let w = World::new();
    let cache = ok(w.batches().max_batch(usize::MAX));
    let keys: Vec<u64> = (0..1000).collect();
    assert_eq!(cache.mget(&keys).await.into_values().unwrap().len(), 1000);
    assert_eq!(cache.warmup(1000..2000).await.ready, 1000);
    cache.mdel(&keys).await.unwrap();
    assert_eq!((w.source.calls().len(), w.l2.calls(Op::Get), w.l2.calls(Op::Del)), (2, 2, 1));
}

#[tokio::test(start_paused = true)]
async fn full_jitter_leaves_a_life() {
    let w = World::new();
    let cache = ok(w.both().ttl(ms(2)).l1_ttl(ms(2)).ttl_jitter_ratio(1.0));
    for key in 0..1000 {
        cache.get(&key).await.unwrap();
        cache.set(&(key + 1000), key).await.unwrap();
        for key in [key, key + 1000] {
            assert!(matches!(cache.try_get(&key), Lookup::Hit(_)), "it has ended before it began");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_l1_without_room_is_a_cache_without_hits() {
    let w = World::new();
    let cache = ok(w.bare().l1(MemoryL1::with_capacity(0)).loader({
        let source = w.source.clone();
        move |key| source.clone().load(key)
    }));
    for asked in [2, 4] {
        assert_eq!(cache.mget(&[1, 2, 1]).await.into_values().unwrap(), [Some(1001), Some(2001), Some(1001)]);
        assert_eq!(w.source.asked(), asked);
    }
    cache.set(&1, 5).await.unwrap();
    assert_eq!(cache.get(&1).await.unwrap(), Some(1001));
    cache.del(&1).await.unwrap();
    assert_eq!((cache.l1_stats().entries, cache.stats().flights), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn shutdown_without_a_deadline_waits_for_all_that_is_in_progress() {
    let w = World::new();
    let cache = ok(w.both().loader_timeout(secs(100)));
    w.source.slow(secs(50));
    let reader = cache.clone();
    let load = tokio::spawn(async move { reader.get(&1).await });
    settle().await;
    assert_eq!(cache.shutdown(Duration::MAX).await.unfinished, 0);
    assert_eq!(load.await.unwrap().unwrap(), Some(1001));
    assert_eq!(cache.shutdown(Duration::ZERO).await.unfinished, 0);
}

#[test]
fn an_entry_of_the_longest_life_is_as_long_as_time() {
    let entry = Entry::new(Some(1), 0, u64::MAX, u64::MAX, 0);
    assert_eq!(entry.life(), ms(u64::MAX));
    assert_eq!(Entry::new(Some(1), u64::MAX, 0, 0, 0).life(), Duration::ZERO);
}
