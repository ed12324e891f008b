//! A fill counts while its lease stands, and never on a server process other than the one that gave the lease.

use accelerator_backend_memcached::MemcachedStore;
use accelerator_core::testkit::server::MemcachedServer;
use accelerator_core::{Filled, L2Read, L2Store, LeaseToken};
use tokio::join;

use crate::tools::{LONG, Raw, connect, item, lease, leased, once, raw, value};

async fn fill(store: &MemcachedStore, key: &str, token: &LeaseToken) -> Filled {
    store.fill(key, token, value("filled"), LONG).await.expect("fill")
}

/// Leases `key` on a server behind the store's back until its CAS number is `cas`.
fn lease_with_cas(addr: &str, key: &str, cas: i64) {
    loop {
        raw(addr, &format!("mg {key} c N30\r\n"), "\r\n");
        match item(addr, key, 'c') {
            reached if reached == cas => return,
            passed if passed > cas => panic!("CAS {passed} is past {cas}"),
            _ => raw(addr, &format!("md {key}\r\n"), "\r\n"),
        };
    }
}

#[tokio::test]
async fn a_lease_of_before_a_restart_is_lost_though_the_numbers_are_the_same() {
    let Some(server) = MemcachedServer::start() else { return };
    let (addr, store) = (server.addr(), connect(server.addr()).await);
    let old = lease(&store, "key").await;
    let cas = item(&addr, "key", 'c');
    server.restart();
    lease_with_cas(&addr, "key", cas);
    assert_eq!(fill(&store, "key", &old).await, Filled::Lost, "before anybody noticed the restart");
    // Now the store is connected to the new process, and has noticed nothing else.
    assert_eq!(store.get("key").await.expect("get"), None);
    assert_eq!(fill(&store, "key", &old).await, Filled::Lost, "over a connection to the new process");
    store.release("key", old).await.expect("release");
    assert_eq!(item(&addr, "key", 'c'), cas, "the lease of the other holder was given back");
}

/// Why the end of a connection can't be what tells: here every old connection is in use, so nobody could notice that it
/// ended, when a new one is made.
#[tokio::test]
async fn a_new_connection_beside_old_ones_does_not_vouch_for_their_leases() {
    let Some(server) = MemcachedServer::start() else { return };
    let (addr, store) = (server.addr(), connect(server.addr()).await);
    let old = lease(&store, "key").await;
    let cas = item(&addr, "key", 'c');
    server.stop();
    let mut in_use = Box::pin(store.get("other"));
    assert!(once(&mut in_use).await.is_pending());
    server.restart();
    lease_with_cas(&addr, "key", cas);
    assert_eq!(store.get("key").await.expect("get over a new connection"), None);
    let late = value("stale");
    let (filled, _) = join!(store.fill("key", &old, late, LONG), in_use);
    assert_eq!(filled.expect("fill"), Filled::Lost);
    assert_eq!(item(&addr, "key", 'c'), cas, "the lease of another was filled");
}

#[tokio::test]
async fn a_batch_of_leases_from_before_and_after_a_restart_is_told_apart() {
    let Some(server) = MemcachedServer::start() else { return };
    let store = connect(server.addr()).await;
    let old = [lease(&store, "a").await, lease(&store, "b").await];
    server.restart();
    let new = [lease(&store, "c").await, lease(&store, "d").await];
    let items = [("a", old[0]), ("c", new[0]), ("b", old[1]), ("d", new[1])];
    let items = items.map(|(key, token)| (key, token, value(key), LONG)).to_vec();
    let filled: Vec<Filled> = store.mfill(items).await.into_iter().map(|filled| filled.expect("mfill")).collect();
    assert_eq!(filled, [Filled::Lost, Filled::Stored, Filled::Lost, Filled::Stored]);
}

/// The lease isn't bound to one connection: an older one knows as well that the server is still the same.
#[tokio::test]
async fn a_lease_outlives_the_connection_that_got_it() {
    let Some(server) = MemcachedServer::start() else { return };
    let store = connect(server.addr()).await;
    let other = store.get("at.the.same.time");
    let (_, token) = join!(other, lease(&store, "key"));
    // The newer connection is the one used last. Half a call on it, and it is closed.
    assert!(once(&mut Box::pin(store.get("key"))).await.is_pending());
    assert_eq!(fill(&store, "key", &token).await, Filled::Stored);
}

