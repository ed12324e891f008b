//! Where the store carries the bus, a write and its news are one round trip, and the news come second.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

use accelerator_core::testkit::MemoryL1;
use accelerator_core::testkit::server::{CountingProxy, RedisServer};
use accelerator_core::{BusState, CacheFuture, CacheResult, ErrorKind, LevelCache, Lookup};

use crate::support::{LONG, PATIENCE, comes_true, raw, store};

type Names = LevelCache<u64, String, MemoryL1<u64, String>>;
const WRITES: [&str; 4] = ["del", "mdel", "set", "mset"];

async fn cache(url: &str) -> Names {
    let store = store(url).await;
    let builder = LevelCache::builder().area("names").l1(MemoryL1::new()).l2_timeout(PATIENCE).ttl(LONG);
    let cache = builder.bus(store.bus()).l2(store).build().expect("a cache");
    comes_true("the bus", async || cache.bus_health().is_some_and(|bus| bus.state == BusState::Up)).await;
    // The server is told the scripts.
    cache.set(&0, "none".to_owned()).await.expect("set");
    cache.mdel(&[0, 1]).await.expect("mdel");
    cache.mset([(0, Some("none".into())), (1, Some("none".into()))]).await.expect("mset");
    cache
}

fn write(cache: &Names, how: &str) -> CacheFuture<'static, CacheResult<()>> {
    let value = || "Ada".to_owned();
    match how {
        "del" => cache.del(&7),
        "mdel" => cache.mdel(&(0..32).collect::<Vec<_>>()),
        "set" => cache.set(&7, value()),
        _ => cache.mset((0..32).map(|key| (key, Some(value())))),
    }
}

#[tokio::test]
async fn a_write_and_its_news_are_one_round_trip() {
    let Some(server) = RedisServer::start() else { return };
    let proxy = CountingProxy::start(server.addr()).await;
    let cache = cache(&format!("redis://{}", proxy.addr())).await;
    for how in WRITES {
        // A hello or a sign of life may fall into one of them.
        let mut trips = Vec::new();
        for _ in 0..5 {
            proxy.reset();
            write(&cache, how).await.expect("confirmed");
            trips.push(proxy.round_trips());
        }
        assert_eq!(trips.iter().min(), Some(&1), "{how}: {trips:?}");
    }
    assert_eq!(cache.stats().unpublished, 0);
}

/// All that the server is asked from now on.
fn monitor(addr: &str) -> impl Iterator<Item = String> + use<> {
    let mut stream = TcpStream::connect(addr).expect("a connection of one's own");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time limit");
    stream.write_all(b"MONITOR\r\n").expect("a question");
    let mut lines = BufReader::new(stream).lines().map(|line| line.expect("an answer"));
    assert_eq!(lines.next().as_deref(), Some("+OK"));
    lines
}

#[tokio::test]
async fn the_server_hears_of_the_write_first() {
    let Some(server) = RedisServer::start() else { return };
    let cache = cache(&server.url()).await;
    for flush in [false, true] {
        for how in WRITES {
            let seen = monitor(&server.addr());
            if flush {
                raw(&server.addr(), "SCRIPT FLUSH");
            }
            write(&cache, how).await.expect("confirmed");
            raw(&server.addr(), "ECHO over");
            let seen: Vec<String> = seen.take_while(|line| !line.contains("\"ECHO\"")).collect();
            let last = |what: &str| seen.iter().rposition(|line| line.contains(what));
            let (wrote, told) = (last("\"EVAL"), last("\"PUBLISH\" \"bus.0.accelerator:names\""));
            assert!(wrote.is_some() && wrote < told, "{how}, flush={flush}: {seen:#?}");
        }
    }
}

#[tokio::test]
async fn without_the_right_to_publish_the_write_is_done_and_says_what_is_missing() {
    let Some(server) = RedisServer::start() else { return };
    let addr = server.addr();
    let rules = "reset on >word ~* &* +@all";
    assert_eq!(raw(&addr, &format!("ACL SETUSER app {rules}")), "+OK");
    let (cache, other) = (cache(&server.url_as("app", "word")).await, cache(&server.url()).await);
    assert_eq!(raw(&addr, &format!("ACL SETUSER app {rules} -publish")), "+OK");
    for how in WRITES {
        other.set(&7, "old".to_owned()).await.expect("set");
        let error = write(&cache, how).await.expect_err("no right to publish");
        assert_eq!(error.kind(), ErrorKind::Unconfirmed, "{how}: {error}");
        let text = format!("{error:#} {error:?}");
        assert!(error.is_queued() && text.contains("other nodes"), "{how}: {text}");
        assert_eq!(cache.stats().unconfirmed, 0, "{how}: {text}");
        assert_eq!(other.try_get(&7), Lookup::Hit("old".to_owned()), "{how}: nobody told it");
    }
    assert_eq!(raw(&addr, &format!("ACL SETUSER app {rules}")), "+OK");
    comes_true("the news", async || other.try_get(&7) == Lookup::Miss).await;
    comes_true("an empty queue", async || cache.stats().unpublished == 0).await;
}
