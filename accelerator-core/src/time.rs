//! The clock that decides what is fresh.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A source of time. The engine reads it once per L1 hit, so `monotonic_ms` must be cheap.
///
/// Services need none (the default is the operating system's coarse clock, a few milliseconds of grain); tests use
/// `testkit::ManualClock`.
///
/// ```
/// use accelerator_core::Clock;
/// use std::time::{Instant, SystemTime, UNIX_EPOCH};
/// /// As exact as the machine can tell.
/// struct Exact(Instant);
/// impl Clock for Exact {
///     fn monotonic_ms(&self) -> u64 {
///         self.0.elapsed().as_millis() as u64
///     }
///     fn unix_ms(&self) -> u64 {
///         SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
///     }
/// }
/// ```
pub trait Clock: Send + Sync + 'static {
    /// Milliseconds since any fixed point; never goes back.
    fn monotonic_ms(&self) -> u64;
    /// Milliseconds since 1970 (UTC); compared between machines, never used to lengthen a life.
    fn unix_ms(&self) -> u64;
}

/// The handle the engine reads: an enum, so that the default needs no virtual call.
#[derive(Clone)]
pub(crate) enum TimeSource {
    System,
    Custom(Arc<dyn Clock>),
}

impl TimeSource {
    #[inline]
    pub(crate) fn now(&self) -> u64 {
        match self {
            Self::System => system_monotonic_ms(),
            Self::Custom(c) => c.monotonic_ms(),
        }
    }

    pub(crate) fn unix(&self) -> u64 {
        match self {
            Self::System => system_unix_ms(),
            Self::Custom(c) => c.unix_ms(),
        }
    }

    /// Not before [`unix`](Self::unix) of whoever read it earlier.
    pub(crate) fn unix_exact(&self) -> u64 {
        match self {
            Self::System => exact_unix_ms(),
            Self::Custom(c) => c.unix_ms(),
        }
    }
}

/// Whole milliseconds, saturating.
pub(crate) fn millis(d: Duration) -> u64 {
    u64::try_from(d.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(any(target_os = "linux", target_os = "android"))]
#[inline]
fn system_monotonic_ms() -> u64 {
    // 4 ns instead of 23: the value the kernel keeps at every tick, without reading the hardware counter.
    let t = rustix::time::clock_gettime(rustix::time::ClockId::MonotonicCoarse);
    (t.tv_sec as u64).wrapping_mul(1000).wrapping_add(t.tv_nsec as u64 / 1_000_000)
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn system_unix_ms() -> u64 {
    // The same for the wall clock. What is compared with another machine's is a tick younger than it might be.
    let t = rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse);
    // Before 1970 reads as 1970.
    u64::try_from(t.tv_sec).map_or(0, |s| s.saturating_mul(1000).saturating_add(t.tv_nsec as u64 / 1_000_000))
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn system_unix_ms() -> u64 {
    exact_unix_ms()
}

fn exact_unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, millis)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
#[inline]
fn system_monotonic_ms() -> u64 {
    use std::sync::LazyLock;
    use std::time::Instant;
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    millis(START.elapsed())
}
