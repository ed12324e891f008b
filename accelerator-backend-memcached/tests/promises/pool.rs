//! Connections are kept up to what was in flight, and never more than allowed.

use accelerator_core::L2Store;
use accelerator_core::testkit::server::MemcachedServer;
use futures_util::future::join_all;

use crate::tools::{NEVER, builder, connect, stat};

#[tokio::test]
async fn connections_are_kept_up_to_what_was_in_flight() {
    let Some(server) = MemcachedServer::start() else { return };
    let store = connect(server.addr()).await;
    join_all((0..40).map(|_| store.get("key"))).await;
    let before = stat(&server.addr(), "total_connections");
    for _ in 0..50 {
        for got in join_all((0..40).map(|_| store.get("key"))).await {
            got.expect("get");
        }
    }
    assert_eq!(stat(&server.addr(), "total_connections") - before, 1, "connections made again (one is that of stats)");
}

#[tokio::test]
async fn calls_over_the_limit_wait_their_turn() {
    let Some(server) = MemcachedServer::start() else { return };
    let before = stat(&server.addr(), "curr_connections");
    let store = builder(server.addr()).max_connections(3).response_timeout(NEVER).build().expect("a store");
    for got in join_all((0..200).map(|_| store.get("key"))).await {
        got.expect("get");
    }
    assert_eq!(stat(&server.addr(), "curr_connections") - before, 3);
}

#[tokio::test]
async fn no_more_idle_connections_are_kept_than_allowed() {
    let Some(server) = MemcachedServer::start() else { return };
    let before = stat(&server.addr(), "curr_connections");
    let store = builder(server.addr()).max_connections(10).max_idle(2).build().expect("a store");
    for got in join_all((0..10).map(|_| store.get("key"))).await {
        got.expect("get");
    }
    // The server notices in its own time.
    while stat(&server.addr(), "curr_connections") - before > 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!(stat(&server.addr(), "curr_connections") - before, 2);
}

#[tokio::test]
async fn a_store_that_is_dropped_closes_its_connections() {
    let Some(server) = MemcachedServer::start() else { return };
    let before = stat(&server.addr(), "curr_connections");
    let store = connect(server.addr()).await;
    join_all((0..5).map(|_| store.get("key"))).await;
    drop(store);
    while stat(&server.addr(), "curr_connections") > before {
        tokio::task::yield_now().await;
    }
}
