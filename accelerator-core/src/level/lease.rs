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
use crate::level::renew::Life;
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
    /// Nothing yet; others of this process lead the same flight, and may have the lease.
    Beside,
}

impl L2Use {
    /// What a flight that found nothing leaves to the next one.
    pub(crate) fn after_miss(self) -> Self {
        if self == Self::Refresh { self } else { Self::Missed }
    }

    /// The same, for one who leads beside others: it does not wait for their lease.
    pub(crate) fn beside(self) -> Self {
        if self == Self::Read { Self::Beside } else { self }
    }

    /// A miss there is the first one of this read.
    pub(crate) fn is_first(self) -> bool {
        matches!(self, Self::Read | Self::Beside)
    }

    /// Whoever has the lease is waited for.
    fn waits(self) -> bool {
        matches!(self, Self::Read | Self::Missed)
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
    /// Its lease is renewed.
    pub(crate) life: Option<Life<K, V>>,
}

impl<K: Key, V: Value> Permit<K, V> {
    pub(crate) fn new(engine: &Arc<Engine<K, V>>, name: Name, may: May) -> Self {
        let engine = matches!(may, May::Fill(_)).then(|| engine.clone());
        Self { engine, name, may, life: None }
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

    /// Who has a lease here that is not renewed yet.
    pub(crate) fn holder(&self) -> Option<Arc<Engine<K, V>>> {
        self.engine.clone().filter(|engine| self.life.is_none() && engine.policy.renew_after.is_some())
    }

    /// L2 has answered; nothing is left to be given back.
    pub(crate) fn spend(&mut self) {
        self.may = May::Nothing;
        if let Some(life) = self.life.take() {
            life.leave(false);
        }
    }

    /// The token to fill with, and no renewal after this. (A renewal may bring another token.)
    pub(crate) async fn settle(&mut self) {
        if let (Some(life), May::Fill(_)) = (&self.life, self.may)
            && let Some(token) = life.settle().await
        {
            self.may = May::Fill(token);
        }
    }
}

impl<K: Key, V: Value> Drop for Permit<K, V> {
    fn drop(&mut self) {
        let token = match (self.may, self.life.take()) {
            (May::Fill(_), Some(life)) => life.leave(true),
            (May::Fill(token), None) => Some(token),
            _ => None,
        };
        if let (Some(token), Some(engine)) = (token, self.engine.take()) {
            engine.give_back(self.name.wire().to_owned(), token);
        }
    }
}

impl<K: Key, V: Value> Engine<K, V> {
    /// Gives a lease back, in a task. Without a runtime it ends by itself.
    pub(crate) fn give_back(self: &Arc<Self>, wire: String, token: LeaseToken) {
        let engine = self.clone();
        self.spawn_errand(async move { engine.l2_release(&wire, token).await });
    }
}

/// A wait for the lease of somebody else, from one look to the next.
pub(crate) struct LeaseWait {
    deadline: Instant,
    looks: usize,
    /// When it was last seen.
    seen: Instant,
}

impl LeaseWait {
    pub(crate) fn new(longest: Duration) -> Self {
        Self { deadline: from_now(longest), looks: 0, seen: Instant::now() }
    }

    pub(crate) fn sees_it(&mut self) {
        self.seen = Instant::now();
    }

    /// Whether it may still stand, though L2 doesn't say so any more: a pause of L2 is no reason for all to load.
    pub(crate) fn may_stand(&self, lease: Duration) -> bool {
        self.seen.elapsed() < lease
    }

    /// How long until the next look, with jitter; the last one is when the time is over.
    pub(crate) fn pause(&mut self) -> Option<Duration> {
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
    Look {
        found: Option<Stale<V>>,
        may: May,
        held: bool,
    },
    Busy,
    /// The store did not say.
    Failed,
}

impl<V> Leased<V> {
    pub(crate) fn nothing(may: May) -> Self {
        Self::Look { found: None, may, held: false }
    }

    /// A writer holds the key.
    pub(crate) fn held() -> Self {
        Self::Look { found: None, may: May::Nothing, held: true }
    }
}

impl<K: Key, V: Value> Engine<K, V> {
    /// Reads one key on behalf of a load, and takes the lease where there is one. Waits while somebody else has it, for
    /// `lease_wait` at most.
    pub(crate) async fn l2_look(self: &Arc<Self>, remote: &Remote<K, V>, key: &K, name: Name, l2: L2Use) -> Look<K, V> {
        self.tend(remote);
        if self.guards(remote, key) {
            return self.look(name, Leased::held());
        }
        if remote.bypass.get(key, self.now()).is_some() {
            return self.look(name, Leased::nothing(May::Nothing));
        }
        if !remote.limits.leases {
            let found = if l2.is_first() { Some(self.l2_get(remote, key, &name).await) } else { None };
            return self.look(name, without_leases(found));
        }
        // Both from the first time on that somebody else has it: most reads have no use for them.
        let mut waits: Option<LeaseWait> = None;
        loop {
            let asked = {
                let _inside = self.enter();
                remote.store.get_or_lease(name.wire(), self.policy.lease)
            };
            let answer = self.timed(self.policy.l2_read_timeout, asked).await;
            match self.understand_lease(remote, &name.full, answer.and_then(|a| a), l2, self.moment()) {
                Leased::Busy if l2.waits() => {
                    waits.get_or_insert_with(|| LeaseWait::new(self.policy.lease_wait)).sees_it();
                }
                Leased::Failed if waits.as_ref().is_some_and(|wait| wait.may_stand(self.policy.lease)) => {}
                other => return self.look(name, other),
            }
            let pause = waits.as_mut().and_then(LeaseWait::pause);
            let timer = pause.and_then(|pause| self.timer(pause));
            let Some(timer) = timer else { return self.look(name, Leased::Busy) };
            self.counters.one(Count::LeaseWait);
            timer.await;
        }
    }

    pub(crate) fn look(self: &Arc<Self>, name: Name, leased: Leased<V>) -> Look<K, V> {
        let (found, may, held) = match leased {
            Leased::Look { found, may, held } => (found, may, held),
            Leased::Busy | Leased::Failed => (None, May::Nothing, false),
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
                return Leased::Failed;
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
            L2Read::Held => Leased::Look { found: None, may: May::Nothing, held: true },
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
