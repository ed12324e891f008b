//! The server's clock counts where a node's own is ahead.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use accelerator_core::testkit::server::{RedisServer, redis_url};
use accelerator_core::{Clock, L2Store, LevelCache};

use crate::support::{LONG, builder, comes_true, pretend, store, value};

fn unix_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    u64::try_from(now.as_millis()).expect("in this age")
}

/// Connected so fast that the server's time is known.
async fn in_time(url: &str) -> accelerator_backend_redis::RedisStore {
    loop {
        let store = store(url).await;
        if store.unix_ms().is_some() {
            return store;
        }
    }
}

#[tokio::test]
async fn the_servers_time_is_known_from_the_greeting() {
    let Some(url) = redis_url() else { return };
    let store = in_time(url).await;
    for _ in 0..3 {
        // Server and test have one clock.
        let (before, told, after) = (unix_ms(), store.unix_ms().expect("a time"), unix_ms());
        assert!(*told.start() <= after && *told.end() >= before, "{before} {told:?} {after}");
        assert!(told.end() - told.start() < 110, "{told:?}");
        tokio::time::sleep(Duration::from_millis(7)).await;
    }
}

#[tokio::test]
async fn who_may_not_ask_for_it_does_without() {
    let rights = "resetkeys ~* -@all +get +set +ping";
    let Some(server) = RedisServer::builder().acl_user("app", "pw", rights).start() else { return };
    let store = store(server.url_as("app", "pw")).await;
    let stored = value("v");
    store.set("k", stored.clone(), LONG).await.expect("set");
    assert_eq!((store.get("k").await.expect("get"), store.unix_ms()), (Some(stored), None));
    // Nor is one missed that doesn't know what a time is.
    let odd = builder(pretend(b":7\r\n")).connect().await.expect("a connection");
    assert_eq!(odd.unix_ms(), None);
    let unconnected = builder(server.url()).build().expect("a store");
    assert_eq!(unconnected.unix_ms(), None);
    comes_true("the greeting", async || unconnected.set("k", value("v"), LONG).await.is_ok()).await;
}

/// Three seconds ahead of everybody else.
struct Ahead;

impl Clock for Ahead {
    fn monotonic_ms(&self) -> u64 {
        unix_ms()
    }
    fn unix_ms(&self) -> u64 {
        unix_ms() + 3_000
    }
}

#[tokio::test]
async fn a_writer_that_is_ahead_stamps_by_the_servers_clock() {
    let Some(url) = redis_url() else { return };
    let (store, area) = (in_time(url).await, format!("clock{:x}", fastrand::u64(..)));
    let cache = LevelCache::<u64, u64>::builder()
        .area(area.clone())
        .l2(store.clone())
        .ttl(LONG)
        .clock(Ahead)
        .build()
        .expect("ok");
    cache.set(&1, 5).await.expect("set");
    cache.clear().await.expect("clear");
    cache.set(&2, 5).await.expect("set");
    for (key, most) in [(1, 0), (2, 120)] {
        let bytes = store.get(&format!("{area}.{key}")).await.expect("get").expect("a value");
        let mut stamp = [0; 8];
        stamp[..6].copy_from_slice(&bytes[16..22]);
        let stamp = u64::from_le_bytes(stamp);
        assert!(stamp <= unix_ms() + most, "{stamp} is ahead");
        let life = u32::from_le_bytes([bytes[22], bytes[23], bytes[24], bytes[25]]);
        assert!(u64::from(life) + stamp <= unix_ms() + 600_000, "it lives for longer than it was given");
    }
}
