//! I7 for every moment: whatever the clocks of writer and reader say, and whenever a value is read, it lives no longer
//! than it was given by the clock of L2, and no entry in L1 outlives it there.

use std::time::Duration;

use accelerator_core::testkit::{ManualClock, MemoryL1, MemoryL2, settle};
use accelerator_core::{Bytes, Clock, L1Store, L2Store, LevelCacheBuilder, Lookup, Outcomes, StoreResult, async_trait};

use crate::common::{L1, TTL, World, ms, ok, secs};

/// A clock that runs as that of the world, and is wrong by so much.
struct Wrong(ManualClock, i64);

impl Clock for Wrong {
    fn monotonic_ms(&self) -> u64 {
        self.0.monotonic_ms()
    }
    fn unix_ms(&self) -> u64 {
        self.0.unix_ms().saturating_add_signed(self.1)
    }
}

/// A node whose clock is wrong by `skew`, on the L2 of the world.
fn node(w: &World, l2: &MemoryL2, l1: &L1, skew: i64, stale: Duration) -> LevelCacheBuilder<u64, u64, L1> {
    let source = w.source.clone();
    let builder = w.bare().clock(Wrong(w.clock.clone(), skew)).l1(l1.clone()).l1_ttl(TTL).l2(l2.clone());
    builder.stale_on_error(stale).loader(move |key| source.clone().load(key))
}

/// A store that knows its wall clock, or one that sees whole seconds only, at whatever part of a second it is now.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Server {
    TellsTheTime,
    TellsAges { phase: u64 },
}

/// Writes by one node, reads `after` by another, and looks on until nothing can be there any more.
async fn lives(server: Server, writer: i64, reader: i64, after: Duration, way: u64) {
    let what = format!("{server:?}, writer {writer} ms, reader {reader} ms, read after {after:?}, way {way}");
    let w = World::new();
    let stale = if way.is_multiple_of(2) { Duration::ZERO } else { secs(20) };
    let l2 = MemoryL2::with_clock(w.clock.clone());
    let l2 = if way.is_multiple_of(3) { l2.with_leases() } else { l2 };
    let l2 = match server {
        Server::TellsTheTime => l2,
        Server::TellsAges { phase } => {
            w.clock.tick(ms(phase));
            l2.counting_seconds()
        }
    };
    let writes = ok(node(&w, &l2, &MemoryL1::new(), writer, stale));
    if way.is_multiple_of(5) {
        writes.clear().await.expect("L2 works");
    }
    match way % 4 {
        0 => writes.set(&1, 1001).await.expect("L2 works"),
        1 => writes.mset([(1, Some(1001)), (2, Some(2001))]).await.expect("L2 works"),
        2 => assert_eq!(writes.get(&1).await.expect("L2 works"), Some(1001)),
        _ => assert_eq!(writes.mget(&[1, 2]).await.into_values().expect("L2 works")[0], Some(1001)),
    }
    settle().await;
    w.clock.tick(after);
    w.source.put(2);
    let l1 = MemoryL1::new();
    let reads = ok(node(&w, &l2, &l1, reader, stale));
    let found = match way % 7 {
        0..=3 => reads.lookup(&1).await == Lookup::Hit(1001),
        4 => reads.get(&1).await.expect("L2 works") == Some(1001),
        _ => reads.mget(&[1, 3]).await.into_values().expect("L2 works")[0] == Some(1001),
    };
    if !found {
        return;
    }
    assert!(after < TTL, "{what}: fresh after its end");
    let in_l1 = L1Store::<u64, u64>::get(&l1, &1).map(|entry| entry.life());
    let in_l2 = l2.remaining("t.1").unwrap_or_default();
    assert!(in_l1 <= Some(in_l2), "{what}: {in_l1:?} in L1, {in_l2:?} in L2");
    assert!(in_l1 <= Some(TTL + stale - after), "{what}: {in_l1:?} in L1, given {TTL:?} and {stale:?}");
    w.clock.tick(TTL - after);
    assert_eq!(reads.try_get(&1), Lookup::Miss, "{what}: fresh in L1 after its end");
    assert_ne!(reads.lookup(&1).await, Lookup::Hit(1001), "{what}: fresh in L2 after its end");
}

