//! What is counted: each event once, whichever verb it came through.

use accelerator_core::testkit::{Fault, Op};
use accelerator_core::{Begin, ReadOptions, StoreErrorKind, Tickets};

use crate::common::{Level, TTL, World, ms, ok, secs};

/// Hits and misses of L2.
fn l2(cache: &Level) -> (u64, u64) {
    let stats = cache.stats();
    (stats.l2_hits, stats.l2_misses)
}

/// Each verb that looks into L2, for a key that only this verb asks for; how many keys that are.
async fn all_verbs(cache: &Level, w: &World) -> u64 {
    let body = |key| w.source.clone().load(key);
    cache.get(&1).await.expect("no error");
    cache.get_with(&2, ReadOptions::new().disable_load(true)).await.expect("no error");
    cache.mget(&[3, 4]).await.into_values().expect("no error");
    cache.mget_with(&[5, 6], ReadOptions::new().disable_load(true)).await.into_values().expect("no error");
    cache.get_or_load(&7, body(7)).await.expect("no error");
    assert!(!matches!(cache.begin(&8).await, Begin::Failed(_) | Begin::Unavailable(_)));
    assert_eq!(cache.begin_many(&[9, 10]).await.unavailable.map(|e| e.kind()), None);
    10
}

#[tokio::test(start_paused = true)]
async fn a_flight_that_looks_into_l2_is_a_hit_or_a_miss_there() {
    let w = World::new();
    let cache = ok(w.both());
    let keys = all_verbs(&cache, &w).await;
    assert_eq!(l2(&cache), (0, keys), "L2 is empty");

    let w = World::new();
    w.other_node().mset((1..=keys).map(|key| (key, Some(7)))).await.unwrap();
    let cache = ok(w.both());
    all_verbs(&cache, &w).await;
    assert_eq!(l2(&cache), (keys, 0), "L2 has them all");
    all_verbs(&cache, &w).await;
    assert_eq!(l2(&cache), (keys, 0), "L1 has them now");
}

#[tokio::test(start_paused = true)]
async fn an_l2_that_fails_or_has_only_stale_values_is_a_miss_of_l2() {
    let w = World::new();
    let cache = ok(w.both());
    w.l2.always_for(Op::Get, Some(Fault::Error(StoreErrorKind::Unavailable)));
    let keys = all_verbs(&cache, &w).await;
    assert_eq!(l2(&cache), (0, keys));

    let w = World::new();
    let writer = ok(w.twin().no_loader().stale_on_error(secs(600)));
    writer.mset((1..=keys).map(|key| (key, Some(7)))).await.unwrap();
    w.clock.advance(TTL + ms(1)).await;
    let cache = ok(w.both().stale_on_error(secs(600)));
    all_verbs(&cache, &w).await;
    assert_eq!(l2(&cache), (0, keys));
}

#[tokio::test(start_paused = true)]
async fn what_does_not_look_into_l2_is_neither_hit_nor_miss_there() {
    let w = World::new();
    let without = ok(w.l1());
    all_verbs(&without, &w).await;
    assert_eq!(l2(&without), (0, 0), "there is no L2");

    let cache = ok(w.twin().both());
    let past = ReadOptions::new().force_refresh(true);
    cache.get_with(&1, past).await.unwrap();
    cache.mget_with(&[2, 3], past).await.into_values().unwrap();
    assert_eq!(l2(&cache), (0, 0), "asked to go past it");
    cache.lookup(&20).await;
    assert_eq!(l2(&cache), (0, 0), "a lookup is no flight");
}
