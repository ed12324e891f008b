//! `force_refresh`: the answer is one that the source was asked for after the call began, whatever is under way.

use accelerator_core::testkit::{MemoryL1, MemoryL2, Op, settle};
use accelerator_core::{Begin, LevelCache, Lookup, ReadOptions, Tickets};

use crate::common::{Level, TTL, World, ok};

fn forced() -> ReadOptions {
    ReadOptions::new().force_refresh(true)
}

/// Forced reads of key 1, in every verb that takes them.
async fn read(cache: &Level, way: &str) -> Option<u64> {
    match way {
        "get" => cache.get_with(&1, forced()).await.expect("the source answers"),
        "mget of one" => cache.mget_with(&[1], forced()).await.into_values().expect("the source answers")[0],
        "mget" => {
            let values = cache.mget_with(&[9, 1, 1, 8, 1], forced()).await.into_values().expect("the source answers");
            assert_eq!((values[2], values[4]), (values[1], values[1]), "one load for a key that comes again");
            values[1]
        }
        _ => unreachable!("{way}"),
    }
}

const WAYS: [&str; 3] = ["get", "mget of one", "mget"];

fn caches(w: &World) -> Vec<(&'static str, Level)> {
    let leased = MemoryL2::with_clock(w.clock.clone()).with_leases();
    let source = w.source.clone();
    vec![
        ("L1", ok(w.twin().l1())),
        ("L1, batches", ok(w.twin().many())),
        ("both", ok(World { l2: World::new().l2, ..w.twin() }.both())),
        ("both, batches", ok(World { l2: World::new().l2, ..w.twin() }.batches())),
        ("leases", ok(w.bare().l1_ttl(TTL).l1(MemoryL1::new()).l2(leased).loader(move |key| source.clone().load(key)))),
    ]
}

#[tokio::test(start_paused = true)]
async fn what_l2_answers_to_another_read_is_no_answer() {
    for way in WAYS {
        for batches in [false, true] {
            let w = World::new();
            let cache = ok(if batches { w.batches() } else { w.both() });
            w.other_node().set(&1, 7).await.unwrap();
            let gate = w.l2.gate_after(Op::Get);
            let plain = tokio::spawn({
                let cache = cache.clone();
                async move {
                    if batches {
                        cache.mget(&[1, 2]).await.into_values().unwrap()[0]
                    } else {
                        cache.get(&1).await.unwrap()
                    }
                }
            });
            gate.reached().await;
            let answer = read(&cache, way).await;
            assert_eq!(answer, Some(1001), "{way}: answered from L2");
            gate.open();
            assert_eq!(plain.await.unwrap(), Some(7), "{way}: a plain read may have what L2 had");
            settle().await;
            assert_eq!(cache.try_get(&1), Lookup::Hit(1001), "{way}: the older value came last");
            assert_eq!((w.in_l2(1).await, cache.stats().flights), (Some(Some(1001)), 0), "{way}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_load_that_began_before_the_call_is_no_answer() {
    for way in WAYS {
        for under_way in ["get", "mget", "get_or_load", "ticket"] {
            let w = World::new();
            for (levels, cache) in caches(&w) {
                let what = format!("{way} beside {under_way}, {levels}");
                w.source.put(1);
                let door = w.source.door();
                let (other, source) = (cache.clone(), w.source.clone());
                let older = tokio::spawn(async move {
                    match under_way {
                        "get" => other.get(&1).await.unwrap(),
                        "mget" => other.mget(&[1]).await.into_values().unwrap()[0],
                        "get_or_load" => other.get_or_load(&1, source.load(1)).await.unwrap(),
                        _ => {
                            let Begin::Lead(ticket) = other.begin(&1).await else { panic!("nothing is there") };
                            let value = source.load(1).await.unwrap();
                            ticket.fill(value);
                            value
                        }
                    }
                });
                door.reached().await;
                w.source.put(2);
                assert_eq!(read(&cache, way).await, Some(1002), "{what}: loaded before the call");
                door.open();
                assert_eq!(older.await.unwrap(), Some(1001), "{what}");
                settle().await;
                assert_eq!(cache.try_get(&1), Lookup::Hit(1002), "{what}: the older value came last");
                assert_eq!(cache.stats().flights, 0, "{what}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_crowd_of_them_makes_two_loads() {
    for with_l2 in [false, true] {
        let w = World::new();
        let cache = ok(if with_l2 { w.both() } else { w.l1() });
        let door = w.source.door();
        let get = || {
            let cache = cache.clone();
            tokio::spawn(async move { cache.get_with(&1, forced()).await.unwrap() })
        };
        let first = get();
        door.reached().await;
        w.source.put(2);
        let crowd: Vec<_> = (0..100).map(|_| get()).collect();
        settle().await;
        assert_eq!(w.source.asked(), 1, "they wait for the load that is under way");
        let later = w.source.door();
        door.open();
        later.reached().await;
        // A plain read shares that one.
        let plain = tokio::spawn({
            let cache = cache.clone();
            async move { cache.get(&1).await.unwrap() }
        });
        settle().await;
        later.open();
        assert_eq!(first.await.unwrap(), Some(1001));
        for one in crowd {
            assert_eq!(one.await.unwrap(), Some(1002), "loaded before the call");
        }
        assert!(plain.await.unwrap().is_some());
        assert_eq!((w.source.asked(), cache.stats().flights), (2, 0));
        assert_eq!(cache.try_get(&1), Lookup::Hit(1002));
    }
}

#[tokio::test(start_paused = true)]
async fn one_whose_leader_goes_away_is_taken_over() {
    let w = World::new();
    let cache = ok(w.both());
    let door = w.source.door();
    let first = tokio::spawn({
        let cache = cache.clone();
        async move { cache.get_with(&1, forced()).await }
    });
    door.reached().await;
    let second = tokio::spawn({
        let cache = cache.clone();
        async move { cache.get_with(&1, forced()).await }
    });
    settle().await;
    w.source.put(2);
    first.abort();
    settle().await;
    door.open();
    assert_eq!(second.await.unwrap().unwrap(), Some(1002));
    assert_eq!((w.source.asked(), cache.stats().flights), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn without_a_loader_or_with_loads_forbidden_nothing_is_disturbed() {
    let w = World::new();
    let cache: LevelCache<u64, u64, _> = ok(w.both());
    let door = w.source.door();
    let plain = tokio::spawn({
        let cache = cache.clone();
        async move { cache.get(&1).await.unwrap() }
    });
    door.reached().await;
    let reads = tokio::spawn({
        let cache = cache.clone();
        async move { cache.get_with(&1, forced().disable_load(true)).await.unwrap() }
    });
    settle().await;
    door.open();
    assert_eq!((plain.await.unwrap(), reads.await.unwrap()), (Some(1001), Some(1001)));
    assert_eq!((w.source.asked(), cache.try_get(&1)), (1, Lookup::Hit(1001)));
}
