//! A hit under an attribute is free: no allocation, as by hand.

use std::alloc::System;
use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use accelerator::macros::{cacheable, cacheable_batch};
use accelerator::memoize::{self, Read, sharing};
use accelerator::stores::MokaL1;
use accelerator::testkit::MemoryL2;
use accelerator::{Begin, Cache, LevelCache, Probe};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tokio::runtime::Runtime;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

#[derive(Clone, serde::Serialize, serde::Deserialize)]
struct User {
    id: u64,
}

type Row = Result<Option<Arc<User>>, Infallible>;
type Map = HashMap<u64, Option<Arc<User>>>;
type Rows = Result<Map, Infallible>;

fn find(id: u64) -> Option<Arc<User>> {
    Some(Arc::new(User { id }))
}

struct Users<C> {
    cache: C,
}

impl<C: Cache<u64, Arc<User>>> Users<C> {
    #[cacheable(cache = self.cache, key = id)]
    async fn get(&self, id: u64) -> Row {
        Ok(find(id))
    }

    #[cacheable(cache = self.cache, key = id, allow_stale = false, cache_none = false, ttl = Duration::from_secs(5))]
    async fn get_with_all(&self, id: u64) -> Row {
        Ok(find(id))
    }

    /// The calls of the expansion, written by hand.
    async fn get_in_halves(&self, id: u64) -> Row {
        let read = Read::new();
        let begun = memoize::begin(&self.cache, &id, &read).await;
        memoize::cacheable(begun, read, sharing::ByError, || async move { Ok(find(id)) }).await
    }

    /// What a careful engineer writes.
    async fn get_by_hand(&self, id: u64) -> Row {
        let begun = match self.cache.hit_or_begin(&id) {
            Probe::Hit(hit) => return Ok(hit),
            Probe::Begin(begin) => begin.await,
        };
        match begun {
            Begin::Hit(value) => Ok(value),
            Begin::Lead(ticket) => {
                let value = find(id);
                ticket.fill(value.clone());
                Ok(value)
            }
            _ => Ok(find(id)),
        }
    }

    #[cacheable_batch(cache = self.cache, keys = ids)]
    async fn get_many(&self, ids: &[u64]) -> Rows {
        Ok(ids.iter().map(|id| (*id, find(*id))).collect())
    }

    /// What a careful engineer writes.
    async fn get_many_by_hand(&self, ids: &[u64]) -> Rows {
        let batch = self.cache.begin_many(ids).await;
        assert!(batch.followed.is_empty(), "nobody else loads here");
        let mut found = Map::with_capacity(ids.len());
        found.extend(batch.hits.into_iter().map(|(i, value)| (ids[i], value)));
        if !batch.led.is_empty() {
            let missing: Vec<u64> = batch.led.iter().map(|(i, _)| ids[*i]).collect();
            let mut loaded: Map = missing.iter().map(|id| (*id, find(*id))).collect();
            for ((_, ticket), id) in batch.led.into_iter().zip(missing) {
                if let Some(value) = loaded.remove(&id) {
                    ticket.fill(value.clone());
                    found.insert(id, value);
                }
            }
        }
        Ok(found)
    }
}

/// What `f` allocates; the allocator counts for the whole process, so all is one test.
fn allocations(f: impl FnOnce()) -> usize {
    let region = Region::new(ALLOCATOR);
    f();
    let change = region.change();
    change.allocations + change.reallocations
}

fn now<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(out) => out,
        Poll::Pending => unreachable!("a hit, and a miss without an L2, is ready at the first poll"),
    }
}

/// Of so many calls: tables that grow now and then don't matter.
fn averaged(mut f: impl FnMut(u64)) -> usize {
    (allocations(|| (0..1000).for_each(&mut f)) + 500) / 1000
}

fn measured<C: Cache<u64, Arc<User>>>(runtime: &Runtime, name: &str, cache: C) {
    let users = Users { cache };
    for id in 0..64 {
        let set = async { users.cache.set(&id, find(id)).await };
        runtime.block_on(set).expect("a cache that takes part");
    }
    // The store does what the writes left it to do.
    for id in (0..64).cycle().take(10_000) {
        assert!(matches!(now(users.cache.begin(&id)), Begin::Hit(Some(_))));
    }
    let rows: [(&str, &dyn Fn(u64) -> Row); 4] = [
        ("macro", &|id| now(users.get(id))),
        ("macro with options", &|id| now(users.get_with_all(id))),
        ("halves", &|id| now(users.get_in_halves(id))),
        ("by hand", &|id| now(users.get_by_hand(id))),
    ];
    for (row, get) in rows {
        let made = allocations(|| {
            for id in 0..64 {
                drop(get(id));
            }
        });
        println!("{name}, {row}: {made} allocations in 64 hits");
        assert_eq!(made, 0, "{name}, {row}");
    }
    let ids: Vec<u64> = (0..32).collect();
    let by_macro = allocations(|| assert_eq!(now(users.get_many(&ids)).map(|rows| rows.len()), Ok(32)));
    let by_hand = allocations(|| assert_eq!(now(users.get_many_by_hand(&ids)).map(|rows| rows.len()), Ok(32)));
    println!("{name}: {by_macro} allocations for 32 hits of a batch method, {by_hand} by hand");
    assert_eq!(by_macro, by_hand, "{name}");
}

fn level() -> accelerator::LevelCacheBuilder<u64, Arc<User>, MokaL1<u64, Arc<User>>> {
    LevelCache::<u64, Arc<User>>::builder().area("users").l1(MokaL1::new(10_000)).ttl(Duration::from_secs(60))
}

#[test]
fn a_hit_of_a_macro_method_allocates_nothing_and_a_miss_no_more_than_by_hand() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    measured(&runtime, "LevelCache", level().build().expect("a good configuration"));
    let with_l2 = level().l2(MemoryL2::new()).build().expect("a good configuration");
    let erased: Arc<dyn Cache<u64, Arc<User>>> = Arc::new(with_l2);
    measured(&runtime, "Arc<dyn Cache>", erased);

    let _inside = runtime.enter();
    // Misses, without an L2: nothing is waited for.
    let alone: Arc<dyn Cache<u64, Arc<User>>> = Arc::new(level().build().expect("a good configuration"));
    let users = Users { cache: alone };
    let warm = |from: u64| (from..from + 5000).for_each(|id| drop(now(users.get(id))));
    warm(1 << 20);
    let by_hand = averaged(|i| drop(now(users.get_by_hand((1 << 30) + i))));
    let by_macro = averaged(|i| drop(now(users.get((1 << 31) + i))));
    println!("allocations per miss: {by_macro} by the macro, {by_hand} by hand");
    assert!(by_macro <= by_hand, "{by_macro} by the macro, {by_hand} by hand");

    let ids = |i: u64| -> [u64; 32] { std::array::from_fn(|at| (1 << 32) + i * 32 + at as u64) };
    let by_hand = averaged(|i| drop(now(users.get_many_by_hand(&ids(i)))));
    let by_macro = averaged(|i| drop(now(users.get_many(&ids(1000 + i)))));
    println!("allocations for 32 misses: {by_macro} by the macro, {by_hand} by hand");
    assert!(by_macro <= by_hand, "{by_macro} by the macro, {by_hand} by hand");
}
