//! The store keeps the laws, with one server and with several.

use std::sync::OnceLock;
use std::time::Duration;

use accelerator_backend_memcached::MemcachedStore;
use accelerator_core::testkit::laws::restart::a_restart_ends_leases;
use accelerator_core::testkit::server::{MemcachedServer, memcached_addr};

use crate::tools::connect;

accelerator_core::l2_laws!(memcached, {
    let Some(addr) = memcached_addr() else { return };
    connect(addr).await
});
accelerator_core::l2_laws!(three_memcacheds, {
    let Some(servers) = three() else { return };
    let builder = MemcachedStore::builder().servers(servers).key_prefix("another~application:").max_connections(2);
    builder.response_timeout(Duration::from_secs(60)).connect().await.expect("a store")
});

fn three() -> Option<[String; 3]> {
    static MORE: OnceLock<Option<[MemcachedServer; 2]>> = OnceLock::new();
    let more = MORE.get_or_init(|| Some([MemcachedServer::start()?, MemcachedServer::start()?])).as_ref()?;
    Some([memcached_addr()?.to_owned(), more[0].addr(), more[1].addr()])
}

#[tokio::test]
async fn a_restart() {
    let Some(server) = MemcachedServer::start() else { return };
    let recovery = a_restart_ends_leases(&connect(server.addr()).await, || server.restart()).await;
    assert!(recovery < Duration::from_secs(2), "{recovery:?}");
}
