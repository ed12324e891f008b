//! Whoever answers, and whatever: an error of its kind, and never the answer of another call.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use accelerator_core::testkit::server::MemcachedServer;
use accelerator_core::{Bytes, Filled, L2Read, L2Store, StoreErrorKind};
use memcache::exp::{AsyncMetaClient, Ttl};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::tools::{LONG, builder, connect, error, kind, leased, value};

/// Pretends to be a server. Answers the greeting with `version` and what `noop` says, every other line with what
/// `answer` makes of the line, and ends the connection after an empty answer.
struct Pretender {
    addr: String,
    connections: Arc<AtomicUsize>,
}

impl Pretender {
    async fn start(version: &'static str, noop: &'static str, answer: fn(&str) -> Vec<u8>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let (addr, connections) =
            (listener.local_addr().expect("an address").to_string(), Arc::new(AtomicUsize::new(0)));
        let counted = Arc::clone(&connections);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(stream, version, noop, answer));
            }
        });
        Self { addr, connections }
    }

    /// Of today, but for its answers.
    async fn answering(answer: fn(&str) -> Vec<u8>) -> Self {
        Self::start("VERSION 1.6.18", "MN", answer).await
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

async fn serve(stream: TcpStream, version: &str, noop: &str, answer: fn(&str) -> Vec<u8>) {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    while let Ok(1..) = stream.read_line(&mut line).await {
        let answer = match line.trim_end() {
            "version" => format!("{version}\r\n").into_bytes(),
            "mn" => format!("{noop}\r\n").into_bytes(),
            line => answer(line),
        };
        if answer.is_empty() || stream.write_all(&answer).await.is_err() {
            return;
        }
        line.clear();
    }
}

/// The mark that a reply to `line` must repeat.
fn mark(line: &str) -> &str {
    line.split(' ').find(|part| part.starts_with('O')).unwrap_or("O?")
}

#[tokio::test]
async fn garbage_is_an_error_and_ends_the_connection() {
    let answers: [fn(&str) -> Vec<u8>; 8] = [
        |_| b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
        |_| b"-ERR unknown command 'mg'\r\n".to_vec(),
        |_| b"\r\n".to_vec(),
        |_| vec![b'x'; 1 << 20],
        |_| b"HD O4294967295\r\n".to_vec(),
        |line| format!("HD {}\r\n", mark(line)).into_bytes(),
        |line| format!("VA x {}\r\n", mark(line)).into_bytes(),
        |line| format!("VA 3 {}\r\nabcde", mark(line)).into_bytes(),
    ];
    for (n, answer) in answers.into_iter().enumerate() {
        let server = Pretender::answering(answer).await;
        // Outside of the runtime: no connection is made before the first call.
        let limits = builder(&server.addr);
        let store = std::thread::spawn(|| limits.build()).join().expect("a thread").expect("a store");
        for call in 1..=3 {
            assert_eq!(kind(store.get("key").await), StoreErrorKind::Protocol, "answer {n}");
            // A reply that doesn't fit the request is in step all the same.
            assert!(n == 5 || server.connections() == call, "answer {n}: the connection was used again");
        }
    }
}

#[tokio::test]
async fn an_answer_too_many_is_nobodys_answer() {
    let server = Pretender::answering(|line| match line {
        line if line.contains("key") => format!("VA 1 {0}\r\nx\r\nVA 1 {0}\r\nx\r\n", mark(line)).into_bytes(),
        line => format!("EN {}\r\n", mark(line)).into_bytes(),
    })
    .await;
    let store = builder(&server.addr).build().expect("a store");
    for _ in 0..20 {
        let _ = store.get("key").await;
        assert!(!matches!(store.get("other").await, Ok(Some(_))), "the answer of another call");
    }
}

#[tokio::test]
async fn a_value_that_is_announced_too_large_is_not_read() {
    let server = Pretender::answering(|line| format!("VA 1073741824 {}\r\n", mark(line)).into_bytes()).await;
    let store = builder(&server.addr).build().expect("a store");
    assert_eq!(kind(store.get("key").await), StoreErrorKind::TooLarge);
}

#[tokio::test]
async fn half_an_answer_is_an_error() {
    let server = Pretender::answering(|line| match line {
        line if line.contains("later") => format!("VA 5000 {}\r\nab", mark(line)).into_bytes(),
        line if line.contains("never") => vec![],
        line => format!("EN {}\r\n", mark(line)).into_bytes(),
    })
    .await;
    let store = builder(&server.addr).response_timeout(Duration::from_millis(100)).build().expect("a store");
    assert_eq!(kind(store.get("never").await), StoreErrorKind::Unavailable);
    assert_eq!(kind(store.get("later").await), StoreErrorKind::Timeout);
    let got: Vec<_> =
        store.mget(&["a", "b", "never", "c"]).await.into_iter().map(|g| g.map_err(|e| e.kind())).collect();
    let gone = || Err(StoreErrorKind::Unavailable);
    assert_eq!(got, [Ok(None), Ok(None), gone(), gone()], "what came before the end counts");
}

#[tokio::test]
async fn servers_that_are_too_old_are_refused() {
    for (version, noop) in [("VERSION 1.5.22", "ERROR"), ("VERSION 1.4.33", "ERROR"), ("VERSION 1.6.9", "MN")] {
        let server = Pretender::start(version, noop, |_| vec![]).await;
        let refused = error(builder(&server.addr).connect().await);
        assert_eq!(refused.kind(), StoreErrorKind::Unsupported, "{version}");
        assert!(refused.to_string().contains("1.6.10 or newer"), "{refused}");
        let store = builder(&server.addr).build().expect("a store");
        for _ in 0..3 {
            assert_eq!(kind(store.get("key").await), StoreErrorKind::Unsupported, "{version}");
        }
    }
}

#[tokio::test]
async fn a_server_that_wants_a_password_is_refused() {
    let refuse = "CLIENT_ERROR unauthenticated";
    let server = Pretender::start(refuse, refuse, |_| vec![]).await;
    let refused = error(builder(&server.addr).connect().await);
    assert_eq!(refused.kind(), StoreErrorKind::Unsupported);
    assert!(refused.to_string().contains("password"), "{refused}");
}

#[tokio::test]
async fn what_is_no_memcached_is_refused() {
    let server = Pretender::start("-ERR unknown command 'version'", "-ERR", |_| vec![]).await;
    assert_eq!(kind(builder(&server.addr).connect().await), StoreErrorKind::Protocol);
}

/// With as many connections as the server takes, calls wait for one of these.
#[tokio::test]
async fn a_server_that_takes_no_more_connections_serves_over_those_it_took() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let addr = listener.local_addr().expect("an address").to_string();
    tokio::spawn(async move {
        let answer: fn(&str) -> Vec<u8> = |line| format!("EN {}\r\n", mark(line)).into_bytes();
        for place in 0.. {
            let Ok((mut stream, _)) = listener.accept().await else { return };
            if place < 2 {
                tokio::spawn(serve(stream, "VERSION 1.6.18", "MN", answer));
            } else {
                let _ = stream.write_all(b"ERROR Too many open connections\r\n").await;
            }
        }
    });
    let store = builder(addr).build().expect("a store");
    for _ in 0..3 {
        for got in futures_util::future::join_all((0..20).map(|_| store.get("key"))).await {
            assert_eq!(got.expect("get"), None);
        }
    }
}

