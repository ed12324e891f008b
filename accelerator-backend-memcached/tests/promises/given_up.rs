//! What a pause of the server leaves behind: nothing. And one load for all nodes, however long it takes.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use accelerator_core::memoize::repeat::Often;
use accelerator_core::memoize::{self, Read, sharing};
use accelerator_core::testkit::server::MemcachedServer;
use accelerator_core::{Builder, L2Read, L2Store, LevelCache};
use tokio::time::{sleep, timeout};

use crate::tools::{LONG, NEVER, builder, value};

async fn connect(server: &MemcachedServer) -> accelerator_backend_memcached::MemcachedStore {
    builder(server.addr()).max_connections(64).connect().await.expect("a store")
}

/// A node of its own, with a connection of its own.
async fn node(server: &MemcachedServer, takes: Duration, loads: &Arc<AtomicUsize>) -> Builder<u64, u64> {
    let loads = loads.clone();
    let load = move |key: u64| {
        loads.fetch_add(1, SeqCst);
        async move {
            sleep(takes).await;
            Ok::<_, std::io::Error>(Some(key))
        }
    };
    let builder = LevelCache::builder().area("pause").l2(connect(server).await).ttl(LONG);
    builder.loader(load).loader_timeout(Duration::from_secs(4))
}

#[tokio::test]
async fn after_a_pause_of_the_server_nobody_waits_for_reads_that_were_given_up() {
    let Some(server) = MemcachedServer::start() else { return };
    let loads = Arc::new(AtomicUsize::new(0));
    let fast = Duration::ZERO;
    // Leases would last for half a minute, were they left behind.
    let build = async || node(&server, fast, &loads).await.lease_ttl(Duration::from_secs(30)).build().expect("a cache");
    let (paused, other) = (build().await, build().await);
    paused.get(&0).await.expect("a value");
    server.stop();
    let singles: Vec<_> = (1..=50)
        .map(|key| {
            let cache = paused.clone();
            tokio::spawn(async move { cache.get(&key).await })
        })
        .collect();
    let batch: Vec<u64> = (100..356).collect();
    let read = paused.mget(&batch).await;
    assert!(read.into_values().is_ok(), "L2 is optional");
    for single in singles {
        assert!(single.await.expect("a task").is_ok(), "L2 is optional");
    }
    sleep(Duration::from_millis(100)).await;
    server.cont();
    sleep(Duration::from_millis(100)).await;
    loads.store(0, SeqCst);
    for key in 1..=50 {
        other.get(&key).await.expect("a value");
    }
    assert!(other.mget(&batch).await.into_values().is_ok());
    let stats = other.stats();
    assert_eq!((stats.lease_waits, stats.leases, stats.fills_lost), (0, 306, 0), "it waits for nobody, and stores");
    assert_eq!(loads.load(SeqCst), 306);
}

/// The same with the store alone, and leases that last: they are given back, they don't end.
#[tokio::test]
async fn leases_of_reads_that_were_given_up_are_given_back() {
    let Some(server) = MemcachedServer::start() else { return };
    let (gives_up, other) = (connect(&server).await, connect(&server).await);
    gives_up.get("warm").await.expect("a connection");
    let (one, many): (Vec<_>, Vec<_>) =
        ((0..20).map(|n| format!("one.{n}")).collect(), (0..1200).map(|n| format!("many.{n}")).collect());
    // A connection each: nobody can make one while the server stands still.
    futures_util::future::join_all(one.iter().map(|key| gives_up.get(key))).await;
    let limit = Duration::from_millis(20);
    server.stop();
    let singles = one.iter().map(|key| timeout(limit, gives_up.get_or_lease(key, LONG)));
    let singles = futures_util::future::join_all(singles).await;
    assert!(singles.iter().all(Result::is_err), "a stopped server");
    server.cont();
    server.stop();
    let refs: Vec<&str> = many.iter().map(String::as_str).collect();
    assert!(timeout(limit, gives_up.mget_or_lease(&refs, LONG)).await.is_err(), "a stopped server");
    server.cont();
    for key in one.iter().chain(&many) {
        let start = Instant::now();
        while !matches!(other.get_or_lease(key, LONG).await, Ok(L2Read::Leased { .. })) {
            assert!(start.elapsed() < NEVER, "a lease was left behind");
            sleep(Duration::from_millis(2)).await;
        }
    }
    gives_up.set("k", value("v"), LONG).await.expect("it goes on");
}

