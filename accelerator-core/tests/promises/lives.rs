//! I7: time is honest. No entry lives longer than it was given, in no level and by nobody's clock.

use std::collections::HashSet;
use std::time::Duration;

use accelerator_core::testkit::{Faulty, ManualClock, MemoryL1, MemoryL2, Op, settle};
use accelerator_core::{
    Clock, Codec, L1Store, LevelCache, LevelCacheBuilder, Limits, LoadError, Loaded, Lookup, WriteOptions,
};

use crate::common::{Away, L1, Level, TTL, World, ms, ok, secs};

/// How long L1 holds the key from its insertion on.
fn l1_life(l1: &L1, key: u64) -> Option<Duration> {
    L1Store::<u64, u64>::get(l1, &key).map(|entry| entry.life())
}

fn l2_life(w: &World, key: u64) -> Option<Duration> {
    w.l2.inner().remaining(&format!("t.{key}"))
}

#[tokio::test(start_paused = true)]
async fn an_entry_is_fresh_to_the_last_millisecond_of_its_ttl_and_not_longer() {
    for with_l2 in [false, true] {
        let w = World::new();
        let cache = if with_l2 { ok(w.both()) } else { ok(w.l1()) };
        cache.get(&1).await.unwrap();
        w.source.put(2);
        w.clock.advance(TTL - ms(1)).await;
        assert_eq!(cache.get(&1).await.unwrap(), Some(1001));
        w.clock.advance(ms(1)).await;
        assert_eq!(cache.get(&1).await.unwrap(), Some(1002));
    }
}

