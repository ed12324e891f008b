//! I2: the wait for somebody's ticket is bounded, and ends later than the load that it waits for.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use accelerator_core::testkit::{Fault, Faulty, ManualClock, MemoryL1, MemoryL2, Op, settle};
use accelerator_core::{Begin, Cache, ErrorKind, LevelCache, LoadError, ReadOptions};
use tokio::time::{Instant, sleep};

use crate::common::{TTL, ms, ok, secs};

type Level = LevelCache<u64, u64, MemoryL1<u64, u64>>;

/// So many callers whose bodies take so long; how many bodies ran, and how many callers had the value.
async fn crowd(cache: &Level, callers: usize, body: Duration) -> (usize, usize) {
    let bodies = Arc::new(AtomicUsize::new(0));
    let tasks: Vec<_> = (0..callers)
        .map(|_| {
            let (cache, bodies) = (cache.clone(), bodies.clone());
            tokio::spawn(async move {
                let body = async {
                    bodies.fetch_add(1, SeqCst);
                    sleep(body).await;
                    Ok::<_, LoadError>(Some(7))
                };
                cache.get_or_load(&1, body).await.is_ok()
            })
        })
        .collect();
    let mut served = 0;
    for task in tasks {
        served += usize::from(task.await.expect("no task panics"));
    }
    (bodies.load(SeqCst), served)
}

#[tokio::test(start_paused = true)]
async fn followers_wait_as_long_as_a_leader_may_take() {
    let l2 = Faulty::new(MemoryL2::new());
    l2.always_for(Op::Get, Some(Fault::Delay(ms(50))));
    let builder = LevelCache::builder().area("a").l1(MemoryL1::new()).l2(l2).ttl(TTL).loader_timeout(ms(200));
    let cache = ok(builder);
    assert_eq!(crowd(&cache, 100, ms(180)).await, (1, 100));
}

// In real time, as the leader's timer and the others' are on two threads; a busy machine has 250 ms.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_hangs_fails_for_all_who_wait_and_runs_once() {
    let cache = ok(LevelCache::builder().area("a").l1(MemoryL1::new()).ttl(TTL).loader_timeout(secs(2)));
    assert_eq!(crowd(&cache, 1000, secs(3600)).await, (1, 0));
    assert_eq!(cache.stats().loads_timeout, 1);
}

#[tokio::test(start_paused = true)]
async fn of_all_who_waited_for_a_stuck_ticket_one_loads_anew() {
    let cache = ok(LevelCache::builder().area("a").l1(MemoryL1::new()).ttl(TTL).loader_timeout(ms(100)));
    let Begin::Lead(stuck) = cache.begin(&1).await else { unreachable!("nothing is cached") };
    assert_eq!(crowd(&cache, 100, ms(20)).await, (1, 100));
    drop(stuck);
    assert_eq!(cache.stats().flights, 0);
}

#[tokio::test(start_paused = true)]
async fn who_waited_for_two_stuck_tickets_is_told_so_by_one_error() {
    let cache = ok(LevelCache::<u64, u64>::builder().area("a").l1(MemoryL1::new()).ttl(TTL).loader_timeout(ms(100)));
    let Begin::Lead(first) = cache.begin(&1).await else { unreachable!("nothing is cached") };
    let asks = [cache.begin(&1), cache.begin(&1), cache.begin(&1)];
    let start = Instant::now();
    let answers = futures_util::future::join_all(asks).await;
    assert!(start.elapsed() < ms(300), "{:?}", start.elapsed());
    let leads = answers.iter().filter(|answer| matches!(answer, Begin::Lead(_))).count();
    let late = answers.iter().filter(|a| matches!(a, Begin::Failed(e) if e.kind() == ErrorKind::Timeout)).count();
    assert_eq!((leads, late), (1, 2));
    drop((first, answers));
    assert_eq!(cache.stats().flights, 0);
}

#[tokio::test(start_paused = true)]
async fn an_mget_behind_many_stuck_tickets_waits_once() {
    let load = |keys: Vec<u64>| async move {
        Ok::<_, LoadError>(keys.into_iter().map(|key| (key, Some(key))).collect::<Vec<_>>())
    };
    let builder = LevelCache::<u64, u64>::builder().area("a").l1(MemoryL1::new()).ttl(TTL).loader_timeout(secs(2));
    let cache = ok(builder.batch_loader(load));
    let keys: Vec<u64> = (0..20).collect();
    let mut held = Vec::new();
    for key in &keys {
        held.push(cache.begin(key).await);
    }
    let start = Instant::now();
    assert_eq!(cache.mget(&keys).await.into_values().unwrap().len(), 20);
    assert!(start.elapsed() < secs(3), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_read_that_must_not_load_starts_no_refresh() {
    let clock = ManualClock::new();
    let loads = Arc::new(AtomicUsize::new(0));
    let counted = loads.clone();
    let builder = LevelCache::<u64, u64>::builder().area("a").l1(MemoryL1::new()).ttl(secs(60)).clock(clock.clone());
    let cache = ok(builder.refresh_ahead_window(secs(20)).loader(move |key| {
        counted.fetch_add(1, SeqCst);
        async move { Ok::<_, LoadError>(Some(key)) }
    }));
    cache.set(&1, 1).await.unwrap();
    clock.tick(secs(50));
    cache.get_with(&1, ReadOptions::new().disable_load(true)).await.unwrap();
    drop(cache.mget_with(&[1], ReadOptions::new().disable_load(true)).await);
    let _ = (cache.lookup(&1).await, cache.try_get(&1));
    settle().await;
    assert_eq!(loads.load(SeqCst), 0);
    cache.get(&1).await.unwrap();
    settle().await;
    assert_eq!(loads.load(SeqCst), 1, "the window was open");
}
