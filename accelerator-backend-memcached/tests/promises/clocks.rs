//! Whatever the clocks of writers and readers say, and whenever a value is read, it lives no longer than it was given, and
//! no entry in L1 outlives it.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use accelerator_backend_memcached::MemcachedStore;
use accelerator_core::testkit::MemoryL1;
use accelerator_core::testkit::server::memcached_addr;
use accelerator_core::{Clock, L1Store, L2Store, LevelCache, Lookup};
use futures_util::future::join_all;

use crate::tools::{LONG, NEVER, connect, value};

/// This machine's clock, wrong by so many milliseconds.
struct Wrong(i64);

fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970")
}

impl Clock for Wrong {
    fn monotonic_ms(&self) -> u64 {
        u64::try_from(since_1970().as_millis()).expect("in this age")
    }
    fn unix_ms(&self) -> u64 {
        self.monotonic_ms().saturating_add_signed(self.0)
    }
}

type L1 = MemoryL1<u64, u64>;

fn node(store: &MemcachedStore, area: &str, skew: i64, ttl: Duration, l1: &L1) -> LevelCache<u64, u64, L1> {
    let builder = LevelCache::<u64, u64>::builder().area(area).clock(Wrong(skew)).l1(l1.clone()).l1_ttl(ttl);
    builder.l2(store.clone()).l2_timeout(NEVER).ttl(ttl).build().expect("a cache")
}

/// The life that a read gives to the value in L1, read in this way; `None`: it was not fresh.
async fn read(store: &MemcachedStore, area: &str, skew: i64, ttl: Duration, way: usize) -> Option<Duration> {
    let l1 = MemoryL1::new();
    let cache = node(store, area, skew, ttl, &l1);
    let found = match way {
        0 => cache.lookup(&1).await == Lookup::Hit(7),
        1 => cache.get(&1).await.expect("a read") == Some(7),
        _ => cache.mget(&[1, 2]).await.into_values().expect("a read")[0] == Some(7),
    };
    let life = L1Store::<u64, u64>::get(&l1, &1).map(|entry| entry.life());
    assert!(!found || life.is_some(), "what was found is in L1");
    life
}

/// One value, read again and again until it must be gone. It may be served for less than its TTL, never for more.
async fn one_life(store: &MemcachedStore, writer: i64, reader: i64, pause: Duration, way: usize) {
    let (area, ttl) = (format!("clocks{:x}", fastrand::u64(..)), Duration::from_secs(4));
    node(store, &area, writer, ttl, &MemoryL1::new()).set(&1, 7).await.expect("set");
    let written = Instant::now();
    while written.elapsed() < ttl + pause {
        let passed = written.elapsed();
        if let Some(life) = read(store, &area, reader, ttl, way).await {
            let what = format!("writer {writer} ms, reader {reader} ms, {passed:?} after the write, way {way}");
            assert!(life + passed <= ttl, "{what}: {life:?} more");
        }
        tokio::time::sleep(pause).await;
    }
}

#[tokio::test]
async fn no_clock_lengthens_a_life_whenever_it_is_read() {
    let Some(addr) = memcached_addr() else { return };
    let store = connect(addr).await;
    let mut lives = Vec::new();
    for (n, writer) in
        [-6_000, -5_000, -3_000, -1_000, 0, 1_000, 2_000, 3_000, 4_000, 5_000, 6_000].into_iter().enumerate()
    {
        for (m, reader) in [0, -2_000, 3_000].into_iter().enumerate() {
            let pause = Duration::from_millis(270 + 90 * (n as u64 % 4));
            lives.push(one_life(&store, writer, reader, pause, (n + m) % 3));
        }
    }
    join_all(lives).await;
}

#[tokio::test]
async fn where_the_clocks_agree_two_seconds_are_lost_at_most() {
    let Some(addr) = memcached_addr() else { return };
    let store = connect(addr).await;
    for way in 0..3 {
        let area = format!("clocks{:x}", fastrand::u64(..));
        let begun = Instant::now();
        node(&store, &area, 0, LONG, &MemoryL1::new()).set(&1, 7).await.expect("set");
        let life = read(&store, &area, 0, LONG, way).await.expect("it is fresh");
        // What was allowed for the server's own lateness.
        let least = LONG - Duration::from_millis(2_050);
        assert!(life + begun.elapsed() >= least, "way {way}: only {life:?}");
    }
}

/// What another client wrote, or a node of before, tells no age; it is read all the same.
#[tokio::test]
async fn items_without_an_age_are_read() {
    let Some(addr) = memcached_addr() else { return };
    let store = connect(addr).await;
    let (key, bytes) = (format!("clocks{:x}", fastrand::u64(..)), value("v"));
    store.set(&key, bytes.clone(), LONG).await.expect("set");
    let (read, age) = store.get_aged(&key).await.expect("get");
    assert_eq!(read, Some(bytes));
    assert!(age.is_some_and(|age| age >= Duration::from_secs(1)), "{age:?}");
    for (flags, lives) in [(0, 600), (600, 900), (600, 0)] {
        let text = format!("ms {key} 1 T{lives} F{flags}\r\nx\r\n");
        crate::tools::raw(addr, &text, "\r\n");
        let (read, age) = store.get_aged(&key).await.expect("get");
        assert_eq!((read.as_deref(), age), (Some(&b"x"[..]), None), "{flags} {lives}");
    }
}
