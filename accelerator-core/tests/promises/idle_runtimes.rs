//! Runtimes that are alive and not run: `block_on` for each call, on a current-thread runtime of each thread. What was
//! left in one of them is taken over by whoever waits for it, and by whoever comes later.

use std::future::Future;
use std::pin::Pin;
use std::sync::mpsc::channel;
use std::task::Poll;
use std::time::Duration;

use accelerator_core::testkit::{Fault, Op};
use accelerator_core::{Begin, CacheResult, ErrorKind, Lookup, StoreErrorKind, Tickets};
use tokio::runtime::{Builder, Runtime};

use crate::common::{Level, World, ms, ok, secs};

/// Nothing here takes longer, however slow the machine is.
const LONGEST: Duration = Duration::from_secs(20);

/// A runtime that runs what it has only inside of `block_on`.
fn idle() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// Polls once, as a caller does who then has no time.
async fn once<F: Future>(mut future: Pin<&mut F>) {
    let polled = std::future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_ready())).await;
    assert!(!polled, "it was ready");
}

/// Calls, and gives up.
fn calls_and_gives_up<F: Future>(runtime: &Runtime, call: F) {
    runtime.block_on(async { once(std::pin::pin!(call)).await });
}

/// What comes of it on a runtime of its own, which is run until then.
fn ends<F>(call: F) -> F::Output
where
    F: Future<Output: Send> + Send + 'static,
{
    waits(call)()
}

/// [`ends`], to be asked for later.
fn waits<F>(call: F) -> impl FnOnce() -> F::Output
where
    F: Future<Output: Send> + Send + 'static,
{
    let (done, is_done) = channel();
    std::thread::spawn(move || done.send(idle().block_on(call)));
    move || is_done.recv_timeout(LONGEST).expect("it waits for ever")
}

async fn get(cache: Level, key: u64) -> CacheResult<Option<u64>> {
    cache.get(&key).await
}

async fn mget(cache: Level, keys: [u64; 2]) -> CacheResult<Vec<Option<u64>>> {
    cache.mget(&keys).await.into_values()
}

/// All at once, as each mostly waits.
fn each<T: Send>(cases: impl IntoIterator<Item = T>, test: impl Fn(T) + Sync) {
    let test = &test;
    std::thread::scope(|scope| cases.into_iter().for_each(|case| drop(scope.spawn(move || test(case)))));
}

const WAYS: [(bool, bool); 4] = [(false, false), (false, true), (true, false), (true, true)];

/// Every way to load: alone and in batches, with L2 and without.
fn worlds(loader_timeout: Duration, test: impl Fn(&World, Level, bool) + Sync) {
    each(WAYS, |(batches, l2)| {
        let w = World::new();
        let builder = match (batches, l2) {
            (false, false) => w.l1(),
            (false, true) => w.both(),
            (true, false) => w.many(),
            (true, true) => w.batches(),
        };
        test(&w, ok(builder.loader_timeout(loader_timeout)), batches);
    });
}

#[test]
fn a_follower_that_took_the_load_along_and_gave_up_leaves_it_to_the_leader() {
    worlds(secs(60), |w, cache, _| {
        let door = w.source.door();
        let leader = waits(get(cache.clone(), 1));
        let stands = door.clone();
        ends(async move { stands.reached().await });
        let idle = idle();
        calls_and_gives_up(&idle, cache.get(&1));
        door.open();
        assert_eq!(leader().expect("a value"), Some(1001));
        assert_eq!((w.source.asked(), cache.stats().flights), (1, 0));
    });
}

#[test]
fn a_follower_that_took_a_batch_along_and_gave_up_leaves_it_to_the_leader() {
    worlds(secs(60), |w, cache, batches| {
        let doors: Vec<_> = (0..if batches { 1 } else { 2 }).map(|_| w.source.door()).collect();
        let leader = waits(mget(cache.clone(), [1, 2]));
        let stand = doors.clone();
        ends(async move {
            for door in stand {
                door.reached().await;
            }
        });
        let idle = idle();
        calls_and_gives_up(&idle, cache.get(&2));
        doors.iter().for_each(crate::common::Door::open);
        assert_eq!(leader().expect("values"), [Some(1001), Some(2001)]);
        assert_eq!((w.source.asked(), cache.stats().flights), (2, 0));
    });
}

#[test]
fn the_load_of_a_cancelled_leader_goes_on_where_others_wait() {
    worlds(secs(60), |w, cache, _| {
        let door = w.source.door();
        let idle = idle();
        calls_and_gives_up(&idle, cache.get(&1));
        door.open();
        let follower = waits(get(cache.clone(), 1));
        let other = waits(mget(cache.clone(), [1, 3]));
        assert_eq!(follower().expect("a value"), Some(1001));
        assert_eq!(other().expect("values"), [Some(1001), Some(3001)]);
        assert_eq!((w.source.asked_for(1), cache.stats().flights), (1, 0));
    });
}