#[tokio::test(start_paused = true)]
async fn no_clock_lengthens_a_life_whenever_it_is_read() {
    let skews = [-3_600_000, -20_000, -3_000, -1, 0, 1, 1_000, 3_000, 5_000, 5_001, 8_000, 50_000, 3_600_000];
    let mut random = fastrand::Rng::with_seed(14);
    for writer in skews {
        for reader in [0, -4_000, 4_000, -10_000, 10_000] {
            for after in [0, 1, 999, 3_000, 5_000, 8_000, 55_000, 57_000, 58_001, 59_999, 60_000, 62_000, 79_000] {
                lives(Server::TellsTheTime, writer, reader, ms(after), random.u64(..840)).await;
                let server = Server::TellsAges { phase: random.u64(..1_000) };
                lives(server, writer, reader, ms(after), random.u64(..840)).await;
            }
        }
    }
    for _ in 0..500 {
        let (writer, reader) = (random.i64(-70_000..70_000), random.i64(-70_000..70_000));
        let after = ms(random.u64(..82_000));
        lives(Server::TellsTheTime, writer, reader, after, random.u64(..840)).await;
        let server = Server::TellsAges { phase: random.u64(..1_000) };
        lives(server, writer, reader, after, random.u64(..840)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn where_the_clocks_agree_nothing_is_lost() {
    for after in [0, 1, 30_000, 59_999] {
        for way in [0, 1, 2, 4, 7, 14] {
            let w = World::new();
            let l2 = MemoryL2::with_clock(w.clock.clone());
            let writes = ok(node(&w, &l2, &MemoryL1::new(), 0, Duration::ZERO));
            match way % 2 {
                0 => writes.set(&1, 7).await.expect("L2 works"),
                _ => writes.mset([(1, Some(7)), (2, Some(8))]).await.expect("L2 works"),
            }
            w.clock.tick(ms(after));
            let l1 = MemoryL1::new();
            let reads = ok(node(&w, &l2, &l1, 0, Duration::ZERO));
            assert_eq!(reads.lookup(&1).await, Lookup::Hit(7));
            let life = L1Store::<u64, u64>::get(&l1, &1).map(|entry| entry.life());
            assert_eq!(life, Some(TTL - ms(after)));
        }
    }
}

/// What whole seconds cost: two at most, and only what is read from L2.
#[tokio::test(start_paused = true)]
async fn where_ages_are_told_in_seconds_two_of_them_are_lost_at_most() {
    for phase in [0, 1, 500, 999] {
        for after in [0, 1, 499, 30_000, 57_999] {
            for way in [0, 1, 2, 3] {
                let w = World::new();
                w.clock.tick(ms(phase));
                let l2 = MemoryL2::with_clock(w.clock.clone());
                let l2 = if way % 2 == 0 { l2 } else { l2.with_leases() }.counting_seconds();
                let (own, l1) = (MemoryL1::new(), MemoryL1::new());
                let writes = ok(node(&w, &l2, &own, 0, Duration::ZERO));
                writes.mset([(1, Some(7)), (2, Some(8))]).await.expect("L2 works");
                let life = L1Store::<u64, u64>::get(&own, &1).map(|entry| entry.life());
                assert_eq!(life, Some(TTL), "what was written here was not read");
                w.clock.tick(ms(after));
                let reads = ok(node(&w, &l2, &l1, 0, Duration::ZERO));
                match way {
                    0 | 1 => assert_eq!(reads.get(&1).await.expect("L2 works"), Some(7)),
                    _ => assert_eq!(reads.mget(&[1, 3]).await.into_values().expect("L2 works")[0], Some(7)),
                }
                let life = L1Store::<u64, u64>::get(&l1, &1).map(|entry| entry.life()).unwrap_or_default();
                let lost = (TTL - ms(after)).checked_sub(life).expect("it lives for too long");
                assert!(lost <= ms(2_000), "{phase} {after} {way}: {lost:?} lost");
            }
        }
    }
}

/// A store that wraps one that tells ages, with limits of its own that say nothing of them.
struct Wrapper(MemoryL2);

#[async_trait]
impl L2Store for Wrapper {
    async fn get(&self, key: &str) -> StoreResult<Option<Bytes>> {
        self.0.get(key).await
    }
    async fn set(&self, key: &str, value: Bytes, ttl: Duration) -> StoreResult<()> {
        self.0.set(key, value, ttl).await
    }
    async fn del(&self, key: &str) -> StoreResult<()> {
        self.0.del(key).await
    }
    async fn mget_into(&self, keys: &[&str], out: &mut Outcomes<Option<Bytes>>) {
        self.0.mget_into(keys, out).await;
    }
}

#[tokio::test(start_paused = true)]
async fn ages_are_believed_only_of_a_store_that_says_that_it_tells_them() {
    let w = World::new();
    w.clock.tick(secs(1000));
    let l2 = MemoryL2::with_clock(w.clock.clone()).counting_seconds();
    let node = || w.bare().l2(Wrapper(l2.clone())).build().expect("a cache");
    node().mset([(1, Some(1)), (2, Some(2))]).await.expect("a write");
    let found = node().mget(&[1, 2]).await.into_values().expect("answers");
    assert_eq!(found, [Some(1), Some(2)]);
}
