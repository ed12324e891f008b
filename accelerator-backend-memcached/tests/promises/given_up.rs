//! What a pause of the server leaves behind: nothing. And one load for all nodes, however long it takes.

use std::time::{Duration, Instant};

use accelerator_core::testkit::fleet;
use accelerator_core::testkit::server::MemcachedServer;
use accelerator_core::{L2Read, L2Store};
use tokio::time::{sleep, timeout};

use crate::tools::{LONG, NEVER, builder, value};

async fn connect(server: &MemcachedServer) -> accelerator_backend_memcached::MemcachedStore {
    builder(server.addr()).max_connections(64).connect().await.expect("a store")
}

#[tokio::test]
async fn after_a_pause_of_the_server_nobody_waits_for_reads_that_were_given_up() {
    let Some(server) = MemcachedServer::start() else { return };
    let stores = [connect(&server).await, connect(&server).await];
    fleet::nobody_waits_for_reads_given_up(stores, || server.stop(), || server.cont()).await;
}

#[tokio::test]
async fn leases_of_reads_that_were_given_up_are_given_back() {
    let Some(server) = MemcachedServer::start() else { return };
    let (gives_up, other) = (connect(&server).await, connect(&server).await);
    gives_up.get("warm").await.expect("a connection");
    fleet::leases_given_up_are_given_back(&gives_up, &other, "key", || server.stop(), || server.cont()).await;
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
    let mut stores = Vec::new();
    for _ in 0..8 {
        stores.push(connect(&server).await);
    }
    let takes = Duration::from_millis(2600);
    fleet::one_node_loads_for_all(stores, takes, || server.stop(), || server.cont()).await;
}

#[tokio::test]
async fn each_key_of_batches_that_overlap_is_loaded_by_one_node_however_long_it_takes() {
    let Some(server) = MemcachedServer::start() else { return };
    let mut stores = Vec::new();
    for _ in 0..8 {
        stores.push(connect(&server).await);
    }
    fleet::overlapping_batches_load_each_key_once(stores, Duration::from_millis(2600)).await;
}
