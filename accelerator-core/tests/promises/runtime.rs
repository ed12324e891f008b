//! A hit needs no runtime, nothing panics without one, and `shutdown` says what it left.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

use accelerator_core::testkit::{Gate, MemoryL1, Op, settle};
use accelerator_core::{Begin, Cache, CacheResult, ErrorKind, LoadTicket, Lookup, Tickets};
use futures_util::FutureExt;

use crate::common::{Away, TTL, World, ms, ok, secs};

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs a future in this thread, outside every runtime.
fn outside<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(out) => return out,
            Poll::Pending => std::thread::park_timeout(secs(30)),
        }
    }
}

fn other_runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime")
}

async fn suspends(key: u64) -> Result<Option<u64>, Away> {
    let mut first = true;
    std::future::poll_fn(|cx| {
        if std::mem::take(&mut first) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(())
    })
    .await;
    Ok(Some(key))
}

fn kind<T: std::fmt::Debug>(answer: CacheResult<T>) -> ErrorKind {
    answer.expect_err("an error").kind()
}

#[test]
fn hits_and_all_of_an_l1_cache_work_without_a_runtime() {
    let w = World::new();
    let cache = ok(w.l1());
    cache.set(&1, 5).now_or_never().unwrap().unwrap();
    assert_eq!(cache.get(&1).now_or_never().unwrap().unwrap(), Some(5));
    assert_eq!(cache.mget(&[1]).now_or_never().unwrap().into_values().unwrap(), [Some(5)]);
    assert_eq!(cache.get_or_load(&1, suspends(1)).now_or_never().unwrap().unwrap(), Some(5));
    assert!(matches!(cache.begin(&1).now_or_never(), Some(Begin::Hit(Some(5)))));
    let face: &dyn Cache<u64, u64> = &cache;
    assert_eq!(face.get(&1).now_or_never().unwrap().unwrap(), Some(5));
    cache.del(&1).now_or_never().unwrap().unwrap();
    cache.clear().now_or_never().unwrap().unwrap();
    // A loader that does not suspend needs none either.
    assert_eq!(cache.get(&1).now_or_never().unwrap().unwrap(), Some(1001));
    assert_eq!(cache.mget(&[2, 3]).now_or_never().unwrap().into_values().unwrap(), [Some(2001), Some(3001)]);
    assert_eq!(cache.stats().flights, 0);
}

#[test]
fn a_hit_in_the_refresh_window_or_a_stale_one_works_without_a_runtime() {
    let w = World::new();
    let cache = ok(w.l1().refresh_ahead_window(secs(10)).stale_on_error(secs(100)));
    outside(cache.get(&1)).unwrap();
    w.clock.tick(secs(55));
    assert_eq!(outside(cache.get(&1)).unwrap(), Some(1001));
    w.source.away(true);
    w.clock.tick(secs(10));
    assert_eq!(outside(cache.get(&1)).unwrap(), Some(1001));
    assert_eq!(cache.stats().flights, 0);
}

#[test]
fn a_load_that_suspends_without_a_runtime_is_no_runtime_and_no_panic() {
    for with_l2 in [false, true] {
        let w = World::new();
        let builder = if with_l2 { w.no_loader() } else { w.bare().l1(w.l1.clone()) };
        let cache = ok(builder.loader(suspends));
        assert_eq!(kind(outside(cache.get(&1))), ErrorKind::NoRuntime);
        assert_eq!(kind(outside(cache.mget(&[2, 3])).into_values()), ErrorKind::NoRuntime);
        assert_eq!(cache.stats().flights, 0);
        // A body is its caller's own business.
        assert_eq!(outside(cache.get_or_load(&4, suspends(4))).unwrap(), Some(4));
        assert_eq!(outside(cache.lookup(&9)), if with_l2 { Lookup::Unavailable } else { Lookup::Miss });
        assert_eq!(cache.stats().flights, 0);
    }
}

