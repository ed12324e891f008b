//! Servers that don't do what they are told: they are still read, and nothing pretends to have been written.

use std::time::{Duration, Instant};

use accelerator_backend_redis::RedisStore;
use accelerator_core::testkit::server::RedisServer;
use accelerator_core::{Bytes, Filled, HoldOwner, L2Read, L2Store, StoreErrorKind};

use crate::support::{LONG, builder, comes_true, expecting, info, keys, lease, pretend, raw, refs, store, value};

/// A server that stops writing by `refuse` and goes on by `allow`, in its own words.
struct Refusing {
    server: RedisServer,
    refuse: Vec<&'static str>,
    allow: &'static str,
    says: &'static str,
}

fn refusing() -> Option<Vec<Refusing>> {
    Some(vec![
        Refusing {
            server: RedisServer::builder().maxmemory("100mb").start()?,
            refuse: vec!["CONFIG SET maxmemory 1"],
            allow: "CONFIG SET maxmemory 100mb",
            says: "OOM",
        },
        Refusing {
            server: RedisServer::start()?,
            refuse: vec!["REPLICAOF 127.0.0.1 1"],
            allow: "REPLICAOF NO ONE",
            says: "READONLY",
        },
        Refusing {
            server: RedisServer::start()?,
            refuse: vec!["CONFIG SET min-replicas-to-write 1"],
            allow: "CONFIG SET min-replicas-to-write 0",
            says: "NOREPLICAS",
        },
        Refusing {
            // No file can be made there, by anybody.
            server: RedisServer::builder().arg("--dir", "/proc").start()?,
            refuse: vec!["CONFIG SET save \"3600 1\"", "BGSAVE"],
            allow: "CONFIG SET stop-writes-on-bgsave-error no",
            says: "MISCONF",
        },
    ])
}

async fn refuse(of: &Refusing) {
    for command in &of.refuse {
        let answer = raw(&of.server.addr(), command);
        assert!(answer.starts_with('+'), "{command}: {answer}");
    }
    let addr = of.server.addr();
    comes_true("the refusal", async || raw(&addr, "SET refused x").starts_with(&format!("-{}", of.says))).await;
}

fn seen(read: &L2Read) -> Option<accelerator_core::LeaseToken> {
    if let L2Read::Hit { seen, .. } = read { *seen } else { None }
}

#[tokio::test]
async fn a_server_that_does_not_write_is_still_read() {
    let Some(all) = refusing() else { return };
    for of in &all {
        let (store, says) = (store(of.server.url()).await, of.says);
        let (there, gone, leased) = ("there", "gone", "leased");
        let stored = value("stored");
        store.set(there, stored.clone(), LONG).await.expect("set");
        let token = lease(&store, leased).await;
        refuse(of).await;

        for round in ["the first, which finds out", "the next, in the cool-down"] {
            let hit = store.get_or_lease(there, LONG).await.expect(says);
            assert!(matches!(&hit, L2Read::Hit { bytes, .. } if *bytes == stored), "{says}, {round}: {hit:?}");
            assert_eq!(store.get_or_lease(gone, LONG).await.expect(says), L2Read::NoLease, "{says}, {round}");
            let many = store.mget_or_lease(&[gone, there, leased], LONG).await;
            let many: Vec<_> = many.into_iter().map(|read| read.expect(says)).collect();
            assert_eq!(many[0], L2Read::NoLease, "{says}, {round}");
            assert!(seen(&many[1]).is_some(), "{says}, {round}: {many:?}");
            assert_eq!(many[2], L2Read::Busy, "{says}, {round}");
            assert_eq!(store.fill(leased, &token, value("v"), LONG).await.expect(says), Filled::Refused, "{says}");
            let filled = store.mfill(vec![(leased, token, value("v"), LONG)]).await.remove(0);
            assert_eq!(filled.expect(says), Filled::Refused, "{says}");
        }
        let error = store.set(there, value("new"), LONG).await.expect_err(says);
        assert_eq!(error.kind(), StoreErrorKind::Rejected);
        assert!(error.to_string().contains(says), "{error}");
        assert_eq!(store.get(there).await.expect(says), Some(stored), "{says}");
        if says == "OOM" {
            store.del(gone).await.expect("a full server deletes");
        } else {
            store.del(gone).await.expect_err(says);
        }

        raw(&of.server.addr(), of.allow);
        comes_true("writing again", async || {
            matches!(store.get_or_lease("after", LONG).await, Ok(L2Read::Leased { .. }))
        })
        .await;
        assert_eq!(store.fill(leased, &token, value("v"), LONG).await.expect(says), Filled::Stored, "{says}");
    }
}

