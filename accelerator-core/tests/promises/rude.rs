//! Code of the user that misbehaves where an L1 store calls it: values whose `Drop` panics or calls the cache, and
//! weighers that panic. For any store, so that the backends run the same.
//!
//! Each runs in a thread of its own: what it must not do is hang.

use std::cell::Cell;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::sync::{Arc, OnceLock, mpsc};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use accelerator_core::{Begin, ErrorKind, L1Store, LevelCache, LoadError, Loaded, Lookup, Tickets};

const KEYS: u64 = 40;
/// The value that a weigher panics at.
pub(crate) const UNLUCKY: u64 = 13;

type Action = Arc<dyn Fn(u64) + Send + Sync>;

thread_local! {
    /// Whether a value that is dropped now is dropped by the cache, and not by the test.
    static IN_CACHE: Cell<bool> = const { Cell::new(false) };
}

/// A value whose `Drop` does something when it happens in a cache.
pub(crate) struct Rude {
    pub(crate) n: u64,
    dropped: Option<Action>,
}

pub(crate) type Value = Arc<Rude>;

impl Drop for Rude {
    fn drop(&mut self) {
        if let Some(dropped) = self.dropped.take().filter(|_| IN_CACHE.get()) {
            dropped(self.n);
        }
    }
}

fn polite(n: u64) -> Value {
    Arc::new(Rude { n, dropped: None })
}

pub(crate) fn unlucky() -> ! {
    resume_unwind(Box::new("unlucky"))
}

/// What a call of the cache answers at once; it is dropped by the test.
fn now<T>(future: impl Future<Output = T>) -> T {
    IN_CACHE.set(true);
    let polled = pin!(future).poll(&mut Context::from_waker(Waker::noop()));
    IN_CACHE.set(false);
    match polled {
        Poll::Ready(out) => out,
        Poll::Pending => unreachable!("it is ready at once"),
    }
}

fn in_time(what: &str, run: impl FnOnce() + Send + 'static) {
    let (done, over) = mpsc::channel::<()>();
    let thread = std::thread::spawn(move || {
        run();
        drop(done);
    });
    let hangs = over.recv_timeout(Duration::from_secs(30)) == Err(mpsc::RecvTimeoutError::Timeout);
    assert!(!hangs, "{what} hangs");
    assert!(thread.join().is_ok(), "{what} panics");
}

type Level<S> = LevelCache<u64, Value, S>;

fn level<S: L1Store<u64, Value> + Clone>(store: S) -> Level<S> {
    let builder = LevelCache::builder().area("rude").l1(store).ttl(Duration::from_secs(60));
    let load = |key| std::future::ready(Ok::<_, LoadError>(Some(polite(key))));
    builder.loader(load).build().expect("a good configuration")
}

/// Every way into L1 and out of it, for values that are made by `value`.
fn use_all_ways<S: L1Store<u64, Value>>(cache: &Level<S>, value: impl Fn(u64) -> Value) {
    for round in 0..20 {
        for n in 0..KEYS {
            now(async { cache.set(&n, value(n)).await }).expect("it is written");
            match round % 5 {
                0 => now(async { cache.set(&n, value(n)).await }).expect("it is replaced"),
                1 => now(async { cache.del(&n).await }).expect("it is deleted"),
                2 => {
                    let items = [(n, Some(value(n))), (n + 1, Some(value(n)))];
                    now(async { cache.mset(items).await }).expect("they are replaced");
                }
                3 => now(async { cache.mdel(&[n, n + 1]).await }).expect("they are deleted"),
                _ => {
                    let body = async { Ok::<_, LoadError>(Some(value(n + KEYS))) };
                    drop(now(cache.get_or_load(&(n + KEYS), body)).expect("it is loaded"));
                }
            }
            assert!(now(cache.get(&n)).expect("it is loaded").is_some());
            assert!(now(cache.mget(&[n, n + 1, n + 2])).into_values().is_ok());
        }
        if round % 7 == 6 {
            now(async { cache.clear().await }).expect("it is cleared");
        }
        now(async { cache.l1_stats() });
    }
    let known = cache.stats();
    assert_eq!((known.flights, known.loads_panic), (0, 0));
    for n in 0..4 {
        now(async { cache.set(&n, polite(n + 1000)).await }).expect("it is written");
        assert_eq!(now(cache.get(&n)).expect("it is there").map(|value| value.n), Some(n + 1000));
    }
}

