//! Stale values: only where asked for, only when the source fails, never older than allowed, and never after an
//! invalidation.

use accelerator_core::testkit::{Fault, Op, settle};
use accelerator_core::{Begin, ErrorKind, LevelCache, Lookup, NoL1, ReadOptions, StoreErrorKind, Tickets};

use crate::common::{Away, TTL, World, ms, ok, secs};

const AGE: std::time::Duration = secs_const(300);

const fn secs_const(n: u64) -> std::time::Duration {
    std::time::Duration::from_secs(n)
}

/// Serves the key once, lets it expire, and takes the source away.
async fn expire<S: accelerator_core::L1Store<u64, u64>>(w: &World, cache: &LevelCache<u64, u64, S>) {
    assert_eq!(cache.get(&1).await.expect("loads"), Some(1001));
    w.clock.advance(TTL).await;
    w.source.put(2);
    w.source.away(true);
}

#[tokio::test(start_paused = true)]
async fn by_default_nothing_stale_is_served() {
    for with_l2 in [false, true] {
        let w = World::new();
        let cache = if with_l2 { ok(w.both()) } else { ok(w.l1()) };
        expire(&w, &cache).await;
        assert_eq!(cache.get(&1).await.unwrap_err().kind(), ErrorKind::Loader);
        assert_eq!(cache.stats().stale_served, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stale_value_is_served_as_often_as_needed_within_its_age_and_not_beyond() {
    for with_l2 in [false, true] {
        let w = World::new();
        let cache = if with_l2 { ok(w.both().stale_on_error(AGE)) } else { ok(w.l1().stale_on_error(AGE)) };
        expire(&w, &cache).await;
        // Every 10 s for the whole age: serving it must not remove it, and must not renew it.
        for i in 0..30 {
            assert_eq!(cache.get(&1).await.unwrap(), Some(1001), "after {} s", i * 10);
            assert_eq!(cache.mget(&[1]).await.into_values().unwrap(), [Some(1001)]);
            let body = async { Err::<Option<u64>, _>(Away(0)) };
            assert_eq!(cache.get_or_load(&1, body).await.unwrap(), Some(1001));
            w.clock.advance(secs(10)).await;
        }
        assert_eq!(cache.get(&1).await.unwrap_err().downcast_ref::<Away>(), Some(&Away(2)));
        assert_eq!(cache.stats().stale_served, 90);
        w.source.away(false);
        assert_eq!(cache.get(&1).await.unwrap(), Some(1002));
    }
}

#[tokio::test(start_paused = true)]
async fn a_stale_value_is_not_served_while_the_source_answers() {
    let w = World::new();
    let cache = ok(w.both().stale_on_error(AGE));
    expire(&w, &cache).await;
    w.source.away(false);
    assert_eq!(cache.get(&1).await.unwrap(), Some(1002));
    assert_eq!(cache.stats().stale_served, 0);
    // And "absent" is an answer.
    w.clock.advance(TTL).await;
    w.source.put(0);
    assert_eq!(cache.get(&1).await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn the_source_is_asked_again_only_after_a_second() {
    for kind in ["both", "l1", "l2"] {
        let w = World::new();
        let l2_only = ok(w.l2().stale_on_error(AGE));
        let level = if kind == "both" { ok(w.both().stale_on_error(AGE)) } else { ok(w.l1().stale_on_error(AGE)) };
        let get = async || if kind == "l2" { l2_only.get(&1).await } else { level.get(&1).await };
        assert_eq!(get().await.unwrap(), Some(1001));
        w.clock.advance(TTL).await;
        w.source.away(true);
        for _ in 0..5 {
            let before = w.source.asked();
            for _ in 0..20 {
                assert_eq!(get().await.unwrap(), Some(1001));
                w.clock.advance(ms(49)).await;
            }
            assert_eq!(w.source.asked() - before, 1, "{kind}: a failing source must not be asked by every read");
            w.clock.advance(ms(20)).await;
        }
        w.source.away(false);
        w.source.put(2);
        w.clock.advance(secs(1)).await;
        assert_eq!(get().await.unwrap(), Some(1002), "{kind}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_single_call_can_forbid_it() {
    let w = World::new();
    let cache = ok(w.both().stale_on_error(AGE));
    expire(&w, &cache).await;
    let strict = ReadOptions::new().allow_stale(false);
    for _ in 0..2 {
        assert_eq!(cache.get_with(&1, strict).await.unwrap_err().kind(), ErrorKind::Loader);
        assert!(cache.mget_with(&[1], strict).await.into_values().is_err());
        assert_eq!(cache.get(&1).await.unwrap(), Some(1001));
    }
    assert_eq!(cache.get_with(&1, strict).await.unwrap_err().kind(), ErrorKind::Loader, "also while throttled");
    // Both kinds of callers in one flight.
    w.clock.advance(secs(2)).await;
    w.source.slow(ms(20));
    let (free, strict) = tokio::join!(cache.get(&1), cache.get_with(&1, strict));
    assert_eq!(free.unwrap(), Some(1001));
    assert!(strict.is_err());
}

#[tokio::test(start_paused = true)]
async fn nothing_stale_after_a_del_a_set_or_a_clear() {
    for with_l2 in [false, true] {
        for how in ["del", "mdel", "clear", "del while L2 is down"] {
            let w = World::new();
            let cache = if with_l2 { ok(w.both().stale_on_error(AGE)) } else { ok(w.l1().stale_on_error(AGE)) };
            expire(&w, &cache).await;
            assert_eq!(cache.get(&1).await.unwrap(), Some(1001));
            match how {
                "del" => cache.del(&1).await.unwrap(),
                "mdel" => cache.mdel(&[1]).await.unwrap(),
                "clear" => cache.clear().await.unwrap(),
                _ => {
                    w.l2.push_for(Op::Del, Fault::Error(StoreErrorKind::Unavailable));
                    let _ = cache.del(&1).await;
                }
            }
            assert!(cache.get(&1).await.is_err(), "{how}");
            w.clock.advance(secs(2)).await;
            assert!(cache.get(&1).await.is_err(), "{how}, once more");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_del_during_the_failing_load_forbids_it_too() {
    for with_l2 in [false, true] {
        let w = World::new();
        let cache = if with_l2 { ok(w.both().stale_on_error(AGE)) } else { ok(w.l1().stale_on_error(AGE)) };
        expire(&w, &cache).await;
        let door = w.source.door();
        let (value, ()) = tokio::join!(cache.get(&1), async {
            door.reached().await;
            cache.del(&1).await.unwrap();
            door.open();
        });
        assert!(value.is_err(), "served what had been deleted");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stale_value_in_l2_is_served_where_there_is_nothing_else() {
    let w = World::new();
    let cache = ok(w.l2().stale_on_error(AGE));
    expire(&w, &cache).await;
    for _ in 0..3 {
        assert_eq!(cache.get(&1).await.unwrap(), Some(1001));
        assert_eq!(cache.mget(&[1, 2]).await.into_results()[0].clone().unwrap(), Some(1001));
        w.clock.advance(secs(2)).await;
    }
    let body = async { Err::<Option<u64>, _>(Away(0)) };
    assert_eq!(cache.get_or_load(&1, body).await.unwrap(), Some(1001));
    w.clock.advance(AGE - secs(7)).await;
    assert_eq!(cache.get(&1).await.unwrap(), Some(1001), "a second before its end");
    w.clock.advance(secs(1)).await;
    assert!(cache.get(&1).await.is_err(), "older than allowed");
}

#[tokio::test(start_paused = true)]
async fn what_was_stale_in_l2_is_not_backfilled_as_fresh() {
    let w = World::new();
    ok(w.bare().l1(NoL1).l2(w.l2.clone()).stale_on_error(AGE)).set(&1, 7).await.unwrap();
    w.clock.advance(TTL).await;
    let cache = ok(w.both().stale_on_error(AGE));
    assert_eq!(cache.lookup(&1).await, Lookup::Miss);
    w.source.away(true);
    assert_eq!(cache.get(&1).await.unwrap(), Some(7));
    assert_eq!(cache.get(&1).await.unwrap(), Some(7));
    w.source.away(false);
    w.clock.advance(secs(1)).await;
    assert_eq!(cache.get(&1).await.unwrap(), Some(1001));
}

#[tokio::test(start_paused = true)]
async fn a_ticket_knows_the_stale_value_and_its_failure_serves_it_to_those_who_wait() {
    let w = World::new();
    let cache = ok(w.both().stale_on_error(AGE));
    expire(&w, &cache).await;
    let Begin::Lead(ticket) = cache.begin(&1).await else { unreachable!("it has expired") };
    assert_eq!(ticket.stale(), Lookup::Hit(1001));
    let waiting = tokio::spawn({
        let cache = cache.clone();
        async move { cache.get_or_load(&1, async { Ok::<_, Away>(Some(5)) }).await }
    });
    settle().await;
    ticket.fail(accelerator_core::CacheError::loader(Away(9)));
    assert_eq!(waiting.await.unwrap().unwrap(), Some(1001));
    let Begin::Lead(ticket) = cache.begin(&2).await else { unreachable!("never loaded") };
    assert_eq!(ticket.stale(), Lookup::Miss);
}

#[tokio::test(start_paused = true)]
async fn known_absent_can_be_stale_too() {
    let w = World::new();
    let cache = ok(w.both().stale_on_error(AGE));
    w.source.put(0);
    assert_eq!(cache.get(&1).await.unwrap(), None);
    w.clock.advance(TTL).await;
    w.source.away(true);
    assert_eq!(cache.get(&1).await.unwrap(), None);
    assert_eq!(cache.stats().stale_served, 1);
}