#[tokio::test]
async fn a_batch_that_expects_hits_finds_out_too() {
    let Some(all) = refusing() else { return };
    for of in &all {
        let store = store(of.server.url()).await;
        store.set("there", value("stored"), LONG).await.expect("set");
        lease(&store, "leased").await;
        let store = expecting(store).await;
        refuse(of).await;
        for round in ["the first, which finds out", "the next, in the cool-down"] {
            let many = store.mget_or_lease(&["gone", "there", "leased"], LONG).await;
            let many: Vec<_> = many.into_iter().map(|read| read.expect(of.says)).collect();
            assert_eq!(many[0], L2Read::NoLease, "{}, {round}", of.says);
            assert!(seen(&many[1]).is_some(), "{}, {round}: {many:?}", of.says);
            assert_eq!(many[2], L2Read::Busy, "{}, {round}", of.says);
        }
    }
}

#[tokio::test]
async fn fills_find_out_by_themselves() {
    let Some(all) = refusing() else { return };
    for of in &all {
        let store = store(of.server.url()).await;
        let (one, two) = (lease(&store, "one").await, lease(&store, "two").await);
        let lost = store.fill("one", &two, value("v"), LONG).await;
        assert_eq!(lost.expect("the script is known"), Filled::Lost);
        refuse(of).await;
        let items = vec![("one", one, value("v"), LONG), ("two", two, value("v"), LONG)];
        let filled: Vec<_> = store.mfill(items).await.into_iter().map(|filled| filled.expect(of.says)).collect();
        assert_eq!(filled, [Filled::Refused; 2], "{}", of.says);
    }
}

#[tokio::test]
async fn in_the_cool_down_nothing_but_reads_is_sent() {
    let Some(server) = RedisServer::builder().maxmemory("1").start() else { return };
    let (store, addr) = (store(server.url()).await, server.addr());
    assert_eq!(store.get_or_lease("k", LONG).await.expect("read"), L2Read::NoLease);
    let refused = || info(&addr, "errorstat_OOM").trim_start_matches("count=").parse::<u64>().expect("a number");
    let (before, start) = (refused(), Instant::now());
    for _ in 0..50 {
        store.get_or_lease("k", LONG).await.expect("read");
        store.mget_or_lease(&["k", "l"], LONG).await.remove(0).expect("read");
    }
    // Once a second it is tried again, with two keys at most.
    let most = (start.elapsed().as_secs() + 1) * 2;
    assert!(refused() - before <= most, "{} refusals after {before}, in {:?}", refused(), start.elapsed());
}

#[tokio::test]
async fn a_script_that_the_server_forgot_is_told_again() {
    let Some(server) = RedisServer::start() else { return };
    let (store, addr) = (store(server.url()).await, server.addr());
    for round in 0..3 {
        assert_eq!(raw(&addr, "SCRIPT FLUSH"), "+OK");
        let key = format!("single{round}");
        let token = lease(&store, &key).await;
        assert_eq!(store.fill(&key, &token, value("v"), LONG).await.expect("fill"), Filled::Stored);
        let second = format!("{key}b");
        let token = lease(&store, &second).await;
        store.release(&second, token).await.expect("release");
        lease(&store, &second).await;

        let keys = keys(40);
        let reads = store.mget_or_lease(&refs(&keys), LONG).await;
        assert_eq!(raw(&addr, "SCRIPT FLUSH"), "+OK");
        let tokens = reads.into_iter().map(|read| match read.expect("mget_or_lease") {
            L2Read::Leased { token, .. } => token,
            other => panic!("{other:?}"),
        });
        let items = keys.iter().zip(tokens).map(|(key, token)| (&**key, token, value(key), LONG)).collect();
        let filled: Vec<_> = store.mfill(items).await.into_iter().map(|filled| filled.expect("mfill")).collect();
        assert_eq!(filled, [Filled::Stored; 40]);
        for key in &keys {
            let found = store.get(key).await.expect("get").expect("a value");
            assert_eq!(&found[10..], key.as_bytes(), "the fill of another key");
        }
    }
}

