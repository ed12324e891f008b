//! A write on one node is one on all: nobody answers the older value, and no load in progress stores it.

use std::time::Duration;

use accelerator_core::testkit::{MemoryBus, MemoryL1, settle};
use accelerator_core::{Begin, Cache, LevelCache, Lookup, Tickets, WriteOptions};

use super::{Pair, WAYS, Way, told};
use crate::common::{TTL, ms, secs};

const WRITES: [&str; 9] =
    ["del", "mdel", "set", "set absent", "set for no time", "mset", "clear", "dyn del", "write_guard"];

/// Key 1 is written on `a`, with what the source has, as the caller would.
async fn write(p: &Pair, how: &str) {
    p.w.source.put(2);
    let value = 1002;
    match how {
        "del" => p.a.del(&1).await,
        "mdel" => p.a.mdel(&[1, 9]).await,
        "set" => p.a.set(&1, value).await,
        "set absent" => p.a.set(&1, None).await,
        "set for no time" => p.a.set_with(&1, value, WriteOptions::default().ttl(Duration::ZERO)).await,
        "mset" => p.a.mset([(9, Some(9002)), (1, Some(value))]).await,
        "clear" => p.a.clear().await,
        "dyn del" => Cache::del(&p.a, &1).await,
        _ => match p.a.write_guard(&1).await {
            Ok(guard) => guard.finish().await,
            Err(e) => Err(e),
        },
    }
    .expect(how);
}

