//! What a pause of the server leaves behind: nothing. And one load for all nodes, however long it takes.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::time::{sleep, timeout};

use super::{LONG, Numbers};
use crate::level::{LevelCache, LevelCacheBuilder};
use crate::traits::l2::{L2Read, L2Store};

/// A node whose loads take so long, and are counted.
fn node<S: L2Store>(store: S, takes: Duration, loads: &Arc<AtomicUsize>) -> LevelCacheBuilder<u64, u64> {
    let loads = loads.clone();
    let load = move |key: u64| {
        loads.fetch_add(1, SeqCst);
        async move {
            sleep(takes).await;
            Ok::<_, io::Error>(Some(key))
        }
    };
    let builder = LevelCache::builder().area("pause").l2_with_codec(store, Numbers).ttl(LONG);
    builder.loader(load).loader_timeout(Duration::from_secs(4))
}

/// Reads of one node are given up, as the server stands still; after that another node finds no leases of theirs.
pub async fn nobody_waits_for_reads_given_up<S: L2Store>(stores: [S; 2], stop: impl FnOnce(), go_on: impl FnOnce()) {
    let loads = Arc::new(AtomicUsize::new(0));
    // Leases would last for half a minute, were they left behind.
    let lasting = Duration::from_secs(30);
    let [paused, other] =
        stores.map(|store| node(store, Duration::ZERO, &loads).lease_ttl(lasting).build().expect("a cache"));
    paused.get(&0).await.expect("a value");
    stop();
    let singles: Vec<_> = (1..=50)
        .map(|key| {
            let cache = paused.clone();
            tokio::spawn(async move { cache.get(&key).await })
        })
        .collect();
    let batch: Vec<u64> = (100..356).collect();
    assert!(paused.mget(&batch).await.into_values().is_ok(), "L2 is optional");
    for single in singles {
        assert!(single.await.expect("a task").is_ok(), "L2 is optional");
    }
    sleep(Duration::from_millis(100)).await;
    go_on();
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

/// The same with the store alone, and leases that last: they are given back, they don't end. The keys begin with `prefix`.
pub async fn leases_given_up_are_given_back<S: L2Store>(
    gives_up: &S,
    other: &S,
    prefix: &str,
    stop: impl Fn(),
    go_on: impl Fn(),
) {
    let keys =
        |name: &str, count: usize| -> Vec<String> { (0..count).map(|n| format!("{prefix}.{name}.{n}")).collect() };
    let (one, many) = (keys("one", 20), keys("many", 1200));
    // A connection each, where a store has several: nobody can make one while the server stands still.
    join_all(one.iter().map(|key| gives_up.get(key))).await;
    let limit = Duration::from_millis(20);
    stop();
    let singles = join_all(one.iter().map(|key| timeout(limit, gives_up.get_or_lease(key, LONG)))).await;
    assert!(singles.iter().all(Result::is_err), "a stopped server");
    go_on();
    stop();
    let refs: Vec<&str> = many.iter().map(String::as_str).collect();
    assert!(timeout(limit, gives_up.mget_or_lease(&refs, LONG)).await.is_err(), "a stopped server");
    go_on();
    for key in one.iter().chain(&many) {
        let start = Instant::now();
        while !matches!(other.get_or_lease(key, LONG).await, Ok(L2Read::Leased { .. })) {
            assert!(start.elapsed() < Duration::from_secs(30), "a lease was left behind");
            sleep(Duration::from_millis(2)).await;
        }
    }
    gives_up.set("k", "value".into(), LONG).await.expect("it goes on");
}

/// One of all nodes loads, though its load takes longer than a lease and the server stands still in the middle of it.
pub async fn one_node_loads_for_all<S: L2Store>(
    stores: Vec<S>,
    takes: Duration,
    stop: impl FnOnce(),
    go_on: impl FnOnce(),
) {
    let loads = Arc::new(AtomicUsize::new(0));
    let nodes: Vec<_> = stores.into_iter().map(|store| node(store, takes, &loads).build().expect("a cache")).collect();
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
    stop();
    sleep(Duration::from_millis(250)).await;
    go_on();
    for read in reads {
        assert_eq!(read.await.expect("a task").expect("a value"), Some(1));
    }
    assert_eq!(loads.load(SeqCst), 1, "loads of all nodes");
    assert_eq!(nodes.iter().map(|node| node.stats().fills_lost).sum::<u64>(), 0);
}
