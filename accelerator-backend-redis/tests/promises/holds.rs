//! Holds as the server has them, and write guards over them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use accelerator_core::testkit::server::RedisServer;
use accelerator_core::{HoldOwner, L2Read, L2Store, LevelCache, NoL1, StoreErrorKind};

use crate::support::{LONG, lease, raw, store, value};

/// As many as a key takes.
const MOST: u64 = 256;

#[tokio::test]
async fn a_key_has_as_many_holds_as_its_bound_and_no_more() {
    let Some(server) = RedisServer::start() else { return };
    let store = store(server.url()).await;
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
        assert_eq!(store.get_or_lease("k", LONG).await.expect("get_or_lease"), L2Read::Held);
    }
    store.unhold("k", HoldOwner(MOST)).await.expect("unhold");
    lease(&store, "k").await;
}

#[tokio::test]
async fn the_string_of_a_hold_goes_with_its_last_end() {
    let Some(server) = RedisServer::start() else { return };
    let store = store(server.url()).await;
    let left = || raw(&server.addr(), "PTTL k")[1..].parse::<i64>().expect("a number");
    let (longer, shorter) = (HoldOwner(1), HoldOwner(2));
    store.hold("k", longer, Duration::from_secs(600)).await.expect("hold");
    store.hold("k", shorter, Duration::from_secs(60)).await.expect("hold");
    assert!((500_000..=600_000).contains(&left()), "the longer one: {}", left());
    store.unhold("k", longer).await.expect("unhold");
    assert!((1..=60_000).contains(&left()), "the shorter one: {}", left());
    store.unhold("k", shorter).await.expect("unhold");
    assert_eq!(left(), -2, "nothing is left");
}

#[tokio::test]
async fn a_full_server_deletes_and_ends_holds() {
    let Some(server) = RedisServer::start() else { return };
    let (store, addr) = (store(server.url()).await, server.addr());
    store.hold("k", HoldOwner(1), LONG).await.expect("hold");
    store.set("l", value("v"), LONG).await.expect("set");
    assert_eq!(raw(&addr, "CONFIG SET maxmemory-policy noeviction"), "+OK");
    assert_eq!(raw(&addr, "CONFIG SET maxmemory 1"), "+OK");
    assert_eq!(store.set("m", value("v"), LONG).await.expect_err("full").kind(), StoreErrorKind::Rejected);
    assert_eq!(store.hold("m", HoldOwner(1), LONG).await.expect_err("full").kind(), StoreErrorKind::Rejected);
    store.del("l").await.expect("del");
    store.mdel(&["l", "m"]).await.into_iter().for_each(|deleted| deleted.expect("mdel"));
    store.unhold("k", HoldOwner(1)).await.expect("unhold");
    assert_eq!(raw(&addr, "EXISTS k l"), ":0");
}

#[tokio::test]
async fn what_is_no_string_is_written_over_and_deleted() {
    let Some(server) = RedisServer::start() else { return };
    let (store, addr) = (store(server.url()).await, server.addr());
    for verb in ["set", "del", "hold", "unhold"] {
        raw(&addr, "RPUSH k a");
        match verb {
            "set" => store.set("k", value("v"), LONG).await,
            "del" => store.del("k").await,
            "hold" => store.hold("k", HoldOwner(1), LONG).await,
            _ => store.unhold("k", HoldOwner(2)).await,
        }
        .expect(verb);
        assert_ne!(raw(&addr, "TYPE k"), "+list", "{verb}");
        store.unhold("k", HoldOwner(1)).await.expect("unhold");
    }
}

/// Nodes over one server and one source, whose row has this version.
struct Fleet {
    server: RedisServer,
    version: Arc<AtomicU64>,
}

impl Fleet {
    fn start() -> Option<Self> {
        Some(Self { server: RedisServer::start()?, version: Arc::new(AtomicU64::new(0)) })
    }

    async fn node(&self) -> LevelCache<u64, u64, NoL1> {
        self.node_with(Duration::from_secs(10)).await
    }

    async fn node_with(&self, limit: Duration) -> LevelCache<u64, u64, NoL1> {
        let (store, version) = (store(self.server.url()).await, self.version.clone());
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
