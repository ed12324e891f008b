//! Servers that go, come back, stop, and answer garbage: calls end, and nobody gets another's answer.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use accelerator_core::testkit::laws::restart;
use accelerator_core::testkit::server::RedisServer;
use accelerator_core::{L2Store, StoreErrorKind};
use tokio::time::timeout;

use crate::support::{LONG, builder, comes_true, info, pretend, raw, raw_lines, store, value};

/// Far more than "at once" takes on a busy machine, and less than any time limit of the store.
const AT_ONCE: Duration = Duration::from_millis(900);

#[tokio::test]
async fn a_call_on_a_dead_server_returns_at_once() {
    let Some(server) = RedisServer::start() else { return };
    let patient = || builder(server.url()).connect_timeout(Duration::from_secs(60));
    let (never, once) = (patient().build().expect("a store"), patient().connect().await.expect("a connection"));
    server.kill();
    comes_true("the end of the connection", async || !once.is_connected()).await;
    for store in [&never, &once] {
        for _ in 0..20 {
            let start = Instant::now();
            let error = store.get("k").await.expect_err("nobody is there");
            assert_eq!(error.kind(), StoreErrorKind::Unavailable);
            let errors = store.mget(&["k", "l"]).await;
            assert!(errors.iter().all(Result::is_err) && errors.len() == 2);
            assert!(start.elapsed() < AT_ONCE, "{:?}", start.elapsed());
        }
    }
}

#[tokio::test]
async fn a_store_works_again_within_two_seconds_after_a_restart() {
    let Some(server) = RedisServer::start() else { return };
    let store = store(server.url()).await;
    for _ in 0..2 {
        store.set("k", value("v"), LONG).await.expect("set");
        server.kill();
        comes_true("the end of the connection", async || store.get("k").await.is_err()).await;
        // Long enough for retries to be as slow as they get.
        tokio::time::sleep(Duration::from_secs(3)).await;
        server.restart();
        let back = comes_true("the connection", async || store.get("k").await.is_ok()).await;
        assert!(back < Duration::from_secs(2), "back after {back:?}");
    }
}

#[tokio::test]
async fn a_restart_ends_leases() {
    let Some(server) = RedisServer::start() else { return };
    let store = store(server.url()).await;
    let back = restart::a_restart_ends_leases(&store, || server.restart()).await;
    assert!(back < Duration::from_secs(2), "back after {back:?}");
}

#[tokio::test]
async fn a_restart_that_no_call_saw_is_noticed() {
    let Some(server) = RedisServer::start() else { return };
    let store = store(server.url()).await;
    server.restart();
    comes_true("the end of the connection or a new one", async || {
        server.id().is_some() && store.is_connected() && info(&server.addr(), "connected_clients") == "2"
    })
    .await;
    store.get("k").await.expect("the new connection");
}

