//! A server that is away is an error at once, and back within two seconds.

use std::time::{Duration, Instant};

use accelerator_core::testkit::server::MemcachedServer;
use accelerator_core::{Filled, L2Store, StoreErrorKind};

use crate::tools::{LONG, builder, connect, kind, lease, until_it_works, value};

const SOON: Duration = Duration::from_secs(2);

#[tokio::test]
async fn a_dead_server_is_an_error_at_once() {
    let Some(server) = MemcachedServer::start() else { return };
    let limits = builder(server.addr());
    let store = limits.connect().await.expect("a store");
    server.kill();
    let start = Instant::now();
    for _ in 0..1000 {
        assert_eq!(kind(store.get("key").await), StoreErrorKind::Unavailable);
        assert_eq!(kind(store.set("key", value("v"), LONG).await), StoreErrorKind::Unavailable);
        assert_eq!(kind(store.get_or_lease("key", LONG).await), StoreErrorKind::Unavailable);
    }
    assert!(start.elapsed() < SOON, "3000 calls took {:?}", start.elapsed());
}

#[tokio::test]
async fn a_store_that_never_saw_its_server_works_once_it_is_there() {
    let Some(server) = MemcachedServer::start() else { return };
    server.kill();
    let store = builder(server.addr()).build().expect("a store");
    assert_eq!(kind(store.get("key").await), StoreErrorKind::Unavailable);
    assert_eq!(kind(builder(server.addr()).connect().await), StoreErrorKind::Unavailable);
    server.restart();
    assert!(until_it_works(&store).await < SOON);
}

#[tokio::test]
async fn after_a_restart_the_same_store_works_within_two_seconds() {
    let Some(server) = MemcachedServer::start() else { return };
    let store = connect(server.addr()).await;
    for _ in 0..5 {
        server.kill();
        // Long enough that the pauses between two tries have grown.
        for _ in 0..5 {
            assert_eq!(kind(store.get("key").await), StoreErrorKind::Unavailable);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        server.restart();
        assert!(until_it_works(&store).await < SOON);
        store.set("key", value("v"), LONG).await.expect("set");
        assert!(store.get("key").await.expect("get").is_some());
    }
}

#[tokio::test]
async fn a_restart_that_nobody_saw_costs_no_call() {
    let Some(server) = MemcachedServer::start() else { return };
    let store = connect(server.addr()).await;
    futures_util::future::join_all((0..20).map(|_| store.get("key"))).await;
    server.restart();
    for got in futures_util::future::join_all((0..20).map(|_| store.get("key"))).await {
        assert_eq!(got.expect("get"), None);
    }
}

#[tokio::test]
async fn a_server_that_hangs_costs_the_timeout_and_then_nothing() {
    let Some(server) = MemcachedServer::start() else { return };
    let limit = Duration::from_millis(200);
    let limits = builder(server.addr()).connect_timeout(limit).response_timeout(limit);
    let store = limits.connect().await.expect("a store");
    server.stop();
    let start = Instant::now();
    assert_eq!(kind(store.get("key").await), StoreErrorKind::Timeout);
    assert!((limit..SOON).contains(&start.elapsed()), "{:?}", start.elapsed());
    // The system takes connections for it, but nobody greets.
    while kind(store.get("key").await) == StoreErrorKind::Timeout {
        assert!(start.elapsed() < SOON, "the store doesn't notice");
    }
    let start = Instant::now();
    for _ in 0..1000 {
        assert_eq!(kind(store.get("key").await), StoreErrorKind::Unavailable);
    }
    assert!(start.elapsed() < SOON, "1000 calls took {:?}", start.elapsed());
    server.cont();
    assert!(until_it_works(&store).await < SOON);
}

/// As the engine does it: the caller gives up long before the store would.
#[tokio::test]
async fn callers_that_give_up_early_learn_all_the_same_that_a_server_hangs() {
    let Some(server) = MemcachedServer::start() else { return };
    let limits = builder(server.addr()).connect_timeout(Duration::from_millis(200));
    let store = limits.connect().await.expect("a store");
    server.stop();
    let start = Instant::now();
    let learned = async || {
        let got = tokio::time::timeout(Duration::from_millis(20), store.get("key")).await;
        got.is_ok_and(|got| kind(got) == StoreErrorKind::Unavailable)
    };
    while !learned().await {
        assert!(start.elapsed() < SOON, "nobody learns");
    }
    server.cont();
    assert!(until_it_works(&store).await < SOON);
}

#[test]
fn without_a_runtime_a_call_is_an_error_and_no_panic() {
    let store = builder("127.0.0.1:1").build().expect("a store");
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let mut get = store.get("key");
    let std::task::Poll::Ready(got) = get.as_mut().poll(&mut context) else { panic!("it waits") };
    assert_eq!(kind(got), StoreErrorKind::Unavailable);
    let mut reads = store.mget_or_lease(&["a", "b"], LONG);
    let std::task::Poll::Ready(reads) = reads.as_mut().poll(&mut context) else { panic!("it waits") };
    assert_eq!(reads.into_iter().map(kind).collect::<Vec<_>>(), [StoreErrorKind::Unavailable; 2]);
}

/// A runtime without I/O can't make connections. (tokio says so by a panic in the task that tries.)
#[test]
fn a_runtime_without_io_is_an_error() {
    let store = builder("127.0.0.1:1").build().expect("a store");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    assert_eq!(kind(runtime.block_on(store.get("key"))), StoreErrorKind::Unavailable);
}

fn on_a_runtime<T>(task: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().expect("a runtime").block_on(task)
}

#[test]
fn a_store_outlives_its_runtimes() {
    let Some(server) = MemcachedServer::start() else { return };
    let store = builder(server.addr()).build().expect("a store");
    on_a_runtime(store.get("key")).expect("get");
    // Over the connection of the first runtime: it leads to the same process, so it vouches for the lease.
    let token = on_a_runtime(lease(&store, "key"));
    let filled = on_a_runtime(store.fill("key", &token, value("v"), LONG));
    assert_eq!(filled.expect("fill"), Filled::Stored);
    server.kill();
    assert_eq!(kind(on_a_runtime(store.get("key"))), StoreErrorKind::Unavailable);
    server.restart();
    // The prober went with the last runtime. The next call begins another.
    assert!(on_a_runtime(until_it_works(&store)) < SOON);
}
