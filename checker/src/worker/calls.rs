//! How long calls take, and how long they may.
//!
//! A worker's limits are the builder's defaults but for the loader's. A read takes at most a wait for another's lease, with
//! an L2 read at its begin and one at its end, then one load and one fill of L2; a batch loads and fills its own keys before
//! it waits, and may do so once more at the end of its wait; a delete is one L2 write, its turn included; a write guard is
//! two.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use accelerator::{CacheError, ErrorKind};

use crate::event::{Summary, Verb};
use crate::time::{now, whole_millis};

const L2_READ: Duration = Duration::from_millis(100);
const L2_WRITE: Duration = Duration::from_millis(250);
/// The default: as long as a load may take.
const LEASE_WAIT: Duration = LOADER_TIMEOUT;
/// Shorter than the default, so that a call that hangs is seen.
pub(crate) const LOADER_TIMEOUT: Duration = Duration::from_secs(1);
/// A call may be this much later than its limit: timers and schedulers are not exact.
pub(crate) const GRACE: Duration = Duration::from_millis(50);

/// The hard timeout of a call.
pub(crate) fn limit(verb: Verb) -> Duration {
    match verb {
        Verb::Get | Verb::ForceRefresh => LEASE_WAIT + 2 * L2_READ + LOADER_TIMEOUT + L2_WRITE,
        // Who waits for a body that fails runs its own, and so may the next.
        Verb::GetOrLoad => LEASE_WAIT + 2 * L2_READ + LOADER_TIMEOUT + L2_WRITE + 2 * slow(),
        Verb::Mget => LEASE_WAIT + 3 * (L2_READ + LOADER_TIMEOUT + L2_WRITE),
        Verb::Lookup => L2_READ,
        Verb::Del | Verb::Mdel | Verb::Set => L2_WRITE,
        Verb::WriteGuard => 2 * L2_WRITE,
    }
}

static SLOW_MS: AtomicU64 = AtomicU64::new(0);

/// In this process one load in a hundred takes so many milliseconds.
pub(crate) fn slow_loads(ms: u64) {
    SLOW_MS.store(ms, Relaxed);
}

/// How long a slow load takes.
pub(crate) fn slow() -> Duration {
    Duration::from_millis(SLOW_MS.load(Relaxed))
}

/// The longest of all limits.
pub(crate) fn longest_limit() -> Duration {
    Verb::ALL.into_iter().map(limit).max().unwrap_or_default()
}

#[derive(Default)]
pub(crate) struct Calls {
    longest: [AtomicU64; Verb::ALL.len()],
    late: AtomicU64,
    pub(crate) unconfirmed: AtomicU64,
    errors: AtomicU64,
    first_error: Mutex<Option<String>>,
    first_late: Mutex<Option<String>>,
    stalls: Arc<Stalls>,
}

impl Calls {
    /// Inside of the runtime that makes the calls.
    pub(crate) fn start() -> Self {
        let calls = Self::default();
        tokio::spawn(calls.stalls.clone().watch());
        calls
    }

    /// A call that began at `begin` has ended.
    pub(crate) fn ended(&self, verb: Verb, begin: u64) {
        let end = now();
        let took = end.saturating_sub(begin);
        self.longest[verb as usize].fetch_max(took, Relaxed);
        let allowed = nanos(limit(verb) + GRACE);
        // A machine that does not run our tasks is not the cache's fault.
        let stalled = if took > allowed { self.stalls.since(begin) } else { 0 };
        if took > allowed + stalled {
            self.late.fetch_add(1, Relaxed);
            let (took, stalled) = (whole_millis(took), whole_millis(stalled));
            note(&self.first_late, || format!("{verb:?} took {took} ms; the machine stalled for {stalled} ms of it"));
        }
    }

    /// A read failed though its loader was not made to; its flight began at `begin` or later.
    pub(crate) fn failed(&self, verb: Verb, begin: u64, error: &CacheError) {
        // A loader that the machine did not run in time is not well.
        if error.kind() == ErrorKind::Timeout && self.stalls.since(begin) > nanos(LOADER_TIMEOUT / 2) {
            return;
        }
        self.errors.fetch_add(1, Relaxed);
        note(&self.first_error, || format!("{verb:?}: {error:?}"));
    }

    pub(crate) fn summary(&self) -> Summary {
        Summary {
            unconfirmed: self.unconfirmed.load(Relaxed),
            longest: self.longest.each_ref().map(|longest| longest.load(Relaxed)),
            late: self.late.load(Relaxed),
            errors: self.errors.load(Relaxed),
            first_error: lock(&self.first_error).clone(),
            first_late: lock(&self.first_late).clone(),
            stall: self.stalls.longest.load(Relaxed),
            ..Summary::default()
        }
    }
}

fn note(first: &Mutex<Option<String>>, what: impl FnOnce() -> String) {
    lock(first).get_or_insert_with(what);
}

/// Nothing panics while it is held.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Times at which the machine did not run what was ready: seen by a task that sleeps and looks how long it slept.
#[derive(Default)]
struct Stalls {
    recent: Mutex<VecDeque<(u64, u64)>>,
    /// Since when the watch sleeps.
    asleep: AtomicU64,
    longest: AtomicU64,
}

impl Stalls {
    const SLEEP: Duration = Duration::from_millis(5);
    /// Shorter ones fit into the grace.
    const SHORTEST: u64 = 10_000_000;
    const KEPT: usize = 1000;

    async fn watch(self: Arc<Self>) {
        loop {
            let begin = now();
            self.asleep.store(begin, Relaxed);
            tokio::time::sleep(Self::SLEEP).await;
            let stall = now().saturating_sub(begin).saturating_sub(nanos(Self::SLEEP));
            self.longest.fetch_max(stall, Relaxed);
            if stall > Self::SHORTEST {
                let mut recent = lock(&self.recent);
                recent.push_back((now(), stall));
                if recent.len() > Self::KEPT {
                    recent.pop_front();
                }
            }
        }
    }

    /// All stalls that ended since `begin`, and one that has not ended yet.
    fn since(&self, begin: u64) -> u64 {
        let slept = now().saturating_sub(self.asleep.load(Relaxed));
        let stalled = slept.saturating_sub(nanos(Self::SLEEP));
        let ended: u64 = lock(&self.recent).iter().filter(|(end, _)| *end > begin).map(|(_, stall)| stall).sum();
        stalled + ended
    }
}

pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_that_times_out_is_an_error_unless_the_machine_stood_still() {
        let calls = Calls::default();
        calls.stalls.asleep.store(now(), Relaxed);
        let failed = |begin: u64, kind: ErrorKind| {
            calls.failed(Verb::Get, begin, &CacheError::new(kind, "a load"));
            calls.errors.load(Relaxed)
        };
        assert_eq!(failed(0, ErrorKind::Timeout), 1);
        let end = now();
        lock(&calls.stalls.recent).push_back((end, nanos(LOADER_TIMEOUT)));
        assert_eq!(failed(end - 1, ErrorKind::Timeout), 1, "it stood still after the load had begun");
        assert_eq!(failed(end, ErrorKind::Timeout), 2, "it stood still before");
        assert_eq!(failed(end - 1, ErrorKind::Loader), 3);
    }
}
