//! One forced interleaving per test: the engine's own order of reads, writes and registrations around the table.
//!
//! Gates in L2 and in the loader hold one party where it must not be overtaken (or may be) until the other is done.

// The helpers are tests, too.
#![allow(clippy::unwrap_used)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use accelerator_core::testkit::{Fault, Faulty, MemoryL1, MemoryL2, Op, settle};
use accelerator_core::{
    CacheResult, Entry, ErrorKind, L1Stats, L1Store, LevelCache, Lookup, ReadOptions, StoreErrorKind,
};
use tokio::sync::Notify;

#[path = "engine_races/clocks.rs"]
mod clocks;
#[path = "engine_races/idle.rs"]
mod idle;
#[path = "engine_races/leases.rs"]
mod leases;
#[path = "engine_races/patience.rs"]
mod patience;
#[path = "engine_races/queued.rs"]
mod queued;
#[path = "engine_races/user_code.rs"]
mod user_code;

const KEY: u64 = 7;
const LONG: Duration = Duration::from_secs(60);

/// An L1 that remembers what was put into it: a value that stood there for an instant only was there.
#[derive(Clone)]
struct Watched {
    store: MemoryL1<u64, u64>,
    inserted: Arc<Mutex<Vec<u64>>>,
}

impl L1Store<u64, u64> for Watched {
    fn get(&self, key: &u64) -> Option<Entry<u64>> {
        self.store.get(key)
    }

    fn insert(&self, key: u64, entry: Entry<u64>) {
        self.inserted.lock().unwrap().extend(entry.value().copied());
        self.store.insert(key, entry);
    }

    fn remove(&self, key: &u64) {
        self.store.remove(key);
    }

    fn clear(&self) {
        self.store.clear();
    }

    fn stats(&self) -> L1Stats {
        self.store.stats()
    }
}

/// A source that answers what it had when it was asked, as late as the test says.
#[derive(Default)]
struct Source {
    value: Mutex<u64>,
    held: Mutex<Option<Arc<Held>>>,
}

#[derive(Default)]
struct Held {
    asked: Notify,
    answer: Notify,
}

impl Source {
    fn change(&self, value: u64) {
        *self.value.lock().unwrap() = value;
    }

    /// Holds the next answer.
    fn hold(&self) -> Arc<Held> {
        self.held.lock().unwrap().insert(Arc::default()).clone()
    }

    async fn ask(&self) -> Result<Option<u64>, std::io::Error> {
        let value = *self.value.lock().unwrap();
        let held = self.held.lock().unwrap().take();
        if let Some(held) = held {
            held.asked.notify_one();
            held.answer.notified().await;
        }
        Ok(Some(value))
    }
}

struct Rig {
    cache: LevelCache<u64, u64, Watched>,
    l1: Watched,
    l2: Faulty<MemoryL2>,
    source: Arc<Source>,
}

impl Rig {
    fn new() -> Self {
        let source = Arc::new(Source { value: Mutex::new(1), held: Mutex::default() });
        Self::over(Faulty::new(MemoryL2::new()), source)
    }

    /// A node of its own.
    fn over(l2: Faulty<MemoryL2>, source: Arc<Source>) -> Self {
        let l1 = Watched { store: MemoryL1::new(), inserted: Arc::default() };
        let loader = source.clone();
        let cache = LevelCache::builder()
            .area("races")
            .l1(l1.clone())
            .l2(l2.clone())
            .ttl(LONG)
            .l2_timeout(LONG)
            .loader_timeout(LONG)
            .loader(move |_| {
                let source = loader.clone();
                async move { source.ask().await }
            })
            .build()
            .unwrap();
        Self { cache, l1, l2, source }
    }

    /// Value 1 in L2 and nothing in L1.
    async fn with_old_in_l2() -> Self {
        let rig = Self::new();
        rig.cache.set(&KEY, 1).await.unwrap();
        rig.l1.clear();
        rig.l1.inserted.lock().unwrap().clear();
        rig
    }

    /// Changes the source to 2 and says so; in a task, because it may have to wait.
    fn change_and_del(&self) -> tokio::task::JoinHandle<CacheResult<()>> {
        self.source.change(2);
        tokio::spawn(self.cache.del(&KEY))
    }

    fn get(&self) -> tokio::task::JoinHandle<CacheResult<Option<u64>>> {
        let cache = self.cache.clone();
        tokio::spawn(async move { cache.get(&KEY).await })
    }

    /// What L2 has, L1 left out.
    async fn in_l2(&self) -> Lookup<u64> {
        self.l1.clear();
        self.cache.lookup(&KEY).await
    }