#[tokio::test]
async fn a_server_without_a_place_for_us_is_unavailable_and_found_later() {
    let Some(server) = RedisServer::builder().arg("--maxclients", "4").start() else { return };
    // Their connections are taken when they have been answered.
    let mut others: Vec<RedisStore> = Vec::new();
    let error = loop {
        match builder(server.url()).connect().await {
            Ok(store) => others.push(store),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    assert!(error.to_string().contains("max number of clients"), "{error}");
    let store = builder(server.url()).build().expect("a store");
    comes_true("the reason", async || {
        let error = store.get("k").await.expect_err("no place");
        assert_eq!(error.kind(), StoreErrorKind::Unavailable);
        error.to_string().contains("max number of clients")
    })
    .await;
    others.clear();
    comes_true("a place", async || store.get("k").await.is_ok()).await;
}

#[tokio::test]
async fn a_server_that_loads_its_data_is_unavailable_until_it_has() {
    let debugged = RedisServer::builder().arg("--loading-process-events-interval-bytes", "1024");
    let Some(server) = debugged.arg("--enable-debug-command", "yes").start() else { return };
    let store = store(server.url()).await;
    for key in keys(100) {
        store.set(&key, Bytes::from(vec![7; 1024]), LONG).await.expect("set");
    }
    assert_eq!(raw(&server.addr(), "CONFIG SET key-load-delay 5000"), "+OK");
    assert_eq!(raw(&server.addr(), "SAVE"), "+OK");
    let addr = server.addr();
    let reload = std::thread::spawn(move || raw(&addr, "DEBUG RELOAD NOSAVE"));
    comes_true("LOADING", async || match store.get("k").await {
        Ok(_) => false,
        Err(error) => {
            assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
            let refused = builder(server.url()).connect().await;
            let says = |error: accelerator_core::StoreError| error.to_string().contains("LOADING");
            error.to_string().contains("LOADING") && refused.err().is_none_or(says)
        }
    })
    .await;
    comes_true("the end of it", async || store.get("k").await.is_ok()).await;
    let answer = reload.join().expect("a thread");
    assert_eq!(answer, "+OK");
}

#[tokio::test]
async fn a_replica_without_its_master_is_unavailable() {
    let Some(server) = RedisServer::start() else { return };
    let store = store(server.url()).await;
    assert_eq!(raw(&server.addr(), "CONFIG SET replica-serve-stale-data no"), "+OK");
    assert_eq!(raw(&server.addr(), "REPLICAOF 127.0.0.1 1"), "+OK");
    let error = store.get("k").await.expect_err("MASTERDOWN");
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
    let error = builder(server.url()).connect().await.expect_err("MASTERDOWN");
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
}

#[tokio::test]
async fn a_command_that_the_server_does_not_have_is_named_without_its_key() {
    let url = pretend(b"-ERR unknown command 'UNLINK', with args beginning with: 'secret.key' \r\n");
    let error = store(url).await.del("secret.key").await.expect_err("no such command");
    assert_eq!(error.kind(), StoreErrorKind::Rejected);
    let text = format!("{error:#} {error:?}");
    assert!(text.contains("UNLINK") && !text.contains("secret.key"), "{text}");
}

#[tokio::test]
async fn a_member_of_a_cluster_says_so() {
    let url = pretend(b"-MOVED 3999 127.0.0.1:6381\r\n");
    let error = store(url).await.get("k").await.expect_err("elsewhere");
    assert_eq!(error.kind(), StoreErrorKind::Rejected);
    assert!(error.to_string().contains("cluster"), "{error}");
}

#[tokio::test]
async fn lives_end_at_their_time_however_long_they_were_meant_to_be() {
    let Some(server) = RedisServer::start() else { return };
    let (store, addr) = (store(server.url()).await, server.addr());
    store.set("long", value("v"), Duration::MAX).await.expect("set");
    store.set("none", value("v"), Duration::ZERO).await.expect("set");
    store.hold("held", HoldOwner::random(), Duration::MAX).await.expect("hold");
    let year = Duration::from_secs(365 * 24 * 3600).as_millis();
    for key in ["long", "held"] {
        let left: u128 = raw(&addr, &format!("PTTL {key}"))[1..].parse().expect("a number");
        assert!((year - 60_000..=year).contains(&left), "{key}: {left}");
    }
    comes_true("the end", async || store.get("none").await.expect("get").is_none()).await;
}
