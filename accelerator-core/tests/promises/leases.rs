//! Leases: where L2 has them, one process loads for all, and nothing older than an invalidation is stored there.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use accelerator_core::testkit::{Fault, Faulty, MemoryL2, Op, settle};
use accelerator_core::{Begin, L2Store, Loaded, Lookup, ReadOptions, StoreError, StoreErrorKind, Tickets};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::common::{Away, TTL, World, ms, ok, secs};

/// A world whose L2 has leases.
fn world() -> World {
    let mut w = World::new();
    w.l2 = Faulty::new(MemoryL2::with_clock(w.clock.clone()).with_leases());
    w
}

#[tokio::test(start_paused = true)]
async fn a_miss_is_two_round_trips_and_a_hit_one() {
    let w = world();
    let (first, second) = (ok(w.both()), ok(w.twin().both()));
    assert_eq!(first.get(&1).await.unwrap(), Some(1001));
    assert_eq!(w.l2.inner().round_trips(), 2, "read or lease, fill");
    assert_eq!(second.get(&1).await.unwrap(), Some(1001));
    assert_eq!(w.l2.inner().round_trips(), 3, "read");
    assert_eq!(w.source.asked(), 1);
    assert_eq!(
        second.mget(&[1, 2, 3, 4]).await.into_values().unwrap(),
        [Some(1001), Some(2001), Some(3001), Some(4001)]
    );
    assert_eq!(w.l2.calls(Op::Lease), 3);
    let stats = second.stats();
    assert!(stats.has_leases);
    assert_eq!((stats.leases, stats.fills_lost, stats.l2_hits), (3, 0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_turns_out_to_have_no_leases_gets_no_fills_and_stats_say_so() {
    let w = world();
    let cache = ok(w.both());
    let refuse = || w.l2.push_for(Op::Lease, Fault::Error(StoreErrorKind::Unsupported));
    refuse();
    assert_eq!(cache.get(&1).await.unwrap(), Some(1001));
    refuse();
    assert!(cache.mget(&[2, 3]).await.into_values().is_ok());
    settle().await;
    let stats = cache.stats();
    assert!(!stats.has_leases);
    assert!(stats.l2_errors.iter().any(|(kind, n)| kind == StoreErrorKind::Unsupported && n > 0), "{stats:?}");
    assert!(w.l2.inner().is_empty(), "a write without a lease could come after an invalidation");
    // Another server took its place.
    assert_eq!(cache.get(&4).await.unwrap(), Some(4001));
    assert!(cache.stats().has_leases);
    assert_eq!(w.l2.inner().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_one_read_and_one_fill() {
    let w = world();
    let cache = ok(w.batches());
    let keys: Vec<u64> = (0..32).collect();
    cache.mget(&keys).await;
    assert_eq!(w.l2.inner().round_trips(), 2);
    assert_eq!((w.l2.inner().len(), w.source.calls().len()), (32, 1));
    let other = ok(w.twin().batches());
    other.mget(&keys).await;
    assert_eq!((w.l2.inner().round_trips(), w.source.calls().len()), (3, 1));
}

#[tokio::test(start_paused = true)]
async fn single_loads_of_a_batch_that_are_ready_together_are_filled_together() {
    let w = world();
    let cache = ok(w.both());
    let keys: Vec<u64> = (0..100).collect();
    cache.mget(&keys).await;
    assert_eq!((w.l2.inner().round_trips(), w.l2.inner().len()), (2, 100));
}

#[tokio::test(start_paused = true)]
async fn a_slow_load_of_a_batch_keeps_no_other_from_being_stored() {
    let w = world();
    let held = Arc::new(Semaphore::new(0));
    let permits = held.clone();
    let load = move |key: u64| {
        let permits = permits.clone();
        async move {
            let _permit = if key.is_multiple_of(32) { permits.acquire().await.ok() } else { None };
            Ok::<_, std::io::Error>(Some(key))
        }
    };
    let cache = ok(w.no_loader().loader(load));
    let reading = tokio::spawn(async move { cache.mget(&(0..100).collect::<Vec<_>>()).await.into_values() });
    settle().await;
    assert_eq!(w.l2.calls(Op::Fill), 1, "for all but those that are held");
    for key in [1, 31, 33, 99] {
        assert_eq!(w.in_l2(key).await, Some(Some(key)));
    }
    held.add_permits(1);
    assert_eq!(reading.await.unwrap().unwrap().len(), 100);
    assert_eq!(w.in_l2(96).await, Some(Some(96)));
}

#[tokio::test(start_paused = true)]
async fn of_many_nodes_one_loads_and_the_others_wait_for_its_value() {
    let w = world();
    w.source.slow(ms(200));
    let nodes: Vec<_> = (0..20).map(|_| ok(w.twin().both())).collect();
    let start = Instant::now();
    let reads = nodes.iter().flat_map(|node| (0..5).map(move |_| node.get(&1)));
    for answer in futures_util::future::join_all(reads).await {
        assert_eq!(answer.unwrap(), Some(1001));
    }
    assert_eq!(w.source.asked(), 1, "loads of all nodes");
    assert!(start.elapsed() < ms(300), "{:?}", start.elapsed());
    let waits: u64 = nodes.iter().map(|node| node.stats().lease_waits).sum();
    assert!((19 * 3..19 * 20).contains(&waits), "one waits for its process: {waits} looks");
    assert!(nodes.iter().all(|node| node.stats().flights == 0));
}

#[tokio::test(start_paused = true)]
async fn who_waited_long_enough_loads_and_fills_nothing() {
    let w = world();
    w.source.slow(secs(1));
    let (holder, waiter) = (ok(w.both()), ok(w.twin().both().lease_wait(ms(500))));
    let start = Instant::now();
    let (first, second) = tokio::join!(holder.get(&1), async {
        settle().await;
        w.source.slow(ms(0));
        let answer = waiter.get(&1).await;
        (answer, start.elapsed())
    });
    assert_eq!((first.unwrap(), second.0.unwrap()), (Some(1001), Some(1001)));
    assert!((ms(500)..ms(700)).contains(&second.1), "{:?}", second.1);
    assert_eq!((w.source.asked(), w.l2.calls(Op::Fill), waiter.stats().leases), (2, 1, 0));
    assert_eq!(waiter.try_get(&1), Lookup::Hit(1001), "its own L1 has it");
}

/// Everything that makes a load end without a value.
#[tokio::test(start_paused = true)]
async fn a_load_that_ends_without_a_value_gives_its_lease_back() {
    for how in ["error", "timeout", "panic", "body fails", "body dropped", "ticket dropped"] {
        let w = world();
        let cache = match how {
            "panic" => ok(w.no_loader().loader(async |_| -> Result<Option<u64>, Away> { panic!("a loader's panic") })),
            "timeout" => ok(w.both().loader_timeout(ms(10))),
            _ => ok(w.both()),
        };
        w.source.away(how == "error");
        w.source.slow(if how == "timeout" { secs(100) } else { ms(0) });
        match how {
            "body fails" => drop(cache.get_or_load(&1, async { Err::<Option<u64>, _>(Away(1)) }).await),
            "body dropped" => {
                let body = std::future::pending::<Result<Option<u64>, Away>>();
                let read = tokio::time::timeout(ms(5), cache.get_or_load(&1, body));
                assert!(read.await.is_err());
            }
            "ticket dropped" => {
                let Begin::Lead(ticket) = cache.begin(&1).await else { panic!("a hit") };
                assert!(w.l2.inner().is_leased("t.1"));
                drop(ticket);
            }
            _ => assert!(cache.get(&1).await.is_err(), "{how}"),
        }
        settle().await;
        assert!(!w.l2.inner().is_leased("t.1"), "{how}: still leased");
        assert_eq!((w.l2.calls(Op::Release), cache.stats().flights), (1, 0), "{how}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_holder_that_is_never_heard_of_again_blocks_the_key_for_the_lease() {
    let w = world();
    let gone = w.l2.inner().get_or_lease("t.1", ms(3250)).await.unwrap();
    let cache = ok(w.both());
    assert_eq!(cache.get(&1).await.unwrap(), Some(1001));
    assert!(w.l2.inner().is_empty(), "{gone:?}");
    w.clock.advance(ms(3250)).await;
    accelerator_core::L1Store::<u64, u64>::clear(&w.l1);
    assert_eq!(cache.get(&1).await.unwrap(), Some(1001));
    assert_eq!(w.l2.inner().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn who_waits_longer_than_a_lease_lasts_takes_it_over_and_one_load_serves_all() {
    let w = world();
    w.l2.inner().get_or_lease("t.1", ms(3250)).await.unwrap();
    let nodes: Vec<_> = (0..5).map(|_| ok(w.twin().both().lease_wait(secs(5)))).collect();
    let reads: Vec<_> = nodes.into_iter().map(|node| tokio::spawn(async move { node.get(&1).await })).collect();
    for _ in 0..32 {
        w.clock.advance(ms(100)).await;
        settle().await;
        assert_eq!(w.source.asked(), 0, "all wait");
    }
    w.clock.advance(ms(200)).await;
    for read in reads {
        assert_eq!(read.await.unwrap().unwrap(), Some(1001));
    }
    assert_eq!((w.source.asked(), w.l2.inner().len()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_longer_than_lease_wait() {
    let w = world();
    w.l2.inner().get_or_lease("t.1", secs(60)).await.unwrap();
    // The pauses are drawn: some would reach beyond the end.
    for _ in 0..50 {
        let (cache, start) = (ok(w.twin().both().lease_wait(ms(500))), Instant::now());
        assert_eq!(cache.get(&1).await.unwrap(), Some(1001));
        // A timer has a grain of a millisecond.
        assert!(start.elapsed() >= ms(500) && start.elapsed() <= ms(501), "{:?}", start.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn who_follows_does_not_lose_patience_before_the_leader_has_waited_for_a_lease() {
    let w = world();
    w.l2.inner().get_or_lease("t.1", secs(60)).await.unwrap();
    w.l2.always_for(Op::Lease, Some(Fault::Delay(ms(98))));
    for _ in 0..50 {
        let cache = ok(w.twin().no_loader().loader_timeout(ms(100)));
        let runs = AtomicUsize::new(0);
        let body = || async {
            runs.fetch_add(1, SeqCst);
            tokio::time::sleep(ms(96)).await;
            Ok::<_, Away>(Some(5))
        };
        let (leads, follows) = tokio::join!(cache.get_or_load(&1, body()), async {
            settle().await;
            cache.get_or_load(&1, body()).await
        });
        assert_eq!((leads.unwrap(), follows.unwrap(), runs.load(SeqCst)), (Some(5), Some(5), 1));
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_not_to_wait_loads_at_once() {
    let w = world();
    w.l2.inner().get_or_lease("t.1", ms(3250)).await.unwrap();
    let start = Instant::now();
    assert_eq!(ok(w.both().lease_wait(ms(0))).get(&1).await.unwrap(), Some(1001));
    assert_eq!((start.elapsed(), w.l2.calls(Op::Lease)), (ms(0), 1));
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_as_short_as_the_store_allows_or_as_long_as_it_is_told() {
    let w = world();
    w.source.slow(ms(100));
    for (cache, lasts) in [(ok(w.both()), secs(1)), (ok(w.twin().both().lease_ttl(secs(60))), secs(60))] {
        let read = tokio::spawn(async move { cache.get(&1).await });
        settle().await;
        assert_eq!(w.l2.inner().remaining("t.1"), Some(lasts));
        read.await.unwrap().unwrap();
        w.l2.inner().wipe();
    }
}

/// The value was read before the delete, and comes to L2 after it; by every way of loading.
#[tokio::test(start_paused = true)]
async fn no_fill_that_began_before_another_nodes_delete_is_stored() {
    for way in ["get", "mget", "get_or_load", "refresh"] {
        let w = world();
        let (cache, writer) = (ok(w.batches()), ok(w.twin().both()));
        if way == "refresh" {
            cache.get(&1).await.unwrap();
        }
        let door = w.source.door();
        let source = w.source.clone();
        let read = tokio::spawn({
            let cache = cache.clone();
            async move {
                match way {
                    "get" => cache.get(&1).await,
                    "mget" => cache.mget(&[1, 2]).await.into_values().map(|values| values[0]),
                    "refresh" => cache.get_with(&1, ReadOptions::new().force_refresh(true)).await,
                    _ => cache.get_or_load(&1, source.load(1)).await,
                }
            }
        });
        door.reached().await;
        w.source.put(2);
        writer.del(&1).await.unwrap();
        door.open();
        assert_eq!(read.await.unwrap().unwrap(), Some(1001), "{way}: concurrent with the write");
        settle().await;
        assert_eq!(w.l2.inner().peek("t.1"), None, "{way}");
        assert_eq!(writer.get(&1).await.unwrap(), Some(1002), "{way}");
        assert_eq!(w.in_l2(1).await, Some(Some(1002)), "{way}");
        assert_eq!(cache.stats().fills_lost, 1, "{way}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_seen_is_replaced_only_where_it_is_still_there() {
    let w = world();
    let cache = ok(w.both().stale_on_error(secs(600)));
    // Garbage, a value past its freshness, a value older than a clear.
    cache.set(&2, 7).await.unwrap();
    w.clock.advance(TTL).await;
    w.l2.inner().put_raw("t.1", "no value of ours", TTL);
    for key in [1, 2] {
        assert_eq!(cache.get(&key).await.unwrap(), Some(key * 1000 + 1));
        assert_eq!(w.in_l2(key).await, Some(Some(key * 1000 + 1)));
    }
    w.clock.advance(ms(1)).await;
    cache.clear().await.unwrap();
    w.source.put(2);
    assert_eq!(cache.get(&1).await.unwrap(), Some(1002));
    assert_eq!(w.in_l2(1).await, Some(Some(1002)));
    assert_eq!(cache.stats().leases, 0);
    // Another write comes first.
    let forced = ReadOptions::new().force_refresh(true);
    let door = w.source.door();
    let read = tokio::spawn({
        let cache = cache.clone();
        async move { cache.get_with(&1, forced).await }
    });
    door.reached().await;
    w.other_node().set(&1, 9).await.unwrap();
    door.open();
    assert_eq!(read.await.unwrap().unwrap(), Some(1002));
    assert_eq!(w.in_l2(1).await, Some(Some(9)));
}

#[tokio::test(start_paused = true)]
async fn a_value_that_may_not_be_cached_ends_what_was_there() {
    let w = world();
    let load = async |key: u64| Ok::<_, Away>(Loaded::value(key).ttl(Duration::ZERO));
    let cache = ok(w.no_loader().loader(load));
    cache.set(&1, 5).await.unwrap();
    assert_eq!(cache.get_with(&1, ReadOptions::new().force_refresh(true)).await.unwrap(), Some(1));
    assert_eq!(w.in_l2(1).await, None);
    assert_eq!(cache.get(&2).await.unwrap(), Some(2));
    settle().await;
    assert!(!w.l2.inner().is_leased("t.2"), "nothing to store: the lease is free");
}

#[tokio::test(start_paused = true)]
async fn readers_without_a_loader_take_no_lease() {
    let w = world();
    let cache = ok(w.no_loader());
    assert_eq!(cache.get(&1).await.unwrap(), None);
    assert_eq!(cache.lookup(&1).await, Lookup::Miss);
    assert_eq!(cache.mget(&[1, 2]).await.into_values().unwrap(), [None, None]);
    assert_eq!(w.l2.calls(Op::Lease), 0);
    // Nor do they see one.
    let lease = w.l2.inner().get_or_lease("t.1", secs(9)).await.unwrap();
    assert_eq!(cache.lookup(&1).await, Lookup::Miss, "{lease:?}");
    assert_eq!(cache.stats().undecodable, 0);
}

#[tokio::test(start_paused = true)]
async fn a_failing_lease_is_a_miss_that_fills_nothing() {
    for fault in [Fault::Error(StoreErrorKind::Unavailable), Fault::Hang] {
        let w = world();
        let cache = ok(w.both());
        w.l2.always_for(Op::Lease, Some(fault));
        assert_eq!(cache.get(&1).await.unwrap(), Some(1001));
        assert_eq!(cache.mget(&[2, 3]).await.into_values().unwrap(), [Some(2001), Some(3001)]);
        assert_eq!(cache.get_or_load(&4, async { Ok::<_, StoreError>(Some(4)) }).await.unwrap(), Some(4));
        settle().await;
        assert_eq!((w.l2.calls(Op::Fill), w.l2.calls(Op::Set)), (0, 0));
        assert!(cache.stats().l2_errors_total() >= 3);
    }
}

#[tokio::test(start_paused = true)]
async fn a_failing_fill_reaches_nobody_and_frees_the_lease() {
    for fault in [Fault::Error(StoreErrorKind::Rejected), Fault::Hang] {
        let w = world();
        let cache = ok(w.both());
        w.l2.push_for(Op::Fill, fault);
        assert_eq!(cache.get(&1).await.unwrap(), Some(1001));
        settle().await;
        assert!(!w.l2.inner().is_leased("t.1"));
        assert_eq!(cache.stats().l2_errors_total(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_without_leases_says_so() {
    let w = World::new();
    assert!(!ok(w.both()).stats().has_leases);
    assert!(!ok(w.l1()).stats().has_leases);
}
