//! A batch is one answer per key, in order, whatever happens to one server or one key.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use accelerator_backend_memcached::MemcachedStore;
use accelerator_core::testkit::server::MemcachedServer;
use accelerator_core::{Bytes, Filled, HoldOwner, L2Read, L2Store, LevelCache, LevelCacheBuilder, StoreErrorKind};

use crate::tools::{LONG, builder, connect, leased, raw, value};

fn keys(n: usize) -> Vec<String> {
    (0..n).map(|n| format!("key.{n}")).collect()
}

fn refs(keys: &[String]) -> Vec<&str> {
    keys.iter().map(String::as_str).collect()
}

/// Whether a server has a key, behind the store's back.
fn has(server: &MemcachedServer, key: &str) -> bool {
    raw(&server.addr(), &format!("mg {key} s\r\n"), "\r\n").starts_with("HD")
}

#[tokio::test]
async fn a_server_that_is_down_fails_its_own_keys_only() {
    let servers = [MemcachedServer::start(), MemcachedServer::start(), MemcachedServer::start()];
    let [Some(a), Some(b), Some(c)] = servers else { return };
    let names = || [a.addr(), b.addr(), c.addr()];
    let store = MemcachedStore::builder().servers(names()).connect().await.expect("a store");
    let keys = keys(60);
    let items = keys.iter().map(|key| (key.as_str(), value(key), LONG)).collect();
    assert!(store.mset(items).await.iter().all(Result::is_ok));
    let on_b: HashSet<&str> = refs(&keys).into_iter().filter(|key| has(&b, key)).collect();
    assert!((5..55).contains(&on_b.len()), "{} of 60 keys on one of three servers", on_b.len());
    b.kill();
    for (key, got) in keys.iter().zip(store.mget(&refs(&keys)).await) {
        match got {
            Ok(got) => assert!(got.is_some_and(|got| got.ends_with(key.as_bytes())) && !on_b.contains(&**key), "{key}"),
            Err(error) => {
                assert!(error.kind() == StoreErrorKind::Unavailable && on_b.contains(&**key), "{key}: {error}")
            }
        }
    }
    let deleted = store.mdel(&refs(&keys)).await;
    let failed: HashSet<&str> = keys.iter().zip(deleted).filter(|(_, d)| d.is_err()).map(|(key, _)| &**key).collect();
    assert_eq!(failed, on_b);
    let mut fills = Vec::new();
    for (key, read) in keys.iter().zip(store.mget_or_lease(&refs(&keys), LONG).await) {
        match read {
            Ok(read) => fills.push((key.as_str(), leased(&read), value("filled"), LONG)),
            Err(error) => assert!(on_b.contains(&**key), "{key}: {error}"),
        }
    }
    assert_eq!(fills.len(), 60 - on_b.len());
    assert!(store.mfill(fills).await.into_iter().all(|filled| matches!(filled, Ok(Filled::Stored))));
}

/// Three servers, one of which is stopped: what lies there, of the keys 0 to `n`.
async fn one_of_three_hangs(n: u64) -> Option<([MemcachedServer; 3], HashSet<u64>)> {
    let servers = [MemcachedServer::start()?, MemcachedServer::start()?, MemcachedServer::start()?];
    let cache = node(&servers).build().expect("a cache");
    cache.mset((0..n).map(|key| (key, Some(7)))).await.expect("confirmed");
    let there = (0..n).filter(|key| has(&servers[1], &format!("hang.{key}"))).collect();
    servers[1].stop();
    Some((servers, there))
}

/// With the limits of a user who set none.
fn node(servers: &[MemcachedServer; 3]) -> LevelCacheBuilder<u64, u64> {
    let store = MemcachedStore::builder().servers(servers.iter().map(MemcachedServer::addr)).build().expect("a store");
    LevelCache::builder().area("hang").ttl(LONG).l2(store)
}

#[tokio::test]
async fn a_server_that_hangs_costs_a_cache_the_keys_that_it_has_and_no_others() {
    let Some((servers, there)) = one_of_three_hangs(48).await else { return };
    let keys: Vec<u64> = (0..48).collect();
    let loads = Arc::new(AtomicUsize::new(0));
    let asked = Arc::clone(&loads);
    let cache = node(&servers).batch_loader(move |keys: Vec<u64>| {
        asked.fetch_add(keys.len(), SeqCst);
        async move { Ok::<_, std::io::Error>(keys.into_iter().map(|key| (key, Some(8))).collect::<Vec<_>>()) }
    });
    let cache = cache.build().expect("a cache");
    for (key, value) in keys.iter().zip(cache.mget(&keys).await.into_values().expect("values")) {
        assert_eq!(value, Some(if there.contains(key) { 8 } else { 7 }), "{key}");
    }
    assert_eq!(loads.load(SeqCst), there.len(), "hits of the others");

    let cache = node(&servers).build().expect("a cache");
    cache.mdel(&keys).await.expect_err("some hang");
    assert_eq!(cache.stats().unconfirmed, there.len());
    let cache = node(&servers).build().expect("a cache");
    cache.mset(keys.iter().map(|key| (*key, Some(9)))).await.expect_err("some hang");
    assert_eq!(cache.stats().unconfirmed, there.len());
    let healthy: Vec<u64> = keys.iter().copied().filter(|key| !there.contains(key)).collect();
    let values = cache.mget(&healthy).await.into_values().expect("values");
    assert!(values.iter().all(|value| *value == Some(9)), "{values:?}");
    cache.mdel(&healthy).await.expect("those are confirmed");

    // Leases and fills of the others, too: a second node finds what the first one loaded.
    let cache = node(&servers).batch_loader(|keys: Vec<u64>| async move {
        Ok::<_, std::io::Error>(keys.into_iter().map(|key| (key, Some(8))).collect::<Vec<_>>())
    });
    cache.build().expect("a cache").mget(&keys).await.into_values().expect("values");
    let found = node(&servers).build().expect("a cache").mget(&keys).await;
    let found: HashSet<u64> = found.iter().filter(|(_, v)| matches!(v, Ok(Some(8)))).map(|(key, _)| *key).collect();
    assert_eq!(found, healthy.into_iter().collect());
}

