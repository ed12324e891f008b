//! What a pause of the server leaves behind: nothing. And one load for all nodes, however long it takes.

use std::time::Duration;

use accelerator_core::testkit::fleet;
use accelerator_core::testkit::server::RedisServer;

use crate::support::{raw, store};

#[tokio::test]
async fn after_a_pause_of_the_server_nobody_waits_for_reads_that_were_given_up() {
    let Some(server) = RedisServer::start() else { return };
    let stores = [store(server.url()).await, store(server.url()).await];
    fleet::nobody_waits_for_reads_given_up(stores, || server.stop(), || server.cont()).await;
}

#[tokio::test]
async fn leases_of_reads_that_were_given_up_are_given_back() {
    let Some(server) = RedisServer::start() else { return };
    let (gives_up, other) = (store(server.url()).await, store(server.url()).await);
    for (prefix, before) in [("known", None), ("unknown", Some("script flush"))] {
        before.map(|command| raw(&server.addr(), command));
        fleet::leases_given_up_are_given_back(&gives_up, &other, prefix, || server.stop(), || server.cont()).await;
    }
}

/// With a pause of the server in the middle of the load.
#[tokio::test]
async fn one_node_loads_for_all_however_long_it_takes() {
    let Some(server) = RedisServer::start() else { return };
    let mut stores = Vec::new();
    for _ in 0..8 {
        stores.push(store(server.url()).await);
    }
    let takes = Duration::from_millis(1600);
    fleet::one_node_loads_for_all(stores, takes, || server.stop(), || server.cont()).await;
}

#[tokio::test]
async fn each_key_of_batches_that_overlap_is_loaded_by_one_node_however_long_it_takes() {
    let Some(server) = RedisServer::start() else { return };
    let mut stores = Vec::new();
    for _ in 0..8 {
        stores.push(store(server.url()).await);
    }
    fleet::overlapping_batches_load_each_key_once(stores, Duration::from_millis(1600)).await;
}
