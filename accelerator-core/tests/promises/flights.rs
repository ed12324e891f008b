//! I1 and I2: one load per key for all who ask, and nobody inherits a cancellation, a panic or a stuck leader.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll, Waker};

use accelerator_core::testkit::settle;
use accelerator_core::{Begin, ErrorKind, Loaded, Lookup, Tickets};
use tokio::task::JoinHandle;

use crate::common::{Away, Level, World, ms, ok, secs};

/// Everything between a hundred microseconds and a stuck machine: for tests with threads, which can't use paused time.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);

fn get(cache: &Level, key: u64) -> JoinHandle<accelerator_core::CacheResult<Option<u64>>> {
    let cache = cache.clone();
    tokio::spawn(async move { cache.get(&key).await })
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_gets_of_one_missing_key_are_one_load() {
    for with_l2 in [false, true] {
        let w = World::new();
        let cache = if with_l2 { ok(w.both()) } else { ok(w.l1()) };
        w.source.slow(ms(20));
        let all: Vec<_> = (0..10_000).map(|_| get(&cache, 1)).collect();
        for one in all {
            assert_eq!(one.await.unwrap().unwrap(), Some(1001));
        }
        assert_eq!(w.source.asked(), 1);
        let stats = cache.stats();
        assert_eq!((stats.loads(), stats.joined, stats.misses, stats.flights), (1, 9_999, 10_000, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_bodies_of_one_missing_key_run_once() {
    for with_l2 in [false, true] {
        let w = World::new();
        let cache = if with_l2 { ok(w.no_loader()) } else { ok(w.bare().l1(w.l1.clone())) };
        let runs = Arc::new(AtomicUsize::new(0));
        let one = || {
            let (cache, runs) = (cache.clone(), runs.clone());
            tokio::spawn(async move {
                let body = async {
                    runs.fetch_add(1, SeqCst);
                    tokio::time::sleep(ms(20)).await;
                    Ok::<_, Away>(Some(7))
                };
                cache.get_or_load(&1, body).await
            })
        };
        let all: Vec<_> = (0..10_000).map(|_| one()).collect();
        for one in all {
            assert_eq!(one.await.unwrap().unwrap(), Some(7));
        }
        assert_eq!((runs.load(SeqCst), cache.stats().flights), (1, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn get_mget_and_get_or_load_share_one_load_whoever_comes_first() {
    for first in 0..3 {
        let w = World::new();
        let cache = ok(w.both());
        w.source.slow(ms(20));
        let source = w.source.clone();
        let all: Vec<_> = (0..10_000)
            .map(|i| {
                let (cache, source) = (cache.clone(), source.clone());
                tokio::spawn(async move {
                    match (first + i) % 3 {
                        0 => cache.get(&1).await,
                        1 => cache.mget(&[1, 2]).await.into_values().map(|values| values[0]),
                        _ => cache.get_or_load(&1, source.load(1)).await,
                    }
                })
            })
            .collect();
        for one in all {
            assert_eq!(one.await.unwrap().unwrap(), Some(1001));
        }
        assert_eq!((w.source.asked_for(1), w.source.asked_for(2)), (1, 1));
        settle().await;
        assert_eq!(cache.stats().flights, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn two_caches_share_no_flights() {
    let (here, there) = (World::new(), World::new());
    there.source.put(2);
    let (one, other) = (ok(here.l1()), ok(there.l1()));
    let (first, second) = (here.source.door(), there.source.door());
    let (of_one, of_other) = (get(&one, 1), get(&other, 1));
    first.reached().await;
    second.reached().await;
    second.open();
    assert_eq!(of_other.await.unwrap().unwrap(), Some(1002));
    first.open();
    assert_eq!(of_one.await.unwrap().unwrap(), Some(1001));
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_leader_changes_nothing_for_those_who_wait() {
    for with_l2 in [false, true] {
        for leads_with_mget in [false, true] {
            let w = World::new();
            let cache = if with_l2 { ok(w.both()) } else { ok(w.l1()) };
            let door = w.source.door();
            let leader = tokio::spawn({
                let cache = cache.clone();
                async move {
                    match leads_with_mget {
                        true => drop(cache.mget(&[1, 2]).await),
                        false => drop(cache.get(&1).await),
                    }
                }
            });
            door.reached().await;
            let waiting: Vec<_> = (0..10).map(|_| get(&cache, 1)).collect();
            settle().await;
            leader.abort();
            settle().await;
            door.open();
            for one in waiting {
                assert_eq!(one.await.unwrap().unwrap(), Some(1001));
            }
            settle().await;
            assert_eq!(w.source.asked_for(1), 1, "the work must not be repeated");
            assert_eq!(cache.stats().flights, 0);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_load_goes_on_when_everybody_has_gone() {
    for with_l2 in [false, true] {
        for leads_with_mget in [false, true] {
            let w = World::new();
            let cache = if with_l2 { ok(w.both()) } else { ok(w.l1()) };
            let door = w.source.door();
            let leader = tokio::spawn({
                let cache = cache.clone();
                async move {
                    match leads_with_mget {
                        true => drop(cache.mget(&[1]).await),
                        false => drop(cache.get(&1).await),
                    }
                }
            });
            door.reached().await;
            leader.abort();
            settle().await;
            door.open();
            settle().await;
            assert_eq!(cache.try_get(&1), Lookup::Hit(1001));
            assert_eq!((w.source.asked(), cache.stats().flights), (1, 0));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_is_not_polled_holds_nobody_up() {
    let w = World::new();
    let cache = ok(w.both());
    w.source.slow(ms(20));
    let mut held = pin!(cache.get(&1));
    assert!(held.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    let keys = [2, 3];
    let mut batch = pin!(cache.mget(&keys));
    assert!(batch.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    let before = tokio::time::Instant::now();
    for key in [1, 2, 3] {
        assert_eq!(cache.get(&key).await.unwrap(), Some(1000 * key + 1));
    }
    assert!(before.elapsed() < ms(200), "they waited for a timeout: {:?}", before.elapsed());
    assert_eq!(held.await.unwrap(), Some(1001));
    assert_eq!(batch.await.into_values().unwrap(), [Some(2001), Some(3001)]);
    assert_eq!(w.source.asked(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_body_hands_over_to_the_next_who_waits() {
    let w = World::new();
    let cache = ok(w.no_loader());
    let runs = Arc::new(AtomicUsize::new(0));
    let one = |ends: bool| {
        let (cache, runs) = (cache.clone(), runs.clone());
        tokio::spawn(async move {
            let body = async {
                runs.fetch_add(1, SeqCst);
                if !ends {
                    std::future::pending::<()>().await;
                }
                Ok::<_, Away>(Some(7))
            };
            cache.get_or_load(&1, body).await
        })
    };
    let leader = one(false);
    settle().await;
    let (second, third, fourth) = (one(false), one(true), one(true));
    settle().await;
    assert_eq!(runs.load(SeqCst), 1);
    leader.abort();
    settle().await;
    assert_eq!(runs.load(SeqCst), 2, "exactly one takes over");
    second.abort();
    assert_eq!(third.await.unwrap().unwrap(), Some(7));
    assert_eq!(fourth.await.unwrap().unwrap(), Some(7));
    settle().await;
    assert_eq!((runs.load(SeqCst), cache.stats().flights), (3, 0));
}

#[tokio::test(start_paused = true)]
async fn a_waiter_that_leaves_takes_nothing_with_it() {
    let w = World::new();
    let cache = ok(w.no_loader());
    let Begin::Lead(ticket) = cache.begin(&1).await else { unreachable!("nothing is cached") };
    let body = |n: u64| {
        let cache = cache.clone();
        tokio::spawn(async move { cache.get_or_load(&1, async move { Ok::<_, Away>(Some(n)) }).await })
    };
    let (first, second) = (body(1), body(2));
    settle().await;
    // The first is woken to take over and leaves in the same moment.
    drop(ticket);
    first.abort();
    assert_eq!(second.await.unwrap().unwrap(), Some(2));
    settle().await;
    assert_eq!(cache.stats().flights, 0);
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_an_error_of_its_flight_and_the_next_call_starts_clean() {
    for with_l2 in [false, true] {
        for suspends in [false, true] {
            let w = World::new();
            let calls = Arc::new(AtomicUsize::new(0));
            let counted = calls.clone();
            let load = move |key: u64| {
                let first = counted.fetch_add(1, SeqCst) == 0;
                assert!(!first || suspends, "bang");
                async move {
                    if suspends {
                        tokio::time::sleep(ms(1)).await;
                    }
                    assert!(!first, "bang");
                    Ok::<_, Away>(Some(key))
                }
            };
            let cache =
                if with_l2 { ok(w.no_loader().loader(load)) } else { ok(w.bare().l1(w.l1.clone()).loader(load)) };
            let waiting: Vec<_> = (0..10).map(|_| get(&cache, 5)).collect();
            let mut panics = 0;
            for one in waiting {
                match one.await.unwrap() {
                    Err(e) => {
                        assert_eq!(e.kind(), ErrorKind::Panic);
                        assert!(e.to_string().contains("bang"), "{e}");
                        panics += 1;
                    }
                    Ok(value) => assert_eq!(value, Some(5)),
                }
            }
            assert!(panics > 0);
            assert!(calls.load(SeqCst) <= 2, "every waiter ran it again");
            assert_eq!(cache.get(&5).await.unwrap(), Some(5));
            assert_eq!((cache.stats().loads_panic, cache.stats().flights), (1, 0));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_a_batch_loader_is_an_error_of_its_keys() {
    for suspends in [false, true] {
        let w = World::new();
        let calls = Arc::new(AtomicUsize::new(0));
        let load = move |keys: Vec<u64>| {
            let first = calls.fetch_add(1, SeqCst) == 0;
            assert!(!first || suspends, "bang");
            async move {
                tokio::time::sleep(ms(1)).await;
                assert!(!first, "bang");
                Ok::<_, Away>(keys.into_iter().map(|k| (k, Some(k))).collect::<Vec<_>>())
            }
        };
        let cache = ok(w.no_loader().batch_loader(load));
        let answers = cache.mget(&[1, 2]).await.into_results();
        assert!(answers.iter().all(|a| a.as_ref().is_err_and(|e| e.kind() == ErrorKind::Panic)), "{answers:?}");
        assert_eq!(cache.stats().flights, 0);
        assert_eq!(cache.mget(&[1, 2]).await.into_values().unwrap(), [Some(1), Some(2)]);
    }
}

#[tokio::test(start_paused = true)]
async fn i2_a_panicking_body_is_an_error_for_its_flight_and_leaves_nothing_behind() {
    let w = World::new();
    let cache = ok(w.no_loader());
    let body = |bang: bool| {
        let cache = cache.clone();
        tokio::spawn(async move {
            let body = async move {
                tokio::time::sleep(ms(1)).await;
                assert!(!bang, "bang");
                Ok::<_, Away>(Some(7))
            };
            cache.get_or_load(&1, body).await
        })
    };
    let (bad, waiting) = (body(true), body(false));
    assert!(bad.await.unwrap_err().is_panic());
    assert_eq!(waiting.await.unwrap().unwrap_err().kind(), ErrorKind::Panic, "not every waiter runs into it");
    settle().await;
    assert_eq!(cache.stats().flights, 0);
    assert_eq!(body(false).await.unwrap().unwrap(), Some(7), "the next call starts clean");
}

#[tokio::test(start_paused = true)]
async fn a_loaders_error_reaches_all_who_wait_with_its_type() {
    for with_l2 in [false, true] {
        let w = World::new();
        let cache = if with_l2 { ok(w.both()) } else { ok(w.l1()) };
        w.source.put(42);
        w.source.away(true);
        w.source.slow(ms(20));
        let waiting: Vec<_> = (0..100).map(|_| get(&cache, 1)).collect();
        settle().await;
        let body = cache.get_or_load(&1, async { Ok::<_, Away>(Some(1)) }).await;
        let many = cache.mget(&[1]).await.into_results();
        for one in waiting {
            let e = one.await.unwrap().unwrap_err();
            assert_eq!((e.kind(), e.downcast_ref::<Away>()), (ErrorKind::Loader, Some(&Away(42))));
        }
        assert_eq!(body.unwrap_err().downcast_ref::<Away>(), Some(&Away(42)), "it waited for the same flight");
        assert!(many[0].is_err());
        assert_eq!(w.source.asked(), 2, "one flight for all, and the mget that came after it");
        w.source.away(false);
        assert_eq!(cache.get(&1).await.unwrap(), Some(1042), "an error is not cached");
        assert_eq!(cache.stats().flights, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_load_ends_at_loader_timeout() {
    let w = World::new();
    for with_l2 in [false, true] {
        let builder = if with_l2 { w.both() } else { w.l1() };
        let cache = ok(builder.loader_timeout(secs(3)));
        let _never = (w.source.door(), w.source.door());
        let before = tokio::time::Instant::now();
        let (one, many, body) = tokio::join!(
            cache.get(&1),
            cache.mget(&[2]),
            cache.get_or_load(&3, std::future::pending::<Result<Option<u64>, Away>>()),
        );
        assert_eq!(one.unwrap_err().kind(), ErrorKind::Timeout);
        assert_eq!(many.into_values().unwrap_err().kind(), ErrorKind::Timeout);
        assert_eq!(body.unwrap_err().kind(), ErrorKind::Timeout);
        assert!((secs(3)..secs(4)).contains(&before.elapsed()), "{:?}", before.elapsed());
        assert_eq!((cache.stats().loads_timeout, cache.stats().flights), (3, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn waiting_for_a_stuck_ticket_ends_soon_after_loader_timeout_with_one_load_for_all() {
    let w = World::new();
    let cache = ok(w.both().loader_timeout(secs(1)));
    let Begin::Lead(ticket) = cache.begin(&1).await else { unreachable!("nothing is cached") };
    let before = tokio::time::Instant::now();
    let (one, many, body) =
        tokio::join!(cache.get(&1), cache.mget(&[1]), cache.get_or_load(&1, async { Ok::<_, Away>(Some(7)) }),);
    assert_eq!(one.unwrap(), Some(1001));
    assert_eq!(many.into_values().unwrap(), [Some(1001)]);
    assert_eq!(body.unwrap(), Some(1001), "the first of them loaded for all");
    assert_eq!(w.source.asked(), 1);
    assert!((secs(1)..secs(2)).contains(&before.elapsed()), "{:?}", before.elapsed());
    settle().await;
    assert_eq!(cache.try_get(&1), Lookup::Hit(1001));
    ticket.fill(Loaded::value(9));
    assert_eq!(cache.try_get(&1), Lookup::Hit(9), "the ticket is still good");
    settle().await;
    assert_eq!(cache.stats().flights, 0);
}

#[tokio::test(start_paused = true)]
async fn a_body_or_a_loader_that_asks_for_its_own_key_ends() {
    let w = World::new();
    let cache = ok(w.no_loader());
    let inner = cache.clone();
    let body = async move { inner.get_or_load(&1, async { Ok::<_, Away>(Some(7)) }).await };
    let answer = tokio::time::timeout(secs(60), cache.get_or_load(&1, body)).await;
    assert!(answer.is_ok(), "it waits for itself for ever");
    settle().await;
    assert_eq!(cache.stats().flights, 0);

    let own: Arc<std::sync::OnceLock<Level>> = Arc::default();
    let asks = own.clone();
    let load = move |key: u64| {
        let own = asks.get().cloned();
        async move { own.expect("set below").get(&key).await }
    };
    let cache = ok(w.bare().l1(w.twin().l1).loader(load));
    assert!(own.set(cache.clone()).is_ok());
    let answer = tokio::time::timeout(secs(60), cache.get(&2)).await.expect("it waits for itself for ever");
    assert!(answer.is_err());
    settle().await;
    assert_eq!(cache.stats().flights, 0);
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime")
}

/// For threads of two runtimes: paused time is of no use there.
fn until(what: &str, mut done: impl FnMut() -> bool) {
    let start = std::time::Instant::now();
    while !done() {
        assert!(start.elapsed() < PATIENCE, "never: {what}");
        std::thread::yield_now();
    }
}

#[test]
fn a_runtime_that_dies_with_a_flight_in_it_hands_over_to_who_waits_on_another() {
    for with_l2 in [false, true] {
        for leads_with_mget in [false, true] {
            let w = World::new();
            let builder = if with_l2 { w.both() } else { w.l1() };
            let cache = ok(builder.loader_timeout(secs(20)).l2_timeout(secs(20)));
            let (dying, living) = (runtime(), runtime());
            let door = w.source.door();
            let lead = {
                let cache = cache.clone();
                async move {
                    match leads_with_mget {
                        true => drop(cache.mget(&[1, 2]).await),
                        false => drop(cache.get(&1).await),
                    }
                }
            };
            dying.spawn(lead);
            dying.block_on(door.reached());
            // Somebody of the same runtime follows: the flight moves into a task there.
            let other = cache.clone();
            dying.spawn(async move { other.get(&1).await });
            until("the first follower", || cache.stats().joined == 1);
            let follower = cache.clone();
            let follower = living.spawn(async move { follower.get(&1).await });
            until("the second follower", || cache.stats().joined == 2);
            drop(dying);
            assert_eq!(living.block_on(follower).unwrap().unwrap(), Some(1001));
            assert_eq!(w.source.asked_for(1), 2);
            until("no flight is left", || cache.stats().flights == 0);
        }
    }
}

#[test]
fn a_flight_that_has_moved_to_another_runtime_survives_the_death_of_its_first() {
    for with_l2 in [false, true] {
        let w = World::new();
        let builder = if with_l2 { w.both() } else { w.l1() };
        let cache = ok(builder.loader_timeout(secs(20)).l2_timeout(secs(20)));
        let dying = runtime();
        let living = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let door = w.source.door();
        let leader = cache.clone();
        dying.spawn(async move { leader.get(&1).await });
        dying.block_on(door.reached());
        // The follower's first poll takes the work into a task of its own runtime.
        let mut follower = Box::pin(cache.get(&1));
        {
            let _inside = living.enter();
            assert!(follower.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        }
        living.block_on(settle());
        drop(dying);
        // The timers of the dead runtime have woken whoever waited for them.
        living.block_on(settle());
        door.open();
        assert_eq!(living.block_on(follower).unwrap(), Some(1001));
        until("no flight is left", || cache.stats().flights == 0);
    }
}

#[test]
fn a_batch_that_has_moved_to_a_runtime_that_dies_is_loaded_again_by_its_leader() {
    for with_l2 in [false, true] {
        let w = World::new();
        let builder = if with_l2 { w.batches() } else { w.many() };
        let cache = ok(builder.loader_timeout(secs(20)).l2_timeout(secs(20)));
        let dying = runtime();
        let living = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _door = w.source.door();
        let keys = [1, 2];
        let mut leader = Box::pin(cache.mget(&keys));
        {
            let _inside = living.enter();
            assert!(leader.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        }
        let other = cache.clone();
        dying.spawn(async move { other.get(&1).await });
        until("the run is in a task of the follower's runtime", || dying.metrics().num_alive_tasks() == 2);
        drop(dying);
        assert_eq!(living.block_on(leader).into_values().unwrap(), [Some(1001), Some(2001)]);
        assert_eq!((w.source.asked_for(1), w.source.asked_for(2)), (2, 2));
        until("no flight is left", || cache.stats().flights == 0);
    }
}

#[tokio::test(start_paused = true)]
async fn no_slot_outlives_its_operations() {
    let w = World::new();
    let cache = ok(w.both());
    for key in 0..200_u64 {
        let _ = cache.get(&key).await;
        drop(cache.set(&key, 1));
        drop(cache.del(&key));
        drop(cache.get(&(key + 1000)));
        let cancelled = key + 2000;
        let mut polled_once = Box::pin(cache.get(&cancelled));
        assert!(matches!(polled_once.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Pending));
        drop(polled_once);
        drop(cache.begin(&(key + 3000)));
        drop(cache.begin(&(key + 4000)).await);
        drop(cache.begin_many(&[key + 5000, key + 5001]).await);
        drop(cache.begin_many(&[key + 6000]));
        let _ = cache.lookup(&(key + 7000)).await;
    }
    settle().await;
    w.clock.advance(secs(5)).await;
    assert_eq!(cache.stats().flights, 0);
}
