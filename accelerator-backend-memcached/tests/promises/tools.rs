//! What the tests share.

use std::fmt::Debug;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use accelerator_backend_memcached::{MemcachedStore, MemcachedStoreBuilder};
use accelerator_core::head::{Head, Kind};
use accelerator_core::{Bytes, L2Read, L2Store, LeaseToken, StoreError, StoreErrorKind, StoreResult};

pub const LONG: Duration = Duration::from_secs(600);
/// Longer than any test: what waits for this hangs.
pub const NEVER: Duration = Duration::from_secs(60);

/// Of one server. With time limits that no machine is too slow for.
pub fn builder(addr: impl Into<String>) -> MemcachedStoreBuilder {
    MemcachedStore::builder().servers([addr.into()]).connect_timeout(NEVER).response_timeout(NEVER)
}

pub async fn connect(addr: impl Into<String>) -> MemcachedStore {
    builder(addr).connect().await.expect("a store")
}

/// A value as the engine writes it.
pub fn value(payload: &str) -> Bytes {
    [&Head::random(Kind::Value).to_bytes()[..], payload.as_bytes()].concat().into()
}

pub async fn lease(store: &MemcachedStore, key: &str) -> LeaseToken {
    leased(&store.get_or_lease(key, LONG).await.expect("a read"))
}

pub fn leased(read: &L2Read) -> LeaseToken {
    let L2Read::Leased { token, .. } = read else { panic!("no lease but {read:?}") };
    *token
}

pub fn kind<T: Debug>(result: StoreResult<T>) -> StoreErrorKind {
    error(result).kind()
}

pub fn error<T: Debug>(result: StoreResult<T>) -> StoreError {
    result.expect_err("an error")
}

/// Says something to a server behind the store's back. The answer is whole when it ends with `end`.
pub fn raw(addr: &str, question: &str, end: &str) -> String {
    Raw::connect(addr).ask(question, end)
}

/// A connection behind the store's back.
pub struct Raw(TcpStream);

impl Raw {
    pub fn connect(addr: &str) -> Self {
        let stream = TcpStream::connect(addr).expect("the server");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
        Self(stream)
    }

    pub fn ask(&mut self, question: &str, end: &str) -> String {
        self.0.write_all(question.as_bytes()).expect("a question");
        let (mut answer, mut part) = (Vec::new(), [0; 4096]);
        while !answer.ends_with(end.as_bytes()) {
            let n = self.0.read(&mut part).expect("an answer");
            assert!(n > 0, "the answer ended: {:?}", String::from_utf8_lossy(&answer));
            answer.extend_from_slice(&part[..n]);
        }
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// One line of `stats`. This connection is counted as well.
    pub fn stat(&mut self, name: &str) -> u64 {
        let answer = self.ask("stats\r\n", "END\r\n");
        let line = answer.lines().find_map(|line| line.strip_prefix(&format!("STAT {name} ")));
        line.and_then(|number| number.trim().parse().ok()).unwrap_or_else(|| panic!("no {name} in {answer}"))
    }
}

/// The number behind `flag` in the answer to `mg key flag`.
pub fn item(addr: &str, key: &str, flag: char) -> i64 {
    let answer = raw(addr, &format!("mg {key} {flag}\r\n"), "\r\n");
    let number = answer.strip_prefix("HD ").and_then(|rest| rest.trim_end().split(' ').next()?.strip_prefix(flag));
    number.and_then(|n| n.parse().ok()).unwrap_or_else(|| panic!("no number in {answer:?}"))
}

/// Asks until the store answers, and says how long that took.
pub async fn until_it_works(store: &MemcachedStore) -> Duration {
    let start = std::time::Instant::now();
    while let Err(error) = store.get("any").await {
        assert!(start.elapsed() < Duration::from_secs(10), "it doesn't come back: {error}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    start.elapsed()
}

/// Polls a call once.
pub async fn once<F: Future + Unpin>(call: &mut F) -> Poll<F::Output> {
    std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut *call).poll(cx))).await
}
