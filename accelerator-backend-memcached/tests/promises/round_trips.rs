//! What a call costs on the wire.

use accelerator_core::testkit::server::{CountingProxy, memcached_addr};
use accelerator_core::{Filled, HoldOwner, L2Read, L2Store};

use crate::tools::{LONG, builder, leased, value};

#[tokio::test]
async fn every_call_is_one_round_trip() {
    let Some(addr) = memcached_addr() else { return };
    let proxy = CountingProxy::start(addr).await;
    let builder = builder(proxy.addr()).key_prefix("trips:");
    let store = builder.connect().await.expect("a store");
    let trips = |what: &str, expected: u64| {
        assert_eq!(proxy.round_trips(), expected, "{what}");
        proxy.reset();
    };
    proxy.reset();
    let token = leased(&store.get_or_lease("key", LONG).await.expect("a read"));
    trips("get_or_lease, a miss", 1);
    assert_eq!(store.fill("key", &token, value("v"), LONG).await.expect("fill"), Filled::Stored);
    trips("fill", 1);
    assert!(matches!(store.get_or_lease("key", LONG).await, Ok(L2Read::Hit { .. })));
    trips("get_or_lease, a hit", 1);
    assert!(store.get("key").await.expect("get").is_some());
    trips("get", 1);
    store.set("key", value("v"), LONG).await.expect("set");
    trips("set", 1);
    store.set("key", vec![0; 2 << 20].into(), LONG).await.expect_err("too large");
    trips("set of too much", 1);
    store.del("key").await.expect("del");
    trips("del", 1);
    for owner in [HoldOwner(1), HoldOwner(2)] {
        store.hold("key", owner, LONG).await.expect("hold");
        trips("hold", 2);
    }
    assert!(matches!(store.get_or_lease("key", LONG).await, Ok(L2Read::Held)));
    trips("get_or_lease of a held key, and its lease given back", 2);
    store.set("key", value("v"), LONG).await.expect_err("held");
    trips("set of a held key, and its value deleted", 2);
    store.del("key").await.expect("del");
    trips("del of a held key", 1);
    for owner in [HoldOwner(1), HoldOwner(2), HoldOwner(2)] {
        store.unhold("key", owner).await.expect("unhold");
        trips("unhold", 2);
    }

    let keys: Vec<String> = (0..32).map(|n| format!("key.{n}")).collect();
    let refs: Vec<&str> = keys.iter().map(String::as_str).collect();
    let reads = store.mget_or_lease(&refs, LONG).await;
    trips("mget_or_lease of 32, all missing", 1);
    let reads = refs.iter().zip(reads).map(|(key, read)| (*key, leased(&read.expect("a read")), value(key), LONG));
    let filled = store.mfill(reads.collect()).await;
    trips("mfill of 32", 1);
    assert!(filled.into_iter().all(|filled| matches!(filled, Ok(Filled::Stored))));
    assert!(store.mget_or_lease(&refs, LONG).await.iter().all(|read| matches!(read, Ok(L2Read::Hit { .. }))));
    trips("mget_or_lease of 32, all there", 1);
    assert!(store.mget(&refs).await.into_iter().all(|got| got.is_ok_and(|got| got.is_some())));
    trips("mget of 32", 1);
    let items = refs.iter().map(|key| (*key, value(key), LONG)).collect();
    assert!(store.mset(items).await.iter().all(Result::is_ok));
    trips("mset of 32", 1);
    assert!(store.mdel(&refs).await.iter().all(Result::is_ok));
    trips("mdel of 32", 1);
    let token = leased(&store.get_or_lease("other", LONG).await.expect("a read"));
    proxy.reset();
    store.release("other", token).await.expect("release");
    trips("release", 1);
}
