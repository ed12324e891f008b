//! What a cache with a bus counts: messages, gaps by cause, delays.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::cache::{BusState, Delays, Gaps};
use crate::traits::bus::GapCause;

/// The cause of a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gap {
    Disconnected,
    NoAnswer,
    Overflow,
    Refused,
    Skipped,
    Trailing,
    Unheard,
    Undecodable,
    Asleep,
}

pub(crate) const GAPS: usize = Gap::Asleep as usize + 1;

impl Gap {
    pub(crate) const ALL: [Self; GAPS] = [
        Self::Disconnected,
        Self::NoAnswer,
        Self::Overflow,
        Self::Refused,
        Self::Skipped,
        Self::Trailing,
        Self::Unheard,
        Self::Undecodable,
        Self::Asleep,
    ];

    pub(crate) fn of(cause: GapCause) -> Self {
        match cause {
            GapCause::Disconnected => Self::Disconnected,
            GapCause::NoAnswer => Self::NoAnswer,
            GapCause::Overflow => Self::Overflow,
            GapCause::Refused => Self::Refused,
        }
    }

    /// For logs and labels.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Disconnected => "disconnected",
            Self::NoAnswer => "no_answer",
            Self::Overflow => "overflow",
            Self::Refused => "refused",
            Self::Skipped => "skipped",
            Self::Trailing => "trailing",
            Self::Unheard => "unheard",
            Self::Undecodable => "undecodable",
            Self::Asleep => "asleep",
        }
    }
}

/// What is counted beside the gaps.
#[derive(Clone, Copy)]
pub(crate) enum BusCount {
    Published,
    PublishFailed,
    Received,
    ReceiveFailed,
}

const COUNTS: usize = BusCount::ReceiveFailed as usize + 1;

/// One cache's.
#[derive(Default)]
pub(crate) struct BusFigures {
    counts: [AtomicU64; COUNTS],
    gaps: [AtomicU64; GAPS],
    up: AtomicBool,
    /// For the gauge: up, and it hears itself.
    pub(crate) hears_itself: AtomicBool,
    /// Of its own messages: by one clock.
    pub(crate) own: Histogram,
    /// Of other nodes' messages: by two clocks.
    pub(crate) others: Histogram,
}

impl BusFigures {
    pub(crate) fn add(&self, what: BusCount, n: usize) {
        self.counts[what as usize].fetch_add(n as u64, Relaxed);
    }

    pub(crate) fn of(&self, what: BusCount) -> u64 {
        self.counts[what as usize].load(Relaxed)
    }

    pub(crate) fn gap(&self, gap: Gap) {
        self.gaps[gap as usize].fetch_add(1, Relaxed);
    }

    pub(crate) fn set_up(&self, up: bool) {
        self.up.store(up, Relaxed);
    }

    pub(crate) fn state(&self) -> BusState {
        if self.up.load(Relaxed) { BusState::Up } else { BusState::Suspect }
    }

    /// In the order of [`Gap::ALL`].
    #[cfg(feature = "metrics")]
    pub(crate) fn gap_counts(&self) -> [u64; GAPS] {
        Gap::ALL.map(|gap| self.gaps[gap as usize].load(Relaxed))
    }

    pub(crate) fn gaps(&self) -> Gaps {
        let of = |gap: Gap| self.gaps[gap as usize].load(Relaxed);
        Gaps {
            disconnected: of(Gap::Disconnected),
            no_answer: of(Gap::NoAnswer),
            overflow: of(Gap::Overflow),
            refused: of(Gap::Refused),
            skipped: of(Gap::Skipped),
            trailing: of(Gap::Trailing),
            unheard: of(Gap::Unheard),
            undecodable: of(Gap::Undecodable),
            asleep: of(Gap::Asleep),
        }
    }
}

/// Four steps for each doubling, from a microsecond to an hour.
pub(crate) const STEPS: usize = 32 * 4;

/// A histogram of delays, of fixed size.
pub(crate) struct Histogram {
    steps: [AtomicU64; STEPS],
    max: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { steps: std::array::from_fn(|_| AtomicU64::new(0)), max: AtomicU64::new(0) }
    }
}

impl Histogram {
    pub(crate) fn add(&self, delay: Duration) {
        let us = u64::try_from(delay.as_micros()).unwrap_or(u64::MAX);
        self.steps[step(us)].fetch_add(1, Relaxed);
        self.max.fetch_max(us, Relaxed);
    }

    /// How many are in each step.
    pub(crate) fn counts(&self) -> [u64; STEPS] {
        std::array::from_fn(|n| self.steps[n].load(Relaxed))
    }

    pub(crate) fn delays(&self) -> Delays {
        let (counts, max) = (self.counts(), self.max.load(Relaxed));
        let count: u64 = counts.iter().sum();
        let at = |percent: u64| {
            let rank = count.saturating_mul(percent).div_ceil(100).max(1);
            let mut seen = 0;
            let found = counts.iter().position(|n| {
                seen += n;
                seen >= rank
            });
            found.map_or(Duration::ZERO, |n| Duration::from_micros(end_of(n).min(max)))
        };
        Delays { count, p50: at(50), p99: at(99), max: Duration::from_micros(max) }
    }
}

/// The step of so many microseconds.
fn step(us: u64) -> usize {
    let us = us.max(1);
    let doubling = us.ilog2() as usize;
    // The two bits behind the highest one.
    let quarter = if doubling >= 2 { us >> (doubling - 2) } else { us << (2 - doubling) } as usize & 3;
    (doubling * 4 + quarter).min(STEPS - 1)
}

/// The longest delay of a step, in microseconds.
pub(crate) fn end_of(step: usize) -> u64 {
    let (doubling, quarter) = (step / 4, step as u64 % 4);
    // Before the beginning of the next one; below 4 us some steps are empty.
    ((4 + quarter + 1) << doubling).div_ceil(4).saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_are_told_to_a_fifth() {
        let histogram = Histogram::default();
        assert_eq!(histogram.delays(), Delays::default());
        for us in 1..=1000 {
            histogram.add(Duration::from_micros(us));
        }
        let Delays { count, p50, p99, max } = histogram.delays();
        assert_eq!((count, max), (1000, Duration::from_millis(1)));
        assert!((500..=600).contains(&p50.as_micros()), "{p50:?}");
        assert!((990..=1000).contains(&p99.as_micros()), "{p99:?}");
        histogram.add(Duration::MAX);
        histogram.add(Duration::ZERO);
        assert_eq!(histogram.delays().count, 1002);
    }

    #[test]
    fn every_delay_is_within_its_step() {
        for us in (1..10_000).chain([1 << 31, (1 << 32) - 1]) {
            let step = step(us);
            assert!(us <= end_of(step), "{us}");
            assert!(end_of(step) <= us + us.div_ceil(4), "{us}");
            assert!(step == 0 || us > end_of(step - 1), "{us}");
        }
    }
}
