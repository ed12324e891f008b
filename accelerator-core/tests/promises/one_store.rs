//! What must be one's own: an L1 store belongs to one cache, and no two writes share a nonce.

use std::collections::HashSet;
use std::sync::Arc;

use accelerator_core::head::{Head, Kind};
use accelerator_core::testkit::{MemoryL1, settle};
use accelerator_core::{CacheResult, ErrorKind, L1Store, LevelCache, NoL1};

use crate::common::{L1, TTL, World, ok};

fn build<S: L1Store<u64, u64> + Clone>(store: S) -> CacheResult<LevelCache<u64, u64, S>> {
    LevelCache::<u64, u64>::builder().area("t").ttl(TTL).l1(store).build()
}

fn is_refused<S: L1Store<u64, u64> + Clone>(store: S) {
    let error = build(store).expect_err("the store of another cache");
    assert_eq!(error.kind(), ErrorKind::InvalidConfig);
    let text = error.to_string();
    for part in ["l1 = a store that another cache has", "one of its own", "clone the cache"] {
        assert!(text.contains(part), "{text:?} does not say {part:?}");
    }
}

#[test]
fn a_store_of_another_cache_is_refused_in_every_guise() {
    let store: L1 = MemoryL1::new();
    let cache = build(store.clone()).expect("the first one");
    is_refused(store.clone());
    is_refused(Arc::new(store.clone()));
    is_refused(Arc::new(store.clone()) as Arc<dyn L1Store<u64, u64>>);
    let clone = cache.clone();
    drop(cache);
    is_refused(store.clone());
    // A refusal claims nothing, and neither does a configuration that is refused for another reason.
    drop(clone);
    let nonsense = LevelCache::<u64, u64>::builder().area("").ttl(TTL).l1(store.clone()).build();
    assert!(nonsense.is_err());
    for _ in 0..3 {
        drop(build(Arc::new(store.clone())).expect("nobody's any more"));
    }
    let _others = [build(MemoryL1::<u64, u64>::new()).expect("another"), build(MemoryL1::new()).expect("another")];
}

/// A store that says nothing about itself.
#[derive(Clone)]
struct Silent(NoL1);

impl L1Store<u64, u64> for Silent {
    fn get(&self, key: &u64) -> Option<accelerator_core::Entry<u64>> {
        self.0.get(key)
    }
    fn insert(&self, _: u64, _: accelerator_core::Entry<u64>) {}
    fn remove(&self, _: &u64) {}
    fn clear(&self) {}
    fn stats(&self) -> accelerator_core::L1Stats {
        accelerator_core::L1Stats::default()
    }
}

#[test]
fn a_store_without_an_identity_is_known_by_its_arc() {
    let _two = [build(Silent(NoL1)).expect("unknown"), build(Silent(NoL1)).expect("unknown")];
    let store = Arc::new(Silent(NoL1));
    let _cache = build(store.clone()).expect("the first one");
    is_refused(store.clone() as Arc<dyn L1Store<u64, u64>>);
    is_refused(store);
    let _none = [build(NoL1).expect("none"), build(NoL1).expect("none")];
}

#[tokio::test(start_paused = true)]
async fn a_load_in_progress_keeps_the_store() {
    let w = World::new();
    let (store, door) = (w.l1.clone(), w.source.door());
    let cache = ok(w.l1());
    let read = tokio::spawn(async move { cache.get(&1).await });
    door.reached().await;
    // Its caller goes, and the cache with it; the load goes on, and would be stored.
    read.abort();
    settle().await;
    is_refused(store.clone());
    door.open();
    settle().await;
    build(store).expect("nobody's any more");
}

#[test]
fn nonces_do_not_come_from_what_clones_of_a_machine_share() {
    // Two processes with the same time and the same threads would seed fastrand alike.
    let drawn = || {
        fastrand::seed(7);
        let nonces: Vec<u64> = (0..4).map(|_| Head::random(Kind::Value).nonce).collect();
        nonces
    };
    let threads: Vec<_> = (0..8).map(|_| std::thread::spawn(move || (drawn(), drawn()))).collect();
    let mut all = HashSet::new();
    for thread in threads {
        let (first, second) = thread.join().expect("no panic");
        all.extend(first.into_iter().chain(second));
    }
    assert_eq!(all.len(), 8 * 8, "the same nonce twice");
}
