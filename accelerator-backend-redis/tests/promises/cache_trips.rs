//! How often a cache goes over the wire.

use accelerator_core::testkit::fleet;
use accelerator_core::testkit::server::{CountingProxy, RedisServer};

use crate::support::store;

#[tokio::test]
async fn a_hit_is_one_round_trip_and_a_miss_two_for_one_key_or_32_with_either_loader() {
    let Some(server) = RedisServer::start() else { return };
    let proxy = CountingProxy::start(server.addr()).await;
    let store = store(format!("redis://{}", proxy.addr())).await;
    fleet::each_call_has_its_trips(&proxy, store).await;
}
