//! User code that panics ends its own operation only.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Wake, Waker};

use accelerator_core::testkit::{MemoryL1, settle};
use accelerator_core::{Begin, Entry, ErrorKind, L1Stats, L1Store, LevelCache, Lookup, Tickets};

use super::{KEY, LONG};

struct Panics;

impl Wake for Panics {
    fn wake(self: Arc<Self>) {
        resume_unwind(Box::new("a waker"))
    }
}

#[tokio::test(start_paused = true)]
async fn a_waker_that_panics_keeps_nobody_else_asleep() {
    let cache = LevelCache::<u64, u64>::builder().area("a").l1(MemoryL1::new()).ttl(LONG).build().unwrap();
    let Begin::Lead(ticket) = cache.begin(&KEY).await else { panic!("nothing is cached") };
    let mut first = pin!(cache.begin(&KEY));
    assert!(first.as_mut().poll(&mut Context::from_waker(&Waker::from(Arc::new(Panics)))).is_pending());
    let follows = cache.clone();
    let second = tokio::spawn(async move { matches!(follows.begin(&KEY).await, Begin::Hit(Some(1))) });
    settle().await;
    ticket.fill(Some(1));
    assert!(tokio::time::timeout(LONG / 60, second).await.expect("nobody sleeps on").unwrap());
}

/// Panics when it is written to, while armed.
#[derive(Clone, Default)]
struct Fragile(MemoryL1<u64, u64>, Arc<AtomicBool>);

impl L1Store<u64, u64> for Fragile {
    fn get(&self, key: &u64) -> Option<Entry<u64>> {
        self.0.get(key)
    }
    fn insert(&self, key: u64, entry: Entry<u64>) {
        if self.1.load(SeqCst) { resume_unwind(Box::new("a store")) } else { self.0.insert(key, entry) }
    }
    fn remove(&self, key: &u64) {
        self.0.remove(key);
    }
    fn clear(&self) {
        self.0.clear();
    }
    fn stats(&self) -> L1Stats {
        self.0.stats()
    }
}

#[tokio::test(start_paused = true)]
async fn l1_never_keeps_what_was_to_be_replaced() {
    let store = Fragile::default();
    let cache = LevelCache::<u64, u64>::builder().area("a").l1(store.clone()).ttl(LONG).build().unwrap();
    cache.set(&KEY, 1).await.unwrap();
    store.1.store(true, SeqCst);
    assert_eq!(cache.set(&KEY, 2).await.unwrap_err().kind(), ErrorKind::Panic);
    assert_eq!(cache.try_get(&KEY), Lookup::Miss);
}

type Cell = Arc<OnceLock<LevelCache<u64, Arc<Deletes>, MemoryL1<u64, Arc<Deletes>>>>>;

/// A value that deletes another key when it is dropped.
struct Deletes(Cell, u64);

impl Drop for Deletes {
    fn drop(&mut self) {
        if let Some(cache) = self.0.get() {
            drop(cache.del(&self.1));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_value_may_delete_another_when_it_is_replaced() {
    let cell = Cell::default();
    let builder = LevelCache::<u64, Arc<Deletes>>::builder().area("a").l1(MemoryL1::new()).ttl(LONG);
    let cache = builder.build().unwrap();
    assert!(cell.set(cache.clone()).is_ok());
    let value = |deletes| Arc::new(Deletes(cell.clone(), deletes));
    cache.set(&KEY, value(8)).await.unwrap();
    cache.set(&8, value(9)).await.unwrap();
    cache.set(&KEY, value(10)).await.unwrap();
    assert!(matches!(cache.try_get(&8), Lookup::Miss), "deleted before the call returned");
    assert!(matches!(cache.try_get(&KEY), Lookup::Hit(_)));
}

#[tokio::test(start_paused = true)]
async fn a_ticket_that_goes_with_a_strangers_panic_passes_on() {
    let cache = LevelCache::<u64, u64>::builder().area("a").l1(MemoryL1::new()).ttl(LONG).build().unwrap();
    let ticket = cache.begin(&KEY).await;
    let follows = cache.clone();
    let heir = tokio::spawn(async move { matches!(follows.begin(&KEY).await, Begin::Lead(_)) });
    settle().await;
    let stranger = catch_unwind(AssertUnwindSafe(move || {
        let _ticket = ticket;
        resume_unwind(Box::new("a stranger"))
    }));
    let _: Result<(), _> = stranger;
    assert!(heir.await.unwrap());
}
