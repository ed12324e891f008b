//! How often a cache goes over the wire.

use accelerator_core::testkit::fleet;
use accelerator_core::testkit::server::{CountingProxy, MemcachedServer};

use crate::tools::connect;

#[tokio::test]
async fn a_hit_is_one_round_trip_and_a_miss_two_for_one_key_or_32_with_either_loader() {
    let Some(server) = MemcachedServer::start() else { return };
    let proxy = CountingProxy::start(server.addr()).await;
    let store = connect(proxy.addr()).await;
    fleet::each_call_has_its_trips(&proxy, store).await;
}
