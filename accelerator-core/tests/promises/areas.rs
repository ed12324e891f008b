//! Two caches of one area on one L2 store take each other's values: in one process that is refused, unless they are alike or
//! it is meant.

use std::sync::Arc;
use std::time::Duration;

use accelerator_core::testkit::{Faulty, MemoryL1, MemoryL2, settle};
use accelerator_core::{
    CacheKey, CacheResult, EncryptionKeys, ErrorKind, L2Store, LevelCache, LevelCacheBuilder, MessagePack, Zstd,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::common::{TTL, World, ok, secs};

fn of<K, V>(l2: &(impl L2Store + Clone)) -> LevelCacheBuilder<K, V>
where
    K: CacheKey + Clone + Eq + std::hash::Hash + Send + Sync + 'static,
    V: Serialize + DeserializeOwned + Clone + Send + Sync + 'static,
{
    LevelCache::<K, V>::builder().area("user").ttl(TTL).l2(l2.clone())
}

fn is_refused<T>(cache: CacheResult<T>, difference: &str) {
    let error = cache.err().expect("the area of another cache");
    assert_eq!(error.kind(), ErrorKind::InvalidConfig);
    let text = error.to_string();
    for part in ["area = \"user\"", "has this area on the same store", difference, "share_area(true)"] {
        assert!(text.contains(part), "{text:?} does not say {part:?}");
    }
}

#[test]
fn other_types_and_other_settings_are_refused_and_named() {
    let l2 = MemoryL2::new();
    let first = of::<u64, u64>(&l2).build().expect("the first one");
    is_refused(of::<u64, i64>(&l2).build(), "values of the type u64");
    is_refused(of::<u32, u64>(&l2).build(), "keys of the type u64");
    is_refused(of::<u64, u64>(&l2).codec(MessagePack).build(), "another codec");
    is_refused(of::<u64, u64>(&l2).schema_version(1).build(), "schema_version");
    is_refused(of::<u64, u64>(&l2).fingerprint(false).build(), "another shape");
    is_refused(of::<u64, u64>(&l2).ttl(secs(61)).build(), "another l2_ttl");
    is_refused(of::<u64, u64>(&l2).null_ttl(secs(1)).build(), "null_ttl");
    is_refused(of::<u64, u64>(&l2).stale_on_error(secs(1)).build(), "stale_on_error");
    is_refused(of::<u64, u64>(&l2).max_value_bytes(100).build(), "another max_value_bytes");
    is_refused(of::<u64, u64>(&l2).compress(Zstd).build(), "other layers");
    is_refused(
        of::<u64, u64>(&l2).encrypt(EncryptionKeys::new(1, &std::array::from_fn(|n| n as u8))).build(),
        "other layers",
    );
    // What is of this node alone may differ.
    let second = of::<u64, u64>(&l2).l1(MemoryL1::new()).l1_ttl(secs(1)).max_batch(7).loader_timeout(secs(1)).build();
    let second = second.expect("a second node");
    drop(first);
    is_refused(of::<u64, i64>(&l2).build(), "values of the type u64");
    drop(second);
    of::<u64, i64>(&l2).build().expect("nobody's any more");
    of::<u64, u64>(&l2).build().expect("nobody's any more");
}

#[test]
fn other_areas_and_other_stores_are_nobodys_business() {
    let l2 = MemoryL2::new();
    let _first = of::<u64, u64>(&l2).build().expect("the first one");
    let _other = of::<u64, i64>(&l2).area("users").build().expect("another area");
    let _store = of::<u64, i64>(&MemoryL2::new()).build().expect("another store");
    // A refusal claims nothing, and neither does a cache that is refused for another reason.
    let nonsense = of::<u64, i64>(&MemoryL2::new());
    assert!(nonsense.max_batch(0).build().is_err());
}

#[test]
fn a_clone_is_the_same_cache_and_a_wrapped_store_the_same_store() {
    let l2 = MemoryL2::new();
    let first = of::<u64, u64>(&l2).build().expect("the first one");
    let clone = first.clone();
    drop(first);
    is_refused(of::<u64, i64>(&l2).build(), "u64");
    is_refused(of::<u64, i64>(&Arc::new(l2.clone())).build(), "u64");
    is_refused(of::<u64, i64>(&(Arc::new(l2.clone()) as Arc<dyn L2Store>)).build(), "u64");
    is_refused(of::<u64, i64>(&Faulty::new(l2.clone())).build(), "u64");
    drop(clone);
    of::<u64, i64>(&l2).build().expect("nobody's any more");
}

#[test]
fn who_means_it_says_so() {
    let l2 = MemoryL2::new();
    let first = of::<u64, u64>(&l2).build().expect("the first one");
    let meant = of::<u64, i64>(&l2).share_area(true).build().expect("meant");
    is_refused(of::<u64, u64>(&l2).build(), "values of the type i64");
    is_refused(of::<u64, i64>(&l2).build(), "values of the type u64");
    drop(first);
    of::<u64, i64>(&l2).build().expect("like the other one");
    drop(meant);
}

#[tokio::test(start_paused = true)]
async fn a_load_in_progress_keeps_the_area() {
    let w = World::new();
    let door = w.source.door();
    let cache = ok(w.l2());
    let read = tokio::spawn(async move { cache.get(&1).await });
    door.reached().await;
    read.abort();
    settle().await;
    let other = || w.bare().share_area(false).ttl(Duration::from_secs(7)).l2(w.l2.clone()).build();
    assert!(other().is_err(), "what it loads will be stored");
    door.open();
    settle().await;
    other().expect("nobody's any more");
}
