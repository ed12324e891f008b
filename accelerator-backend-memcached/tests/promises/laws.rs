//! The store keeps the laws, plain, behind a trait object (both by the macro) and under `Faulty`; with one server and
//! with several.

use std::sync::OnceLock;

use accelerator_backend_memcached::MemcachedStore;
use accelerator_core::testkit::Faulty;
use accelerator_core::testkit::server::{MemcachedServer, memcached_addr};

use crate::tools::connect;

accelerator_core::l2_laws!(memcached, {
    let Some(addr) = memcached_addr() else { return };
    connect(addr).await
});
accelerator_core::l2_laws!(memcached_faulty, {
    let Some(servers) = three() else { return };
    let builder = MemcachedStore::builder().servers(servers).key_prefix("another~application:").max_connections(2);
    Faulty::new(builder.connect().await.expect("a store"))
});

fn three() -> Option<[String; 3]> {
    static MORE: OnceLock<Option<[MemcachedServer; 2]>> = OnceLock::new();
    let more = MORE.get_or_init(|| Some([MemcachedServer::start()?, MemcachedServer::start()?])).as_ref()?;
    Some([memcached_addr()?.to_owned(), more[0].addr(), more[1].addr()])
}
