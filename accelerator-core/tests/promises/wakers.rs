//! Wakers are foreign code: whatever they own, it is not cloned or dropped under a lock of the cache.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Wake, Waker};

use accelerator_core::testkit::Op;
use tokio::runtime;

use crate::common::{World, ok, secs};

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
