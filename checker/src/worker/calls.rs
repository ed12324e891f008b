//! How long calls take, and how long they may.
//!
//! A worker's limits are the builder's defaults but for the loader's. A read takes at most a wait for another's lease, with
//! an L2 read at its begin and one at its end, then one load and one fill of L2; a delete is one L2 write, its turn
//! included; a write guard is two.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::event::{Summary, Verb};
use crate::time::now;

const L2_READ: Duration = Duration::from_millis(100);
const L2_WRITE: Duration = Duration::from_millis(250);
const LEASE_WAIT: Duration = Duration::from_millis(500);
/// Shorter than the default, so that a call that hangs is seen.
pub(crate) const LOADER_TIMEOUT: Duration = Duration::from_millis(500);
/// A call may be this much later than its limit: timers and schedulers are not exact.
pub(crate) const GRACE: Duration = Duration::from_millis(50);

/// The hard timeout of a call.
pub(crate) fn limit(verb: Verb) -> Duration {
    match verb {
        Verb::Get | Verb::Mget | Verb::GetOrLoad | Verb::ForceRefresh => {
            LEASE_WAIT + 2 * L2_READ + LOADER_TIMEOUT + L2_WRITE
        }
        Verb::Lookup => L2_READ,
        Verb::Del | Verb::Mdel => L2_WRITE,
        Verb::WriteGuard => 2 * L2_WRITE,
    }
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
        if took > allowed && took > allowed + self.stalls.since(begin) {
            self.late.fetch_add(1, Relaxed);
        }
    }

    /// A read failed though its loader was well.
    pub(crate) fn failed(&self, verb: Verb, error: &accelerator::CacheError) {
        self.errors.fetch_add(1, Relaxed);
        let mut first = self.first_error.lock().unwrap_or_else(PoisonError::into_inner);
        first.get_or_insert_with(|| format!("{verb:?}: {error:?}"));
    }

    pub(crate) fn summary(&self) -> Summary {
        Summary {
            unconfirmed: self.unconfirmed.load(Relaxed),
            longest: self.longest.each_ref().map(|longest| longest.load(Relaxed)),
            late: self.late.load(Relaxed),
            errors: self.errors.load(Relaxed),
            first_error: self.first_error.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            stall: self.stalls.longest.load(Relaxed),
            ..Summary::default()
        }
    }
}

/// Times at which the machine did not run what was ready: seen by a task that sleeps and looks how long it slept.
#[derive(Default)]
struct Stalls {
    recent: Mutex<VecDeque<(u64, u64)>>,
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
            tokio::time::sleep(Self::SLEEP).await;
            let stall = now().saturating_sub(begin).saturating_sub(nanos(Self::SLEEP));
            self.longest.fetch_max(stall, Relaxed);
            if stall > Self::SHORTEST {
                let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
                recent.push_back((now(), stall));
                if recent.len() > Self::KEPT {
                    recent.pop_front();
                }
            }
        }
    }

    /// All stalls that ended since `begin`.
    fn since(&self, begin: u64) -> u64 {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.iter().filter(|(end, _)| *end > begin).map(|(_, stall)| stall).sum()
    }
}

pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
