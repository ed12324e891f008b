//! Holds as the server has them, and write guards over them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use accelerator_core::testkit::server::MemcachedServer;
use accelerator_core::{HoldOwner, L2Read, L2Store, LevelCache, NoL1, StoreErrorKind};

use crate::tools::{LONG, connect, item, leased, raw, value};

/// As many as a key takes.
const MOST: u64 = 256;

async fn is_held(store: &impl L2Store) -> bool {
    matches!(store.get_or_lease("k", LONG).await.expect("get_or_lease"), L2Read::Held)
}

#[tokio::test]
async fn a_key_has_as_many_holds_as_its_bound_and_no_more() {
    let Some(server) = MemcachedServer::start() else { return };
    let store = connect(server.addr()).await;
    for owner in 0..MOST {
        store.hold("k", HoldOwner(owner), LONG).await.expect("hold");
    }
    // Whose hold is there already is not one more.
    store.hold("k", HoldOwner(0), LONG).await.expect("hold");
    let error = store.hold("k", HoldOwner(MOST), LONG).await.expect_err("one too many");
    assert_eq!(error.kind(), StoreErrorKind::Rejected, "{error}");
    store.unhold("k", HoldOwner(7)).await.expect("unhold");
    store.hold("k", HoldOwner(MOST), LONG).await.expect("hold");
    for owner in 0..MOST {
        store.unhold("k", HoldOwner(owner)).await.expect("unhold");
        assert!(is_held(&store).await, "{owner}");
    }
    store.unhold("k", HoldOwner(MOST)).await.expect("unhold");
    leased(&store.get_or_lease("k", LONG).await.expect("get_or_lease"));
}

#[tokio::test]
async fn the_item_of_holds_goes_with_its_last_end() {
    let Some(server) = MemcachedServer::start() else { return };
    let (store, addr) = (connect(server.addr()).await, server.addr());
    let (longer, shorter) = (HoldOwner(1), HoldOwner(2));
    store.hold("k", longer, LONG).await.expect("hold");
    store.hold("k", shorter, Duration::from_secs(60)).await.expect("hold");
    let long = LONG.as_secs() as i64;
    assert!((long - 5..=long + 1).contains(&item(&addr, "k!", 't')), "the longer one");
    store.unhold("k", longer).await.expect("unhold");
    assert!((50..=61).contains(&item(&addr, "k!", 't')), "the shorter one");
    store.unhold("k", shorter).await.expect("unhold");
    assert_eq!(raw(&addr, "mg k! s\r\n", "\r\n"), "EN\r\n", "nothing is left");
}

#[tokio::test]
async fn a_value_under_a_held_key_is_none_whoever_left_it() {
    let Some(server) = MemcachedServer::start() else { return };
    let (store, addr) = (connect(server.addr()).await, server.addr());
    store.hold("k", HoldOwner(1), LONG).await.expect("hold");
    // As a writer would that died before it looked.
    assert_eq!(raw(&addr, "ms k 3 T600\r\nold\r\n", "\r\n"), "HD\r\n");
    assert_eq!(store.get("k").await.expect("get"), None);
    assert_eq!(store.mget(&["k"]).await.remove(0).expect("mget"), None);
    assert!(is_held(&store).await);
    store.unhold("k", HoldOwner(1)).await.expect("unhold");
    leased(&store.get_or_lease("k", LONG).await.expect("get_or_lease"));
}

#[tokio::test]
async fn a_restart_ends_holds_and_an_older_owner_ends_none_of_later() {
    let Some(server) = MemcachedServer::start() else { return };
    let store = connect(server.addr()).await;
    store.hold("k", HoldOwner(1), LONG).await.expect("hold");
    server.restart();
    crate::tools::until_it_works(&store).await;
    store.hold("k", HoldOwner(2), LONG).await.expect("hold");
    store.unhold("k", HoldOwner(1)).await.expect("unhold");
    assert!(is_held(&store).await);
    store.unhold("k", HoldOwner(2)).await.expect("unhold");
    store.set("k", value("v"), LONG).await.expect("set");
}

/// Nodes over one server and one source, whose row has this version.
struct Fleet {
    server: MemcachedServer,
    version: Arc<AtomicU64>,
}

impl Fleet {
    fn start() -> Option<Self> {
        Some(Self { server: MemcachedServer::start()?, version: Arc::new(AtomicU64::new(0)) })
    }

    async fn node(&self) -> LevelCache<u64, u64, NoL1> {
        self.node_with(Duration::from_secs(10)).await
    }

    async fn node_with(&self, limit: Duration) -> LevelCache<u64, u64, NoL1> {
        let (store, version) = (connect(self.server.addr()).await, self.version.clone());
        let load = move |_| std::future::ready(Ok::<_, std::io::Error>(Some(version.load(SeqCst))));
        let builder = LevelCache::builder().area("guards").l2(store).l2_timeout(limit);
        builder.ttl(LONG).loader(load).build().expect("a cache")
    }
}

#[tokio::test]
async fn guards_of_two_writers_and_what_others_do_beside_them() {
    let Some(fleet) = Fleet::start() else { return };
    let (a, b, reader) = (fleet.node().await, fleet.node().await, fleet.node().await);
    for verb in ["finish", "del", "mdel", "set", "mset"] {
        fleet.version.store(0, SeqCst);
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
        fleet.version.store(1, SeqCst);
        for node in [&a, &b, &reader] {
            assert_eq!(node.get(&7).await.expect("get"), Some(1), "after {verb} something older was cached");
        }
        guard.finish().await.expect("finish");
        assert_eq!(reader.get(&7).await.expect("get"), Some(1), "{verb}");
    }
}

#[tokio::test]
async fn the_recovery_of_an_older_delete_beside_a_guard() {
    let Some(fleet) = Fleet::start() else { return };
    let (a, b, reader) = (fleet.node_with(Duration::from_millis(200)).await, fleet.node().await, fleet.node().await);
    fleet.server.stop();
    a.del(&7).await.expect_err("the server is stopped");
    fleet.server.cont();
    let guard = b.write_guard(&7).await.expect("a guard");
    let recovered = async {
        while a.stats().unconfirmed > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await
        }
    };
    tokio::time::timeout(Duration::from_secs(30), recovered).await.expect("the delete is sent again");
    for version in [0, 1] {
        fleet.version.store(version, SeqCst);
        for node in [&b, &reader] {
            assert_eq!(node.get(&7).await.expect("get"), Some(version), "something older was cached");
        }
    }
    guard.finish().await.expect("finish");
    assert_eq!(reader.get(&7).await.expect("get"), Some(1));
}