#[test]
fn the_batch_of_a_cancelled_leader_goes_on_where_others_wait() {
    worlds(secs(60), |w, cache, batches| {
        let doors: Vec<_> = (0..if batches { 1 } else { 2 }).map(|_| w.source.door()).collect();
        let idle = idle();
        calls_and_gives_up(&idle, cache.mget(&[1, 2]));
        doors.iter().for_each(crate::common::Door::open);
        assert_eq!(ends(get(cache.clone(), 2)).expect("a value"), Some(2001));
        assert_eq!(ends(mget(cache.clone(), [1, 2])).expect("values"), [Some(1001), Some(2001)]);
        assert_eq!((w.source.asked(), cache.stats().flights), (2, 0));
    });
}

#[test]
fn callers_who_load_themselves_wait_no_longer_either() {
    each([false, true], |ticket| {
        let w = World::new();
        let cache = ok(w.both().loader_timeout(secs(60)));
        let door = w.source.door();
        let idle = idle();
        calls_and_gives_up(&idle, cache.get(&1));
        door.open();
        let own = cache.clone();
        let value = ends(async move {
            match ticket {
                true => match own.begin(&1).await {
                    Begin::Hit(value) => value,
                    other => panic!("{other:?}"),
                },
                false => own.get_or_load(&1, async { Ok::<_, crate::common::Away>(Some(7)) }).await.expect("a value"),
            }
        });
        assert_eq!((value, w.source.asked()), (Some(1001), 1));
    });
}

/// What waits for a timer or a socket of the idle runtime can't be saved: the limit of its load ends it.
#[test]
fn a_load_that_needs_its_idle_runtime_ends_at_its_limit() {
    each(WAYS, |(l2, moved)| {
        let w = World::new();
        let cache = ok(if l2 { w.both() } else { w.l1() }.loader_timeout(ms(200)));
        let (idle, key) = (idle(), 1);
        w.source.slow(ms(1));
        let mut leader = Box::pin(cache.get(&key));
        // The limit has its seat there.
        idle.block_on(async {
            once(leader.as_mut()).await;
            match moved {
                // It goes on in the runtime that the follower brings.
                true => std::mem::forget(leader),
                false => drop(leader),
            }
        });
        let error = ends(get(cache.clone(), 1)).expect_err("no value");
        assert_eq!(error.kind(), ErrorKind::Timeout);
        assert_eq!(ends(get(cache.clone(), 1)).expect("a value"), Some(1001));
        assert_eq!((w.source.asked(), cache.stats().flights), (2, 0));
    });
}

#[test]
fn the_loads_of_a_batch_end_at_their_limits_where_it_went() {
    worlds(ms(200), |w, cache, _| {
        // Its ticker is in another runtime: the limits of the batch have timers of their own.
        for ticker in [false, true] {
            let first = idle();
            if ticker {
                w.source.slow(ms(1));
                first.block_on(cache.get(&9)).expect("a value");
            }
            let idle = idle();
            w.source.slow(secs(60));
            let asked = w.source.asked() + 2;
            // Until both loads wait, with their limits there.
            idle.block_on(async {
                let mut read = std::pin::pin!(cache.mget(&[1, 2]));
                std::future::poll_fn(|cx| {
                    assert!(read.as_mut().poll(cx).is_pending());
                    if w.source.asked() == asked { Poll::Ready(()) } else { Poll::Pending }
                })
                .await;
            });
            assert_eq!(ends(get(cache.clone(), 2)).expect_err("no value").kind(), ErrorKind::Timeout);
            assert_eq!(cache.stats().flights, 0);
        }
    });
}

/// Who was woken to take over may be asleep as well.
#[test]
fn an_heir_that_is_asleep_is_passed_over() {
    let w = World::new();
    let cache = ok(w.both().loader_timeout(secs(60)));
    let (dying, idle) = (idle(), idle());
    let _door = w.source.door();
    calls_and_gives_up(&dying, cache.get(&1));
    let mut heir = Box::pin(cache.get(&1));
    idle.block_on(once(heir.as_mut()));
    let (seated, is_seated) = channel();
    let follower = waits({
        let cache = cache.clone();
        async move {
            let mut read = std::pin::pin!(cache.get(&1));
            once(read.as_mut()).await;
            seated.send(()).expect("the test waits");
            read.await
        }
    });
    is_seated.recv_timeout(LONGEST).expect("it waits");
    // The first seat is the heir's.
    drop(dying);
    assert_eq!(follower().expect("a value"), Some(1001));
}