#[tokio::test(start_paused = true)]
async fn no_node_answers_what_was_replaced_on_another() {
    for way in WAYS {
        for how in WRITES {
            if how == "write_guard" && !matches!(way, Way::Leases | Way::LeasedBatches) {
                continue;
            }
            let p = Pair::new(way).await;
            p.fill(&[1, 2]).await;
            write(&p, how).await;
            settle().await;
            assert_eq!(p.b.try_get(&1), Lookup::Miss, "{way:?} {how}");
            let others = if how == "clear" { Lookup::Miss } else { Lookup::Hit(2001) };
            assert_eq!(p.b.try_get(&2), others, "{way:?} {how}");
            let expected = if how == "set absent" && way.has_l2() { None } else { Some(1002) };
            assert_eq!(p.b.get(&1).await.expect("a value"), expected, "{way:?} {how}");
            assert_eq!(p.b.stats().received, if how.starts_with('m') || how == "write_guard" { 2 } else { 1 });
            assert_eq!((p.b.stats().gaps.total(), p.b.stats().published), (0, 0), "{way:?} {how}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_load_in_progress_elsewhere_stores_nothing_older() {
    for way in WAYS {
        for how in ["del", "mdel", "set", "mset", "clear", "ticket", "batch", "refresh"] {
            let p = Pair::with(way, |builder| builder.refresh_ahead_window(secs(10))).await;
            let door = p.w.source.door();
            let (b, source) = (p.b.clone(), p.w.source.clone());
            if how == "refresh" {
                door.open();
                p.b.get(&1).await.expect("a value");
                p.w.clock.advance(secs(51)).await;
            }
            let door = if how == "refresh" { p.w.source.door() } else { door };
            let read = tokio::spawn(async move {
                match how {
                    "ticket" => b.get_or_load(&1, source.load(1)).await,
                    "batch" => b.mget(&[1, 2]).await.into_values().map(|values| values[0]),
                    _ => b.get(&1).await,
                }
            });
            door.reached().await;
            write(&p, if matches!(how, "ticket" | "batch" | "refresh") { "del" } else { how }).await;
            settle().await;
            door.open();
            assert_eq!(read.await.expect("a task").expect("a value"), Some(1001), "{way:?} {how}: it read before");
            settle().await;
            assert_eq!(p.b.try_get(&1), Lookup::Miss, "{way:?} {how}");
            assert_eq!(p.b.get(&1).await.expect("a value"), Some(1002), "{way:?} {how}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_value_read_from_l2_before_a_del_is_not_kept() {
    use accelerator_core::testkit::Op;
    for way in [Way::Both, Way::Batches, Way::Leases, Way::LeasedBatches] {
        let p = Pair::new(way).await;
        p.a.set(&1, 1001).await.expect("confirmed");
        settle().await;
        let gate = p.w.l2.gate_after(if matches!(way, Way::Leases | Way::LeasedBatches) { Op::Lease } else { Op::Get });
        let b = p.b.clone();
        let read = tokio::spawn(async move { b.get(&1).await });
        gate.reached().await;
        write(&p, "del").await;
        settle().await;
        gate.open();
        assert_eq!(read.await.expect("a task").expect("a value"), Some(1001), "{way:?}");
        assert_eq!(p.b.try_get(&1), Lookup::Miss, "{way:?}");
        assert_eq!(p.b.stats().fills_refused, 1, "{way:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_ticket_that_is_held_elsewhere_stores_nothing_older() {
    for way in WAYS {
        let p = Pair::new(way).await;
        let Begin::Lead(ticket) = p.b.begin(&1).await else { panic!("it leads") };
        write(&p, "del").await;
        settle().await;
        ticket.fill(Some(1001));
        settle().await;
        assert_eq!(p.b.try_get(&1), Lookup::Miss, "{way:?}");
        assert_eq!(p.b.get(&1).await.expect("a value"), Some(1002), "{way:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_guard_empties_the_others_before_the_source_is_changed_and_after() {
    let p = Pair::new(Way::Leases).await;
    p.fill(&[1]).await;
    let guard = p.a.write_guard(&1).await.expect("a guard");
    settle().await;
    assert_eq!(p.b.try_get(&1), Lookup::Miss, "at the hold");
    assert_eq!(p.b.get(&1).await.expect("a value"), Some(1001));
    assert_eq!(p.b.try_get(&1), Lookup::Miss, "a held key is cached nowhere");
    p.w.source.put(2);
    guard.finish().await.expect("confirmed");
    settle().await;
    assert_eq!(p.b.get(&1).await.expect("a value"), Some(1002));
    assert_eq!((told(&p.at_a).len(), p.a.stats().published), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn a_clear_makes_l2s_values_misses_of_all_nodes() {
    for way in [Way::Both, Way::Leases] {
        let p = Pair::new(way).await;
        p.fill(&[1]).await;
        assert_eq!(p.w.source.asked(), 1, "{way:?}: b has it from L2");
        p.w.clock.advance(ms(5)).await;
        write(&p, "clear").await;
        settle().await;
        assert_eq!(p.b.get(&1).await.expect("a value"), Some(1002), "{way:?}");
        assert_eq!(p.w.source.asked(), 2, "{way:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_keeps_what_it_has_written_itself() {
    for way in WAYS {
        let p = Pair::new(way).await;
        p.a.set(&1, 7).await.expect("confirmed");
        settle().await;
        assert_eq!(p.a.try_get(&1), Lookup::Hit(7), "{way:?}");
        let health = p.a.bus_health().expect("a bus");
        assert!(health.hears_itself && health.echo.count >= 1, "{way:?}: {health:?}");
        assert_eq!(p.a.stats().received, 0, "{way:?}");
        assert_eq!(p.b.bus_health().expect("a bus").delivery.count, 1, "{way:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn fills_and_refreshes_tell_nobody() {
    for way in WAYS {
        let p = Pair::with(way, |builder| builder.refresh_ahead_window(secs(10))).await;
        p.fill(&[1, 2, 3]).await;
        p.w.clock.advance(TTL - secs(5)).await;
        p.fill(&[1, 2, 3]).await;
        settle().await;
        p.b.get_or_load(&4, p.w.source.clone().load(4)).await.expect("a value");
        assert_eq!(told(&p.at_a).len(), 0, "{way:?}");
        assert!(p.b.stats().refreshes > 0, "{way:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn caches_of_other_areas_are_not_disturbed() {
    let p = Pair::new(Way::L1).await;
    let other = LevelCache::<u64, u64>::builder().area("other").ttl(TTL).l1(MemoryL1::new()).bus(p.at_b.clone());
    let other = other.clock(p.w.clock.clone()).build().expect("a good configuration");
    settle().await;
    other.set(&1, 5).await.expect("confirmed");
    p.fill(&[1]).await;
    other.del(&2).await.expect("confirmed");
    p.a.del(&1).await.expect("confirmed");
    settle().await;
    assert_eq!((other.try_get(&1), p.b.try_get(&1)), (Lookup::Hit(5), Lookup::Miss));
    assert_eq!((other.stats().received, p.a.stats().received), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_cache_without_an_l1_tells_the_others() {
    let p = Pair::new(Way::Both).await;
    p.fill(&[1]).await;
    let writer = p.w.l2().bus(p.at_a.node()).build().expect("a good configuration");
    p.w.source.put(2);
    writer.del(&1).await.expect("confirmed");
    settle().await;
    assert_eq!((p.a.try_get(&1), p.b.try_get(&1)), (Lookup::Miss, Lookup::Miss));
}

#[tokio::test(start_paused = true)]
async fn keys_that_cannot_be_told_or_read_make_others_forget_all() {
    let bus = MemoryBus::new();
    let build = |bus: MemoryBus| {
        let l1 = MemoryL1::<&'static str, u64>::new();
        LevelCache::builder().area("t").ttl(TTL).l1(l1).bus(bus).build().expect("a good configuration")
    };
    let (a, b) = (build(bus.clone()), build(bus.node()));
    settle().await;
    b.set(&"kept", 1).await.expect("confirmed");
    a.del(&"gone").await.expect("confirmed");
    settle().await;
    assert_eq!((b.try_get(&"kept"), b.stats().gaps.undecodable), (Lookup::Miss, 1), "borrowed text is not decoded");
    b.set(&"kept", 1).await.expect("confirmed");
    // Longer than any message.
    let long: &'static str = Box::leak("k".repeat(70_000).into_boxed_str());
    a.mdel(&["x", long]).await.expect("confirmed");
    settle().await;
    assert_eq!((b.try_get(&"kept"), b.stats().gaps.undecodable), (Lookup::Miss, 1));
    assert_eq!(told(&bus).last(), Some(&2), "one clear");
}
