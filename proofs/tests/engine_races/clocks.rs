//! Two nodes whose clocks don't agree, and an L2 that knows what time it is, or how old its values are.

use std::time::Duration;

use accelerator_core::testkit::{ManualClock, MemoryL1, MemoryL2};
use accelerator_core::{Clock, L1Store, LevelCache, Lookup};

const TTL: Duration = Duration::from_secs(60);

/// A clock that is wrong by so many milliseconds.
struct Wrong(ManualClock, i64);

impl Clock for Wrong {
    fn monotonic_ms(&self) -> u64 {
        self.0.monotonic_ms()
    }
    fn unix_ms(&self) -> u64 {
        self.0.unix_ms().saturating_add_signed(self.1)
    }
}

/// How long L1 of the reader keeps what the writer wrote 58 s ago.
async fn left_after_58s(writer: i64, reader: i64) -> Option<Duration> {
    let clock = ManualClock::new();
    left_of(MemoryL2::with_clock(clock.clone()), clock, writer, reader).await
}

async fn left_of(l2: MemoryL2, clock: ManualClock, writer: i64, reader: i64) -> Option<Duration> {
    let l1 = MemoryL1::<u64, u64>::new();
    let node =
        |skew| LevelCache::<u64, u64>::builder().area("c").ttl(TTL).clock(Wrong(clock.clone(), skew)).l2(l2.clone());
    node(writer).build().unwrap().set(&1, 5).await.unwrap();
    clock.tick(Duration::from_secs(58));
    let reads = node(reader).l1(l1.clone()).build().unwrap();
    assert_eq!(reads.lookup(&1).await, Lookup::Hit(5));
    L1Store::get(&l1, &1).map(|entry| entry.life())
}

/// A writer that is ahead stamps by the clock of L2.
#[tokio::test]
async fn writer_that_is_ahead_lengthens_no_life() {
    assert_eq!(left_after_58s(3_000, 0).await, Some(Duration::from_secs(2)));
}

/// A reader that is behind counts by it.
#[tokio::test]
async fn reader_that_is_behind_lengthens_no_life() {
    assert_eq!(left_after_58s(0, -3_000).await, Some(Duration::from_secs(2)));
}

/// An L2 that counts seconds says how old the value is, whoever's clock is wrong.
#[tokio::test]
async fn where_l2_tells_ages_no_clock_lengthens_a_life() {
    for (writer, reader) in [(3_000, 0), (0, -3_000), (5_000, -5_000)] {
        let clock = ManualClock::new();
        let l2 = MemoryL2::with_clock(clock.clone()).counting_seconds();
        let left = left_of(l2, clock, writer, reader).await;
        assert!(left <= Some(Duration::from_secs(2)), "{writer} {reader}: {left:?}");
    }
}
