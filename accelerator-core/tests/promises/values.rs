//! A value's own code, a weigher or an L1 store that misbehaves: it ends its own operation, with an error where there is
//! one, L1 never keeps what was replaced, and nobody waits for the lock that it holds itself.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll, Waker};

use accelerator_core::testkit::{Fault, MemoryBus, MemoryL1, MemoryL2, Op, settle};
use accelerator_core::{
    Codec, Entry, ErrorKind, GapCause, L1Stats, L1Store, LevelCache, LoadError, Lookup, StoreErrorKind,
};

use crate::common::{TTL, World, lock, ms, ok, secs};
use crate::rude::{self, UNLUCKY, Value};

#[test]
fn a_drop_that_panics_ends_nothing() {
    rude::a_drop_that_panics_ends_nothing(MemoryL1::with_capacity(8));
}

#[test]
fn a_drop_may_call_the_cache() {
    rude::a_drop_may_call_the_cache(MemoryL1::with_capacity(8));
}

/// A store that weighs what is put into it, and panics where its weigher does.
#[derive(Clone, Default)]
struct Weighing(MemoryL1<u64, Value>);

impl L1Store<u64, Value> for Weighing {
    fn get(&self, key: &u64) -> Option<Entry<Value>> {
        self.0.get(key)
    }
    fn insert(&self, key: u64, entry: Entry<Value>) {
        if entry.value().is_some_and(|value| value.n == UNLUCKY) {
            rude::unlucky();
        }
        self.0.insert(key, entry);
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

#[test]
fn a_weigher_that_panics_ends_its_own_operation() {
    rude::a_weigher_that_panics_ends_its_own_operation(Weighing::default());
}

/// Has nothing at the first look, and panics when it is written to, while `armed`.
#[derive(Clone, Default)]
struct Moody {
    store: MemoryL1<u64, u64>,
    blinks: Arc<AtomicBool>,
    armed: Arc<AtomicBool>,
}

impl L1Store<u64, u64> for Moody {
    fn get(&self, key: &u64) -> Option<Entry<u64>> {
        if self.blinks.load(SeqCst) { None } else { self.store.get(key) }
    }
    fn recheck(&self, key: &u64) -> Option<Entry<u64>> {
        self.store.get(key)
    }
    fn insert(&self, key: u64, entry: Entry<u64>) {
        if self.armed.load(SeqCst) { rude::unlucky() } else { self.store.insert(key, entry) }
    }
    fn remove(&self, key: &u64) {
        self.store.remove(key);
        if self.armed.load(SeqCst) {
            rude::unlucky();
        }
    }
    fn clear(&self) {
        self.store.clear();
    }
    fn stats(&self) -> L1Stats {
        self.store.stats()
    }
}

#[tokio::test(start_paused = true)]
async fn an_l1_that_panics_beside_an_l2_keeps_nothing_older() {
    let w = World::new();
    let l1 = Moody::default();
    let cache = ok(w.bare().l1_ttl(TTL).l1(l1.clone()).l2(w.l2.clone()));
    let kind = |done: Result<(), accelerator_core::CacheError>| done.err().map(|e| e.kind());
    cache.set(&1, 1).await.unwrap();
    l1.armed.store(true, SeqCst);
    assert_eq!(kind(cache.set(&1, 2).await), Some(ErrorKind::Panic));
    assert_eq!(kind(cache.mset([(1, Some(3)), (2, Some(3))]).await), Some(ErrorKind::Panic));
    assert_eq!((cache.try_get(&1), cache.stats().unconfirmed), (Lookup::Miss, 0), "L2 has confirmed it");
    assert_eq!(cache.lookup(&1).await, Lookup::Hit(3), "the answer stands");
    assert_eq!(cache.get(&1).await.unwrap_err().kind(), ErrorKind::Panic);
    assert_eq!(kind(cache.del(&1).await), Some(ErrorKind::Panic));
    l1.armed.store(false, SeqCst);
    settle().await;
    assert_eq!((cache.try_get(&1), cache.lookup(&1).await), (Lookup::Miss, Lookup::Miss), "it is deleted in both");
    assert_eq!(cache.get(&2).await.unwrap(), Some(3));
    assert_eq!(cache.stats().flights, 0);
}

#[tokio::test(start_paused = true)]
async fn an_l1_that_panics_says_so_though_the_bus_fails_as_well() {
    for has_l2 in [false, true] {
        let (w, l1, bus) = (World::new(), Moody::default(), MemoryBus::new());
        let builder = w.bare().l1(l1.clone()).bus(bus.clone());
        let cache = ok(if has_l2 { builder.l2(w.l2.clone()) } else { builder });
        settle().await;
        bus.cut(GapCause::Disconnected);
        settle().await;
        l1.armed.store(true, SeqCst);
        let writes = [cache.set(&1, 2).await, cache.mset([(1, Some(3)), (2, Some(3))]).await, cache.del(&1).await];
        for write in writes {
            let error = write.expect_err("L1 and the bus failed");
            assert_eq!(error.kind(), ErrorKind::Panic, "has_l2={has_l2}: {error}");
        }
        assert!(cache.stats().unpublished > 0, "has_l2={has_l2}: the others are told later");
    }
}

/// A value that asks for the counters when it is cloned.
struct Curious(Arc<OnceLock<LevelCache<u64, Curious, Blinks>>>);

impl Clone for Curious {
    fn clone(&self) -> Self {
        if let Some(cache) = self.0.get() {
            assert!(cache.stats().flights < 2);
            drop(cache.del(&7));
        }
        Self(self.0.clone())
    }
}

/// Has nothing at the first look.
#[derive(Clone, Default)]
struct Blinks(MemoryL1<u64, Curious>, Arc<AtomicBool>);

impl L1Store<u64, Curious> for Blinks {
    fn get(&self, key: &u64) -> Option<Entry<Curious>> {
        // Not under the lock of `MemoryL1`: what is cloned there may not ask it.
        if self.1.load(SeqCst) { None } else { self.0.get(key) }
    }
    fn recheck(&self, key: &u64) -> Option<Entry<Curious>> {
        let found = self.0.get(key)?;
        drop(found.value().cloned());
        Some(found)
    }
    fn insert(&self, key: u64, entry: Entry<Curious>) {
        self.0.insert(key, entry);
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
async fn a_clone_may_ask_for_the_counters() {
    let (own, store) = (Arc::new(OnceLock::new()), Blinks::default());
    let makes = own.clone();
    let load = move |_| std::future::ready(Ok::<_, LoadError>(Some(Curious(makes.clone()))));
    let builder = LevelCache::<u64, Curious>::builder().area("a").l1(store.clone()).ttl(TTL);
    let cache = builder.loader(load).build().unwrap();
    assert!(own.set(cache.clone()).is_ok());
    assert!(cache.get(&1).await.unwrap().is_some());
    store.1.store(true, SeqCst);
    // Found under the lock of the table, where it is cloned.
    assert!(cache.get(&1).await.unwrap().is_some());
    assert!(cache.mget(&[1, 1]).await.into_values().is_ok());
    assert_eq!(cache.stats().flights, 0);
}

/// Calls the cache where it must not, and waits for it.
#[derive(Clone, Default)]
struct Calls(Arc<OnceLock<LevelCache<u64, u64, Calls>>>, Arc<AtomicBool>);

impl L1Store<u64, u64> for Calls {
    fn get(&self, _: &u64) -> Option<Entry<u64>> {
        None
    }
    fn insert(&self, key: u64, _: Entry<u64>) {
        let Some(cache) = self.0.get() else { return };
        let deleted = at_once(cache.del(&key));
        assert!(deleted.is_err_and(|e| e.to_string().contains("see `Value`")));
        if self.1.load(SeqCst) {
            drop(at_once(cache.get(&(key + 1))));
        }
    }
    fn remove(&self, _: &u64) {}
    fn clear(&self) {}
    fn stats(&self) -> L1Stats {
        L1Stats::default()
    }
}

fn at_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(out) => out,
        Poll::Pending => unreachable!("it would wait for ever"),
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_the_cache_that_calls_it_is_told_the_rule() {
    let w = World::new();
    let l1 = Calls::default();
    let cache = ok(w.bare().l1(l1.clone()).loader(|key| std::future::ready(Ok::<_, LoadError>(Some(key)))));
    assert!(l1.0.set(cache.clone()).is_ok());
    // A write is made later, and can't be waited for.
    cache.set(&1, 1).await.unwrap();
    // A read would need the lock.
    l1.1.store(true, SeqCst);
    let error = cache.set(&1, 1).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Panic && error.to_string().contains("see `Value`"), "{error}");
    assert_eq!(cache.stats().flights, 0);
}

/// A value that deletes a key when it is dropped in a cache.
struct Deletes(u64, Cell);

type Cell = Arc<OnceLock<LevelCache<u64, Arc<Deletes>, Evicts>>>;

impl Drop for Deletes {
    fn drop(&mut self) {
        if let Some(cache) = self.1.get() {
            drop(cache.del(&self.0));
        }
    }
}

/// A codec for them.
struct Plain(Cell);

impl Codec<Arc<Deletes>> for Plain {
    fn id(&self) -> u8 {
        200
    }
    fn encode(&self, value: &Arc<Deletes>, out: &mut Vec<u8>) -> Result<(), LoadError> {
        out.extend(value.0.to_le_bytes());
        Ok(())
    }
    fn decode(&self, bytes: &[u8]) -> Result<Arc<Deletes>, LoadError> {
        Ok(Arc::new(Deletes(u64::from_le_bytes(bytes.try_into()?), self.0.clone())))
    }
}

/// Evicts key 1 on the way of a hit, under a lock of its own.
#[derive(Clone, Default)]
struct Evicts(MemoryL1<u64, Arc<Deletes>>, Arc<Mutex<Option<Entry<Arc<Deletes>>>>>);

impl L1Store<u64, Arc<Deletes>> for Evicts {
    fn get(&self, key: &u64) -> Option<Entry<Arc<Deletes>>> {
        drop(self.1.lock().ok()?.take());
        self.0.get(key)
    }
    fn insert(&self, key: u64, entry: Entry<Arc<Deletes>>) {
        if key == 1 {
            *lock(&self.1) = Some(entry);
        } else {
            self.0.insert(key, entry);
        }
    }
    fn remove(&self, key: &u64) {
        // Held by `get` while it evicts.
        drop(lock(&self.1));
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
async fn a_value_that_goes_on_the_way_of_a_hit_may_delete_another_in_both_levels() {
    for l2 in [false, true] {
        let (store, cell) = (Evicts::default(), Cell::default());
        let builder = LevelCache::<u64, Arc<Deletes>>::builder().area("a").ttl(TTL);
        let builder = match l2 {
            true => builder.l2_with_codec(MemoryL2::new(), Plain(cell.clone())),
            false => builder,
        };
        let cache = builder.l1(store).build().unwrap();
        let value = |deletes| Arc::new(Deletes(deletes, cell.clone()));
        for (key, deletes) in [(2, 9), (3, 9), (1, 3)] {
            cache.set(&key, value(deletes)).await.unwrap();
        }
        assert!(cell.set(cache.clone()).is_ok());
        assert!(matches!(cache.try_get(&2), Lookup::Hit(_)));
        settle().await;
        assert!(matches!(cache.try_get(&3), Lookup::Miss));
        assert!(matches!(cache.lookup(&3).await, Lookup::Miss), "in L2: {l2}");
        assert_eq!(cache.stats().flights, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_value_that_is_replaced_may_delete_another_in_both_levels() {
    let (store, cell) = (Evicts::default(), Cell::default());
    let builder = LevelCache::<u64, Arc<Deletes>>::builder().area("a").ttl(TTL).l1(store);
    let cache = builder.l2_with_codec(MemoryL2::new(), Plain(cell.clone())).build().unwrap();
    let value = |deletes| Arc::new(Deletes(deletes, cell.clone()));
    for (key, deletes) in [(3, 9), (2, 3)] {
        cache.set(&key, value(deletes)).await.unwrap();
    }
    assert!(cell.set(cache.clone()).is_ok());
    cache.del(&2).await.unwrap();
    assert!(matches!(cache.try_get(&3), Lookup::Miss), "deleted before the call returned");
    settle().await;
    assert!(matches!(cache.lookup(&3).await, Lookup::Miss));
}

/// Panics when it is given what is unlucky.
#[derive(Clone, Default)]
struct Superstitious(MemoryL1<u64, u64>);

impl L1Store<u64, u64> for Superstitious {
    fn get(&self, key: &u64) -> Option<Entry<u64>> {
        self.0.get(key)
    }
    fn insert(&self, key: u64, entry: Entry<u64>) {
        if entry.value() == Some(&13) {
            rude::unlucky();
        }
        self.0.insert(key, entry);
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

/// A panic on the way into L1 is this node's business; that L2 may have an older value is everybody's. So that is told, and
/// the delete that corrects it is queued, in whatever order and in however many chunks the two came.
#[tokio::test(start_paused = true)]
async fn a_panic_beside_a_write_that_l2_did_not_confirm_hides_nothing() {
    const DOWN: Fault = Fault::Error(StoreErrorKind::Unavailable);
    for max_batch in [64, 1] {
        for fails_first in [true, false] {
            let w = World::new();
            let cache = ok(w.bare().l1_ttl(TTL).l1(Superstitious::default()).l2(w.l2.clone()).max_batch(max_batch));
            cache.mset([(1, Some(1)), (2, Some(1))]).await.unwrap();
            let mut items = [(1, Some(13)), (2, Some(7))];
            if fails_first {
                items.reverse();
            }
            let at = usize::from(!fails_first);
            match max_batch {
                1 => (0..2).for_each(|n| w.l2.push_for(Op::Set, if n == at { DOWN } else { Fault::Delay(ms(0)) })),
                _ => w.l2.push_for(Op::Set, Fault::at([at], DOWN)),
            }
            w.l2.always_for(Op::Del, Some(DOWN));
            let how = format!("chunks of {max_batch}, the failure first: {fails_first}");
            let error = cache.mset(items).await.unwrap_err();
            assert!(error.kind() == ErrorKind::Unconfirmed && error.is_queued(), "{how}: {error}");
            assert_eq!(cache.stats().unconfirmed, 1, "{how}");
            assert_eq!((cache.try_get(&1), cache.lookup(&2).await), (Lookup::Miss, Lookup::Unavailable), "{how}");
            assert_eq!(w.in_l2(1).await, Some(Some(13)), "{how}: L2 confirmed this one");
            w.l2.heal();
            w.clock.advance(secs(1)).await;
            settle().await;
            assert_eq!((cache.stats().unconfirmed, w.in_l2(2).await), (0, None), "{how}");
        }
    }
}
