//! I2: the wait for somebody's ticket is bounded, and ends later than the load that it waits for.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use accelerator_core::testkit::{Fault, Faulty, ManualClock, MemoryL1, MemoryL2, Op, settle};
use accelerator_core::{
    Begin, CacheError, ErrorKind, LevelCache, LevelCacheBuilder, LoadError, LoadTicket, Lookup, ReadOptions, Tickets,
};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::task::JoinHandle;
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
async fn of_all_who_wait_for_stuck_tickets_one_gets_another_in_each_patience() {
    let cache = ok(LevelCache::<u64, u64>::builder().area("a").l1(MemoryL1::new()).ttl(TTL).loader_timeout(ms(100)));
    let Begin::Lead(first) = cache.begin(&1).await else { unreachable!("nothing is cached") };
    let asks = [cache.begin(&1), cache.begin(&1), cache.begin(&1)];
    let start = Instant::now();
    let (mut tickets, mut asks) = (Vec::new(), asks.into_iter().collect::<FuturesUnordered<_>>());
    while let Some(answer) = asks.next().await {
        let Begin::Lead(ticket) = answer else { unreachable!("nobody loads") };
        tickets.push((start.elapsed(), ticket));
    }
    let patience = ms(110)..ms(140);
    for (n, (after, _)) in (1..).zip(&tickets) {
        assert!((patience.start * n..patience.end * n).contains(after), "{n}: {after:?}");
    }
    assert_eq!((tickets.len(), cache.stats().flights), (3, 1), "all are of one flight");
    drop((first, tickets));
    assert_eq!(cache.stats().flights, 0);
}

/// One who leads, one who leads beside it, and so many who wait for both.
struct Beside {
    cache: Level,
    first: LoadTicket<u64>,
    second: LoadTicket<u64>,
    waiting: Vec<JoinHandle<Begin<u64>>>,
}

impl Beside {
    async fn new(
        tweak: impl FnOnce(
            LevelCacheBuilder<u64, u64, MemoryL1<u64, u64>>,
        ) -> LevelCacheBuilder<u64, u64, MemoryL1<u64, u64>>,
    ) -> Self {
        let builder = LevelCache::builder().area("a").l1(MemoryL1::new()).ttl(TTL).loader_timeout(ms(100));
        let cache = ok(tweak(builder));
        let Begin::Lead(first) = cache.begin(&1).await else { unreachable!("nothing is cached") };
        let ask = || {
            let cache = cache.clone();
            tokio::spawn(async move { cache.begin(&1).await })
        };
        let mut asks: FuturesUnordered<_> = (0..10).map(|_| ask()).collect();
        let Some(Ok(Begin::Lead(second))) = asks.next().await else { unreachable!("it never ends") };
        Self { cache, first, second, waiting: asks.into_iter().collect() }
    }
}

async fn answers(waiting: Vec<JoinHandle<Begin<u64>>>) -> Vec<Begin<u64>> {
    let mut all = Vec::new();
    for one in waiting {
        all.push(one.await.expect("no panic"));
    }
    all
}

fn by_l2(builder: LevelCacheBuilder<u64, u64, MemoryL1<u64, u64>>) -> LevelCacheBuilder<u64, u64, MemoryL1<u64, u64>> {
    builder.l2(MemoryL2::new())
}

#[tokio::test(start_paused = true)]
async fn the_first_answer_is_everybodys_whoever_gives_it() {
    for (l2, late) in [(false, false), (false, true), (true, false), (true, true)] {
        let Beside { cache, first, second, waiting } =
            Beside::new(|builder| if l2 { by_l2(builder) } else { builder }).await;
        let (wins, loses) = if late { (first, second) } else { (second, first) };
        wins.fill(Some(7));
        for answer in answers(waiting).await {
            assert!(matches!(answer, Begin::Hit(Some(7))), "{answer:?}");
        }
        assert_eq!(cache.try_get(&1), Lookup::Hit(7));
        drop(loses);
        settle().await;
        assert_eq!((cache.try_get(&1), cache.stats().flights), (Lookup::Hit(7), 0));
    }
}

