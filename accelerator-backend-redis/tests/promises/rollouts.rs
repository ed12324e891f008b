//! A codec, a compression and a key of encryption are changed step by step, and no node has a miss.

use accelerator_core::testkit::fleet::rollout::{CODECS, COMPRESSION, KEYS, no_step_of_a_rollout_has_a_miss};
use accelerator_core::testkit::server::RedisServer;

use crate::support::store;

#[tokio::test]
async fn no_step_of_a_change_has_a_miss() {
    let Some(server) = RedisServer::start() else { return };
    let store = store(server.url()).await;
    for (area, rollout) in [("codecs", CODECS), ("compression", COMPRESSION), ("keys", KEYS)] {
        no_step_of_a_rollout_has_a_miss(store.clone(), area, rollout).await;
    }
}