#[tokio::test]
async fn calls_on_a_stopped_server_end_by_their_callers_limit_and_late_answers_reach_nobody() {
    let Some(server) = RedisServer::start() else { return };
    let store = builder(server.url()).response_timeout(Duration::from_secs(60)).connect().await.expect("a connection");
    for n in 0..200 {
        store.set(&format!("k{n}"), value(&n.to_string()), LONG).await.expect("set");
    }
    let connections = || info(&server.addr(), "total_connections_received").parse::<u64>().expect("a number");
    let before = connections();
    for round in 0..5 {
        server.stop();
        for n in 0..40 {
            let key = format!("k{n}");
            let limit = Duration::from_millis(1 + n % 3);
            let many = [&*key, "k1", "k2"];
            timeout(limit, store.get(&key)).await.expect_err("a stopped server");
            timeout(limit, store.mget(&many)).await.expect_err("a stopped server");
            timeout(limit, store.get_or_lease(&key, LONG)).await.expect_err("a stopped server");
        }
        server.cont();
        // The connection is the same, and 120 answers are on their way to nobody.
        let tasks = (0..200).map(|n| {
            let store = store.clone();
            tokio::spawn(async move {
                let found = store.get(&format!("k{n}")).await.expect("get").expect("a value");
                assert_eq!(&found[10..], n.to_string().as_bytes(), "another's answer in round {round}");
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await.expect("the right answer");
        }
    }
    assert_eq!(connections(), before + 1, "the question of ours alone");
}

#[tokio::test]
async fn a_server_that_is_silent_for_too_long_is_given_up_and_found_again() {
    let Some(server) = RedisServer::start() else { return };
    let limits = builder(server.url()).response_timeout(Duration::from_millis(200));
    let store = limits.connect_timeout(Duration::from_secs(1)).connect().await.expect("a connection");
    store.set("k", value("v"), LONG).await.expect("set");
    server.stop();
    let start = Instant::now();
    let error = store.get("k").await.expect_err("a stopped server");
    assert_eq!(error.kind(), StoreErrorKind::Timeout, "{error}");
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert!(!store.is_connected());
    let error = store.get("k").await.expect_err("a stopped server");
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
    server.cont();
    let back = comes_true("the connection", async || store.get("k").await.is_ok()).await;
    assert!(back < Duration::from_secs(2), "back after {back:?}");
    assert!(store.get("k").await.expect("get").is_some());
}

#[tokio::test]
async fn a_server_that_is_slow_for_a_moment_keeps_its_connection() {
    let Some(server) = RedisServer::start() else { return };
    let limits = builder(server.url()).response_timeout(Duration::from_secs(20));
    let store = limits.connect().await.expect("a connection");
    let addr = server.addr();
    let before = info(&addr, "total_connections_received");
    server.stop();
    for _ in 0..20 {
        timeout(Duration::from_millis(10), store.get("k")).await.expect_err("a stopped server");
    }
    server.cont();
    store.get("k").await.expect("get");
    let after: u64 = info(&addr, "total_connections_received").parse().expect("a number");
    assert_eq!(after, before.parse::<u64>().expect("a number") + 1, "the question of ours alone");
}

#[tokio::test]
async fn a_quiet_store_is_no_silent_server() {
    let Some(server) = RedisServer::start() else { return };
    let limits = builder(server.url()).response_timeout(Duration::from_millis(500));
    let store = limits.connect().await.expect("a connection");
    let addr = server.addr();
    let before: u64 = info(&addr, "total_connections_received").parse().expect("a number");
    // Given up before it was sent: no answer will ever come.
    for _ in 0..2 {
        let _ = timeout(Duration::ZERO, store.get("k")).await;
        tokio::time::sleep(Duration::from_millis(1_600)).await;
    }
    store.get("k").await.expect("get");
    let after: u64 = info(&addr, "total_connections_received").parse().expect("a number");
    assert_eq!(after, before + 1, "the question of ours alone");
}

#[tokio::test]
async fn what_is_no_redis_is_an_error() {
    let answers: [&[u8]; 4] = [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\r\n", &[0xFF; 64], b""];
    for answer in answers {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("redis://{}", listener.local_addr().expect("an address"));
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(answer);
        });
        builder(url).connect_timeout(Duration::from_secs(5)).connect().await.expect_err("no Redis");
        server.join().expect("a thread");
    }
}

#[tokio::test]
async fn garbage_ends_the_call_and_the_connection_is_made_anew() {
    let answers: [&[u8]; 6] =
        [b"!garbage\r\n", b"*2\r\n$x\r\n", b":7\r\n", b"+PONG\r\n", b"*1\r\n$1\r\nx\r\n", b"*-1\r\n"];
    for answer in answers {
        let store = builder(pretend(answer)).response_timeout(Duration::from_millis(100)).connect().await;
        let store = store.expect("a connection");
        for _ in 0..3 {
            comes_true("a connection", async || store.is_connected() || store.get("k").await.is_ok()).await;
            let read = timeout(Duration::from_secs(5), store.get("k")).await.expect("an end");
            let many = timeout(Duration::from_secs(5), store.mget(&["k", "l"])).await.expect("an end");
            let lease = timeout(Duration::from_secs(5), store.get_or_lease("k", LONG)).await.expect("an end");
            if answer != b"*-1\r\n" {
                assert!(read.is_err() && lease.is_err(), "{answer:?}: {read:?} {lease:?}");
            }
            assert!(many.len() == 2 && many.iter().all(Result::is_err), "{answer:?}: {many:?}");
        }
    }
}

#[tokio::test]
async fn a_server_that_stays_a_replica_is_left_for_what_its_name_leads_to_by_then() {
    let Some(server) = RedisServer::start() else { return };
    let store = builder(server.url()).response_timeout(Duration::from_secs(5)).connect().await.expect("a connection");
    let addr = server.addr();
    assert_eq!(raw(&addr, "REPLICAOF 127.0.0.1 1"), "+OK");
    // The connection whose last command was a script, as those of a `set` are.
    let id = || {
        let clients = raw_lines(&addr, "CLIENT LIST\r\nQUIT", usize::MAX);
        clients
            .lines()
            .find(|line| line.contains("cmd=eval"))
            .and_then(|line| line.split(' ').next().map(str::to_owned))
    };
    store.set("k", value("v"), LONG).await.expect_err("a replica");
    let first = id().expect("the store's connection");
    // In this test its name leads to the same server.
    comes_true("another connection", async || {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let _ = store.set("k", value("v"), LONG).await;
        id().is_some_and(|id| id != first)
    })
    .await;
}

#[tokio::test]
async fn the_last_handle_ends_the_connection() {
    let Some(server) = RedisServer::start() else { return };
    let first = store(server.url()).await;
    let second = first.clone();
    let addr = server.addr();
    drop(first);
    second.get("k").await.expect("get");
    assert_eq!(info(&addr, "connected_clients"), "2", "the store and the question");
    drop(second);
    comes_true("the end of the connection", async || info(&addr, "connected_clients") == "1").await;
}