#[tokio::test(start_paused = true)]
async fn one_of_several_leaders_may_go() {
    for first_goes in [false, true] {
        let Beside { cache, first, second, waiting } = Beside::new(|builder| builder).await;
        let (goes, stays) = if first_goes { (first, second) } else { (second, first) };
        drop(goes);
        settle().await;
        assert!(!waiting.iter().any(JoinHandle::is_finished), "nobody need take over");
        stays.fill(Some(7));
        for answer in answers(waiting).await {
            assert!(matches!(answer, Begin::Hit(Some(7))), "{answer:?}");
        }
        assert_eq!(cache.stats().flights, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn when_the_last_of_several_leaders_goes_the_next_takes_over() {
    let Beside { cache, first, second, waiting } = Beside::new(|builder| builder).await;
    let start = Instant::now();
    drop((first, second));
    let mut waiting: FuturesUnordered<_> = waiting.into_iter().collect();
    let Some(Ok(Begin::Lead(heir))) = waiting.next().await else { unreachable!("somebody leads") };
    heir.fill(Some(7));
    while let Some(answer) = waiting.next().await {
        assert!(matches!(answer, Ok(Begin::Hit(Some(7)))), "{answer:?}");
    }
    assert_eq!((start.elapsed(), cache.stats().flights), (ms(0), 0));
}

#[tokio::test(start_paused = true)]
async fn the_failure_of_one_of_several_leaders_is_everybodys_and_the_others_may_still_answer() {
    let Beside { cache, first, second, waiting } = Beside::new(|builder| builder).await;
    second.fail(CacheError::loader("away"));
    for answer in answers(waiting).await {
        assert!(matches!(&answer, Begin::Failed(e) if e.error().kind() == ErrorKind::Loader), "{answer:?}");
    }
    assert_eq!(cache.try_get(&1), Lookup::Miss);
    first.fill(Some(7));
    assert_eq!((cache.try_get(&1), cache.stats().flights), (Lookup::Hit(7), 0));
}

#[tokio::test(start_paused = true)]
async fn what_several_leaders_find_is_not_stored_after_an_invalidation() {
    for clear in [false, true] {
        let Beside { cache, first, second, waiting } = Beside::new(|builder| builder).await;
        if clear { cache.clear().await } else { cache.del(&1).await }.unwrap();
        let Begin::Lead(newer) = cache.begin(&1).await else { unreachable!("it was invalidated") };
        second.fill(Some(7));
        for answer in answers(waiting).await {
            assert!(matches!(answer, Begin::Hit(Some(7))), "who waited before may have the older value: {answer:?}");
        }
        assert_eq!(cache.try_get(&1), Lookup::Miss);
        newer.fill(Some(8));
        first.fill(Some(6));
        assert_eq!((cache.try_get(&1), cache.stats().flights), (Lookup::Hit(8), 0));
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_stuck_ticket_looks_into_the_cache_after_an_invalidation() {
    let Beside { cache, first, second, waiting } = Beside::new(|builder| builder).await;
    cache.set(&1, 8).await.unwrap();
    // Both are stuck.
    for answer in answers(waiting).await {
        assert!(matches!(answer, Begin::Hit(Some(8))), "{answer:?}");
    }
    drop((first, second));
    assert_eq!((cache.try_get(&1), cache.stats().flights), (Lookup::Hit(8), 0));
}

/// A `get` leads by the loader beside a stuck ticket, in place; the ticket's answer comes before the loader's.
#[tokio::test(start_paused = true)]
async fn a_late_ticket_ends_the_load_of_a_get_that_leads_beside_it() {
    for (l2, followed) in [(false, false), (false, true), (true, false), (true, true)] {
        let loads = Arc::new(AtomicUsize::new(0));
        let counted = loads.clone();
        let builder = LevelCache::<u64, u64>::builder().area("a").l1(MemoryL1::new()).ttl(TTL).loader_timeout(secs(1));
        let builder = if l2 { by_l2(builder) } else { builder };
        let cache = ok(builder.loader(move |_| {
            counted.fetch_add(1, SeqCst);
            std::future::pending::<Result<Option<u64>, LoadError>>()
        }));
        let Begin::Lead(late) = cache.begin(&1).await else { unreachable!("nothing is cached") };
        let get = cache.clone();
        let get = tokio::spawn(async move { get.get(&1).await });
        while loads.load(SeqCst) == 0 {
            sleep(ms(10)).await;
        }
        // Whom others follow has no load in place any more: it is in a task.
        let begins = followed.then(|| {
            let cache = cache.clone();
            tokio::spawn(async move { cache.begin(&1).await })
        });
        settle().await;
        let start = Instant::now();
        late.fill(Some(7));
        assert_eq!(get.await.expect("no panic").unwrap(), Some(7));
        if let Some(begins) = begins {
            assert!(matches!(begins.await.expect("no panic"), Begin::Hit(Some(7))));
        }
        assert_eq!(start.elapsed(), ms(0));
        assert_eq!((cache.try_get(&1), loads.load(SeqCst)), (Lookup::Hit(7), 1));
        // Where it had moved into a task, that ends with its limit.
        sleep(secs(2)).await;
        assert_eq!((cache.try_get(&1), cache.stats().flights), (Lookup::Hit(7), 0));
    }
}

/// The one who is late has the lease of L2; nobody waits for it.
#[tokio::test(start_paused = true)]
async fn who_leads_beside_another_does_not_wait_for_its_lease() {
    let start = Instant::now();
    let Beside { cache, first, second, waiting } =
        Beside::new(|builder| builder.l2(MemoryL2::new().with_leases()).lease_wait(secs(3600))).await;
    assert!(start.elapsed() < ms(400), "{:?}", start.elapsed());
    second.fill(Some(7));
    assert_eq!(answers(waiting).await.len(), 9);
    first.fill(Some(7));
    settle().await;
    assert_eq!(cache.stats().flights, 0);
}

/// Nodes over one L2: a leader that waits for another node's lease is alive, and its followers wait with it.
#[tokio::test(start_paused = true)]
async fn a_leader_that_waits_for_a_lease_is_alive() {
    let l2 = MemoryL2::new().with_leases();
    let node = |limit| {
        let builder = LevelCache::<u64, u64>::builder().area("a").l1(MemoryL1::new()).l2(l2.clone()).ttl(TTL);
        ok(builder.loader_timeout(limit).lease_wait(secs(30)))
    };
    let (holder, waits) = (node(secs(20)), node(ms(100)));
    let Begin::Lead(slow) = holder.begin(&1).await else { unreachable!("nothing is cached") };
    let asks: Vec<_> = (0..10)
        .map(|_| {
            let waits = waits.clone();
            tokio::spawn(async move { waits.begin(&1).await })
        })
        .collect();
    sleep(secs(1)).await;
    assert!(!asks.iter().any(JoinHandle::is_finished), "nobody loads beside");
    slow.fill(Some(7));
    for answer in answers(asks).await {
        assert!(matches!(answer, Begin::Hit(Some(7))), "{answer:?}");
    }
    assert_eq!(waits.stats().flights, 0);
}

/// A read that may not load waits as long as others do, and leads beside nobody.
#[tokio::test(start_paused = true)]
async fn a_read_that_must_not_load_takes_no_ticket() {
    let cache = ok(LevelCache::<u64, u64>::builder().area("a").l1(MemoryL1::new()).ttl(TTL).loader_timeout(ms(100)));
    let Begin::Lead(stuck) = cache.begin(&1).await else { unreachable!("nothing is cached") };
    let start = Instant::now();
    assert_eq!(cache.get_with(&1, ReadOptions::new().disable_load(true)).await.unwrap(), None);
    assert!((ms(100)..ms(200)).contains(&start.elapsed()), "{:?}", start.elapsed());
    stuck.fill(Some(7));
    assert_eq!(cache.try_get(&1), Lookup::Hit(7));
}

#[tokio::test(start_paused = true)]
async fn the_error_of_a_load_that_was_given_up_says_which_option_to_raise() {
    let pending = || std::future::pending::<Result<Option<u64>, LoadError>>();
    let builder = LevelCache::<u64, u64>::builder().area("a").l1(MemoryL1::new()).ttl(TTL).loader_timeout(ms(300));
    let cache = ok(builder.loader(move |_| pending()));
    let own = cache.get_or_load(&2, std::future::pending::<Result<Option<u64>, LoadError>>()).await;
    for error in [cache.get(&1).await.unwrap_err(), own.unwrap_err()] {
        assert_eq!(error.kind(), ErrorKind::Timeout);
        let said = error.to_string();
        assert!(said.contains("loader_timeout = 300ms") && said.contains("raise loader_timeout(..)"), "{said}");
    }
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
