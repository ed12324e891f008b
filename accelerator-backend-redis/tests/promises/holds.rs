//! Holds as the server has them, and write guards over them.

use std::time::Duration;

use accelerator_core::testkit::fleet;
use accelerator_core::testkit::server::RedisServer;
use accelerator_core::{HoldOwner, L2Store, StoreErrorKind};

use crate::support::{LONG, raw, store, value};

/// As many as a key takes.
const MOST: u64 = 256;

#[tokio::test]
async fn a_key_has_as_many_holds_as_its_bound_and_no_more() {
    let Some(server) = RedisServer::start() else { return };
    fleet::holds_are_bounded(store(server.url()).await, MOST).await;
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

#[tokio::test]
async fn guards_of_two_writers_and_what_others_do_beside_them() {
    let Some(server) = RedisServer::start() else { return };
    let stores = [store(server.url()).await, store(server.url()).await, store(server.url()).await];
    fleet::guards_stand_beside_what_others_do(stores).await;
}

#[tokio::test]
async fn the_recovery_of_an_older_delete_beside_a_guard() {
    let Some(server) = RedisServer::start() else { return };
    let stores = [store(server.url()).await, store(server.url()).await, store(server.url()).await];
    fleet::recovery_leaves_a_guard_alone(stores, || server.stop(), || server.cont()).await;
}