/// `store` has room for a few entries.
pub(crate) fn a_drop_that_panics_ends_nothing<S: L1Store<u64, Value> + Clone>(store: S) {
    in_time("a cache whose values panic when they are dropped", move || {
        let cache = level(store);
        let action: Action = Arc::new(|_| unlucky());
        use_all_ways(&cache, |n| Arc::new(Rude { n, dropped: Some(action.clone()) }));
    });
}

/// `store` has room for a few entries.
pub(crate) fn a_drop_may_call_the_cache<S: L1Store<u64, Value> + Clone>(store: S) {
    in_time("a cache whose values call it when they are dropped", move || {
        let cache = level(store);
        let own = OnceLock::new();
        assert!(own.set(cache.clone()).is_ok());
        let action: Action = Arc::new(move |n| {
            let Some(cache) = own.get() else { return };
            drop(cache.stats());
            drop(cache.del(&(n + 1)));
            drop(cache.mdel(&[n + 2, n + 3]));
            drop(cache.set(&(n + 4), polite(n + 4)));
            if n % 17 == 0 {
                drop(cache.clear());
            }
        });
        use_all_ways(&cache, |n| Arc::new(Rude { n, dropped: Some(action.clone()) }));
    });
}

/// The weigher of `store` panics at [`UNLUCKY`].
pub(crate) fn a_weigher_that_panics_ends_its_own_operation<S: L1Store<u64, Value> + Clone>(store: S) {
    in_time("a cache whose weigher panics", move || {
        let cache = level(store);
        let panicked = Some(ErrorKind::Panic);
        let set = |key, n| now(async { cache.set(&key, polite(n)).await }).err().map(|e| e.kind());
        let in_l1 = |key| match cache.try_get(&key) {
            Lookup::Hit(value) => Some(value.n),
            _ => None,
        };
        assert_eq!((set(1, 1), in_l1(1)), (None, Some(1)));
        assert_eq!((set(1, UNLUCKY), in_l1(1)), (panicked, None), "the older value is gone");
        assert_eq!((set(1, 1), in_l1(1)), (None, Some(1)));
        let many = [(1, Some(polite(UNLUCKY))), (2, Some(polite(2)))];
        let many = now(async { cache.mset(many).await });
        assert_eq!((many.err().map(|e| e.kind()), in_l1(1), in_l1(2)), (panicked, None, Some(2)));

        let loaded = now(cache.get(&UNLUCKY));
        assert_eq!((loaded.err().map(|e| e.kind()), in_l1(UNLUCKY)), (panicked, None));
        let loaded = now(cache.mget(&[UNLUCKY])).into_results().remove(0);
        assert_eq!((loaded.err().map(|e| e.kind()), in_l1(UNLUCKY)), (panicked, None));
        let body = std::future::ready(Ok::<_, LoadError>(Some(polite(UNLUCKY))));
        let loaded = now(cache.get_or_load(&3, body));
        assert_eq!((loaded.err().map(|e| e.kind()), in_l1(3)), (panicked, None));
        let Begin::Lead(ticket) = now(cache.begin(&4)) else { unreachable!("nothing is cached") };
        let fill = || ticket.fill(Loaded::from(Some(polite(UNLUCKY))));
        assert!(catch_unwind(AssertUnwindSafe(fill)).is_err());
        assert_eq!((in_l1(4), cache.stats().flights), (None, 0));

        for key in 0..5 {
            assert_eq!((set(key, key), in_l1(key)), (None, Some(key)), "everything works as before");
        }
    });
}
