//! Nodes of two builds over one server.

use accelerator_core::testkit::fleet;
use accelerator_core::testkit::server::MemcachedServer;

use crate::tools::connect;

#[tokio::test]
async fn a_new_build_fills_at_once_with_one_load_of_each_key() {
    let Some(server) = MemcachedServer::start() else { return };
    let mut stores = Vec::new();
    for _ in 0..6 {
        stores.push(connect(server.addr()).await);
    }
    let Ok(stores) = stores.try_into() else { unreachable!("six of them") };
    fleet::a_new_build_fills_at_once::<accelerator_backend_memcached::MemcachedStore>(stores).await;
}