#[tokio::test(start_paused = true)]
async fn l1_and_l2_have_ttls_of_their_own() {
    let w = World::new();
    let cache = ok(w.both().l1_ttl(secs(5)).l2_ttl(secs(100)));
    cache.get(&1).await.unwrap();
    assert_eq!((l1_life(&w.l1, 1), l2_life(&w, 1)), (Some(secs(5)), Some(secs(100))));
    w.clock.advance(secs(5)).await;
    assert_eq!(cache.try_get(&1), Lookup::Miss);
    assert_eq!(cache.get(&1).await.unwrap(), Some(1001));
    assert_eq!((w.source.asked(), cache.stats().l2_hits), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_loader_can_give_each_answer_a_life_of_its_own() {
    let w = World::new();
    let load = async |key: u64| Ok::<_, Away>(Loaded::value(key).ttl(secs(key)));
    let many = async |keys: Vec<u64>| {
        Ok::<Vec<_>, Away>(keys.into_iter().map(|key| (key, Loaded::value(key).ttl(secs(key)))).collect())
    };
    for batches in [false, true] {
        let builder = w.no_loader();
        let cache = ok(if batches { builder.batch_loader(many) } else { builder.loader(load) });
        w.l2.inner().wipe();
        cache.clear().await.unwrap();
        cache.get(&3).await.unwrap();
        cache.mget(&[5, 500]).await.into_values().unwrap();
        for key in [3, 5, 500] {
            assert_eq!((l1_life(&w.l1, key), l2_life(&w, key)), (Some(secs(key)), Some(secs(key))));
        }
        let body = async { Ok::<_, Away>(Loaded::value(1).ttl(secs(7))) };
        cache.get_or_load(&7, body).await.unwrap();
        settle().await;
        assert_eq!((l1_life(&w.l1, 7), l2_life(&w, 7)), (Some(secs(7)), Some(secs(7))));
        w.clock.advance(secs(3)).await;
        assert_eq!((cache.lookup(&3).await, cache.lookup(&5).await), (Lookup::Miss, Lookup::Hit(5)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_writer_can_too() {
    let w = World::new();
    let cache = ok(w.both());
    cache.set_with(&1, 5, WriteOptions::new().ttl(secs(2))).await.unwrap();
    cache.mset_with([(2, Some(6)), (3, None)], WriteOptions::new().ttl(secs(3))).await.unwrap();
    assert_eq!((l1_life(&w.l1, 1), l2_life(&w, 1)), (Some(secs(2)), Some(secs(2))));
    assert_eq!((l1_life(&w.l1, 2), l2_life(&w, 2)), (Some(secs(3)), Some(secs(3))));
    assert_eq!((l1_life(&w.l1, 3), l2_life(&w, 3)), (Some(secs(3)), Some(secs(3))));
    w.clock.advance(secs(2)).await;
    assert_eq!((cache.lookup(&1).await, cache.lookup(&2).await), (Lookup::Miss, Lookup::Hit(6)));
}

#[tokio::test(start_paused = true)]
async fn absent_lives_for_null_ttl() {
    for (configured, expected) in [(None, secs(30)), (Some(secs(7)), secs(7)), (Some(secs(90)), secs(60))] {
        let w = World::new();
        let builder = w.both();
        let cache = ok(match configured {
            Some(ttl) => builder.null_ttl(ttl),
            None => builder,
        });
        w.source.put(0);
        assert_eq!(cache.get(&1).await.unwrap(), None);
        cache.set(&2, None).await.unwrap();
        for key in [1, 2] {
            assert_eq!(l1_life(&w.l1, key), Some(expected), "in L1 at most l1_ttl");
            assert_eq!(l2_life(&w, key), Some(configured.unwrap_or(secs(30))));
            assert_eq!(cache.lookup(&key).await, Lookup::Absent);
        }
        assert_eq!(cache.get(&1).await.unwrap(), None);
        assert_eq!((w.source.asked(), w.in_l2(1).await), (1, Some(None)));
        w.source.put(1);
        w.clock.advance(configured.unwrap_or(secs(30))).await;
        assert_eq!(cache.get(&1).await.unwrap(), Some(1001));
    }
}

#[tokio::test(start_paused = true)]
async fn with_cache_null_value_off_absent_is_asked_for_each_time_and_replaces_what_was_there() {
    let w = World::new();
    let cache = ok(w.both().cache_null_value(false));
    w.source.put(0);
    for _ in 0..3 {
        assert_eq!(cache.get(&1).await.unwrap(), None);
        assert_eq!(cache.mget(&[1]).await.into_values().unwrap(), [None]);
    }
    assert_eq!((w.source.asked(), w.l1.len(), w.l2.inner().len()), (6, 0, 0));
    cache.set(&1, 5).await.unwrap();
    assert_eq!(cache.get(&1).await.unwrap(), Some(5));
    cache.set(&1, None).await.unwrap();
    assert_eq!((cache.try_get(&1), w.in_l2(1).await), (Lookup::Miss, None), "a set to absent deletes");
    // In one batch with values.
    cache.mset([(1, Some(5)), (2, Some(6))]).await.unwrap();
    cache.mset([(1, None), (2, Some(7))]).await.unwrap();
    assert_eq!((cache.lookup(&1).await, cache.lookup(&2).await), (Lookup::Miss, Lookup::Hit(7)));
}

#[tokio::test(start_paused = true)]
async fn a_ttl_of_zero_is_handed_out_and_not_cached() {
    let w = World::new();
    let load = async |key: u64| Ok::<_, Away>(Loaded::value(key).ttl(Duration::ZERO));
    let cache = ok(w.no_loader().loader(load));
    assert_eq!(cache.get(&1).await.unwrap(), Some(1));
    assert_eq!(cache.mget(&[1, 2]).await.into_values().unwrap(), [Some(1), Some(2)]);
    let body = async { Ok::<_, Away>(Loaded::value(9).ttl(Duration::ZERO)) };
    assert_eq!(cache.get_or_load(&1, body).await.unwrap(), Some(9));
    settle().await;
    assert_eq!((w.l1.len(), w.l2.inner().len(), cache.stats().loads()), (0, 0, 4));
    cache.set(&1, 5).await.unwrap();
    cache.set_with(&1, 6, WriteOptions::new().ttl(Duration::ZERO)).await.unwrap();
    assert_eq!((w.l1.len(), w.l2.inner().len()), (0, 0), "the older value must go");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_may_not_be_cached_ends_the_older_one_in_both_levels() {
    let w = World::new();
    let load = async |key: u64| Ok::<_, Away>(Loaded::value(key).ttl(Duration::ZERO));
    let cache = ok(w.no_loader().loader(load));
    cache.set(&1, 5).await.unwrap();
    let forced = accelerator_core::ReadOptions::new().force_refresh(true);
    assert_eq!(cache.get_with(&1, forced).await.unwrap(), Some(1));
    settle().await;
    assert_eq!(cache.get(&1).await.unwrap(), Some(1), "the value before the refresh is back");
}

#[tokio::test(start_paused = true)]
async fn jitter_shortens_only_and_is_drawn_anew_for_each_fill() {
    let w = World::new();
    let cache = ok(w.both().ttl(secs(100)).l1_ttl(secs(100)).ttl_jitter_ratio(0.5));
    let (mut seen, mut same_key) = (HashSet::new(), HashSet::new());
    for key in 0..200 {
        cache.get(&key).await.unwrap();
        let (l1, l2) = (l1_life(&w.l1, key).unwrap(), l2_life(&w, key).unwrap());
        assert!((secs(50)..=secs(100)).contains(&l1), "{l1:?}");
        assert!((secs(50)..=secs(100)).contains(&l2), "{l2:?}");
        seen.insert(l1);
        cache.set(&1000, key).await.unwrap();
        same_key.insert(l1_life(&w.l1, 1000).unwrap());
    }
    assert!(seen.len() > 150, "keys loaded together expire together: {}", seen.len());
    assert!(same_key.len() > 150, "jitter is a function of the key: {}", same_key.len());
    assert!(seen.iter().min() < Some(&secs(55)) && seen.iter().max() > Some(&secs(95)), "the whole range is used");
    let plain = ok(w.twin().both().ttl(secs(100)));
    plain.set(&5000, 1).await.unwrap();
    assert_eq!(l2_life(&w, 5000), Some(secs(100)), "no jitter unless asked for");
}

#[tokio::test(start_paused = true)]
async fn with_jitter_too_l1_does_not_outlive_l2() {
    let w = World::new();
    let batches = w.twin();
    let (cache, many) =
        (ok(w.both().ttl(secs(100)).ttl_jitter_ratio(0.5)), ok(batches.batches().ttl(secs(100)).ttl_jitter_ratio(0.5)));
    let keys: Vec<u64> = (300..400).collect();
    for key in 0..100 {
        cache.get(&key).await.unwrap();
        cache.set(&(key + 100), key).await.unwrap();
        cache.get_or_load(&(key + 200), w.source.clone().load(key)).await.unwrap();
    }
    many.mget(&keys).await.into_values().unwrap();
    settle().await;
    for key in 0..400 {
        let l1 = if key < 300 { l1_life(&w.l1, key) } else { l1_life(&batches.l1, key) };
        let l2 = l2_life(&w, key);
        assert!(l1.is_some() && l1 <= l2, "key {key}: {l1:?} in L1, {l2:?} in L2");
    }
}

#[tokio::test(start_paused = true)]
async fn a_backfill_lives_only_as_long_as_was_left_in_l2() {
    let w = World::new();
    w.other_node().mset([(1, Some(5)), (2, Some(6)), (3, None)]).await.unwrap();
    w.clock.advance(secs(20)).await;
    let (first, second, third) = (w.twin(), w.twin(), w.twin());
    ok(first.both()).get(&1).await.unwrap();
    ok(second.both()).mget(&[1, 2]).await.into_values().unwrap();
    ok(third.no_loader()).lookup(&1).await;
    assert_eq!(l1_life(&first.l1, 1), Some(secs(40)));
    assert_eq!((l1_life(&second.l1, 1), l1_life(&second.l1, 2)), (Some(secs(40)), Some(secs(40))));
    assert_eq!(l1_life(&third.l1, 1), Some(secs(40)));
    ok(third.no_loader()).get(&3).await.unwrap();
    assert_eq!(l1_life(&third.l1, 3), Some(secs(10)), "of the null_ttl of 30 s");
    let short = w.twin();
    ok(short.both().l1_ttl(secs(5))).get(&1).await.unwrap();
    assert_eq!(l1_life(&short.l1, 1), Some(secs(5)), "and never longer than l1_ttl");
    let stale = w.twin();
    ok(stale.both().stale_on_error(secs(1000))).get(&1).await.unwrap();
    assert_eq!(l1_life(&stale.l1, 1), Some(secs(40)), "the writer allowed no stale age");
}

#[tokio::test(start_paused = true)]
async fn a_life_counts_from_the_write_not_from_a_slow_answer_of_l2() {
    // A set that L2 takes 10 s to confirm; the limits are tokio's time, which stands still here.
    let w = World::new();
    let cache = ok(w.both());
    let gate = w.l2.gate_after(Op::Set);
    let set = cache.set(&1, 5);
    gate.reached().await;
    w.clock.tick(secs(10));
    gate.open();
    set.await.unwrap();
    w.clock.tick(secs(50));
    assert_eq!(cache.try_get(&1), Lookup::Miss, "outlived L2");

    let gate = w.l2.gate_after(Op::Set);
    let (value, ()) = tokio::join!(cache.get(&2), async {
        gate.reached().await;
        w.clock.tick(secs(10));
        gate.open();
    });
    assert_eq!(value.unwrap(), Some(2001));
    w.clock.tick(secs(50));
    assert_eq!(cache.try_get(&2), Lookup::Miss, "outlived L2");

    w.other_node().set(&3, 7).await.unwrap();
    let gate = w.l2.gate_after(Op::Get);
    let (value, ()) = tokio::join!(cache.get(&3), async {
        gate.reached().await;
        w.clock.tick(secs(10));
        gate.open();
    });
    assert_eq!(value.unwrap(), Some(7));
    w.clock.tick(secs(50));
    assert_eq!(cache.try_get(&3), Lookup::Miss, "outlived L2");
}

/// Takes ten seconds to encode.
struct Slow(ManualClock);

impl Codec<u64> for Slow {
    fn id(&self) -> u8 {
        200
    }
    fn encode(&self, value: &u64, out: &mut Vec<u8>) -> Result<(), LoadError> {
        self.0.tick(secs(10));
        out.extend(value.to_le_bytes());
        Ok(())
    }
    fn decode(&self, bytes: &[u8]) -> Result<u64, LoadError> {
        Ok(u64::from_le_bytes(bytes.try_into()?))
    }
}

#[tokio::test(start_paused = true)]
async fn a_life_counts_from_before_a_slow_encoding() {
    let w = World::new();
    let cache = ok(w.both().codec(Slow(w.clock.clone())));
    cache.set(&1, 5).await.unwrap();
    cache.mset([(2, Some(5)), (3, Some(6))]).await.unwrap();
    w.clock.tick(TTL - secs(20));
    assert_eq!(cache.try_get(&1), Lookup::Miss, "outlived L2");
    w.clock.tick(secs(10));
    assert_eq!((cache.try_get(&2), cache.try_get(&3)), (Lookup::Miss, Lookup::Miss), "outlived L2");
}

fn at<S>(builder: LevelCacheBuilder<u64, u64, S>, clock: &ManualClock) -> LevelCacheBuilder<u64, u64, S> {
    builder.clock(clock.clone())
}

#[tokio::test(start_paused = true)]
async fn a_writers_clock_can_shorten_a_life_and_never_lengthen_it() {
    let left = async |skew_ms: i64| {
        let w = World::new();
        let wrong = ManualClock::new();
        wrong.skew_unix(skew_ms);
        ok(at(w.bare().l1(MemoryL1::new()).l2(w.l2.clone()), &wrong)).set(&1, 7).await.expect("L2 works");
        let found = ok(w.no_loader()).lookup(&1).await;
        (found == Lookup::Hit(7)).then(|| l1_life(&w.l1, 1).expect("backfilled"))
    };
    assert_eq!(left(0).await, Some(secs(60)));
    assert_eq!(left(-20_000).await, Some(secs(40)), "behind: as if written earlier");
    assert_eq!(left(-60_000).await, None);
    assert_eq!(left(-3_600_000).await, None);
    assert_eq!(left(1_000).await, Some(secs(60)), "a little ahead: as if written now");
    assert_eq!(left(5_000).await, Some(secs(60)));
    assert_eq!(left(5_001).await, None, "further ahead: not believed");
    assert_eq!(left(86_400_000).await, None);
    // As far back as 1970.
    assert_eq!(left(-1_748_779_200_000).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_jump_of_the_own_wall_clock_does_not_touch_lives_in_l1() {
    let w = World::new();
    let cache = ok(w.both());
    cache.get(&1).await.unwrap();
    for jump in [-86_400_000, 2 * 86_400_000] {
        w.clock.skew_unix(jump);
        assert_eq!(cache.try_get(&1), Lookup::Hit(1001));
    }
    w.clock.advance(TTL - ms(1)).await;
    assert_eq!(cache.try_get(&1), Lookup::Hit(1001));
    w.clock.skew_unix(-86_400_000);
    w.clock.advance(ms(1)).await;
    assert_eq!(cache.try_get(&1), Lookup::Miss, "the wall clock has lengthened a life");
    assert!(w.clock.unix_ms() > 0);
}

#[tokio::test(start_paused = true)]
async fn a_store_with_coarse_ttls_lengthens_nothing() {
    let w = World::new();
    let coarse = MemoryL2::with_clock(w.clock.clone()).with_limits(Limits::default().ttl_granularity(secs(1)));
    let cache = ok(w.bare().ttl(ms(1500)).l1(w.l1.clone()).l2(coarse.clone()));
    cache.set(&1, 5).await.unwrap();
    assert_eq!(coarse.remaining("t.1"), Some(secs(2)), "rounded up, so that the store never ends it too early");
    let reader = ok(w.bare().ttl(ms(1500)).l2(Faulty::new(coarse.clone())));
    w.clock.advance(ms(1499)).await;
    assert_eq!(reader.get(&1).await.unwrap(), Some(5));
    w.clock.advance(ms(1)).await;
    assert!(coarse.peek("t.1").is_some());
    assert_eq!((reader.get(&1).await.unwrap(), cache.get(&1).await.unwrap()), (None, None));
}

#[tokio::test(start_paused = true)]
async fn a_life_in_l1_ends_with_that_in_l2_also_when_it_is_very_long() {
    let days = |n: u64| secs(n * 86_400);
    let w = World::new();
    let cache: Level = ok(w.both().ttl(days(100)));
    cache.set(&1, 5).await.unwrap();
    cache.get(&2).await.unwrap();
    for key in [1, 2] {
        assert!(
            l1_life(&w.l1, key) <= l2_life(&w, key),
            "{:?} in L1, {:?} in L2",
            l1_life(&w.l1, key),
            l2_life(&w, key)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn the_systems_clock_works_too() {
    let cache = LevelCache::<u64, u64>::builder().area("t").l1(MemoryL1::new()).ttl(TTL).build().unwrap();
    cache.set(&1, 5).await.unwrap();
    assert_eq!(cache.try_get(&1), Lookup::Hit(5));
}
