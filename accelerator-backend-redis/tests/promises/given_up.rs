//! What a pause of the server leaves behind: nothing. And one load for all nodes, however long it takes.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use accelerator_core::memoize::repeat::Often;
use accelerator_core::memoize::{self, Read, sharing};
use accelerator_core::testkit::server::RedisServer;
use accelerator_core::{Builder, L2Read, L2Store, LevelCache};
use tokio::time::{sleep, timeout};

use crate::support::{LONG, comes_true, keys, refs, store, value};

/// A node of its own, with a connection of its own.
async fn node(server: &RedisServer, takes: Duration, loads: &Arc<AtomicUsize>) -> Builder<u64, u64> {
    let loads = loads.clone();
    let load = move |key: u64| {
        loads.fetch_add(1, SeqCst);
        async move {
            sleep(takes).await;
            Ok::<_, std::io::Error>(Some(key))
        }
    };
    let builder = LevelCache::builder().area("pause").l2(store(server.url()).await).ttl(LONG);
    builder.loader(load)
}

#[tokio::test]
async fn after_a_pause_of_the_server_nobody_waits_for_reads_that_were_given_up() {
    let Some(server) = RedisServer::start() else { return };
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
    let Some(server) = RedisServer::start() else { return };
    let (gives_up, other) = (store(server.url()).await, store(server.url()).await);
    for rights in ["", "script flush"] {
        if !rights.is_empty() {
            crate::support::raw(&server.addr(), rights);
        }
        let (one, many) = (keys(20), keys(1200));
        let limit = Duration::from_millis(20);
        server.stop();
        for key in &one {
            assert!(timeout(limit, gives_up.get_or_lease(key, LONG)).await.is_err(), "a stopped server");
        }
        assert!(timeout(limit, gives_up.mget_or_lease(&refs(&many), LONG)).await.is_err(), "a stopped server");
        server.cont();
        for key in one.iter().chain(&many) {
            comes_true("the end of a lease", async || {
                matches!(other.get_or_lease(key, LONG).await, Ok(L2Read::Leased { .. }))
            })
            .await;
        }
    }
    gives_up.set("k", value("v"), LONG).await.expect("it goes on");
}

/// With a pause of the server in the middle of the load.
#[tokio::test]
async fn one_node_loads_for_all_however_long_it_takes() {
    let Some(server) = RedisServer::start() else { return };
    let loads = Arc::new(AtomicUsize::new(0));
    let mut nodes = Vec::new();
    for _ in 0..8 {
        nodes.push(node(&server, Duration::from_millis(1600), &loads).await.build().expect("a cache"));
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
    let Some(server) = RedisServer::start() else { return };
    let (loads, none) = (Arc::new(Mutex::new(Vec::<u64>::new())), Arc::new(AtomicUsize::new(0)));
    let takes = Duration::from_millis(1600);
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
