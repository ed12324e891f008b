//! What is too large is not stored, keys and times stay within what memcached understands.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use accelerator_core::testkit::server::MemcachedServer;
use accelerator_core::{Bytes, Filled, HoldOwner, L2Store, LevelCache, RawBytes, StoreErrorKind};

use crate::tools::{LONG, builder, connect, error, item, kind, lease, value};

fn bytes(n: usize) -> Bytes {
    vec![7; n].into()
}

#[tokio::test]
async fn a_value_over_the_limit_is_refused_and_the_old_one_is_gone() {
    let Some(server) = MemcachedServer::start() else { return };
    let store = builder(server.addr()).max_value_bytes(100).connect().await.expect("a store");
    store.set("key", bytes(100), LONG).await.expect("a value of the limit");
    let refused = error(store.set("key", bytes(101), LONG).await);
    assert_eq!(refused.kind(), StoreErrorKind::TooLarge);
    assert!(refused.to_string().contains("the old one is gone"), "{refused}");
    assert_eq!(store.get("key").await.expect("get"), None, "the old value was served");
    let token = lease(&store, "key").await;
    assert_eq!(kind(store.fill("key", &token, bytes(101), LONG).await), StoreErrorKind::TooLarge);
    assert_eq!(store.fill("key", &token, bytes(100), LONG).await.expect("fill"), Filled::Stored);
}

#[tokio::test]
async fn a_batch_refuses_only_what_is_too_large() {
    let Some(server) = MemcachedServer::start() else { return };
    let store = builder(server.addr()).max_value_bytes(100).connect().await.expect("a store");
    store.set("b", bytes(1), LONG).await.expect("set");
    let items = vec![("a", bytes(1), LONG), ("b", bytes(101), LONG), ("c", bytes(2), LONG)];
    let set: Vec<_> = store.mset(items).await.into_iter().map(|one| one.err().map(|e| e.kind())).collect();
    assert_eq!(set, [None, Some(StoreErrorKind::TooLarge), None]);
    let got: Vec<_> = store.mget(&["a", "b", "c"]).await.into_iter().map(|one| one.expect("get")).collect();
    assert_eq!(got, [Some(bytes(1)), None, Some(bytes(2))]);
    let reads = store.mget_or_lease(&["d", "e"], LONG).await.into_iter().map(|read| read.expect("a read"));
    let tokens: Vec<_> = reads.map(|read| crate::tools::leased(&read)).collect();
    let items = vec![("d", tokens[0], bytes(101), LONG), ("e", tokens[1], bytes(3), LONG)];
    let filled: Vec<_> = store.mfill(items).await.into_iter().map(|one| one.map_err(|e| e.kind())).collect();
    assert_eq!(filled, [Err(StoreErrorKind::TooLarge), Ok(Filled::Stored)]);
}

#[tokio::test]
async fn a_server_with_a_smaller_limit_says_so_and_stays_usable() {
    let Some(server) = MemcachedServer::builder().arg("-I").arg("16k").arg("-o").arg("slab_chunk_max=8192").start()
    else {
        return;
    };
    let store = connect(server.addr()).await;
    store.set("key", bytes(10), LONG).await.expect("set");
    assert_eq!(kind(store.set("key", bytes(20_000), LONG).await), StoreErrorKind::TooLarge);
    assert_eq!(store.get("key").await.expect("get"), None, "the old value was served");
    let token = lease(&store, "key").await;
    assert_eq!(kind(store.fill("key", &token, bytes(20_000), LONG).await), StoreErrorKind::TooLarge);
    let items = vec![("a", bytes(10), LONG), ("b", bytes(20_000), LONG), ("c", bytes(10), LONG)];
    let set: Vec<_> = store.mset(items).await.into_iter().map(|one| one.err().map(|e| e.kind())).collect();
    assert_eq!(set, [None, Some(StoreErrorKind::TooLarge), None], "in one pipeline");
}

#[tokio::test]
async fn a_server_without_memory_refuses() {
    let Some(server) = MemcachedServer::builder().arg("-M").arg("-m").arg("2").start() else { return };
    let store = connect(server.addr()).await;
    let key = |n: usize| format!("key.{n}");
    let mut full = 0;
    while let Ok(()) = store.set(&key(full), bytes(100_000), LONG).await {
        full += 1;
        assert!(full < 1000, "2 MiB take this much");
    }
    let refused = error(store.set(&key(0), bytes(100_000), LONG).await);
    assert_eq!(refused.kind(), StoreErrorKind::Rejected);
    assert!(refused.to_string().contains("out of memory"), "{refused}");
    assert_eq!(store.get(&key(0)).await.expect("get"), None, "the old value was served");
    // What was just deleted made room for one.
    store.set("filler", bytes(100_000), LONG).await.expect("set");
    let token = lease(&store, "other").await;
    let filled = store.fill("other", &token, bytes(100_000), LONG).await.expect("fill");
    assert_eq!(filled, Filled::Refused);
}

#[tokio::test]
async fn the_largest_value_fits_with_the_longest_key() {
    let Some(server) = MemcachedServer::start() else { return };
    let store = connect(server.addr()).await;
    let key = "k".repeat(store.limits().max_key_bytes);
    assert_eq!(key.len(), 249, "with room for the name of its holds");
    let largest = bytes(store.limits().max_value_bytes);
    store.set(&key, largest.clone(), LONG).await.expect("set");
    assert!(store.get(&key).await.expect("get") == Some(largest));
}

