//! What the tests share.

// Tests are told by panics.
#![allow(clippy::panic)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use accelerator_backend_redis::{RedisStore, RedisStoreBuilder};
use accelerator_core::head::{Head, Kind};
use accelerator_core::testkit::server::redis_url;
use accelerator_core::{Bytes, L2Read, L2Store, LeaseToken};

/// Longer than any test takes.
pub(crate) const LONG: Duration = Duration::from_secs(600);
/// Long enough for a machine under load.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A builder whose time limits a busy machine can't exceed.
pub(crate) fn builder(url: impl Into<String>) -> RedisStoreBuilder {
    RedisStore::builder().url(url).connect_timeout(PATIENCE).response_timeout(PATIENCE)
}

/// A connected store.
pub(crate) async fn store(url: impl Into<String>) -> RedisStore {
    builder(url).connect().await.expect("a connection")
}

/// A store on the server that all tests share.
pub(crate) async fn shared() -> Option<RedisStore> {
    Some(store(redis_url()?).await)
}

/// A store whose batches have found so much that the next one expects to find everything again.
pub(crate) async fn expecting(store: RedisStore) -> RedisStore {
    let there = key();
    store.set(&there, value("there"), LONG).await.expect("set");
    for _ in 0..64 {
        let reads = store.mget_or_lease(&[&there], LONG).await;
        assert!(matches!(reads[0], Ok(L2Read::Hit { .. })), "{reads:?}");
    }
    store
}

/// A value as the engine writes it.
pub(crate) fn value(payload: &str) -> Bytes {
    [&Head::random(Kind::Value).to_bytes()[..], payload.as_bytes()].concat().into()
}

pub(crate) fn key() -> String {
    format!("test.{:016x}", rand())
}

pub(crate) fn keys(count: usize) -> Vec<String> {
    (0..count).map(|_| key()).collect()
}

pub(crate) fn refs(keys: &[String]) -> Vec<&str> {
    keys.iter().map(String::as_str).collect()
}

/// The nonce of a head is random.
fn rand() -> u64 {
    Head::random(Kind::Value).nonce
}

/// Takes a lease that must be free.
pub(crate) async fn lease(store: &RedisStore, key: &str) -> LeaseToken {
    match store.get_or_lease(key, LONG).await.expect("get_or_lease") {
        L2Read::Leased { token, .. } => token,
        other => panic!("expected a lease, read {other:?}"),
    }
}

/// Waits for what is due, by asking.
pub(crate) async fn comes_true(what: &str, mut ask: impl AsyncFnMut() -> bool) -> Duration {
    let start = Instant::now();
    while !ask().await {
        assert!(start.elapsed() < PATIENCE, "{what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    start.elapsed()
}

/// The URL of what greets like a server and then answers everything with this.
pub(crate) fn pretend(answer: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("redis://{}", listener.local_addr().expect("an address"));
    thread::spawn(move || {
        for mut client in listener.incoming().map_while(Result::ok) {
            let mut next = &b"+PONG\r\n"[..];
            while client.read(&mut [0; 4096]).is_ok_and(|n| n > 0) && client.write_all(next).is_ok() {
                next = answer;
            }
        }
    });
    url
}

/// One question to a server, past the store; the first line of the answer.
pub(crate) fn raw(addr: &str, question: &str) -> String {
    raw_lines(addr, question, 1)
}

pub(crate) fn raw_lines(addr: &str, question: &str, lines: usize) -> String {
    let mut stream = TcpStream::connect(addr).expect("a connection of one's own");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time limit");
    stream.write_all(format!("{question}\r\n").as_bytes()).expect("a question");
    let answer = BufReader::new(stream).lines().take(lines);
    answer.map(|line| line.expect("an answer")).collect::<Vec<_>>().join("\n")
}

/// A number out of `INFO`.
pub(crate) fn info(addr: &str, field: &str) -> String {
    let text = raw_lines(addr, "INFO everything\r\nQUIT", usize::MAX);
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{field}:")));
    line.unwrap_or_else(|| panic!("no {field} in {text}")).to_owned()
}
