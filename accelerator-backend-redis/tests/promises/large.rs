//! Batches of large values over a slow line: their limits grow with their bytes.

use accelerator_core::testkit::fleet;
use accelerator_core::testkit::server::{CountingProxy, RedisServer};

use crate::support::store;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_large_values_over_a_line_of_1_gbit_are_stored_and_read() {
    let Some(server) = RedisServer::start() else { return };
    let proxy = CountingProxy::start(server.addr()).await;
    let stores = [store(format!("redis://{}", proxy.addr())).await, store(format!("redis://{}", proxy.addr())).await];
    fleet::large_values_are_stored_and_read(&proxy, stores).await;
}