#[tokio::test]
async fn keys_that_memcached_does_not_take_are_refused_and_not_sent() {
    let Some(server) = MemcachedServer::start() else { return };
    let store = builder(server.addr()).key_prefix("app:").connect().await.expect("a store");
    let most = store.limits().max_key_bytes;
    assert_eq!(most, 245);
    assert_eq!(kind(store.get(&"k".repeat(most + 1)).await), StoreErrorKind::TooLarge);
    for key in ["", "a b", "a\r\nflush_all", "a\0"] {
        assert_eq!(kind(store.get(key).await), StoreErrorKind::Rejected, "{key:?}");
        assert_eq!(kind(store.set(key, bytes(1), LONG).await), StoreErrorKind::Rejected, "{key:?}");
    }
    let long = "k".repeat(most + 1);
    let got = store.mget(&["a", &long, "b c", "d"]).await;
    let kinds: Vec<_> = got.into_iter().map(|one| one.err().map(|e| e.kind())).collect();
    assert_eq!(kinds, [None, Some(StoreErrorKind::TooLarge), Some(StoreErrorKind::Rejected), None]);
}

#[tokio::test]
async fn the_prefix_stands_before_every_key() {
    let Some(server) = MemcachedServer::start() else { return };
    let (one, other) = (builder(server.addr()).key_prefix("one:"), builder(server.addr()).key_prefix("other:"));
    let (one, other) = (one.connect().await.expect("a store"), other.connect().await.expect("a store"));
    one.set("key", value("one"), LONG).await.expect("set");
    assert_eq!(other.get("key").await.expect("get"), None);
    assert!(item(&server.addr(), "one:key", 's') > 0);
}

#[tokio::test]
async fn times_stay_within_thirty_days_and_leases_last_two_seconds() {
    let Some(server) = MemcachedServer::start() else { return };
    let (addr, store) = (server.addr(), connect(server.addr()).await);
    let month = 30 * 24 * 60 * 60;
    for ttl in [Duration::MAX, Duration::from_secs(month + 1), Duration::from_secs(month)] {
        store.set("key", bytes(1), ttl).await.expect("set");
        let left = item(&addr, "key", 't');
        assert!((month as i64 - 5..=month as i64).contains(&left), "{ttl:?} became {left}");
    }
    store.set("key", bytes(1), Duration::from_millis(9_001)).await.expect("set");
    assert!((8..=10).contains(&item(&addr, "key", 't')), "rounded up");
    store.hold("key", HoldOwner(1), Duration::from_millis(9_001)).await.expect("hold");
    assert!((9..=11).contains(&item(&addr, "key!", 't')), "a hold, never early");
    store.get_or_lease("lease", Duration::ZERO).await.expect("a lease");
    assert!((1..=2).contains(&item(&addr, "lease", 't')), "the shortest lease");
    store.set("short", bytes(1), Duration::ZERO).await.expect("set");
    let gone = async { while store.get("short").await.expect("get").is_some() {} };
    tokio::time::timeout(Duration::from_secs(10), gone).await.expect("a TTL of nothing became one without end");
}

/// What the server takes by `-I`, the store by its `max_value_bytes`, and the cache by its own.
#[tokio::test]
async fn values_of_more_than_a_megabyte_are_cached_where_all_three_allow_it() {
    let Some(server) = MemcachedServer::builder().arg("-I").arg("8m").start() else { return };
    let store = builder(server.addr()).max_value_bytes(4 << 20).connect().await.expect("a store");
    let loads = Arc::new(AtomicUsize::new(0));
    let node = |most: Option<usize>| {
        let loads = loads.clone();
        let load = move |length: u64| {
            loads.fetch_add(1, SeqCst);
            std::future::ready(Ok::<_, std::io::Error>(Some(bytes(length as usize))))
        };
        let cache = LevelCache::<u64, Bytes>::builder().area("page").share_area(true).ttl(LONG).l2_timeout(LONG);
        let cache = cache.l2_with_codec(store.clone(), RawBytes).loader(load);
        let cache = if let Some(most) = most { cache.max_value_bytes(most) } else { cache };
        cache.build().expect("a cache")
    };
    let (large, usual) = (3 << 20, node(None));
    for (reads, most) in [(1, Some(4 << 20)), (1, Some(4 << 20))] {
        let one = node(most);
        assert_eq!(one.get(&large).await.expect("a value"), Some(bytes(3 << 20)));
        assert_eq!(loads.load(SeqCst), reads, "the second node reads it from L2: {:?}", one.stats());
        let both = one.mget(&[large, 7]).await.into_values().expect("values");
        assert_eq!(both.iter().flatten().map(Bytes::len).collect::<Vec<_>>(), [3 << 20, 7]);
        loads.store(1, SeqCst);
    }
    assert_eq!(usual.get(&large).await.expect("a value"), Some(bytes(3 << 20)), "and whose limit is lower loads it");
    assert_eq!((loads.load(SeqCst), usual.stats().too_large > 0), (2, true), "{:?}", usual.stats());
    let error = LevelCache::<u64, Bytes>::builder().area("page").ttl(LONG).max_value_bytes(5 << 20);
    let error = error.l2_with_codec(store, RawBytes).build().expect_err("more than the store takes");
    assert!(error.to_string().starts_with("max_value_bytes = 5242880"), "{error}");
}
