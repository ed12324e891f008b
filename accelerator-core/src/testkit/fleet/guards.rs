//! Write guards, and what other nodes do beside them.

use std::future::ready;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use super::{LONG, Numbers};
use crate::error::StoreErrorKind;
use crate::level::LevelCache;
use crate::traits::l1::NoL1;
use crate::traits::l2::{HoldOwner, L2Read, L2Store};

/// A node over a source whose row has this version.
fn node<S: L2Store>(store: S, version: &Arc<AtomicU64>, limit: Duration) -> LevelCache<u64, u64, NoL1> {
    let version = version.clone();
    let load = move |_| ready(Ok::<_, io::Error>(Some(version.load(SeqCst))));
    let builder = LevelCache::builder().area("guards").l2_with_codec(store, Numbers).l2_timeout(limit);
    builder.ttl(LONG).loader(load).build().expect("a cache")
}

/// Whatever another node does to a key while a guard of it lives, no reader caches what is older than the guard's end.
/// Each node has a store of its own, on one server.
pub async fn guards_stand_beside_what_others_do<S: L2Store>(stores: [S; 3]) {
    let version = Arc::new(AtomicU64::new(0));
    let [a, b, reader] = stores.map(|store| node(store, &version, Duration::from_secs(10)));
    for verb in ["finish", "del", "mdel", "set", "mset"] {
        version.store(0, SeqCst);
        let guard = b.write_guard(&7).await.expect("a guard");
        match verb {
            "finish" => a.write_guard(&7).await.expect("a guard").finish().await,
            "del" => a.del(&7).await,
            "mdel" => a.mdel(&[7, 8]).await,
            "set" => a.set(&7, 0).await,
            _ => a.mset([(7, Some(0)), (8, Some(0))]).await,
        }
        .expect(verb);
        for node in [&a, &b, &reader] {
            assert_eq!(node.get(&7).await.expect("get"), Some(0), "{verb}");
        }
        version.store(1, SeqCst);
        for node in [&a, &b, &reader] {
            assert_eq!(node.get(&7).await.expect("get"), Some(1), "after {verb} something older was cached");
        }
        guard.finish().await.expect("finish");
        assert_eq!(reader.get(&7).await.expect("get"), Some(1), "{verb}");
    }
}

/// A delete that was not confirmed, as the server stood still, is sent again beside a guard of another node, and leaves its
/// hold alone. `stop` and `go_on` are what the test does to the server.
pub async fn recovery_leaves_a_guard_alone<S: L2Store>(stores: [S; 3], stop: impl FnOnce(), go_on: impl FnOnce()) {
    let version = Arc::new(AtomicU64::new(0));
    let [a, b, reader] = stores;
    let a = node(a, &version, Duration::from_millis(200));
    let (b, reader) = (node(b, &version, Duration::from_secs(10)), node(reader, &version, Duration::from_secs(10)));
    stop();
    a.del(&7).await.expect_err("the server is stopped");
    go_on();
    let guard = b.write_guard(&7).await.expect("a guard");
    let recovered = async {
        while a.stats().unconfirmed > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), recovered).await.expect("the delete is sent again");
    for now in [0, 1] {
        version.store(now, SeqCst);
        for node in [&b, &reader] {
            assert_eq!(node.get(&7).await.expect("get"), Some(now), "something older was cached");
        }
    }
    guard.finish().await.expect("finish");
    assert_eq!(reader.get(&7).await.expect("get"), Some(1));
}

/// A key has as many holds as the store counts, each by its own owner, and one more is refused.
pub async fn holds_are_bounded<S: L2Store>(store: S, most: u64) {
    for owner in 0..most {
        store.hold("k", HoldOwner(owner), LONG).await.expect("hold");
    }
    // Whose hold is there already is not one more.
    store.hold("k", HoldOwner(0), LONG).await.expect("hold");
    let error = store.hold("k", HoldOwner(most), LONG).await.expect_err("one too many");
    assert_eq!(error.kind(), StoreErrorKind::Rejected, "{error}");
    store.unhold("k", HoldOwner(7)).await.expect("unhold");
    store.hold("k", HoldOwner(most), LONG).await.expect("hold");
    for owner in 0..most {
        store.unhold("k", HoldOwner(owner)).await.expect("unhold");
        let read = store.get_or_lease("k", LONG).await.expect("get_or_lease");
        assert_eq!(read, L2Read::Held, "{owner}");
    }
    store.unhold("k", HoldOwner(most)).await.expect("unhold");
    let read = store.get_or_lease("k", LONG).await.expect("get_or_lease");
    assert!(matches!(read, L2Read::Leased { .. }), "{read:?}");
}