#[tokio::test]
async fn a_lease_that_no_connection_vouches_for_is_lost_and_its_release_is_no_error() {
    let Some(server) = MemcachedServer::start() else { return };
    let store = connect(server.addr()).await;
    let token = lease(&store, "key").await;
    assert!(once(&mut Box::pin(store.get("key"))).await.is_pending());
    assert_eq!(fill(&store, "key", &token).await, Filled::Lost);
    store.release("key", token).await.expect("release");
}

#[tokio::test]
async fn a_token_of_one_server_is_worth_nothing_on_another() {
    let [Some(a), Some(b)] = [MemcachedServer::start(), MemcachedServer::start()] else { return };
    let store = MemcachedStore::builder().servers([a.addr(), b.addr()]).connect().await.expect("a store");
    // So that the other server can reach the same number.
    let mut ahead = Raw::connect(&a.addr());
    (0..200).for_each(|_| assert_eq!(ahead.ask("ms ahead 0 T60\r\n\r\n", "\r\n"), "HD\r\n"));
    let mut found = [None, None];
    for key in (0..100).map(|n| format!("key.{n}")) {
        let token = lease(&store, &key).await;
        let on_a = raw(&a.addr(), &format!("mg {key} s\r\n"), "\r\n").starts_with("HD");
        found[usize::from(!on_a)] = Some((key, token));
    }
    let [Some((key, token)), Some((other, _))] = found else { panic!("all keys on one server") };
    let cas = item(&a.addr(), &key, 'c');
    raw(&b.addr(), &format!("md {other}\r\n"), "\r\n");
    lease_with_cas(&b.addr(), &other, cas);
    assert_eq!(fill(&store, &other, &token).await, Filled::Lost);
}

/// A fill waits for a connection that vouches for it, when another call uses that.
#[tokio::test]
async fn a_fill_waits_for_the_connection_in_use() {
    let Some(server) = MemcachedServer::start() else { return };
    let store = connect(server.addr()).await;
    let token = lease(&store, "key").await;
    server.stop();
    let (mut reading, mut filling) = (Box::pin(store.get("other")), Box::pin(fill(&store, "key", &token)));
    assert!(once(&mut reading).await.is_pending());
    assert!(once(&mut filling).await.is_pending());
    server.cont();
    let (_, filled) = join!(reading, filling);
    assert_eq!(filled, Filled::Stored);
}

#[tokio::test]
async fn tokens_of_nobody_fill_nothing() {
    let Some(server) = MemcachedServer::start() else { return };
    let store = connect(server.addr()).await;
    lease(&store, "key").await;
    for token in [LeaseToken::new([0; 32]), LeaseToken::new([0xFF; 32])] {
        assert_eq!(fill(&store, "key", &token).await, Filled::Lost);
        store.release("key", token).await.expect("release");
    }
    assert_eq!(store.get_or_lease("key", LONG).await.expect("a read"), L2Read::Busy);
}

#[tokio::test]
async fn a_hit_can_be_replaced_by_what_was_seen() {
    let Some(server) = MemcachedServer::start() else { return };
    let store = connect(server.addr()).await;
    store.set("key", value("old"), LONG).await.expect("set");
    let L2Read::Hit { seen: Some(seen), .. } = store.get_or_lease("key", LONG).await.expect("a read") else {
        panic!("a hit with proof");
    };
    assert_eq!(fill(&store, "key", &seen).await, Filled::Stored);
    assert_eq!(fill(&store, "key", &seen).await, Filled::Lost, "the second time");
}

#[tokio::test]
async fn a_key_named_twice_is_leased_once() {
    let Some(server) = MemcachedServer::start() else { return };
    let store = connect(server.addr()).await;
    let mut reads = store.mget_or_lease(&["key", "key"], LONG).await.into_iter().map(|read| read.expect("a read"));
    leased(&reads.next().expect("two answers"));
    assert_eq!(reads.next(), Some(L2Read::Busy));
}
