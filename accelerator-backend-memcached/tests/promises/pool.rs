//! Connections are kept up to what was in flight, and never more than allowed.

use std::time::{Duration, Instant};

use accelerator_backend_memcached::MemcachedStore;
use accelerator_core::L2Store;
use accelerator_core::testkit::server::MemcachedServer;
use futures_util::future::join_all;

use crate::tools::{Raw, builder, connect};

/// So many calls at the same time.
async fn calls(store: &MemcachedStore, n: usize) {
    for got in join_all((0..n).map(|_| store.get("key"))).await {
        got.expect("get");
    }
}

/// How many connections a server took so far.
fn made(server: &mut Raw) -> u64 {
    server.stat("total_connections")
}

/// Waits until the server has so many connections beside the one that asks: it notices in its own time.
fn has(server: &mut Raw, connections: u64) {
    let start = Instant::now();
    while server.stat("curr_connections") != 1 + connections {
        let open = server.stat("curr_connections");
        assert!(start.elapsed() < Duration::from_secs(10), "not {connections} connections: {open} in all");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[tokio::test]
async fn connections_are_kept_up_to_what_was_in_flight() {
    let Some(server) = MemcachedServer::start() else { return };
    let (mut raw, store) = (Raw::connect(&server.addr()), connect(server.addr()).await);
    calls(&store, 40).await;
    let before = made(&mut raw);
    for _ in 0..50 {
        calls(&store, 40).await;
    }
    assert_eq!(made(&mut raw), before, "connections were made again");
}

#[tokio::test]
async fn calls_over_the_limit_wait_their_turn() {
    let Some(server) = MemcachedServer::start() else { return };
    let store = builder(server.addr()).max_connections(3).build().expect("a store");
    let mut raw = Raw::connect(&server.addr());
    let before = made(&mut raw);
    calls(&store, 200).await;
    assert_eq!(made(&mut raw) - before, 3);
}

#[tokio::test]
async fn no_more_idle_connections_are_kept_than_allowed() {
    let Some(server) = MemcachedServer::start() else { return };
    let store = builder(server.addr()).max_connections(10).max_idle(2).build().expect("a store");
    let mut raw = Raw::connect(&server.addr());
    calls(&store, 10).await;
    has(&mut raw, 2);
    let before = made(&mut raw);
    calls(&store, 2).await;
    assert_eq!(made(&mut raw), before, "the two that were kept serve two calls");
}

#[tokio::test]
async fn a_store_that_is_dropped_closes_its_connections() {
    let Some(server) = MemcachedServer::start() else { return };
    let (mut raw, store) = (Raw::connect(&server.addr()), connect(server.addr()).await);
    calls(&store, 5).await;
    has(&mut raw, 5);
    drop(store);
    has(&mut raw, 0);
}
