//! I2: nobody waits for ever for work that stands still, however it came to be what they wait for: a ticket that became
//! work, or work that is in the middle of one poll.

use std::future::{Future, poll_fn};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use accelerator_core::testkit::MemoryL1;
use accelerator_core::{Begin, CacheError, ErrorKind, LevelCache, LoadError, Lookup, Tickets};
use tokio::runtime::{Builder, Runtime};
use tokio::task::yield_now;

use crate::common::{Level, TTL, World, lock, ms, ok};

/// Nothing here takes longer, however slow the machine is.
const LONGEST: Duration = Duration::from_secs(20);

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// What comes of it in a thread with a runtime of its own, to be asked for later. It has begun to wait.
fn waits<F>(call: F) -> impl FnOnce() -> F::Output
where
    F: Future<Output: Send> + Send + 'static,
{
    let (runtime, mut call) = (runtime(), Box::pin(call));
    let over = runtime.block_on(poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx).is_ready())));
    assert!(!over, "it waits for nobody");
    runs(runtime, call)
}

fn runs<F>(runtime: Runtime, call: F) -> impl FnOnce() -> F::Output
where
    F: Future<Output: Send> + Send + 'static,
{
    let (done, is_done) = channel();
    thread::spawn(move || done.send(runtime.block_on(call)));
    move || is_done.recv_timeout(LONGEST).expect("it waits for ever")
}

async fn begin(cache: Level) -> Begin<u64> {
    cache.begin(&1).await
}

/// A `get` takes over from a ticket that is dropped: what its followers wait for is work then, in a task of a runtime that
/// nobody runs. One of them takes it along.
#[test]
fn who_waits_for_a_ticket_looks_after_the_work_that_takes_its_place() {
    let w = World::new();
    // Longer than a busy machine keeps a thread from running: the load must not end by it.
    let cache = ok(w.l1().loader_timeout(ms(3000)));
    let (door, idle) = (w.source.door(), runtime());
    let Begin::Lead(ticket) = idle.block_on(begin(cache.clone())) else { unreachable!("nothing is cached") };
    let heir = cache.clone();
    let heir = idle.spawn(async move { heir.get(&1).await });
    idle.block_on(yield_now());
    let follower = waits(begin(cache.clone()));
    assert_eq!(cache.stats().joined, 2);
    drop(ticket);
    // The heir begins to load; after that its runtime isn't run.
    idle.block_on(door.reached());
    door.open();
    assert!(matches!(follower(), Begin::Hit(Some(1001))));
    assert_eq!(w.source.asked(), 1, "the load went on where it was");
    assert_eq!(idle.block_on(heir).expect("no panic").unwrap(), Some(1001));
    assert_eq!(cache.stats().flights, 0);
}

/// A loader that blocks its thread until the test says how it ends.
#[derive(Clone, Default)]
struct Blocking(Arc<Mutex<Vec<Sender<u64>>>>);

impl Blocking {
    fn cache(&self) -> Level {
        let own = self.clone();
        let load = move |_: u64| {
            let own = own.clone();
            async move {
                let answer = own.enter();
                Ok::<_, LoadError>(answer.recv().ok())
            }
        };
        ok(LevelCache::builder().area("t").l1(MemoryL1::new()).ttl(TTL).loader_timeout(ms(200)).loader(load))
    }

    fn enter(&self) -> Receiver<u64> {
        let (ends, answer) = channel();
        lock(&self.0).push(ends);
        answer
    }

    /// So many loads have begun.
    fn begun(&self, loads: usize) {
        while lock(&self.0).len() < loads {
            thread::yield_now();
        }
    }

    fn end(&self, load: usize, value: u64) {
        lock(&self.0)[load].send(value).expect("it waits");
    }
}

/// The first time it starts again; where that means to wait for another load that is stuck, it gives up.
#[test]
fn who_has_waited_twice_for_work_that_is_stuck_is_told_so() {
    let by_ticket: fn(Level) -> Box<dyn FnOnce() -> CacheError> = |cache| {
        let answer = waits(begin(cache));
        Box::new(move || match answer() {
            Begin::Failed(failed) => failed.into_error(),
            other => panic!("no failure but {other:?}"),
        })
    };
    let by_own_load: fn(Level) -> Box<dyn FnOnce() -> CacheError> = |cache| {
        let answer = waits(async move { cache.get_or_load(&1, async { Ok::<_, LoadError>(Some(9)) }).await });
        Box::new(move || answer().expect_err("it did not load"))
    };
    for ask in [by_ticket, by_own_load] {
        let loads = Blocking::default();
        let cache = loads.cache();
        let get = |cache: Level| runs(runtime(), async move { cache.get(&1).await });
        let first = get(cache.clone());
        loads.begun(1);
        let answer = ask(cache.clone());
        // The first load can't be followed any more, and whoever starts again finds another one.
        runtime().block_on(cache.del(&1)).unwrap();
        let second = get(cache.clone());
        loads.begun(2);
        let error = answer();
        assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
        assert!(error.to_string().contains("loader_timeout"), "{error}");
        loads.end(0, 7);
        loads.end(1, 8);
        assert_eq!((first().unwrap(), second().unwrap()), (Some(7), Some(8)));
        // The second one was given up as well: later readers do not wait for it.
        assert_eq!((cache.try_get(&1), cache.stats().flights), (Lookup::Hit(8), 0));
    }
}