#[tokio::test]
async fn the_order_of_the_servers_means_nothing_and_their_names_do() {
    let [Some(a), Some(b)] = [MemcachedServer::start(), MemcachedServer::start()] else { return };
    let one = MemcachedStore::builder().servers([a.addr(), b.addr()]).build().expect("a store");
    let other = MemcachedStore::builder().servers([format!("memcache://{},{}", b.addr(), a.addr())]);
    let other = other.build().expect("a store");
    for key in keys(50) {
        one.set(&key, value(&key), LONG).await.expect("set");
        assert!(other.get(&key).await.expect("get").is_some(), "{key}");
    }
}

/// Requests and replies of more than any socket takes at once: whoever writes all before reading waits for ever.
#[tokio::test]
async fn a_batch_larger_than_all_buffers_is_answered() {
    let Some(server) = MemcachedServer::start() else { return };
    let store = builder(server.addr()).connect().await.expect("a store");
    let keys: Vec<String> = (0..30_000).map(|n| format!("{n:0>240}")).collect();
    let large: Bytes = vec![7; 1000].into();
    let items = keys.iter().map(|key| (key.as_str(), large.clone(), LONG)).collect();
    assert!(store.mset(items).await.iter().all(Result::is_ok));
    let got = store.mget(&refs(&keys)).await;
    assert!(got.into_iter().all(|got| got.expect("get") == Some(large.clone())));
    let heavy: Bytes = vec![8; 500_000].into();
    let items = keys[..40].iter().map(|key| (key.as_str(), heavy.clone(), LONG)).collect();
    assert!(store.mset(items).await.iter().all(Result::is_ok));
    assert!(store.mget(&refs(&keys[..40])).await.into_iter().all(|got| got.expect("get") == Some(heavy.clone())));
}

#[tokio::test]
async fn empty_batches_ask_nobody() {
    let store = builder("127.0.0.1:1").build().expect("a store");
    assert!(store.mget(&[]).await.is_empty());
    assert!(store.mset(vec![]).await.is_empty());
    assert!(store.mdel(&[]).await.is_empty());
    assert!(store.mget_or_lease(&[], LONG).await.is_empty());
    assert!(store.mfill(vec![]).await.is_empty());
}

#[tokio::test]
async fn notes_of_the_lease_protocol_are_no_values() {
    let Some(server) = MemcachedServer::start() else { return };
    let store = connect(server.addr()).await;
    store.hold("held", HoldOwner(1), LONG).await.expect("hold");
    store.get_or_lease("leased", LONG).await.expect("a lease");
    store.set("there", value("v"), LONG).await.expect("set");
    let names = ["held", "leased", "there"];
    let got: Vec<bool> = store.mget(&names).await.into_iter().map(|got| got.expect("get").is_some()).collect();
    assert_eq!(got, [false, false, true]);
    for name in &names[..2] {
        assert_eq!(store.get(name).await.expect("get"), None, "{name}");
    }
    let reads: Vec<L2Read> = store.mget_or_lease(&names, LONG).await.into_iter().map(|r| r.expect("a read")).collect();
    assert_eq!(reads[..2], [L2Read::Held, L2Read::Busy]);
    assert!(matches!(reads[2], L2Read::Hit { .. }));
}

#[tokio::test]
async fn a_batch_ends_with_the_time_limit_of_the_store() {
    let [Some(a), Some(b)] = [MemcachedServer::start(), MemcachedServer::start()] else { return };
    let limit = Duration::from_secs(1);
    let builder = MemcachedStore::builder().servers([a.addr(), b.addr()]).response_timeout(limit);
    let store = builder.connect().await.expect("a store");
    let keys = keys(40);
    let items = keys.iter().map(|key| (key.as_str(), value(key), LONG)).collect();
    assert!(store.mset(items).await.iter().all(Result::is_ok));
    a.stop();
    for (key, got) in keys.iter().zip(store.mget(&refs(&keys)).await) {
        match got {
            Ok(got) => assert!(got.is_some() && has(&b, key), "{key}"),
            Err(error) => assert!(error.kind() == StoreErrorKind::Timeout && !has(&b, key), "{key}: {error}"),
        }
    }
    a.cont();
}
