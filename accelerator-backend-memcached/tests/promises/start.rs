//! A store that has just been built: its first calls make their connections.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use accelerator_backend_memcached::MemcachedStore;
use accelerator_core::testkit::server::MemcachedServer;
use accelerator_core::{L2Store, LevelCache, NoL1};

use crate::tools::{LONG, Raw};

type Cache = LevelCache<u64, u64, NoL1>;

/// A node whose limits are those of a user who set none.
fn node(server: &MemcachedServer, loads: &Arc<AtomicUsize>) -> Cache {
    let loads = Arc::clone(loads);
    let load = move |key: u64| {
        loads.fetch_add(1, SeqCst);
        async move { Ok::<_, io::Error>(Some(key)) }
    };
    LevelCache::builder().area("start").l2(fresh(server)).ttl(LONG).loader(load).build().expect("a cache")
}

fn fresh(server: &MemcachedServer) -> MemcachedStore {
    MemcachedStore::builder().servers([server.addr()]).build().expect("a store")
}

#[tokio::test]
async fn the_first_write_after_build_is_confirmed() {
    let Some(server) = MemcachedServer::start() else { return };
    let loads = Arc::default();
    for round in 0..10 {
        node(&server, &loads).set(&1, round).await.expect("confirmed");
        node(&server, &loads).del(&1).await.expect("confirmed");
        node(&server, &loads).mset([(1, Some(1)), (2, Some(2))]).await.expect("confirmed");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fresh_nodes_load_nothing_that_is_in_l2() {
    let Some(server) = MemcachedServer::start() else { return };
    let loads = Arc::default();
    node(&server, &loads).mset((0..500).map(|key| (key, Some(key)))).await.expect("confirmed");
    node(&server, &loads).warmup(0..500).await;
    let nodes: Vec<Cache> = (0..32).map(|_| node(&server, &loads)).collect();
    for read in futures_util::future::join_all(nodes.iter().map(|node| node.get(&1))).await {
        assert_eq!(read.expect("a value"), Some(1));
    }
    assert_eq!(loads.load(SeqCst), 0);
}

#[tokio::test]
async fn build_begins_to_connect_where_there_is_a_runtime() {
    let Some(server) = MemcachedServer::start() else { return };
    let mut raw = Raw::connect(&server.addr());
    let before = raw.stat("total_connections");
    let store = fresh(&server);
    let start = std::time::Instant::now();
    while raw.stat("total_connections") == before {
        assert!(start.elapsed() < LONG / 20, "nobody connects");
        tokio::task::yield_now().await;
    }
    store.get("key").await.expect("get");
}
