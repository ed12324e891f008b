//! What time it is at the server, from what it said when the connection was made.
//!
//! The server read its clock somewhere between question and answer, so there is an earliest and a latest time. From
//! there this machine's monotonic clock goes on. Only a new connection asks again.

use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// An answer that took longer says too little: what lies between the bounds is taken off every life.
const LONGEST: Duration = Duration::from_millis(100);

/// Times of the server at the moment `born`, in Unix milliseconds; zero: unknown.
pub(crate) struct ServerClock {
    born: Instant,
    earliest: AtomicU64,
    latest: AtomicU64,
}

impl ServerClock {
    pub(crate) fn new() -> Self {
        Self { born: Instant::now(), earliest: AtomicU64::new(0), latest: AtomicU64::new(0) }
    }

    /// The server said `unix_ms` (rounded down) in answer to what it was `asked` then, and the answer is here.
    /// `None`: it doesn't say.
    pub(crate) fn note(&self, unix_ms: Option<u64>, asked: Instant) {
        let unix_ms = unix_ms.filter(|_| asked.elapsed() <= LONGEST);
        let since = |at: Instant| at.saturating_duration_since(self.born).as_millis();
        let less = |by: u128| unix_ms.map_or(0, |ms| ms.saturating_sub(u64::try_from(by).unwrap_or(u64::MAX)));
        self.earliest.store(less(since(Instant::now()) + 1), Relaxed);
        // What was rounded down, and what is rounded down here.
        self.latest.store(less(since(asked)).saturating_add(u64::from(unix_ms.is_some())), Relaxed);
    }

    /// Not before the one, and not after the other.
    pub(crate) fn now(&self) -> Option<RangeInclusive<u64>> {
        let (earliest, latest) = (self.earliest.load(Relaxed), self.latest.load(Relaxed));
        let since = u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX);
        (earliest > 0 && latest > 0)
            .then(|| earliest.saturating_add(since)..=latest.saturating_add(since).saturating_add(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_time_lies_between_the_bounds() {
        let clock = ServerClock::new();
        assert_eq!(clock.now(), None);
        let asked = Instant::now();
        clock.note(Some(1_748_779_200_000), asked);
        let Some(now) = clock.now() else { return assert!(asked.elapsed() > LONGEST) };
        let passed = u64::try_from(asked.elapsed().as_millis()).unwrap();
        assert!(*now.start() <= 1_748_779_200_000 + passed, "{now:?}");
        assert!(*now.end() >= 1_748_779_200_000, "{now:?}");
        assert!(now.end() - now.start() <= passed + 4, "{now:?}");
        clock.note(None, asked);
        assert_eq!(clock.now(), None);
        let long_ago = Instant::now().checked_sub(LONGEST).expect("this machine runs for longer");
        clock.note(Some(1_748_779_200_000), long_ago);
        assert_eq!(clock.now(), None);
    }
}
