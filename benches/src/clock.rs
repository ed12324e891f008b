//! The clocks of the benchmarks.

use std::time::Duration;
#[cfg(not(target_os = "linux"))]
use std::time::Instant;

/// How long this thread has been on a processor: what else runs on the machine, and waiting, is left out.
#[cfg(target_os = "linux")]
#[must_use]
pub fn thread_cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    // Neither is negative.
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs().try_into().unwrap_or(0))
}

/// Elsewhere the time that has passed: on a quiet machine that is the same.
#[cfg(not(target_os = "linux"))]
#[must_use]
pub fn thread_cpu() -> Duration {
    elapsed()
}

/// What the cache reads on each hit.
#[cfg(target_os = "linux")]
#[must_use]
pub fn coarse_ms() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::MonotonicCoarse);
    time.tv_sec.unsigned_abs().wrapping_mul(1000).wrapping_add(time.tv_nsec.unsigned_abs() / 1_000_000)
}

/// What the cache reads on each hit.
#[cfg(not(target_os = "linux"))]
#[must_use]
pub fn coarse_ms() -> u64 {
    elapsed().as_millis().try_into().unwrap_or(u64::MAX)
}

#[cfg(not(target_os = "linux"))]
fn elapsed() -> Duration {
    static START: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
    START.elapsed()
}
