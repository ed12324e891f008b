//! A store that has just been built: its first calls wait for the connection, and only they do.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use accelerator_backend_redis::RedisStore;
use accelerator_core::testkit::server::RedisServer;
use accelerator_core::{HoldOwner, L2Store, LevelCache, NoL1, StoreErrorKind};

use crate::support::{LONG, PATIENCE, builder, comes_true, value};

type Cache = LevelCache<u64, u64, NoL1>;

/// A node whose limits are those of a user who set none.
fn node(store: RedisStore, loads: &Arc<AtomicUsize>) -> Cache {
    let loads = Arc::clone(loads);
    let load = move |key: u64| {
        loads.fetch_add(1, SeqCst);
        async move { Ok::<_, std::io::Error>(Some(key)) }
    };
    LevelCache::builder().area("start").l2(store).ttl(LONG).loader(load).build().expect("a cache")
}

fn fresh(server: &RedisServer) -> RedisStore {
    RedisStore::builder().url(server.url()).build().expect("a store")
}

#[tokio::test]
async fn the_first_write_after_build_is_confirmed() {
    let Some(server) = RedisServer::start() else { return };
    let loads = Arc::default();
    for round in 0..10 {
        node(fresh(&server), &loads).set(&1, round).await.expect("confirmed");
        node(fresh(&server), &loads).del(&1).await.expect("confirmed");
        node(fresh(&server), &loads).mset([(1, Some(1)), (2, Some(2))]).await.expect("confirmed");
    }
    fresh(&server).hold("k", HoldOwner::random(), LONG).await.expect("confirmed");
}

#[tokio::test]
async fn a_warmup_over_a_full_server_loads_nothing() {
    let Some(server) = RedisServer::start() else { return };
    let loads = Arc::default();
    node(fresh(&server), &loads).mset((0..500).map(|key| (key, Some(key)))).await.expect("confirmed");
    let report = node(fresh(&server), &loads).warmup(0..500).await;
    assert_eq!(loads.load(SeqCst), 0, "{report:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_32_fresh_nodes_none_loads_what_is_in_l2() {
    let Some(server) = RedisServer::start() else { return };
    let loads = Arc::default();
    node(fresh(&server), &loads).set(&1, 1).await.expect("confirmed");
    let nodes: Vec<Cache> = (0..32).map(|_| node(fresh(&server), &loads)).collect();
    let mut reads = tokio::task::JoinSet::new();
    for node in nodes {
        reads.spawn(async move { node.get(&1).await });
    }
    for read in reads.join_all().await {
        assert_eq!(read.expect("a value"), Some(1));
    }
    assert_eq!(loads.load(SeqCst), 0);
}

#[tokio::test]
async fn build_begins_to_connect_where_there_is_a_runtime() {
    let Some(server) = RedisServer::start() else { return };
    let store = fresh(&server);
    comes_true("a connection that nobody asked for", async || store.is_connected()).await;
}

#[test]
fn outside_of_a_runtime_the_first_call_connects_and_waits() {
    let Some(server) = RedisServer::start() else { return };
    let store = builder(server.url()).build().expect("a store");
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime().block_on(store.set("k", value("v"), LONG)).expect("the first call");
    // Each runtime is a start of its own: the connection ended with the one before.
    let got = runtime().block_on(store.get("k")).expect("the first call of the next");
    assert!(got.is_some());
}

#[test]
fn a_store_built_in_a_runtime_that_is_not_run_connects_in_another() {
    let Some(server) = RedisServer::start() else { return };
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (asleep, awake) = (runtime(), runtime());
    let limit = Duration::from_millis(100);
    let store = asleep.block_on(async { builder(server.url()).connect_timeout(limit).build().expect("a store") });
    let start = Instant::now();
    awake.block_on(store.get("k")).expect("the call takes over");
    assert!(start.elapsed() < PATIENCE);
}

#[tokio::test]
async fn without_a_server_the_first_call_fails_with_the_first_try_and_later_ones_at_once() {
    let Some(server) = RedisServer::start() else { return };
    server.kill();
    let store = builder(server.url()).build().expect("a store");
    let start = Instant::now();
    let error = store.set("k", value("v"), LONG).await.expect_err("nobody is there");
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    for _ in 0..1000 {
        store.get("k").await.expect_err("nobody is there");
    }
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

/// What takes connections and never answers: the first calls wait as long as the try may take.
#[tokio::test]
async fn a_server_that_never_answers_costs_the_first_calls_the_connect_timeout() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("redis://{}", listener.local_addr().expect("an address"));
    let limit = Duration::from_millis(300);
    let store = builder(url).connect_timeout(limit).build().expect("a store");
    let start = Instant::now();
    store.get("k").await.expect_err("no answer");
    assert!((limit / 2..limit * 10).contains(&start.elapsed()), "{:?}", start.elapsed());
    let start = Instant::now();
    store.get("k").await.expect_err("no answer");
    assert!(start.elapsed() < limit, "{:?}", start.elapsed());
}
