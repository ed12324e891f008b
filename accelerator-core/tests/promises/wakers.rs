//! Wakers are foreign code: whatever they own, it is not cloned or dropped under a lock of the cache, and one that panics
//! keeps nobody else asleep.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Wake, Waker};

use accelerator_core::testkit::{Op, settle};
use accelerator_core::{LevelCacheBuilder, Tickets};
use tokio::runtime;
use tokio::time::timeout;

use crate::common::{L1, World, ms, ok, secs};

type Build = fn(&World) -> LevelCacheBuilder<u64, u64, L1>;
type Wait = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Dropped, it ends the wait of somebody else.
struct Owner {
    // Waits are not `Sync`.
    _wait: Mutex<Wait>,
}

impl Wake for Owner {
    fn wake(self: Arc<Self>) {}
}

fn poll(wait: &mut Wait, waker: &Waker) {
    assert!(wait.as_mut().poll(&mut Context::from_waker(waker)).is_pending());
}

/// The first wait is polled with a waker that owns the second, then with another one, which drops it.
fn ends(waits: impl FnOnce() -> (Wait, Wait) + Send + 'static) -> bool {
    let (done, over) = mpsc::channel();
    std::thread::spawn(move || {
        let runtime = runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let _inside = runtime.enter();
        let (mut first, mut second) = waits();
        poll(&mut second, Waker::noop());
        let owner = Waker::from(Arc::new(Owner { _wait: Mutex::new(second) }));
        poll(&mut first, &owner);
        drop(owner);
        poll(&mut first, Waker::noop());
        done.send(()).expect("the test waits");
    });
    over.recv_timeout(secs(20)).is_ok()
}

#[test]
fn a_waker_may_own_another_wait_for_l2() {
    assert!(ends(|| {
        let w = World::new();
        let cache = ok(w.bare().l2(w.l2.clone()).l2_timeout(secs(10)));
        let read = |key| -> Wait {
            let (cache, gate) = (cache.clone(), w.l2.gate(Op::Get));
            Box::pin(async move {
                let _gate = gate;
                let _ = cache.lookup(&key).await;
            })
        };
        (read(1), read(2))
    }));
}

#[test]
fn a_waker_may_own_another_wait_for_the_same_flight() {
    assert!(ends(|| {
        let w = World::new();
        let cache = ok(w.l1());
        w.source.slow(secs(10));
        let read = || -> Wait {
            let cache = cache.clone();
            Box::pin(async move {
                let _ = cache.get(&1).await;
            })
        };
        let mut leads = read();
        poll(&mut leads, Waker::noop());
        // Both follow from here on, the leader too as soon as they do.
        std::mem::forget(leads);
        (read(), read())
    }));
}

/// Panics when it is woken for the first time.
#[derive(Default)]
struct Panics(AtomicBool);

impl Wake for Panics {
    fn wake(self: Arc<Self>) {
        if !self.0.swap(true, SeqCst) {
            std::panic::resume_unwind(Box::new("a waker"));
        }
    }
}

fn panics() -> Waker {
    Waker::from(Arc::new(Panics::default()))
}

fn boxed(wait: impl Future<Output = ()> + Send + 'static) -> Wait {
    Box::pin(wait)
}

#[tokio::test(start_paused = true)]
async fn a_waker_that_panics_keeps_no_other_follower_asleep() {
    let builds: [Build; 4] = [World::l1, World::both, World::many, World::batches];
    for build in builds {
        let w = World::new();
        let cache = ok(build(&w));
        let door = w.source.door();
        let read = || {
            let cache = cache.clone();
            async move { assert_eq!(cache.get(&1).await.unwrap(), Some(1001)) }
        };
        let leader = tokio::spawn(read());
        door.reached().await;
        let (mut first, mut last) = (boxed(read()), boxed(read()));
        poll(&mut first, &panics());
        let between = tokio::spawn(read());
        settle().await;
        poll(&mut last, &panics());
        door.open();
        for wait in [leader, between] {
            timeout(secs(60), wait).await.expect("nobody sleeps for ever").expect("no panic of another");
        }
        timeout(secs(60), async { (first.await, last.await) }).await.expect("they may poll again");
        assert_eq!(cache.stats().flights, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_leader_whose_waker_panics_leaves_its_load_to_those_who_follow() {
    let one: [Build; 2] = [World::l1, World::both];
    let many: [Build; 2] = [World::many, World::batches];
    for (build, batch) in one.map(|build| (build, false)).into_iter().chain(many.map(|build| (build, true))) {
        let w = World::new();
        let cache = ok(build(&w));
        let door = w.source.door();
        let leads = cache.clone();
        let mut leader = boxed(async move {
            match batch {
                true => assert!(leads.mget(&[1, 2]).await.into_values().is_ok()),
                false => assert_eq!(leads.get(&1).await.unwrap(), Some(1001)),
            }
        });
        // On to the door, where only the one who follows wakes it.
        for _ in 0..5 {
            poll(&mut leader, Waker::noop());
            settle().await;
        }
        poll(&mut leader, &panics());
        let follows = cache.clone();
        let follower = tokio::spawn(async move { follows.get(&1).await });
        settle().await;
        door.open();
        let answer = timeout(secs(60), follower).await.expect("nobody sleeps for ever");
        assert_eq!(answer.expect("no panic of another").unwrap(), Some(1001));
        timeout(secs(60), leader).await.expect("it may poll again");
        assert_eq!(cache.stats().flights, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_ticket_passes_by_a_waker_that_panics() {
    let w = World::new();
    let cache = ok(w.bare().l1(w.l1.clone()));
    let ticket = cache.begin(&1).await;
    let follow = |key| {
        let cache = cache.clone();
        boxed(async move { drop(cache.begin(&key).await) })
    };
    let (mut first, second) = (follow(1), tokio::spawn(follow(1)));
    poll(&mut first, &panics());
    settle().await;
    drop(ticket);
    // The ticket is the first one's, who doesn't know; when it goes, the second is next.
    drop(first);
    timeout(secs(60), second).await.expect("nobody sleeps for ever").expect("no panic of another");
    settle().await;
    assert_eq!(cache.stats().flights, 0);
}

#[tokio::test(start_paused = true)]
async fn a_waker_that_panics_keeps_no_other_limit_from_its_end() {
    let w = World::new();
    let cache = ok(w.l1().loader_timeout(ms(500)));
    w.source.slow(secs(100));
    let read = |key| {
        let cache = cache.clone();
        boxed(async move { drop(cache.get(&key).await) })
    };
    // From its first count on, this thread has one shard for all its seats.
    drop(cache.begin(&9).await);
    let mut first = read(1);
    poll(&mut first, &panics());
    let others: Vec<_> = (2..5).map(|key| tokio::spawn(read(key))).collect();
    for other in others {
        timeout(secs(60), other).await.expect("its limit ends").expect("no panic of another");
    }
    // The task that ticks lives on.
    timeout(secs(60), read(5)).await.expect("its limit ends");
}
