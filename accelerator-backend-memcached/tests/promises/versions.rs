//! Servers without what the store needs are told apart, with what to do.

use accelerator_core::testkit::server::MemcachedServer;
use accelerator_core::{L2Store, LevelCache, StoreErrorKind};

use crate::tools::{LONG, NEVER, builder, error, value};

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

#[tokio::test]
async fn a_cache_over_a_server_without_cas_numbers_loads_and_says_that_there_are_no_leases() {
    let Some(server) = MemcachedServer::builder().arg("-C").start() else { return };
    let store = builder(server.addr()).build().expect("a store");
    let cache = LevelCache::<u64, u64>::builder()
        .area("uncounted")
        .l2(store)
        .l2_timeout(NEVER)
        .ttl(LONG)
        .loader(|id| async move { Ok::<_, std::io::Error>(Some(id + 1)) })
        .build()
        .expect("a cache");
    assert!(cache.stats().has_leases, "nothing was asked yet");
    for _ in 0..2 {
        assert_eq!(cache.get(&1).await.expect("a value"), Some(2));
    }
    let found = cache.mget(&[2, 3]).await.into_values().expect("values");
    assert_eq!(found, [Some(3), Some(4)]);
    let stats = cache.stats();
    assert!(!stats.has_leases);
    assert_eq!((stats.loads_ok, stats.l2_hits), (4, 0), "nothing was filled without a lease");
    assert!(stats.l2_errors.iter().all(|(kind, n)| (kind == StoreErrorKind::Unsupported) == (n > 0)), "{stats:?}");
    // What is written is served.
    cache.set(&1, 7).await.expect("set");
    assert_eq!(cache.get(&1).await.expect("a value"), Some(7));
    cache.del(&1).await.expect("del");
    assert_eq!(cache.get(&1).await.expect("a value"), Some(2));
    assert_eq!(cache.stats().l2_hits, 1);
}