#[test]
fn a_write_that_cannot_reach_l2_without_a_runtime_corrects_l1_and_says_so() {
    let w = World::new();
    let cache = ok(w.both());
    let runtime = other_runtime();
    runtime.block_on(async { cache.mset([(1, Some(5)), (2, Some(6)), (3, Some(7))]).await }).unwrap();
    assert_eq!(kind(outside(cache.del(&1))), ErrorKind::NoRuntime);
    assert_eq!(kind(outside(cache.set(&2, 8))), ErrorKind::NoRuntime);
    assert_eq!(kind(outside(cache.mdel(&[3]))), ErrorKind::NoRuntime);
    for key in [1, 2, 3] {
        assert_eq!(cache.try_get(&key), Lookup::Miss, "nothing old in L1");
        // L2 still has the old value: it must not come back.
        assert_eq!(runtime.block_on(cache.get(&key)).unwrap(), Some(1000 * key + 1));
    }
    assert_eq!(cache.stats().flights, 0);
}

#[test]
fn a_runtime_given_to_the_builder_is_used_from_outside() {
    let runtime = other_runtime();
    let w = World::new();
    let cache = ok(w.no_loader().loader(suspends).runtime(runtime.handle().clone()));
    assert_eq!(outside(cache.get(&1)).unwrap(), Some(1));
    assert_eq!(outside(cache.mget(&[1, 2, 3])).into_values().unwrap(), [Some(1), Some(2), Some(3)]);
    outside(cache.set(&1, 5)).unwrap();
    assert_eq!(outside(cache.get(&1)).unwrap(), Some(5));
    assert_eq!(runtime.block_on(w.in_l2(1)), Some(Some(5)));
    outside(cache.del(&1)).unwrap();
    assert_eq!(runtime.block_on(w.in_l2(1)), None);
    let stuck = ok(w
        .twin()
        .bare()
        .l1(MemoryL1::new())
        .runtime(runtime.handle().clone())
        .loader_timeout(ms(20))
        .loader(|_: u64| std::future::pending::<Result<Option<u64>, Away>>()));
    assert_eq!(kind(outside(stuck.get(&1))), ErrorKind::Timeout, "with working timers");
    assert_eq!((cache.stats().flights, stuck.stats().flights), (0, 0));
}

#[test]
fn a_cache_in_a_static_outlives_the_runtimes_that_use_it() {
    let w = World::new();
    let cache = ok(w.both());
    for key in 0..5_u64 {
        let runtime = other_runtime();
        let door = w.source.door();
        let (one, background) = (cache.clone(), cache.clone());
        runtime.spawn(async move { one.get(&(key + 100)).await });
        runtime.block_on(door.reached());
        assert_eq!(runtime.block_on(background.get(&key)).unwrap(), Some(1000 * key + 1));
        drop(runtime);
    }
    assert_eq!(cache.stats().flights, 0, "flights of dead runtimes are left");
    assert_eq!(other_runtime().block_on(cache.get(&100)).unwrap(), Some(100_001));
}

#[test]
fn a_write_whose_runtime_dies_corrects_l1_and_is_not_trusted() {
    let w = World::new();
    let cache = ok(w.both().l2_timeout(secs(20)));
    let (dying, living) = (other_runtime(), other_runtime());
    dying.block_on(async { cache.mset([(1, Some(5)), (2, Some(6))]).await }).unwrap();
    let (set_gate, del_gate): (Gate, Gate) = (w.l2.gate(Op::Set), w.l2.gate(Op::Del));
    let (set, del) = {
        let _inside = dying.enter();
        (cache.set(&1, 7), cache.del(&2))
    };
    dying.block_on(async { tokio::join!(set_gate.reached(), del_gate.reached()) });
    drop(dying);
    assert_eq!(kind(living.block_on(set)), ErrorKind::Unconfirmed);
    assert_eq!(kind(living.block_on(del)), ErrorKind::Unconfirmed);
    assert_eq!((cache.try_get(&1), cache.try_get(&2)), (Lookup::Miss, Lookup::Miss));
    let values = living.block_on(cache.mget(&[1, 2])).into_values().unwrap();
    assert_eq!(values, [Some(1001), Some(2001)]);
    assert_eq!(cache.stats().flights, 0);
}