#[tokio::test]
async fn values_of_another_client_are_values_even_without_bytes() {
    let Some(server) = MemcachedServer::start() else { return };
    let store = connect(server.addr()).await;
    let other = AsyncMetaClient::connect(server.addr()).await.expect("another client");
    other.set("empty", "").ttl(Ttl::secs(60)).send().await.expect("set");
    assert_eq!(store.get("empty").await.expect("get"), Some(Bytes::new()));
    let read = store.get_or_lease("empty", LONG).await.expect("a read");
    let L2Read::Hit { bytes, seen: Some(seen) } = read else { panic!("{read:?}") };
    assert!(bytes.is_empty());
    assert_eq!(store.fill("empty", &seen, value("v"), LONG).await.expect("fill"), Filled::Stored);
    let got = other.get("empty").send().await.expect("get");
    assert!(got.value.is_some_and(|got| got.ends_with(b"v")));
}

#[tokio::test]
async fn a_lease_of_another_client_is_respected() {
    let Some(server) = MemcachedServer::start() else { return };
    let store = connect(server.addr()).await;
    let other = AsyncMetaClient::connect(server.addr()).await.expect("another client");
    assert!(other.get("key").lease_ttl(60).send().await.expect("get").won_lease());
    assert_eq!(store.get("key").await.expect("get"), None);
    assert_eq!(store.get_or_lease("key", LONG).await.expect("a read"), L2Read::Busy);
}

#[tokio::test]
async fn what_another_client_invalidated_softly_is_stale() {
    let Some(server) = MemcachedServer::start() else { return };
    let store = connect(server.addr()).await;
    let other = AsyncMetaClient::connect(server.addr()).await.expect("another client");
    let old = value("old");
    store.set("key", old.clone(), LONG).await.expect("set");
    other.delete("key").invalidate().stale_for(Ttl::secs(60)).send().await.expect("invalidate");
    let first = store.get_or_lease("key", LONG).await.expect("a read");
    let token = leased(&first);
    assert_eq!(first, L2Read::Leased { token, stale: Some(old) });
    assert_eq!(store.get_or_lease("key", LONG).await.expect("a read"), L2Read::Busy);
    assert_eq!(store.get("key").await.expect("get"), None, "a plain reader can't know that it is stale");
    assert_eq!(store.fill("key", &token, value("new"), LONG).await.expect("fill"), Filled::Stored);
    assert!(store.get("key").await.expect("get").is_some_and(|got| got.ends_with(b"new")));
}
