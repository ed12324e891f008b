//! `hit_or_begin` is `begin`, with a hit by value.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, LazyLock};

use accelerator_core::testkit::{MemoryL1, settle};
use accelerator_core::{
    Begin, Cache, CacheFuture, CacheResult, Entry, ErrorKind, L1Stats, L1Store, LevelCache, LoadTicket, Probe, Tickets,
    WriteOptions,
};

use crate::common::{Level, TTL, World, ms, ok, secs};

/// Hits, known-absent ones among them, and keys that had to be loaded.
fn counts(cache: &Level) -> (u64, u64, u64) {
    let stats = cache.stats();
    (stats.l1_hits, stats.absent_hits, stats.misses)
}

#[tokio::test(start_paused = true)]
async fn a_hit_comes_by_value_and_is_counted_once() {
    let w = World::new();
    let cache = ok(w.both());
    cache.set(&1, 7).await.unwrap();
    cache.set(&2, None).await.unwrap();
    let before = counts(&cache);
    let erased: Arc<dyn Cache<u64, u64>> = Arc::new(cache.clone());
    assert!(matches!(cache.hit_or_begin(&1), Probe::Hit(Some(7))));
    assert!(matches!(erased.hit_or_begin(&1), Probe::Hit(Some(7))));
    assert!(matches!(erased.hit_or_begin(&2), Probe::Hit(None)), "known to be absent");
    assert_eq!(counts(&cache), (before.0 + 3, before.1 + 1, before.2));
}

/// Counts the looks into L1.
#[derive(Clone, Default)]
struct Looked(Arc<(MemoryL1<u64, u64>, AtomicUsize)>);

impl L1Store<u64, u64> for Looked {
    fn get(&self, key: &u64) -> Option<Entry<u64>> {
        self.0.1.fetch_add(1, SeqCst);
        self.0.0.get(key)
    }
    fn insert(&self, key: u64, entry: Entry<u64>) {
        self.0.0.insert(key, entry);
    }
    fn remove(&self, key: &u64) {
        self.0.0.remove(key);
    }
    fn clear(&self) {
        self.0.0.clear();
    }
    fn stats(&self) -> L1Stats {
        self.0.0.stats()
    }
}

#[tokio::test(start_paused = true)]
async fn a_miss_goes_on_as_begin_does_and_looks_into_l1_as_often() {
    let looked = Looked::default();
    let built = LevelCache::<u64, u64>::builder().area("a").l1(looked.clone()).ttl(TTL).build();
    let cache = built.expect("valid settings");
    let looks = || looked.0.1.swap(0, SeqCst);
    assert!(matches!(cache.begin(&1).await, Begin::Lead(_)));
    let by_begin = (looks(), cache.stats());
    let Probe::Begin(begin) = cache.hit_or_begin(&2) else { unreachable!("nothing is cached") };
    let Begin::Lead(ticket) = begin.await else { unreachable!("nobody else loads it") };
    assert_eq!(looks(), by_begin.0);
    ticket.fill(Some(5));
    assert!(matches!(cache.hit_or_begin(&2), Probe::Hit(Some(5))));
    assert_eq!(looks(), 1, "a hit looks once");
    let after = cache.stats();
    assert_eq!((by_begin.1.l1_hits, after.l1_hits), (0, 1));
    assert_eq!(after.misses, 2 * by_begin.1.misses, "the two misses count alike");
}

#[tokio::test(start_paused = true)]
async fn one_who_is_given_up_before_its_first_poll_passes_its_turn_on() {
    let w = World::new();
    for cache in [ok(w.l1()), ok(w.twin().both())] {
        drop(cache.hit_or_begin(&1));
        assert!(matches!(cache.get(&1).await, Ok(Some(1001))));
    }
}

#[tokio::test(start_paused = true)]
async fn a_hit_in_the_refresh_window_starts_the_refresh() {
    let w = World::new();
    let cache = ok(w.both().refresh_ahead_window(secs(10)));
    cache.get(&1).await.unwrap();
    w.source.put(2);
    w.clock.advance(TTL - secs(5)).await;
    assert!(matches!(cache.hit_or_begin(&1), Probe::Hit(Some(1001))));
    settle().await;
    assert!(matches!(cache.hit_or_begin(&1), Probe::Hit(Some(1002))));
    w.clock.advance(TTL + ms(1)).await;
    assert!(matches!(cache.hit_or_begin(&1), Probe::Begin(_)), "it has expired");
}

#[tokio::test(start_paused = true)]
async fn after_shutdown_a_hit_is_answered_and_a_miss_is_unavailable() {
    let w = World::new();
    let cache = ok(w.both());
    cache.set(&1, 7).await.unwrap();
    cache.shutdown(secs(1)).await;
    assert!(matches!(cache.hit_or_begin(&1), Probe::Hit(Some(7))));
    let Probe::Begin(begin) = cache.hit_or_begin(&2) else { unreachable!("nothing is cached") };
    assert!(matches!(begin.await, Begin::Unavailable(e) if e.kind() == ErrorKind::Shutdown));
}

/// A fake with the required methods only: it has one value for all keys.
struct Plain;

/// The same, with hits by value.
struct Quick;

macro_rules! fake {
    ($name:ident, $($more:tt)*) => {
        impl Tickets<u64, u64> for $name {
            fn begin<'a>(&'a self, _: &'a u64) -> CacheFuture<'a, Begin<u64>> {
                CacheFuture::ready(Begin::Hit(Some(3)))
            }
            $($more)*
        }
        impl Cache<u64, u64> for $name {
            fn set_with<'a>(&'a self, _: &'a u64, _: Option<u64>, _: WriteOptions) -> CacheFuture<'a, CacheResult<()>> {
                CacheFuture::ready(Ok(()))
            }
            fn del<'a>(&'a self, _: &'a u64) -> CacheFuture<'a, CacheResult<()>> {
                CacheFuture::ready(Ok(()))
            }
            fn clear(&self) -> CacheFuture<'_, CacheResult<()>> {
                CacheFuture::ready(Ok(()))
            }
        }
    };
}

fake!(Plain,);
fake! {
    Quick,
    fn hit_or_begin<'a>(&'a self, key: &'a u64) -> Probe<'a, u64> {
        match key {
            1 => Probe::Hit(Some(4)),
            _ => Probe::Begin(CacheFuture::ready(Begin::Lead(LoadTicket::detached()))),
        }
    }
}

#[tokio::test]
async fn a_cache_without_it_answers_by_its_begin() {
    let plain: Arc<dyn Cache<u64, u64>> = Arc::new(Plain);
    let Probe::Begin(begin) = plain.hit_or_begin(&1) else { unreachable!("the provided method answers by no value") };
    assert!(matches!(begin.await, Begin::Hit(Some(3))));
}

#[tokio::test]
async fn whatever_holds_a_cache_passes_it_on() {
    static LAZY: LazyLock<Quick> = LazyLock::new(|| Quick);
    let holders: [&dyn Cache<u64, u64>; 4] =
        [&&Quick, &Arc::new(Quick), &Box::new(Quick), &*Box::leak(Box::new(&LAZY))];
    for cache in holders {
        assert!(matches!(cache.hit_or_begin(&1), Probe::Hit(Some(4))));
        let Probe::Begin(begin) = cache.hit_or_begin(&2) else { unreachable!("it has key 1 alone") };
        assert!(matches!(begin.await, Begin::Lead(_)));
    }
}
