//! Runtimes that are alive and not run: whoever waits elsewhere takes over what was left in them.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::channel;
use std::task::Poll;
use std::time::Instant;

use tokio::runtime::{Builder, Runtime};

use super::*;

const LONGEST: Duration = Duration::from_secs(10);

fn idle() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// Polls until all loads that hang have begun, and goes away.
fn gives_up(runtime: &Runtime, left: &AtomicUsize, call: impl Future) {
    runtime.block_on(async {
        let mut call = std::pin::pin!(call);
        std::future::poll_fn(|cx| {
            assert!(call.as_mut().poll(cx).is_pending());
            if left.load(SeqCst) == 0 { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    });
}

/// What comes of it on another runtime, which is run until then.
fn ends<F: Future<Output: Send> + Send + 'static>(call: F) -> F::Output {
    let (done, is_done) = channel();
    std::thread::spawn(move || done.send(idle().block_on(call)));
    is_done.recv_timeout(LONGEST).expect("it waits for ever")
}

type Level = LevelCache<u64, u64, MemoryL1<u64, u64>>;

/// Its source never answers the first so many keys that it is asked for.
fn cache(l2: &Faulty<MemoryL2>, hangs: usize) -> (Level, Arc<AtomicUsize>) {
    let left = Arc::new(AtomicUsize::new(hangs));
    let hangs = left.clone();
    let load = move |key| {
        let hangs = hangs.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok();
        async move {
            if hangs {
                std::future::pending::<()>().await;
            }
            Ok::<_, std::io::Error>(Some(key))
        }
    };
    let builder = LevelCache::<u64, u64>::builder().area("t").ttl(LONG).l1_ttl(LONG).l1(MemoryL1::new());
    let limits =
        builder.l2(l2.clone()).l2_timeout(Duration::from_millis(100)).loader_timeout(Duration::from_millis(200));
    (limits.loader(load).build().unwrap(), left)
}

#[test]
fn limits_of_a_load_go_where_it_is_taken_over() {
    let (cache, left) = cache(&Faulty::new(MemoryL2::new()), 1);
    let idle = idle();
    gives_up(&idle, &left, cache.get(&KEY));
    let other = cache.clone();
    assert_eq!(ends(async move { other.get(&KEY).await }).unwrap_err().kind(), ErrorKind::Timeout);
    assert_eq!(ends(async move { cache.get(&KEY).await }).unwrap(), Some(KEY));
}

#[test]
fn limits_of_the_parts_of_a_batch_go_where_it_is_taken_over() {
    let (cache, left) = cache(&Faulty::new(MemoryL2::new()), 2);
    let idle = idle();
    gives_up(&idle, &left, cache.mget(&[KEY, KEY + 1]));
    assert_eq!(ends(async move { cache.get(&KEY).await }).unwrap_err().kind(), ErrorKind::Timeout);
}

#[test]
fn deletes_are_sent_by_another_task() {
    let l2 = Faulty::new(MemoryL2::new());
    let ((cache, _), idle) = (cache(&l2, 0), idle());
    l2.always(Some(Fault::Error(StoreErrorKind::Unavailable)));
    idle.block_on(async { cache.del(&KEY).await }).unwrap_err();
    l2.always(None);
    let begin = Instant::now();
    ends(async move {
        while cache.stats().unconfirmed > 0 {
            assert!(begin.elapsed() < LONGEST, "the deletes are never sent");
            tokio::time::sleep(Duration::from_millis(20)).await;
            cache.get(&(KEY + 1)).await.unwrap();
            cache.del(&(KEY + 1)).await.unwrap();
        }
    });
}

#[test]
fn a_turn_in_an_idle_runtime_is_not_waited_for_again() {
    let l2 = Faulty::new(MemoryL2::new());
    let ((cache, _), idle) = (cache(&l2, 0), idle());
    let gate = l2.gate(Op::Set);
    {
        let _inside = idle.enter();
        drop(cache.set(&KEY, 1));
    }
    idle.block_on(gate.reached());
    let begin = Instant::now();
    ends(async move {
        while cache.set(&KEY, 2).await.is_err() {
            assert!(begin.elapsed() < LONGEST, "no write comes through");
        }
    });
}
