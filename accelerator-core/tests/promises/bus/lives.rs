//! A node that does not hear of others' writes believes what it stores in L1 for a second, and no longer.

use accelerator_core::testkit::{MemoryBus, settle};
use accelerator_core::{BusState, GapCause, Lookup};

use super::WAYS;
use crate::common::{TTL, World, ms, ok, secs};

#[tokio::test(start_paused = true)]
async fn until_the_bus_listens_and_whenever_it_is_away_lives_are_short() {
    for way in WAYS {
        let (w, bus) = (way.world(), MemoryBus::new());
        bus.cut(GapCause::Disconnected);
        let cache = ok(way.builder(&w).stale_on_error(secs(600)).bus(bus.clone()));
        settle().await;
        for round in 0..2 {
            assert_eq!(cache.stats().bus, BusState::Suspect, "{way:?} {round}");
            for key in [1, 2] {
                cache.get(&key).await.expect("a value");
            }
            cache.mget(&[3, 4]).await.into_values().expect("values");
            drop(cache.set(&5, 5001));
            settle().await;
            w.clock.advance(ms(999)).await;
            assert_eq!(cache.try_get(&1), Lookup::Hit(1001), "{way:?} {round}");
            w.clock.advance(ms(1)).await;
            for key in 1..=5 {
                assert_eq!(cache.try_get(&key), Lookup::Miss, "{way:?} {round} {key}");
            }
            w.source.away(true);
            assert!(way.has_l2() || cache.get(&1).await.is_err(), "{way:?} {round}: nor is it served as stale");
            w.source.away(false);
            w.clock.advance(secs(2)).await;
            bus.mend();
            settle().await;
            assert_eq!(cache.stats().bus, BusState::Up, "{way:?} {round}");
            // One that L2 doesn't have from before.
            let new = 10 + round;
            cache.get(&new).await.expect("a value");
            w.clock.advance(secs(50)).await;
            assert_eq!(cache.try_get(&new), Lookup::Hit(new * 1000 + 1), "{way:?} {round}: a full life");
            bus.cut(GapCause::NoAnswer);
            settle().await;
            assert_eq!(cache.try_get(&new), Lookup::Miss, "{way:?} {round}: what it had is not believed");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn with_a_suspect_ttl_of_zero_l1_takes_nothing() {
    for way in WAYS {
        let (w, bus) = (way.world(), MemoryBus::new());
        bus.cut(GapCause::Refused);
        let cache = ok(way.builder(&w).bus(bus.clone()).suspect_ttl(secs(0)));
        settle().await;
        cache.get(&1).await.expect("a value");
        cache.mget(&[2, 3]).await.into_values().expect("values");
        drop(cache.set(&4, 4001));
        settle().await;
        assert_eq!(cache.l1_stats().entries, 0, "{way:?}");
        bus.mend();
        settle().await;
        cache.get(&1).await.expect("a value");
        assert_eq!(cache.try_get(&1), Lookup::Hit(1001), "{way:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn with_a_bus_l1_keeps_values_for_the_whole_ttl() {
    let w = World::new();
    let cache = ok(w.bare().l1(w.l1.clone()).l2(w.l2.clone()).bus(MemoryBus::new()));
    settle().await;
    cache.set(&1, 7).await.expect("confirmed");
    w.clock.advance(TTL - ms(1)).await;
    assert_eq!(cache.try_get(&1), Lookup::Hit(7));
    let without = World::new();
    let cache = ok(without.bare().l1(without.l1.clone()).l2(without.l2.clone()));
    cache.set(&1, 7).await.expect("confirmed");
    without.clock.advance(secs(10)).await;
    assert_eq!(cache.try_get(&1), Lookup::Miss, "and for 10 s without");
    assert_eq!((cache.bus_health(), cache.stats().bus), (None, BusState::None));
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_by_name() {
    use accelerator_core::{BusLimits, ErrorKind};
    let refused = |built: Result<crate::common::Level, _>| {
        let error: accelerator_core::CacheError = built.expect_err("it makes no sense");
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
        error.to_string()
    };
    let w = World::new();
    let said = refused(w.l1().suspect_ttl(secs(1)).build());
    assert!(said.contains("suspect_ttl = 1s") && said.contains("bus(..)"), "{said}");
    let said = refused(w.l1().bus(MemoryBus::new()).suspect_ttl(std::time::Duration::from_nanos(1)).build());
    assert!(said.contains("suspect_ttl = 1ns") && said.contains("zero, or 1 ms"), "{said}");
    let small = MemoryBus::new().with_limits(BusLimits::default().max_message_bytes(1023));
    let said = refused(w.l1().bus(small).build());
    assert!(said.contains("max_message_bytes = 1023") && said.contains("1024"), "{said}");
    let least = MemoryBus::new().with_limits(BusLimits::default().max_message_bytes(1024));
    ok(w.l1().area("ü".repeat(100)).bus(least));
}
