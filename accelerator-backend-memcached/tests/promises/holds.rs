//! Holds as the server has them, and write guards over them.

use std::time::Duration;

use accelerator_core::testkit::fleet;
use accelerator_core::testkit::server::MemcachedServer;
use accelerator_core::{HoldOwner, L2Read, L2Store};

use crate::tools::{LONG, connect, item, leased, raw, value};

async fn is_held(store: &impl L2Store) -> bool {
    matches!(store.get_or_lease("k", LONG).await.expect("get_or_lease"), L2Read::Held)
}

/// As many as a key takes.
const MOST: u64 = 256;

#[tokio::test]
async fn a_key_has_as_many_holds_as_its_bound_and_no_more() {
    let Some(server) = MemcachedServer::start() else { return };
    fleet::holds_are_bounded(connect(server.addr()).await, MOST).await;
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

#[tokio::test]
async fn guards_of_two_writers_and_what_others_do_beside_them() {
    let Some(server) = MemcachedServer::start() else { return };
    let stores = [connect(server.addr()).await, connect(server.addr()).await, connect(server.addr()).await];
    fleet::guards_stand_beside_what_others_do(stores).await;
}

#[tokio::test]
async fn the_recovery_of_an_older_delete_beside_a_guard() {
    let Some(server) = MemcachedServer::start() else { return };
    let stores = [connect(server.addr()).await, connect(server.addr()).await, connect(server.addr()).await];
    fleet::recovery_leaves_a_guard_alone(stores, || server.stop(), || server.cont()).await;
}
