//! Leases: what a flight may write to L2 once it has loaded, and how it comes to know.
//!
//! ```text
//! hit        replace exactly what was seen, if it is not good enough
//! lease      ours: fill, or give it back
//! busy       somebody else loads: ask again for a while, then load and fill nothing
//! hold       somebody writes the source: load, and fill neither level
//! no leases  a plain write, in turn with the other writers of this node
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::error::{StoreErrorKind, StoreResult};
use crate::level::engine::{Engine, Key, Stale, Value};
use crate::level::envelope::Unreadable;
use crate::level::names::Name;
use crate::level::policy::LEASE_POLLS;
use crate::level::remote::{Found, Moment, Remote};
use crate::level::stats::Count;
use crate::level::timer::from_now;
use crate::traits::l2::{L2Read, LeaseToken};

/// What is known of L2 when a load begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum L2Use {
    /// Nothing yet.
    Read,
    /// It had nothing a moment ago.
    Missed,
    /// What it has is not wanted.
    Refresh,
}

impl L2Use {
    /// What a flight that found nothing leaves to the next one.
    pub(crate) fn after_miss(self) -> Self {
        if self == Self::Refresh { self } else { Self::Missed }
    }
}

/// What may be written to L2 for a key.
#[derive(Clone, Copy, Debug)]
pub(crate) enum May {
    Nothing,
    /// The store has no leases. `occupied`: it may have an older value.
    Write {
        occupied: bool,
    },
    /// Only in place of exactly what was seen.
    Replace(LeaseToken),
    /// Only in place of our lease.
    Fill(LeaseToken),
}

/// The right to write one key to L2. Dropped with a lease in it, it gives the lease back.
pub(crate) struct Permit<K: Key, V: Value> {
    /// Who gives the lease back, where there is one.
    engine: Option<Arc<Engine<K, V>>>,
    pub(crate) name: Name,
    pub(crate) may: May,
}

impl<K: Key, V: Value> Permit<K, V> {
    pub(crate) fn new(engine: &Arc<Engine<K, V>>, name: Name, may: May) -> Self {
        let engine = matches!(may, May::Fill(_)).then(|| engine.clone());
        Self { engine, name, may }
    }

    /// There is something to do in L2 with an answer that may be `cached`, or may not. (A lease that is not needed goes
    /// back by itself.)
    pub(crate) fn matters(&self, cached: bool) -> bool {
        match self.may {
            May::Nothing => false,
            May::Write { occupied } => cached || occupied,
            May::Replace(_) => true,
            May::Fill(_) => cached,
        }
    }

    /// L2 has answered; nothing is left to be given back.
    pub(crate) fn spend(&mut self) {
        self.may = May::Nothing;
    }
}

impl<K: Key, V: Value> Drop for Permit<K, V> {
    fn drop(&mut self) {
        let (May::Fill(token), Some(engine)) = (self.may, self.engine.take()) else { return };
        let wire = self.name.wire().to_owned();
        // Without a runtime the lease ends by itself.
        if !cfg!(accelerator_mutant = "lease-not-released") {
            engine.clone().spawn(async move { engine.l2_release(&wire, token).await });
        }
    }
}

/// A wait for the lease of somebody else, from one look to the next.
struct LeaseWait {
    deadline: Instant,
    looks: usize,
}

impl LeaseWait {
    fn new(longest: Duration) -> Self {
        Self { deadline: from_now(longest), looks: 0 }
    }

    /// How long until the next look, with jitter; the last one is when the time is over.
    fn pause(&mut self) -> Option<Duration> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        let pause = LEASE_POLLS.get(self.looks.min(LEASE_POLLS.len() - 1))?;
        self.looks += 1;
        (!left.is_zero()).then(|| pause.mul_f64(0.5 + fastrand::f64()).min(left))
    }
}

/// What a look into L2 gave to one who would load.
pub(crate) struct Look<K: Key, V: Value> {
    /// A readable value, fresh or of use when the load fails.
    pub(crate) found: Option<Stale<V>>,
    pub(crate) permit: Permit<K, V>,
    /// A writer holds the key: what is loaded goes into neither level.
    pub(crate) held: bool,
}

impl<K: Key, V: Value> Look<K, V> {
    /// The value, if it is fresh for more than `least` milliseconds.
    pub(crate) fn take_fresh(&mut self, now: u64, least: u64) -> Option<Stale<V>> {
        self.found.take_if(|found| found.until.is_fresh(now, least))
    }
}

/// Whether a store that has leases gives them: a server that was set up without may be found out by the first call.
#[derive(Default)]
pub(crate) struct Grants {
    refused: AtomicBool,
    told: AtomicBool,
}

impl Grants {
    pub(crate) fn refused(&self) -> bool {
        self.refused.load(Ordering::Relaxed)
    }

    fn note(&self, answer: &StoreResult<L2Read>) {
        match answer {
            Ok(L2Read::Leased { .. }) if self.refused() => self.refused.store(false, Ordering::Relaxed),
            Err(error) if error.kind() == StoreErrorKind::Unsupported => {
                self.refused.store(true, Ordering::Relaxed);
                if !self.told.swap(true, Ordering::Relaxed) {
                    tracing::warn!(target: "accelerator::l2", error = %error, "L2 gives no leases; loads are not stored there");
                }
            }
            _ => {}
        }
    }
}