/// A server that has answered its part of a batch when the batch is given up for another one.
#[tokio::test]
async fn what_one_server_has_granted_is_given_back_though_another_hangs() {
    let (Some(well), Some(hangs)) = (MemcachedServer::start(), MemcachedServer::start()) else { return };
    let both = || accelerator_backend_memcached::MemcachedStore::builder().servers([well.addr(), hangs.addr()]);
    let gives_up = both().connect_timeout(NEVER).response_timeout(NEVER).connect().await.expect("a store");
    let keys: Vec<String> = (0..64).map(|n| format!("key.{n}")).collect();
    let refs: Vec<&str> = keys.iter().map(String::as_str).collect();
    gives_up.mget(&refs).await;
    hangs.stop();
    let limit = Duration::from_millis(50);
    assert!(timeout(limit, gives_up.mget_or_lease(&refs, LONG)).await.is_err(), "one hangs");
    let alone = builder(well.addr()).connect().await.expect("a store");
    for key in &keys {
        let start = Instant::now();
        while !matches!(alone.get_or_lease(key, LONG).await, Ok(L2Read::Leased { .. })) {
            assert!(start.elapsed() < NEVER, "a lease was left behind");
            sleep(Duration::from_millis(2)).await;
        }
    }
    hangs.cont();
}

/// A renewal whose answer was lost is known again by the next one, and the lease goes on.
#[tokio::test]
async fn a_renewal_that_was_given_up_is_no_loss() {
    let Some(server) = MemcachedServer::start() else { return };
    let store = connect(&server).await;
    let _ = futures_util::future::join(store.get("a"), store.get("b")).await;
    let Ok(L2Read::Leased { token, .. }) = store.get_or_lease("key", LONG).await else { panic!("no lease") };
    server.stop();
    assert!(timeout(Duration::from_millis(20), store.renew("key", &token, LONG)).await.is_err(), "a stopped server");
    server.cont();
    let renewed = store.renew("key", &token, LONG).await.expect("renew").expect("it stands");
    assert_eq!(store.fill("key", &renewed, value("v"), LONG).await.expect("fill"), accelerator_core::Filled::Stored);
}

/// With a pause of the server in the middle of the load.
#[tokio::test]
async fn one_node_loads_for_all_however_long_it_takes() {
    let Some(server) = MemcachedServer::start() else { return };
    let loads = Arc::new(AtomicUsize::new(0));
    let mut nodes = Vec::new();
    for _ in 0..8 {
        nodes.push(node(&server, Duration::from_millis(2600), &loads).await.build().expect("a cache"));
    }
    nodes[0].get(&0).await.expect("a value");
    loads.store(0, SeqCst);
    let reads: Vec<_> = nodes
        .iter()
        .map(|node| {
            let node = node.clone();
            tokio::spawn(async move { node.get(&1).await })
        })
        .collect();
    sleep(Duration::from_millis(600)).await;
    server.stop();
    sleep(Duration::from_millis(250)).await;
    server.cont();
    for read in reads {
        assert_eq!(read.await.expect("a task").expect("a value"), Some(1));
    }
    assert_eq!(loads.load(SeqCst), 1, "loads of all nodes");
    assert_eq!(nodes.iter().map(|node| node.stats().fills_lost).sum::<u64>(), 0);
}

/// What `#[cacheable_batch]` expands to, on nodes that want each other's keys: each shares half of its keys with the next.
#[tokio::test]
async fn each_key_of_batches_that_overlap_is_loaded_by_one_node_however_long_it_takes() {
    let Some(server) = MemcachedServer::start() else { return };
    let (loads, none) = (Arc::new(Mutex::new(Vec::<u64>::new())), Arc::new(AtomicUsize::new(0)));
    let takes = Duration::from_millis(2600);
    let mut calls = Vec::new();
    for first in (0..8).map(|node| node * 10) {
        let (node, loads) = (node(&server, Duration::ZERO, &none).await.build().expect("a cache"), loads.clone());
        node.get(&(1000 + first)).await.expect("a connection");
        let body = move |keys: Vec<u64>| {
            loads.lock().expect("no panic").extend(&keys);
            async move {
                sleep(takes).await;
                keys.into_iter().map(|key| (key, Some(key))).collect::<HashMap<_, _>>()
            }
        };
        calls.push(tokio::spawn(async move {
            let (keys, read): (Vec<u64>, _) = ((first..first + 20).collect(), Read::new());
            let begun = memoize::begin_batch(&node, &keys, &read).await;
            let found = memoize::cacheable_batch_in_rounds(begun, read, sharing::Alone, Often, body).await;
            (keys, found, node.stats().fills_lost)
        }));
    }
    for call in calls {
        let (keys, found, lost) = call.await.expect("no panic");
        assert!(keys.iter().all(|key| found[key] == Some(*key)) && found.len() == 20, "{found:?}");
        assert_eq!(lost, 0);
    }
    let mut loads = loads.lock().expect("no panic").clone();
    loads.sort_unstable();
    assert_eq!(loads, (0..90).collect::<Vec<_>>(), "each once");
}
