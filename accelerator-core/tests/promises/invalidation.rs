//! I3: invalidation beats fill. After an acknowledged `del`, `set` or `clear` no later read of this node gets what was
//! there before, whatever was on its way.

use accelerator_core::testkit::{Fault, MemoryL1, Op, settle};
use accelerator_core::{Begin, ErrorKind, LevelCache, Loaded, Lookup, ReadOptions, StoreErrorKind, Tickets};

use crate::common::{Level, TTL, World, ms, ok, secs};

async fn del_during_a_load(w: World, cache: Level) {
    let door = w.source.door();
    let early = tokio::spawn({
        let cache = cache.clone();
        async move { cache.get(&1).await }
    });
    door.reached().await;
    w.source.put(2);
    cache.del(&1).await.expect("L2 works");
    let later = cache.get(&1).await.expect("loads");
    assert_eq!(later, Some(1002), "a later read must not join the flight of the old value");
    door.open();
    let early = early.await.expect("no panic").expect("loads");
    assert_eq!(early, Some(1001), "who waited is concurrent with the write");
    settle().await;
    assert_eq!(cache.try_get(&1), Lookup::Hit(1002), "the old value came last and must not be cached");
    assert_eq!(w.source.asked(), 2);
    assert_eq!((cache.stats().fills_refused, cache.stats().flights), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_load_that_began_before_a_del_is_not_cached_and_not_joined() {
    let w = World::new();
    let cache = ok(w.l1());
    del_during_a_load(w, cache).await;
}

#[tokio::test(start_paused = true)]
async fn a_load_that_began_before_a_del_fills_neither_level() {
    let w = World::new();
    let (l2, cache) = (w.l2.clone(), ok(w.both()));
    let reader = World { l2, ..World::new() };
    del_during_a_load(w, cache).await;
    assert_eq!(reader.in_l2(1).await, Some(Some(1002)), "L2 has the new value, or the old one came over it");
}

#[tokio::test(start_paused = true)]
async fn a_load_without_a_later_read_leaves_nothing_behind_after_a_del() {
    let w = World::new();
    let cache = ok(w.both());
    let door = w.source.door();
    let (value, ()) = tokio::join!(cache.get(&1), async {
        door.reached().await;
        cache.del(&1).await.unwrap();
        door.open();
    });
    assert_eq!(value.unwrap(), Some(1001));
    assert_eq!(cache.try_get(&1), Lookup::Miss);
    assert!(w.l2.inner().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_value_read_from_l2_before_a_del_is_not_backfilled() {
    let w = World::new();
    w.other_node().set(&1, 7).await.unwrap();
    let cache = ok(w.both());
    let gate = w.l2.gate_after(Op::Get);
    let (old, ()) = tokio::join!(cache.get(&1), async {
        gate.reached().await;
        cache.del(&1).await.unwrap();
        gate.open();
    });
    assert_eq!(old.unwrap(), Some(7));
    assert_eq!(cache.try_get(&1), Lookup::Miss);
    assert_eq!(cache.get(&1).await.unwrap(), Some(1001));
}

#[tokio::test(start_paused = true)]
async fn a_reader_between_the_two_purges_of_a_del_leaves_nothing_old_in_l1() {
    let w = World::new();
    let cache = ok(w.both());
    cache.set(&1, 7).await.unwrap();
    // L1 is purged, L2 still has it, and somebody reads.
    let gate = w.l2.gate(Op::Del);
    let del = cache.del(&1);
    gate.reached().await;
    assert_eq!(cache.get(&1).await.unwrap(), Some(7), "not acknowledged yet: the old value is allowed");
    gate.open();
    del.await.unwrap();
    assert_eq!(cache.try_get(&1), Lookup::Miss, "the second purge is missing");
    assert_eq!(cache.get(&1).await.unwrap(), Some(1001));
}

#[tokio::test(start_paused = true)]
async fn lookup_mget_and_tickets_do_not_fill_after_a_del_either() {
    let w = World::new();
    w.other_node().mset([(1, Some(7)), (2, Some(8))]).await.unwrap();
    let cache = ok(w.both());

    let gate = w.l2.gate_after(Op::Get);
    let (found, ()) = tokio::join!(cache.lookup(&1), async {
        gate.reached().await;
        cache.del(&1).await.unwrap();
        gate.open();
    });
    assert_eq!((found, cache.try_get(&1)), (Lookup::Hit(7), Lookup::Miss));

    w.other_node().set(&1, 7).await.unwrap();
    let gate = w.l2.gate_after(Op::Get);
    let (values, ()) = tokio::join!(cache.mget(&[1, 2]), async {
        gate.reached().await;
        cache.del(&1).await.unwrap();
        gate.open();
    });
    assert_eq!(values.into_values().unwrap(), [Some(7), Some(8)]);
    assert_eq!((cache.try_get(&1), cache.try_get(&2)), (Lookup::Miss, Lookup::Hit(8)), "only the deleted key");

    let Begin::Lead(ticket) = cache.begin(&3).await else { unreachable!("nothing has key 3") };
    cache.del(&3).await.unwrap();
    ticket.fill(Loaded::value(9));
    settle().await;
    assert_eq!((cache.try_get(&3), w.in_l2(3).await), (Lookup::Miss, None));
    assert_eq!(cache.stats().flights, 0);
}

#[tokio::test(start_paused = true)]
async fn a_del_waits_for_a_fill_of_l2_that_is_on_its_way_and_deletes_after_it() {
    for after in [false, true] {
        let w = World::new();
        let cache = ok(w.both());
        let gate = if after { w.l2.gate_after(Op::Set) } else { w.l2.gate(Op::Set) };
        let (value, ()) = tokio::join!(cache.get(&1), async {
            gate.reached().await;
            w.source.put(2);
            let del = cache.del(&1);
            settle().await;
            assert_eq!(w.l2.calls(Op::Del), 0, "the delete must not overtake the fill");
            gate.open();
            del.await.unwrap();
            assert!(w.l2.inner().is_empty(), "the fill came after the delete");
        });
        assert_eq!(value.unwrap(), Some(1001));
        settle().await;
        assert!(w.l2.inner().is_empty());
        assert_eq!(cache.get(&1).await.unwrap(), Some(1002));
    }
}

#[tokio::test(start_paused = true)]
async fn a_tickets_fill_of_l2_is_waited_for_as_well() {
    let w = World::new();
    let cache = ok(w.both());
    let gate = w.l2.gate(Op::Set);
    let value = cache.get_or_load(&1, async { Ok::<_, std::io::Error>(Some(5)) }).await.unwrap();
    assert_eq!(value, Some(5));
    gate.reached().await;
    let del = cache.del(&1);
    settle().await;
    assert_eq!(w.l2.calls(Op::Del), 0);
    gate.open();
    del.await.unwrap();
    assert!(w.l2.inner().is_empty());
    assert_eq!(cache.try_get(&1), Lookup::Miss);
}

#[tokio::test(start_paused = true)]
async fn a_del_during_a_set_is_not_undone_by_it() {
    let w = World::new();
    let cache = ok(w.both());
    let gate = w.l2.gate(Op::Set);
    let set = cache.set(&1, 7);
    gate.reached().await;
    let del = cache.del(&1);
    gate.open();
    let (set, del) = tokio::join!(set, del);
    set.unwrap();
    del.unwrap();
    assert_eq!((cache.try_get(&1), w.in_l2(1).await), (Lookup::Miss, None));
}

#[tokio::test(start_paused = true)]
async fn a_set_during_a_del_leaves_both_levels_with_the_set_value() {
    let w = World::new();
    let cache = ok(w.both());
    cache.set(&1, 6).await.unwrap();
    let gate = w.l2.gate(Op::Del);
    let del = cache.del(&1);
    gate.reached().await;
    let set = cache.set(&1, 7);
    gate.open();
    let (set, del) = tokio::join!(set, del);
    set.unwrap();
    del.unwrap();
    assert_eq!(w.in_l2(1).await, Some(Some(7)));
    assert_eq!(cache.get(&1).await.unwrap(), Some(7));
}

#[tokio::test(start_paused = true)]
async fn two_sets_at_once_leave_l1_and_l2_agreeing() {
    let w = World::new();
    let cache = ok(w.both());
    for after in [false, true] {
        let gate = if after { w.l2.gate_after(Op::Set) } else { w.l2.gate(Op::Set) };
        let first = cache.set(&1, 7);
        gate.reached().await;
        let second = cache.set(&1, 8);
        settle().await;
        gate.open();
        let (first, second) = tokio::join!(first, second);
        first.unwrap();
        second.unwrap();
        let l2 = w.in_l2(1).await;
        assert_eq!(l2, Some(Some(8)), "they write in the order of their calls");
        assert_ne!(cache.try_get(&1), Lookup::Hit(7));
        assert_eq!(cache.get(&1).await.unwrap(), Some(8));
        cache.del(&1).await.unwrap();
    }
    // Many at once, in batches that overlap, in both directions: no deadlock either.
    let all: Vec<_> = (0..50_u64)
        .map(|i| cache.mset(if i % 2 == 0 { [(1, Some(i)), (2, Some(i))] } else { [(2, Some(i)), (1, Some(i))] }))
        .collect();
    for one in all {
        one.await.unwrap();
    }
    for key in [1, 2] {
        let l2 = w.in_l2(key).await.flatten();
        assert!(l2.is_some());
        match cache.try_get(&key) {
            Lookup::Hit(value) => assert_eq!(Some(value), l2),
            other => assert_eq!(other, Lookup::Miss),
        }
    }
    assert_eq!(cache.stats().flights, 0);
}

#[tokio::test(start_paused = true)]
async fn a_load_that_began_before_a_set_does_not_undo_it() {
    for with_l2 in [false, true] {
        let w = World::new();
        let cache = if with_l2 { ok(w.both()) } else { ok(w.l1()) };
        let door = w.source.door();
        let (old, ()) = tokio::join!(cache.get(&1), async {
            door.reached().await;
            cache.set(&1, 7).await.unwrap();
            door.open();
        });
        assert_eq!(old.unwrap(), Some(1001));
        settle().await;
        assert_eq!(cache.try_get(&1), Lookup::Hit(7));
        assert_eq!(w.in_l2(1).await, with_l2.then_some(Some(7)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_clear_during_a_load_keeps_its_value_out() {
    for with_l2 in [false, true] {
        let w = World::new();
        let cache = if with_l2 { ok(w.both()) } else { ok(w.l1()) };
        cache.set(&2, 5).await.unwrap();
        let door = w.source.door();
        let (old, ()) = tokio::join!(cache.get(&1), async {
            door.reached().await;
            w.clock.tick(ms(1));
            w.source.put(2);
            cache.clear().await.unwrap();
            w.clock.tick(ms(1));
            assert_eq!(cache.get(&1).await.unwrap(), Some(1002), "joined a flight from before the clear");
            door.open();
        });
        assert_eq!(old.unwrap(), Some(1001));
        assert_eq!(cache.try_get(&1), Lookup::Hit(1002));
        assert_eq!(cache.get(&2).await.unwrap(), Some(2002), "L2's value from before the clear is a miss too");
    }
}

#[tokio::test(start_paused = true)]
async fn a_value_read_from_l2_before_a_clear_is_not_backfilled() {
    let w = World::new();
    w.other_node().set(&1, 7).await.unwrap();
    let cache = ok(w.both());
    let gate = w.l2.gate_after(Op::Get);
    let (old, ()) = tokio::join!(cache.get(&1), async {
        gate.reached().await;
        cache.clear().await.unwrap();
        gate.open();
    });
    assert!(old.unwrap().is_some());
    assert_eq!(cache.try_get(&1), Lookup::Miss);
}

#[tokio::test(start_paused = true)]
async fn del_and_clear_purge_l1_when_called_even_if_never_polled() {
    for with_l2 in [false, true] {
        let w = World::new();
        let cache = if with_l2 { ok(w.both()) } else { ok(w.l1()) };
        cache.mset([(1, Some(5)), (2, Some(6)), (3, Some(7))]).await.unwrap();
        drop(cache.del(&1));
        assert_eq!((cache.try_get(&1), cache.try_get(&2)), (Lookup::Miss, Lookup::Hit(6)));
        drop(cache.mdel(&[2]));
        assert_eq!((cache.try_get(&2), cache.try_get(&3)), (Lookup::Miss, Lookup::Hit(7)));
        drop(cache.clear());
        assert_eq!(cache.try_get(&3), Lookup::Miss);
        settle().await;
        assert_eq!((w.in_l2(1).await, w.in_l2(2).await), (None, None), "the L2 part goes on by itself");
    }
}

#[tokio::test(start_paused = true)]
async fn a_set_takes_effect_even_if_never_polled() {
    let w = World::new();
    let cache = ok(w.both());
    drop(cache.set(&1, 5));
    settle().await;
    assert_eq!((cache.try_get(&1), w.in_l2(1).await), (Lookup::Hit(5), Some(Some(5))));
    drop(cache.set(&1, 6));
    settle().await;
    assert_eq!((cache.try_get(&1), w.in_l2(1).await), (Lookup::Hit(6), Some(Some(6))));
    let only = ok(w.twin().l1());
    drop(only.set(&1, 7));
    assert_eq!(only.try_get(&1), Lookup::Hit(7), "without L2 it has happened when the call returns");
}

#[tokio::test(start_paused = true)]
async fn a_set_purges_l1_when_called() {
    let w = World::new();
    let cache = ok(w.both());
    cache.set(&1, 5).await.unwrap();
    w.l2.always_for(Op::Set, Some(Fault::Hang));
    let set = cache.set(&1, 6);
    assert_ne!(cache.try_get(&1), Lookup::Hit(5), "the old value must not be served while L2 is slow to confirm");
    assert_eq!(set.await.unwrap_err().kind(), ErrorKind::Unconfirmed);
}

#[tokio::test(start_paused = true)]
async fn a_load_that_began_before_a_clear_does_not_fill_l2_after_it() {
    let w = World::new();
    let cache = ok(w.both());
    let door = w.source.door();
    let (old, ()) = tokio::join!(cache.get(&1), async {
        door.reached().await;
        w.source.put(2);
        cache.clear().await.unwrap();
        // What is written from here on counts as written after the clear.
        w.clock.tick(ms(10));
        door.open();
    });
    assert_eq!(old.unwrap(), Some(1001));
    settle().await;
    assert!(w.l2.inner().is_empty(), "the old value came into L2 after the clear");
    assert_eq!(cache.get(&1).await.unwrap(), Some(1002));
}

#[tokio::test(start_paused = true)]
async fn a_load_that_began_during_a_set_does_not_undo_it() {
    let w = World::new();
    let cache = ok(w.both());
    let (gate, door) = (w.l2.gate(Op::Set), w.source.door());
    let set = cache.set(&1, 7);
    gate.reached().await;
    let (old, ()) = tokio::join!(cache.get(&1), async {
        door.reached().await;
        gate.open();
        set.await.unwrap();
        door.open();
    });
    assert_eq!(old.unwrap(), Some(1001));
    settle().await;
    assert_eq!((cache.try_get(&1), w.in_l2(1).await), (Lookup::Hit(7), Some(Some(7))));
}

#[tokio::test(start_paused = true)]
async fn a_load_does_not_fill_l2_while_a_set_of_its_key_is_on_its_way() {
    let w = World::new();
    let cache = ok(w.both());
    // L2 has taken the new value, and its answer is still to come.
    let gate = w.l2.gate_after(Op::Set);
    let set = cache.set(&1, 7);
    gate.reached().await;
    let forced = ReadOptions::new().force_refresh(true);
    assert_eq!(cache.get_with(&1, forced).await.unwrap(), Some(1001), "concurrent with the set");
    gate.open();
    set.await.unwrap();
    settle().await;
    assert_eq!(w.in_l2(1).await, Some(Some(7)), "the set was acknowledged, and then overwritten by a load");
    assert_eq!(cache.get(&1).await.unwrap(), Some(7));
}

#[tokio::test(start_paused = true)]
async fn a_failed_set_purges_what_was_backfilled_meanwhile() {
    let w = World::new();
    let cache = ok(w.no_loader());
    cache.set(&1, 5).await.unwrap();
    let gate = w.l2.gate(Op::Set);
    w.l2.push_for(Op::Set, Fault::Error(StoreErrorKind::Rejected));
    let set = cache.set(&1, 6);
    gate.reached().await;
    assert_eq!(cache.get(&1).await.unwrap(), Some(5), "not over yet: the old value is allowed");
    gate.open();
    assert_eq!(set.await.unwrap_err().kind(), ErrorKind::Unconfirmed);
    assert_eq!(cache.try_get(&1), Lookup::Miss, "the error says that L1 is right");
}

#[tokio::test(start_paused = true)]
async fn a_set_that_ends_after_a_del_was_called_stays_out_of_l1_while_the_del_is_on_its_way() {
    let w = World::new();
    let cache = ok(w.both());
    let (first, second) = (w.l2.gate(Op::Set), w.l2.gate(Op::Del));
    let set = cache.set(&1, 7);
    first.reached().await;
    let del = cache.del(&1);
    first.open();
    set.await.unwrap();
    second.reached().await;
    assert_eq!(cache.try_get(&1), Lookup::Miss, "L1 was purged when del was called, and nothing was read since");
    second.open();
    del.await.unwrap();
    assert_eq!((cache.try_get(&1), w.in_l2(1).await), (Lookup::Miss, None));
}

#[tokio::test(start_paused = true)]
async fn a_del_has_purged_l1_when_it_returns_also_when_l2_is_down() {
    for fault in [Fault::Error(StoreErrorKind::Unavailable), Fault::Hang] {
        let w = World::new();
        let cache = ok(w.both());
        cache.set(&1, 5).await.unwrap();
        w.l2.always(Some(fault));
        let del = cache.del(&1);
        assert_eq!(cache.try_get(&1), Lookup::Miss);
        assert_eq!(del.await.unwrap_err().kind(), ErrorKind::Unconfirmed);
        assert_eq!(cache.try_get(&1), Lookup::Miss);
    }
}

#[tokio::test(start_paused = true)]
async fn a_refresh_that_began_before_a_del_is_not_cached() {
    let w = World::new();
    let cache = ok(w.both().refresh_ahead_window(secs(10)));
    cache.get(&1).await.unwrap();
    w.clock.advance(secs(55)).await;
    let door = w.source.door();
    cache.get(&1).await.unwrap();
    door.reached().await;
    cache.del(&1).await.unwrap();
    door.open();
    settle().await;
    assert_eq!((cache.try_get(&1), w.in_l2(1).await), (Lookup::Miss, None));
}

#[tokio::test(start_paused = true)]
async fn areas_and_keys_do_not_run_into_each_other() {
    let w = World::new();
    let build = |area: &str| {
        let builder = LevelCache::<String, u64>::builder().area(area).ttl(TTL).clock(w.clock.clone());
        builder.l1(MemoryL1::new()).l2(w.l2.clone()).build().unwrap()
    };
    let pairs = [("c", "a:b"), ("c:a", "b"), ("c", "a.b"), ("c.a", "b"), ("c", "~2e"), ("c~", "2e"), ("c:", "a:b")];
    for (i, (area, key)) in (1_u64..).zip(pairs) {
        build(area).set(&key.to_owned(), i).await.unwrap();
    }
    assert_eq!(w.l2.inner().len(), pairs.len());
    for (i, (area, key)) in (1_u64..).zip(pairs) {
        assert_eq!(build(area).get(&key.to_owned()).await.unwrap(), Some(i), "{area} {key}");
    }
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_invalidations_a_second_of_other_keys_disturb_no_load() {
    let w = World::new();
    let cache = ok(w.l1());
    w.source.slow(ms(50));
    let mut reads = Vec::new();
    for step in 0..1000_u64 {
        for i in 0..10 {
            drop(cache.del(&(1_000_000 + (step * 7 + i) % 500)));
        }
        // Each key is asked for five times, 10 ms apart.
        if step % 10 == 0 && step < 900 {
            for key in (step / 10)..(step / 10 + 5) {
                let cache = cache.clone();
                reads.push(tokio::spawn(async move { (key, cache.get(&key).await) }));
            }
        }
        w.clock.advance(ms(1)).await;
    }
    for read in reads {
        let (key, value) = read.await.unwrap();
        assert_eq!(value.unwrap(), Some(1000 * key + 1));
        assert_eq!(w.source.asked_for(key), 1);
    }
    assert_eq!((cache.stats().fills_refused, cache.stats().flights), (0, 0));
}

/// What a cache without L1 has: all of it is in L2.
async fn has(cache: &LevelCache<u64, u64, accelerator_core::NoL1>, key: u64) -> Option<u64> {
    match cache.lookup(&key).await {
        Lookup::Hit(value) => Some(value),
        _ => None,
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_written_after_a_clear_counts_as_later_and_what_was_written_before_does_not() {
    // The clock stands still: the order of the calls decides, also where one clear follows the other. Then it is put
    // back a little; and the coarse clock lags behind the exact one as well.
    for back in [0, 1, 9, 3_000] {
        let w = World::new();
        let cache = ok(w.l2());
        for round in 0..5_u64 {
            cache.set(&1, round).await.unwrap();
            w.other_node().set(&2, round).await.unwrap();
            if round == 2 {
                w.clock.skew_unix(-back);
            }
            cache.clear().await.unwrap();
            assert_eq!(has(&cache, 1).await, None, "written before the clear");
            if round < 2 {
                assert_eq!(has(&cache, 2).await, None, "written before the clear, by another node");
            }
            cache.set(&1, 10 + round).await.unwrap();
            cache.mset([(3, Some(30 + round)), (4, Some(40 + round))]).await.unwrap();
            assert_eq!(has(&cache, 1).await, Some(10 + round), "after clear {round}, clock back by {back} ms");
            assert_eq!((has(&cache, 3).await, has(&cache, 4).await), (Some(30 + round), Some(40 + round)));
            for key in [11, 12, 13, 14] {
                let asked = w.source.asked_for(key);
                let read = async || match key {
                    11 => cache.get(&key).await,
                    12 => cache.mget(&[key]).await.into_values().map(|mut values| values.remove(0)),
                    13 => cache.get_or_load(&key, w.source.clone().load(key)).await,
                    _ => cache.mget(&[key, key + 100]).await.into_values().map(|mut values| values.remove(0)),
                };
                for _ in 0..3 {
                    assert_eq!(read().await.unwrap(), Some(key * 1000 + 1));
                    settle().await;
                }
                assert_eq!(w.source.asked_for(key) - asked, 1, "key {key} after clear {round}, {back} ms");
            }
        }
    }
}

#[tokio::test]
async fn what_is_written_after_a_clear_is_there_by_the_systems_clock_too() {
    let loads = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = loads.clone();
    let load = move |keys: Vec<u64>| {
        counted.fetch_add(keys.len(), std::sync::atomic::Ordering::SeqCst);
        async move { Ok::<Vec<(u64, Option<u64>)>, std::io::Error>(keys.into_iter().map(|key| (key, Some(key))).collect()) }
    };
    let l2 = accelerator_core::testkit::MemoryL2::new();
    let cache = LevelCache::<u64, u64>::builder().area("t").ttl(TTL).l2(l2).batch_loader(load).build().unwrap();
    let keys: Vec<u64> = (0..200).collect();
    for round in 1..=20 {
        cache.set(&1000, 1).await.unwrap();
        cache.clear().await.unwrap();
        assert_eq!(has(&cache, 1000).await, None, "round {round}");
        cache.set(&1000, 2).await.unwrap();
        assert_eq!(has(&cache, 1000).await, Some(2), "round {round}");
        for _ in 0..2 {
            cache.mget(&keys).await.into_values().unwrap();
        }
        assert_eq!(loads.load(std::sync::atomic::Ordering::SeqCst), 200 * round);
    }
}
