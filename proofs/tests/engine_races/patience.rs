//! Patience with a load that a caller runs itself.

use std::time::Duration;

use accelerator_core::memoize::{Read, begin, cacheable, sharing};
use accelerator_core::testkit::{MemoryL1, settle};
use accelerator_core::{Begin, LevelCache, Tickets};
use tokio::time::{Instant, sleep, timeout};

use super::KEY;

const LIMIT: Duration = Duration::from_millis(100);

type Level = LevelCache<u64, u64, MemoryL1<u64, u64>>;

fn cache() -> Level {
    let builder = LevelCache::builder().area("races").l1(MemoryL1::new()).ttl(super::LONG);
    builder.loader_timeout(LIMIT).build().unwrap()
}

/// A cached function whose body is `body`.
async fn cached(cache: &Level, body: impl Future<Output = Option<u64>>) -> Option<u64> {
    let read = Read::new();
    let begun = begin(cache, &KEY, &read).await;
    cacheable(begun, read, sharing::Alone, || body).await
}

#[tokio::test(start_paused = true)]
async fn one_of_all_who_wait_leads_beside_a_stuck_leader() {
    let cache = cache();
    let Begin::Lead(stuck) = cache.begin(&KEY).await else { unreachable!() };
    let asks: Vec<_> = (0..5)
        .map(|_| {
            let cache = cache.clone();
            tokio::spawn(async move { cache.begin(&KEY).await })
        })
        .collect();
    // Before two patiences are over.
    sleep(LIMIT * 19 / 10).await;
    assert_eq!(asks.iter().filter(|ask| ask.is_finished()).count(), 1);
    drop(stuck);
    for ask in asks {
        drop(ask.await.unwrap());
    }
    settle().await;
    assert_eq!(cache.stats().flights, 0);
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_waits_for_itself_is_not_alive() {
    let (cache, start) = (cache(), Instant::now());
    assert_eq!(cached(&cache, cached(&cache, async { Some(1) })).await, Some(1));
    assert!(start.elapsed() < LIMIT * 3, "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn patience_with_a_leader_that_is_alive_has_an_end() {
    let cache = cache();
    let inner = cache.clone();
    let body = async move {
        let inner = tokio::spawn(async move { cached(&inner, async { Some(1) }).await });
        inner.await.unwrap()
    };
    assert_eq!(timeout(super::LONG, cached(&cache, body)).await, Ok(Some(1)));
}

/// The registration of one who leads beside another lasts as long as its load.
#[tokio::test(start_paused = true)]
async fn each_leader_is_registered() {
    let cache = cache();
    let Begin::Lead(first) = cache.begin(&KEY).await else { unreachable!() };
    let Begin::Lead(second) = cache.begin(&KEY).await else { unreachable!() };
    second.fill(Some(1));
    assert_eq!(cache.stats().flights, 1);
    first.fill(Some(1));
    assert_eq!(cache.stats().flights, 0);
}