/// What one answer of a store means.
pub(crate) enum Leased<V> {
    Look { found: Option<Stale<V>>, may: May, held: bool },
    Busy,
}

impl<V> Leased<V> {
    pub(crate) fn nothing(may: May) -> Self {
        Self::Look { found: None, may, held: false }
    }
}

impl<K: Key, V: Value> Engine<K, V> {
    /// Reads one key on behalf of a load, and takes the lease where there is one. Waits while somebody else has it, for
    /// `lease_wait` at most.
    pub(crate) async fn l2_look(self: &Arc<Self>, remote: &Remote<K, V>, key: &K, name: Name, l2: L2Use) -> Look<K, V> {
        if remote.bypass.get(key, self.now()).is_some() {
            // Its task may have ended with the runtime that it was in.
            self.recover();
            return self.look(name, Leased::nothing(May::Nothing));
        }
        if !remote.limits.leases {
            let found = if l2 == L2Use::Read { Some(self.l2_get(remote, key, &name).await) } else { None };
            return self.look(name, without_leases(found));
        }
        // Both from the first time on that somebody else has it: most reads have no use for them.
        let mut waits = None;
        loop {
            let asked = remote.store.get_or_lease(name.wire(), self.policy.lease);
            let answer = self.timed(self.policy.l2_read_timeout, asked).await;
            match self.understand_lease(remote, &name.full, answer.and_then(|a| a), l2, self.moment()) {
                Leased::Busy if l2 != L2Use::Refresh && !cfg!(accelerator_mutant = "busy-loads-too") => {}
                other => return self.look(name, other),
            }
            let waits = waits.get_or_insert_with(|| LeaseWait::new(self.policy.lease_wait));
            let timer = waits.pause().and_then(|pause| self.timer(pause));
            let Some(timer) = timer else { return self.look(name, Leased::Busy) };
            self.counters.one(Count::LeaseWait);
            timer.await;
        }
    }

    pub(crate) fn look(self: &Arc<Self>, name: Name, leased: Leased<V>) -> Look<K, V> {
        let (found, may, held) = match leased {
            Leased::Look { found, may, held } => (found, may, held),
            Leased::Busy => (None, May::Nothing, false),
        };
        Look { found, permit: Permit::new(self, name, may), held }
    }

    #[inline(always)]
    pub(crate) fn understand_lease(
        &self,
        remote: &Remote<K, V>,
        full: &str,
        answer: StoreResult<L2Read>,
        l2: L2Use,
        at: Moment,
    ) -> Leased<V> {
        remote.grants.note(&answer);
        let read = match answer {
            Ok(read) => read,
            Err(e) => {
                self.counters.l2_error(e.kind());
                // Not even a plain write: other nodes may hold leases of the same store.
                return Leased::nothing(May::Nothing);
            }
        };
        match read {
            L2Read::Hit { bytes, seen } => {
                let replace = seen.map_or(May::Nothing, May::Replace);
                match self.open(remote, full, &bytes, at) {
                    Ok(found) => {
                        Leased::Look { found: found.filter(|_| l2 != L2Use::Refresh), may: replace, held: false }
                    }
                    // Old and new nodes must not fight over a key during a rolling deploy.
                    Err(Unreadable::Foreign(_)) => Leased::nothing(May::Nothing),
                    Err(Unreadable::Garbage) => Leased::nothing(replace),
                }
            }
            L2Read::Leased { token, stale } => {
                self.counters.one(Count::Lease);
                let stale = stale.and_then(|bytes| self.open(remote, full, &bytes, at).ok().flatten());
                let found = stale.map(|stale| Stale { until: stale.until.expired(at.now), ..stale });
                Leased::Look { found, may: May::Fill(token), held: false }
            }
            L2Read::Busy { .. } => Leased::Busy,
            L2Read::Held => {
                Leased::Look { found: None, may: May::Nothing, held: !cfg!(accelerator_mutant = "hold-ignored") }
            }
            L2Read::Failed | L2Read::NoLease => Leased::nothing(May::Nothing),
        }
    }

    /// What the bytes of a hit mean; what can't be read is counted.
    #[inline(always)]
    pub(crate) fn open(
        &self,
        remote: &Remote<K, V>,
        full: &str,
        bytes: &Bytes,
        at: Moment,
    ) -> Result<Option<Stale<V>>, Unreadable> {
        match remote.open(full, bytes, at.unix) {
            Ok(found) => Ok(found.map(|(value, left)| Stale { value, until: left.from(at.now) })),
            Err(why) => {
                match why {
                    Unreadable::Garbage => remote.rejects.damaged(at.unix),
                    Unreadable::Foreign(origin) => remote.rejects.foreign(origin, at.unix),
                }
                Err(why)
            }
        }
    }
}

/// `None`: L2 was not asked.
pub(crate) fn without_leases<V>(found: Option<Found<V>>) -> Leased<V> {
    match found {
        Some(Found::Hit { value, until }) => {
            Leased::Look { found: Some(Stale { value, until }), may: May::Write { occupied: true }, held: false }
        }
        Some(Found::Nothing { fill: true }) => Leased::nothing(May::Write { occupied: false }),
        Some(Found::Nothing { fill: false }) => Leased::nothing(May::Nothing),
        None => Leased::nothing(May::Write { occupied: true }),
    }
}
