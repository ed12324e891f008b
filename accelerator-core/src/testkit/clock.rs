//! A clock that moves when the test says so.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use crate::time::{Clock, millis};

/// Where monotonic time starts: not at zero, or subtracting more than has passed would look like a saturation test.
const START_MONOTONIC_MS: u64 = 1_000_000;
/// Where the calendar starts: 2025-06-01 12:00:00 UTC.
const START_UNIX_MS: i64 = 1_748_779_200_000;
/// How often `settle` lets others run; every task woken by a task that it woke needs one more.
const SETTLE_ROUNDS: usize = 64;

/// A [`Clock`] that stands still until it is moved. A cheap handle: clones share the time.
///
/// Timeouts and sleeps in the engine are tokio's, freshness is judged by the [`Clock`].
/// [`advance`](ManualClock::advance) moves both, so a test under `#[tokio::test(start_paused = true)]` has one time.
///
/// ```
/// use accelerator_core::Clock;
/// use accelerator_core::testkit::ManualClock;
/// use std::time::Duration;
/// let clock = ManualClock::new();
/// let (mono, unix) = (clock.monotonic_ms(), clock.unix_ms());
/// clock.tick(Duration::from_secs(1));
/// assert_eq!((clock.monotonic_ms(), clock.unix_ms()), (mono + 1000, unix + 1000));
/// clock.skew_unix(-500);
/// assert_eq!((clock.monotonic_ms(), clock.unix_ms()), (mono + 1000, unix + 500));
/// ```
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    monotonic_ms: AtomicU64,
    // What to add to the monotonic time; changed only by a test that plays with the wall clock.
    unix_offset_ms: AtomicI64,
}

impl ManualClock {
    /// A clock at a fixed, plausible moment: every run of a test sees the same times.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Inner {
            monotonic_ms: AtomicU64::new(START_MONOTONIC_MS),
            unix_offset_ms: AtomicI64::new(START_UNIX_MS - START_MONOTONIC_MS as i64),
        }))
    }

    /// Moves this clock only, by whole milliseconds; for tests without paused tokio time.
    pub fn tick(&self, by: Duration) {
        self.0.monotonic_ms.fetch_add(millis(by), Ordering::SeqCst);
    }

    /// Moves this clock and, where the current tokio runtime has paused its time, tokio's time with it.
    ///
    /// This clock moves first, so that whatever a timer wakes sees the new time. Woken tasks have run when this
    /// returns, as far as they didn't wait for anything else (see [`settle`]). Outside of a runtime, or with tokio
    /// time running, this is [`tick`](ManualClock::tick).
    pub async fn advance(&self, by: Duration) {
        self.tick(by);
        if tokio_time_is_paused() {
            tokio::time::advance(by).await;
            settle().await;
        }
    }

    /// Sets the wall clock to so many milliseconds since 1970; monotonic time stays. From there both move together.
    pub fn set_unix(&self, unix_ms: u64) {
        let now = self.0.monotonic_ms.load(Ordering::SeqCst);
        let offset = i64::try_from(i128::from(unix_ms) - i128::from(now)).unwrap_or(i64::MAX);
        self.0.unix_offset_ms.store(offset, Ordering::SeqCst);
    }

    /// Puts the wall clock forward (or back, where negative) by so many milliseconds; monotonic time stays.
    pub fn skew_unix(&self, by_ms: i64) {
        self.0.unix_offset_ms.fetch_add(by_ms, Ordering::SeqCst);
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for ManualClock {
    fn monotonic_ms(&self) -> u64 {
        self.0.monotonic_ms.load(Ordering::SeqCst)
    }

    fn unix_ms(&self) -> u64 {
        // A wall clock set before 1970 reads as 1970, as it does from the system's clock.
        self.monotonic_ms().saturating_add_signed(self.0.unix_offset_ms.load(Ordering::SeqCst))
    }
}

/// Lets every task of a current-thread runtime run until it waits for something that only the test can give (or a
/// timer, or another thread).
pub async fn settle() {
    for _ in 0..SETTLE_ROUNDS {
        tokio::task::yield_now().await;
    }
}

/// Tokio has no question for it, and `advance` panics when time runs: so look whether its time moves with the real.
fn tokio_time_is_paused() -> bool {
    if tokio::runtime::Handle::try_current().is_err() {
        return false;
    }
    let (real, tokio) = (std::time::Instant::now(), tokio::time::Instant::now());
    // Long enough for the coarsest real clock to have moved, short enough for a test that advances a thousand times.
    while real.elapsed() < Duration::from_micros(20) {
        std::hint::spin_loop();
    }
    tokio::time::Instant::now() == tokio
}