#[tokio::test(start_paused = true)]
async fn after_shutdown_hits_are_answered_and_everything_else_is_refused() {
    for with_l2 in [false, true] {
        let w = World::new();
        let cache = if with_l2 { ok(w.both()) } else { ok(w.l1()) };
        cache.set(&1, 5).await.unwrap();
        let asked = w.l2.log().len();
        assert_eq!(cache.shutdown(secs(1)).await.unfinished, 0);
        assert_eq!(cache.get(&1).await.unwrap(), Some(5));
        assert_eq!(cache.try_get(&1), Lookup::Hit(5));
        assert_eq!(cache.get_or_load(&1, suspends(1)).await.unwrap(), Some(5));
        assert_eq!(kind(cache.get(&2).await), ErrorKind::Shutdown);
        assert_eq!(kind(cache.get_or_load(&2, suspends(2)).await), ErrorKind::Shutdown);
        let many = cache.mget(&[1, 2]).await.into_results();
        assert_eq!(many[0].as_ref().unwrap(), &Some(5));
        assert_eq!(kind(many[1].clone()), ErrorKind::Shutdown);
        assert!(matches!(cache.begin(&2).await, Begin::Unavailable(e) if e.kind() == ErrorKind::Shutdown));
        let batch = cache.begin_many(&[1, 2]).await;
        assert_eq!((batch.hits.len(), batch.led.len(), batch.followed.len()), (1, 1, 0));
        batch.led.into_iter().for_each(|(_, ticket)| LoadTicket::fill(ticket, Some(9)));
        assert_eq!(cache.try_get(&2), Lookup::Miss);
        for write in [cache.set(&1, 6), cache.del(&1), cache.mset([(1, Some(6))]), cache.mdel(&[1]), cache.clear()] {
            assert_eq!(kind(write.await), ErrorKind::Shutdown);
        }
        assert_ne!(cache.lookup(&2).await, Lookup::Hit(2001));
        settle().await;
        assert_eq!((w.source.asked(), w.l2.log().len(), cache.stats().flights), (0, asked, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn shutdown_waits_for_what_is_in_progress_up_to_its_deadline_and_counts_the_rest() {
    let w = World::new();
    let cache = ok(w.both().loader_timeout(secs(100)).l2_timeout(secs(100)));
    let door = w.source.door();
    let load = tokio::spawn({
        let cache = cache.clone();
        async move { cache.get(&1).await }
    });
    door.reached().await;
    let gate = w.l2.gate(Op::Set);
    let set = cache.set(&2, 5);
    gate.reached().await;
    let before = tokio::time::Instant::now();
    assert_eq!(cache.shutdown(secs(2)).await.unfinished, 2);
    assert!((secs(2)..secs(3)).contains(&before.elapsed()), "{:?}", before.elapsed());
    let finish = tokio::spawn(async move {
        tokio::time::sleep(ms(500)).await;
        gate.open();
        door.open();
    });
    let before = tokio::time::Instant::now();
    assert_eq!(cache.shutdown(secs(2)).await.unfinished, 0, "what was in progress may end");
    assert!((ms(500)..secs(1)).contains(&before.elapsed()), "{:?}", before.elapsed());
    finish.await.unwrap();
    assert_eq!(load.await.unwrap().unwrap(), Some(1001));
    set.await.unwrap();
}

#[test]
fn dropping_a_cache_never_blocks_and_needs_no_runtime() {
    let w = World::new();
    let cache = ok(w.both().ttl(TTL));
    let runtime = other_runtime();
    let door = w.source.door();
    let clone = cache.clone();
    runtime.spawn(async move { clone.get(&1).await });
    runtime.block_on(door.reached());
    drop(cache);
    drop(runtime);
}

/// Limits share one coarse timer, which ticks in one runtime. Nobody's limit may depend on whether that one runs.
#[test]
fn limits_hold_in_every_runtime_whatever_became_of_the_first() {
    let paused = || tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let w = World::new();
    let cache = ok(w.both().l2_timeout(ms(100)));
    w.l2.always(Some(accelerator_core::testkit::Fault::Hang));
    let timeouts = || cache.stats().l2_errors_total();
    let (first, second) = (paused(), paused());
    first.block_on(async { assert_eq!(cache.get(&1).await.unwrap(), Some(1001)) });
    assert_eq!(timeouts(), 1);
    // The first runtime stands still.
    second.block_on(async { assert_eq!(cache.get(&2).await.unwrap(), Some(2001)) });
    assert_eq!(timeouts(), 2);
    // It ends while somebody waits in it, who goes on in another.
    let mut read = Box::pin(cache.get(&3));
    first.block_on(std::future::poll_fn(|cx| {
        assert!(read.as_mut().poll(cx).is_pending());
        Poll::Ready(())
    }));
    drop(first);
    second.block_on(async { assert_eq!(read.await.unwrap(), Some(3001)) });
    assert_eq!(timeouts(), 3);
    second.block_on(async { assert_eq!(cache.get(&4).await.unwrap(), Some(4001)) });
    assert_eq!(timeouts(), 4);
}

/// A second without anybody who waits, and the next one waits no longer than its limit.
#[tokio::test(start_paused = true)]
async fn limits_hold_after_a_rest() {
    let w = World::new();
    let cache = ok(w.both().l2_timeout(ms(100)));
    w.l2.always(Some(accelerator_core::testkit::Fault::Hang));
    for key in 0..3 {
        let start = tokio::time::Instant::now();
        cache.get(&key).await.unwrap();
        assert!((ms(100)..=ms(120)).contains(&start.elapsed()), "{:?}", start.elapsed());
        tokio::time::sleep(ms([0, 990, 5_000][key as usize])).await;
    }
}

/// A call from a thread that has the handle of a runtime that is gone.
#[test]
fn a_runtime_that_has_ended_is_no_runtime_and_no_deadlock() {
    for multi in [false, true] {
        let dead = if multi { tokio::runtime::Runtime::new().expect("a runtime") } else { other_runtime() };
        let handle = dead.handle().clone();
        drop(dead);
        let w = World::new();
        let cache = ok(w.both().loader(suspends));
        let (done, is_done) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let _inside = handle.enter();
            let answer = outside(async { (cache.get(&1).await.is_err(), cache.set(&2, 1).await.is_err()) });
            let _ = done.send((answer, cache.stats().flights));
        });
        let answer = is_done.recv_timeout(secs(10));
        assert!(matches!(answer, Ok(((true, true), 0))), "{answer:?}");
    }
}

/// Polls `work` as a task of a `LocalSet`, which no runtime drives.
fn outside_in_a_local_set<T: 'static>(work: impl Future<Output = T> + 'static) -> Option<T> {
    let (local, mut cx) = (tokio::task::LocalSet::new(), Context::from_waker(Waker::noop()));
    let mut task = std::pin::pin!(local.spawn_local(work));
    let mut local = std::pin::pin!(local);
    for _ in 0..2 {
        let _ = local.as_mut().poll(&mut cx);
    }
    match task.as_mut().poll(&mut cx) {
        Poll::Ready(answer) => answer.ok(),
        Poll::Pending => None,
    }
}

#[test]
fn a_task_outside_of_every_runtime_leaves_the_loads_of_others_alone() {
    let w = World::new();
    let cache = ok(w.l1());
    w.source.slow(ms(50));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let leads = {
        let cache = cache.clone();
        runtime.spawn(async move { cache.get(&7).await })
    };
    runtime.block_on(settle());
    let follows = cache.clone();
    assert!(outside_in_a_local_set(async move { follows.get(&7).await }).is_none());
    assert_eq!(runtime.block_on(leads).unwrap().unwrap(), Some(7001));
    assert_eq!((w.source.asked(), cache.stats().loads_error), (1, 0));
}

#[test]
fn a_task_outside_of_every_runtime_refreshes_nothing() {
    let w = World::new();
    let cache = ok(w.l1().refresh_ahead_window(secs(10)));
    let clock = w.clock.clone();
    let stats = outside_in_a_local_set(async move {
        cache.get(&1).await.unwrap();
        clock.tick(secs(55));
        cache.get(&1).await.unwrap();
        cache.stats()
    });
    assert_eq!(stats.map(|stats| (stats.l1_hits, stats.refreshes)), Some((1, 0)));
}

/// A source and an L2 that use the timers of their runtime, from the first poll on.
#[test]
fn the_runtime_of_the_builder_is_entered_where_user_code_is_polled_in_place() {
    let runtime = other_runtime();
    for (l2, many, key) in [(false, false, 10), (false, true, 20), (true, false, 10), (true, true, 20)] {
        let w = World::new();
        w.source.slow(ms(1));
        w.l2.always(Some(accelerator_core::testkit::Fault::Delay(ms(1))));
        let builder = match (l2, many) {
            (false, false) => w.l1(),
            (false, true) => w.many(),
            (true, false) => w.both(),
            (true, true) => w.batches(),
        };
        let cache = ok(builder.runtime(runtime.handle().clone()).refresh_ahead_window(secs(10)));
        assert_eq!(outside(cache.get(&key)).unwrap(), Some(1000 * key + 1));
        let keys = [key + 1, key + 2];
        let values = outside(cache.mget(&keys)).into_values().unwrap();
        assert_eq!(values, [Some(1000 * keys[0] + 1), Some(1000 * keys[1] + 1)]);
        let options = accelerator_core::ReadOptions::new().force_refresh(true);
        assert_eq!(outside(cache.get_with(&key, options)).unwrap(), Some(1000 * key + 1));
        assert_eq!(outside(cache.warmup([key + 3])).ready, 1);
        let body = async { Ok::<_, Away>(Some(7)) };
        assert_eq!(outside(cache.get_or_load(&(key + 4), body)).unwrap(), Some(7));
        let Begin::Lead(ticket) = outside(cache.begin(&(key + 5))) else { panic!("nobody loads it") };
        drop(ticket);
        let keys = [key + 6, key + 7];
        let batch = outside(cache.begin_many(&keys));
        assert_eq!((batch.hits.len(), batch.led.len()), (0, 2));
        drop(batch);
        assert_eq!(outside(cache.lookup(&(key + 8))), Lookup::Miss);
        let options = accelerator_core::ReadOptions::new().disable_load(true);
        assert_eq!(outside(cache.get_with(&(key + 9), options)).unwrap(), None);
        outside(cache.set(&key, 5)).unwrap();
        outside(cache.del(&key)).unwrap();
        let stats = cache.stats();
        assert_eq!((stats.loads_panic, stats.loads_error, stats.l2_errors_total()), (0, 0, 0));
        assert_eq!(outside(cache.shutdown(secs(5))).unfinished, 0);
    }
}

/// What a load leaves behind may need a runtime as well, to give a connection back.
#[test]
fn the_runtime_of_the_builder_is_entered_where_a_load_that_was_given_up_is_dropped() {
    struct Connection(Arc<AtomicBool>);
    impl Drop for Connection {
        fn drop(&mut self) {
            self.0.store(tokio::runtime::Handle::try_current().is_ok(), SeqCst);
        }
    }
    let runtime = other_runtime();
    for l2 in [false, true] {
        let w = World::new();
        let inside = Arc::new(AtomicBool::new(false));
        let given = inside.clone();
        let builder = if l2 { w.both() } else { w.l1() };
        let cache = ok(builder.runtime(runtime.handle().clone()).loader_timeout(ms(20)).loader(move |_| {
            let connection = Connection(given.clone());
            async move {
                std::future::pending::<()>().await;
                drop(connection);
                Ok::<Option<u64>, Away>(None)
            }
        }));
        assert_eq!(kind(outside(cache.get(&1))), ErrorKind::Timeout);
        assert!(inside.load(SeqCst), "with L2: {l2}");
    }
}