#[test]
fn a_refresh_that_never_began_is_taken_over() {
    each([false, true], |l2| {
        let w = World::new();
        let builder = if l2 { w.both() } else { w.l1() };
        let cache = ok(builder.refresh_ahead_window(secs(10)));
        let idle = idle();
        assert_eq!(idle.block_on(cache.get(&1)).expect("a value"), Some(1001));
        w.source.put(2);
        w.clock.tick(secs(55));
        // It ends before the refresh has its first turn.
        assert_eq!(idle.block_on(cache.get(&1)).expect("a value"), Some(1001));
        assert_eq!(cache.stats().refreshes, 1);
        w.clock.tick(secs(10));
        assert_eq!(ends(get(cache.clone(), 1)).expect("a value"), Some(1002));
        let stats = cache.stats();
        assert_eq!((stats.refreshes_ok, stats.refreshes_failed, stats.flights), (1, 0, 0));
    });
}

#[test]
fn deletes_are_sent_again_though_the_runtime_of_the_first_try_stands_still() {
    // Whatever is called, for other keys.
    each(0..5, |call| {
        let w = World::new();
        let cache = ok(if call == 0 { w.no_loader() } else { w.both() });
        let idle = idle();
        idle.block_on(async { cache.set(&1, 5).await }).expect("a good L2");
        w.l2.always(Some(Fault::Error(StoreErrorKind::Unavailable)));
        assert_eq!(idle.block_on(async { cache.del(&1).await }).expect_err("no L2").kind(), ErrorKind::Unconfirmed);
        w.l2.always(None);
        let (others, after) = (cache.clone(), std::time::Instant::now());
        ends(async move {
            let mut key = 100;
            while others.stats().unconfirmed > 0 && after.elapsed() < LONGEST {
                key += 2;
                match call {
                    0 | 1 => assert_ne!(others.get(&key).await.expect("an answer"), Some(5)),
                    2 => drop(others.mget(&[key, key + 1]).await.into_values().expect("values")),
                    3 => assert_ne!(others.lookup(&key).await, Lookup::Hit(5)),
                    _ => others.del(&key).await.expect("a good L2"),
                }
                tokio::time::sleep(ms(20)).await;
            }
        });
        assert_eq!(cache.stats().unconfirmed, 0);
        assert_eq!(idle.block_on(w.in_l2(1)), None);
    });
}

#[test]
fn shutdown_sends_what_an_idle_runtime_has_left() {
    let w = World::new();
    let cache = ok(w.both());
    let idle = idle();
    w.l2.always(Some(Fault::Error(StoreErrorKind::Unavailable)));
    assert_eq!(idle.block_on(async { cache.del(&1).await }).expect_err("no L2").kind(), ErrorKind::Unconfirmed);
    w.l2.always(None);
    let closing = cache.clone();
    let report = ends(async move { closing.shutdown(secs(10)).await });
    assert_eq!((report.unfinished, report.unconfirmed), (0, 0));
}

#[test]
fn a_write_that_was_called_in_an_idle_runtime_ends_where_it_is_awaited() {
    let w = World::new();
    let cache = ok(w.both());
    let idle = idle();
    let writes = idle.block_on(async { [cache.set(&1, 5), cache.del(&2), cache.mset([(3, Some(6)), (4, Some(7))])] });
    for write in writes {
        ends(write).expect("a good L2");
    }
    assert_eq!(idle.block_on(w.in_l2(1)), Some(Some(5)));
    assert_eq!(cache.stats().flights, 0);
}

/// A write that holds the key's turn, and nobody awaits it.
#[test]
fn a_write_in_an_idle_runtime_stops_no_other_writer_for_good() {
    each([false, true], |delete| {
        let w = World::new();
        let cache = ok(w.both().l2_timeout(ms(100)));
        let idle = idle();
        let gate = w.l2.gate(if delete { Op::Del } else { Op::Set });
        {
            let _inside = idle.enter();
            drop(if delete { cache.del(&1) } else { cache.set(&1, 5) });
        }
        idle.block_on(gate.reached());
        let (other, after) = (cache.clone(), std::time::Instant::now());
        ends(async move {
            while other.set(&1, 6).await.is_err() {
                assert!(after.elapsed() < LONGEST, "no write comes through");
            }
        });
        assert_eq!(cache.try_get(&1), Lookup::Hit(6));
        assert_eq!(ends(async move { w.in_l2(1).await }), Some(Some(6)));
    });
}

/// What a body loaded goes into L2 behind its caller, who is gone by then.
#[test]
fn a_fill_does_not_stay_in_an_idle_runtime_where_the_builder_has_a_better_one() {
    let w = World::new();
    let (runs, idle) = (Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime"), idle());
    let cache = ok(w.no_loader().runtime(runs.handle().clone()));
    let body = async { Ok::<_, crate::common::Away>(Some(5)) };
    assert_eq!(idle.block_on(cache.get_or_load(&1, body)).expect("a value"), Some(5));
    let after = std::time::Instant::now();
    let in_l2 = ends(async move {
        while w.in_l2(1).await.is_none() && after.elapsed() < LONGEST {
            tokio::time::sleep(ms(1)).await;
        }
        w.in_l2(1).await
    });
    assert_eq!(in_l2, Some(Some(5)));
}
