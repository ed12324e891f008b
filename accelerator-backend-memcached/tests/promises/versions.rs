//! Servers without what the store needs are told apart, with what to do.

use accelerator_core::testkit::server::MemcachedServer;
use accelerator_core::{L2Store, StoreErrorKind};

use crate::tools::{LONG, builder, error, value};

#[tokio::test]
async fn a_server_without_cas_numbers_is_refused_by_connect_and_gives_no_leases() {
    let Some(server) = MemcachedServer::builder().arg("-C").start() else { return };
    let refused = error(builder(server.addr()).connect().await);
    assert_eq!(refused.kind(), StoreErrorKind::Unsupported);
    assert!(refused.to_string().contains("start it without -C") && refused.to_string().contains(&server.addr()));
    let store = builder(server.addr()).build().expect("a store");
    store.set("key", value("v"), LONG).await.expect("set");
    assert!(store.get("key").await.expect("get").is_some(), "values are served all the same");
    for _ in 0..2 {
        let refused = error(store.get_or_lease("other", LONG).await);
        assert_eq!(refused.kind(), StoreErrorKind::Unsupported);
        assert!(refused.to_string().contains("start it without -C"), "{refused}");
    }
}
