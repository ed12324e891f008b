//! How long one waits between two tries to reach what is down.

use std::time::Duration;

/// Pauses between tries, with full jitter: each is drawn at random up to a bound, and the bound doubles with each try
/// up to the longest. So a fleet that lost its server doesn't come back to it as one.
///
/// For authors of stores: the engine and the stores on Redis and memcached use it for their own tries.
///
/// ```
/// use accelerator_core::Backoff;
/// use std::time::Duration;
/// let (first, longest) = (Duration::from_millis(50), Duration::from_millis(150));
/// let mut backoff = Backoff::new(first, longest);
/// assert!(backoff.pause() <= first);
/// assert!(backoff.pause() <= 2 * first);
/// assert!(backoff.pause() <= longest); // and so on
/// backoff.reset(); // it was reached
/// assert!(backoff.pause() <= first);
/// ```
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    /// The bound of the next pause, before it is cut to the longest.
    next: Duration,
}

impl Backoff {
    /// The first pause is at most `first`, and none is more than `longest`.
    #[must_use]
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, next: first }
    }

    /// How long to wait before the next try.
    #[must_use]
    pub fn pause(&mut self) -> Duration {
        self.pause_within(self.longest)
    }

    /// [`pause`](Self::pause) with another longest, for this time: where trying again soon does harm, or is no use.
    #[must_use]
    pub fn pause_within(&mut self, longest: Duration) -> Duration {
        let most = self.next.min(longest);
        self.next = most.saturating_mul(2);
        // Below one, so that no product is more than the bound.
        most.mul_f64(fastrand::f64())
    }

    /// The last try had success: the next pause is a first one.
    pub fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// The longest of many pauses at the same place of a row, which comes close to the bound.
    fn bounds(pauses: usize, mut pause: impl FnMut(&mut Backoff, usize) -> Duration) -> Vec<Duration> {
        let mut most = vec![Duration::ZERO; pauses];
        for _ in 0..2_000 {
            let mut backoff = Backoff::new(ms(100), ms(500));
            for (at, most) in most.iter_mut().enumerate() {
                *most = (*most).max(pause(&mut backoff, at));
            }
        }
        most
    }

    #[test]
    fn bounds_double_up_to_the_longest_and_begin_again() {
        let expected = [100, 200, 400, 500, 500, 100, 200];
        let found = bounds(expected.len(), |backoff, at| {
            if at == 5 {
                backoff.reset();
            }
            backoff.pause()
        });
        for (found, expected) in found.iter().zip(expected) {
            assert!(*found <= ms(expected) && *found > ms(expected * 9 / 10), "{found:?} of {expected} ms");
        }
    }

    #[test]
    fn pauses_are_spread_over_the_whole_of_it() {
        let mut low = 0;
        for _ in 0..2_000 {
            low += usize::from(Backoff::new(ms(100), ms(500)).pause() < ms(50));
        }
        assert!((800..1_200).contains(&low), "{low} of 2,000 are in the lower half");
    }

    #[test]
    fn another_longest_counts_for_its_pause() {
        let found = bounds(6, |backoff, at| backoff.pause_within(ms(if at < 5 { 5_000 } else { 500 })));
        for (found, expected) in found.iter().zip([100, 200, 400, 800, 1_600, 500]) {
            assert!(*found <= ms(expected) && *found > ms(expected * 9 / 10), "{found:?} of {expected} ms");
        }
    }

    #[test]
    fn no_time_and_all_time_are_taken() {
        let mut none = Backoff::new(Duration::ZERO, Duration::ZERO);
        let mut all = Backoff::new(Duration::MAX, Duration::MAX);
        for _ in 0..70 {
            assert_eq!(none.pause(), Duration::ZERO);
            assert!(all.pause() <= Duration::MAX);
        }
    }
}