    fn inserted(&self) -> Vec<u64> {
        self.l1.inserted.lock().unwrap().clone()
    }
}

/// A test that waits for ever has failed, too.
async fn within<T>(test: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(10), test).await.expect("somebody waits for ever")
}

macro_rules! races {
    ($($(#[$doc:meta])* async fn $name:ident() $body:block)*) => {
        $($(#[$doc])* #[tokio::test]
        async fn $name() {
            within(async $body).await;
        })*
    };
}

races! {
    /// A backfill is refused if a `del` came after the read of L2 began, and isn't seen for an instant either.
    async fn lookup_that_read_before_a_del_stores_nothing() {
        let rig = Rig::with_old_in_l2().await;
        let reply = rig.l2.gate_after(Op::Get);
        let lookup = tokio::spawn({
            let cache = rig.cache.clone();
            async move { cache.lookup(&KEY).await }
        });
        reply.reached().await;
        rig.change_and_del().await.unwrap().unwrap();
        reply.open();
        lookup.await.unwrap();
        assert_eq!(rig.inserted(), [0_u64; 0]);
    }

    /// The same for a `get`.
    async fn get_that_read_before_a_del_stores_nothing() {
        let rig = Rig::with_old_in_l2().await;
        let reply = rig.l2.gate_after(Op::Get);
        let get = rig.get();
        reply.reached().await;
        rig.change_and_del().await.unwrap().unwrap();
        reply.open();
        get.await.unwrap().unwrap();
        assert_eq!(rig.inserted(), [0_u64; 0]);
        assert_eq!(rig.cache.get(&KEY).await.unwrap(), Some(2));
    }

    /// Who accepts nothing that is cached gets what the source says now, and what was under way is not stored over it.
    async fn forced_read_outdates_what_is_under_way() {
        let rig = Rig::with_old_in_l2().await;
        let reply = rig.l2.gate_after(Op::Get);
        let get = rig.get();
        reply.reached().await;
        rig.source.change(2);
        let forced = ReadOptions::new().force_refresh(true);
        assert_eq!(rig.cache.get_with(&KEY, forced).await.unwrap(), Some(2));
        reply.open();
        get.await.unwrap().unwrap();
        assert_eq!(rig.inserted(), [2]);
    }

    /// What is written after a `clear` is later than it, within a tick of the clock, too.
    async fn set_after_a_clear_is_there() {
        let rig = Rig::with_old_in_l2().await;
        rig.cache.clear().await.unwrap();
        assert_eq!(rig.cache.lookup(&KEY).await, Lookup::Miss);
        rig.cache.set(&KEY, 2).await.unwrap();
        assert_eq!(rig.in_l2().await, Lookup::Hit(2));
    }

    /// What a reader takes from L2 while the delete is on its way is purged by the second purge.
    async fn del_purges_again_after_l2() {
        let rig = Rig::with_old_in_l2().await;
        let delete = rig.l2.gate(Op::Del);
        let del = rig.change_and_del();
        delete.reached().await;
        rig.cache.get(&KEY).await.unwrap();
        delete.open();
        del.await.unwrap().unwrap();
        assert_eq!(rig.cache.try_get(&KEY), Lookup::Miss);
        assert_eq!(rig.cache.get(&KEY).await.unwrap(), Some(2));
    }

    /// A fill on its way to L2 arrives before the delete that came later.
    async fn del_waits_for_a_fill() {
        let rig = Rig::new();
        let fill = rig.l2.gate(Op::Set);
        let get = rig.get();
        fill.reached().await;
        let del = rig.change_and_del();
        settle().await;
        fill.open();
        del.await.unwrap().unwrap();
        get.await.unwrap().unwrap();
        assert_eq!(rig.in_l2().await, Lookup::Miss);
        assert_eq!(rig.cache.get(&KEY).await.unwrap(), Some(2));
    }

    /// A fill on its way to L2 arrives before the `set` that came later.
    async fn set_waits_for_a_fill() {
        let rig = Rig::new();
        let fill = rig.l2.gate(Op::Set);
        let get = rig.get();
        fill.reached().await;
        rig.source.change(2);
        let set = tokio::spawn(rig.cache.set(&KEY, 2));
        settle().await;
        fill.open();
        set.await.unwrap().unwrap();
        get.await.unwrap().unwrap();
        assert_eq!(rig.cache.try_get(&KEY), Lookup::Hit(2));
        assert_eq!(rig.in_l2().await, Lookup::Hit(2));
    }

    /// A load that began before a `set` fills neither level after it.
    async fn load_that_began_before_a_set_fills_nothing() {
        let rig = Rig::new();
        let held = rig.source.hold();
        let get = rig.get();
        held.asked.notified().await;
        rig.source.change(2);
        rig.cache.set(&KEY, 2).await.unwrap();
        held.answer.notify_one();
        assert_eq!(get.await.unwrap().unwrap(), Some(1), "it is concurrent with the write");
        assert_eq!(rig.cache.try_get(&KEY), Lookup::Hit(2));
        assert_eq!(rig.in_l2().await, Lookup::Hit(2));
    }

    /// No fill while a `set` is on its way: the slot's turn is taken.
    async fn load_does_not_overtake_a_set() {
        let rig = Rig::new();
        rig.source.change(2);
        let write = rig.l2.gate(Op::Set);
        let set = tokio::spawn(rig.cache.set(&KEY, 2));
        write.reached().await;
        assert_eq!(rig.get().await.unwrap().unwrap(), Some(2));
        assert_eq!(rig.l2.calls(Op::Set), 1, "the fill isn't sent");
        write.open();
        set.await.unwrap().unwrap();
        assert_eq!(rig.in_l2().await, Lookup::Hit(2));
    }

    /// The body of a `get_or_load` that read before a `del` fills neither level after it.
    async fn body_that_read_before_a_del_fills_nothing() {
        let rig = Rig::new();
        let held = rig.source.hold();
        let get = tokio::spawn({
            let (cache, source) = (rig.cache.clone(), rig.source.clone());
            async move { cache.get_or_load(&KEY, source.ask()).await }
        });
        held.asked.notified().await;
        rig.change_and_del().await.unwrap().unwrap();
        held.answer.notify_one();
        get.await.unwrap().unwrap();
        settle().await;
        assert_eq!(rig.inserted(), [0_u64; 0]);
        assert_eq!(rig.in_l2().await, Lookup::Miss);
    }

    /// A load that began before a `clear` fills neither level after it, and later readers don't wait for it.
    async fn load_that_began_before_a_clear_fills_nothing() {
        let rig = Rig::new();
        let held = rig.source.hold();
        let old = rig.get();
        held.asked.notified().await;
        rig.source.change(2);
        rig.cache.clear().await.unwrap();
        assert_eq!(rig.cache.get(&KEY).await.unwrap(), Some(2));
        // What is written in another millisecond than the clear would count.
        tokio::time::sleep(Duration::from_millis(3)).await;
        held.answer.notify_one();
        assert_eq!(old.await.unwrap().unwrap(), Some(1), "it is concurrent with the write");
        assert_eq!(rig.cache.get(&KEY).await.unwrap(), Some(2));
        assert_ne!(rig.in_l2().await, Lookup::Hit(1));
    }

    /// A delete that L2 did not confirm: this node reads past L2 for the key.
    async fn unconfirmed_del_reads_past_l2() {
        let rig = Rig::with_old_in_l2().await;
        rig.l2.push_for(Op::Del, Fault::Error(StoreErrorKind::Unavailable));
        let error = rig.change_and_del().await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unconfirmed);
        assert_eq!(rig.cache.get(&KEY).await.unwrap(), Some(2));
    }

    /// A `set` that L2 did not confirm leaves no older value in L1, nor what a reader took from L2 meanwhile.
    async fn unconfirmed_set_leaves_nothing_old() {
        let rig = Rig::with_old_in_l2().await;
        rig.source.change(2);
        rig.l2.push_for(Op::Set, Fault::Error(StoreErrorKind::Timeout));
        let write = rig.l2.gate(Op::Set);
        let set = tokio::spawn(rig.cache.set(&KEY, 2));
        write.reached().await;
        rig.cache.get(&KEY).await.unwrap();
        write.open();
        set.await.unwrap().unwrap_err();
        assert_eq!(rig.cache.try_get(&KEY), Lookup::Miss);
        assert_eq!(rig.cache.get(&KEY).await.unwrap(), Some(2));
    }
}

/// Two calls of one caller reach L2 in their order, also if the first one's future is dropped: the newest task of a
/// tokio worker runs first.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn calls_reach_l2_in_their_order() {
    let all = async {
        let rig = Rig::new();
        rig.source.change(2);
        drop(rig.cache.set(&KEY, 1));
        rig.cache.del(&KEY).await.unwrap();
        settle().await;
        assert_eq!(rig.in_l2().await, Lookup::Miss);
    };
    within(tokio::spawn(all)).await.unwrap();
}
