//! The clock that all processes of one machine share, so that their events can be put in order.

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds of the machine's monotonic clock.
pub(crate) fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    // Since the machine started: never negative, and below 2^64 for five centuries.
    time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs()
}

pub(crate) fn millis(nanos: u64) -> f64 {
    nanos as f64 / 1e6
}

/// Milliseconds, rounded to whole ones: for reports.
pub(crate) fn whole_millis(nanos: u64) -> u64 {
    (nanos + 500_000) / 1_000_000
}
