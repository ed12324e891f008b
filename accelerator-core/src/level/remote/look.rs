//! Leases: what a flight may write to L2 once it has loaded, and how it comes to know.
//!
//! ```text
//! hit        replace exactly what was seen, if it is not good enough
//! lease      ours: fill, or give it back
//! busy       somebody else loads: ask again for a while, then load and fill nothing
//! hold       somebody writes the source: load, and fill neither level
//! outdated   a value of another schema: it goes, and whoever of all nodes asks first then gets the lease
//! no leases  a plain write, in turn with the other writers of this node
//! ```

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::error::CacheError;
use crate::level::bounds::{Key, Value};
use crate::level::remote::Remote;
use crate::level::remote::interpret::{Found, Leased, without_leases};
use crate::level::remote::permit::{FillRight, L2Use, Permit};
use crate::level::stats::counters::Count;
use crate::level::time::policy::LEASE_POLLS;
use crate::level::time::timer::from_now;
use crate::level::wire::moment::Dated;
use crate::level::wire::wire_key::WireKey;

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
    pub(crate) found: Option<Dated<V>>,
    pub(crate) permit: Permit<K, V>,
    /// A writer holds the key: what is loaded goes into neither level.
    pub(crate) held: bool,
    /// Somebody else loads it: what is loaded here is not stored in L2.
    pub(crate) busy: bool,
}

impl<K: Key, V: Value> Look<K, V> {
    /// The value, if it is fresh for more than `least` milliseconds.
    pub(crate) fn take_fresh(&mut self, now: u64, least: u64) -> Option<Dated<V>> {
        self.found.take_if(|found| found.until.is_fresh(now, least))
    }
}

impl<K: Key, V: Value> Remote<K, V> {
    /// Reads one key on behalf of a load, and takes the lease where there is one. Waits while somebody else has it, for
    /// `lease_wait` at most.
    pub(crate) async fn look_to_load(self: &Arc<Self>, key: &K, l2: L2Use) -> Look<K, V> {
        // Here, as what an `async fn` is given takes its room twice.
        let name = self.wire.name(key);
        self.tend();
        if self.guards(key) {
            return self.look(name, Leased::held());
        }
        if self.bypasses(key) {
            return self.look(name, Leased::nothing(FillRight::Nothing));
        }
        if !self.wire.limits.leases {
            let found = if l2.is_first() { Some(self.get_for_read(key, &name).await) } else { None };
            return self.look(name, without_leases(found));
        }
        // Both from the first time on that somebody else has it: most reads have no use for them.
        let (mut waits, mut gave_way): (Option<LeaseWait>, _) = (None, false);
        loop {
            let asked_at = self.asked_at();
            let (answer, age) = self.get_or_lease(name.wire()).await;
            match self.understand_lease(&name.full, answer, l2, self.moment().aged(age, asked_at)) {
                Leased::Busy if l2.waits() => {
                    waits.get_or_insert_with(|| LeaseWait::new(self.local.policy.lease_wait)).sees_it();
                }
                // Once: what appears in its place may be of another schema, too.
                Leased::Outdated(seen) if !gave_way => {
                    gave_way = true;
                    // In a box of its own, as it is rare.
                    if Box::pin(self.release(name.wire(), seen)).await {
                        continue;
                    }
                    return self.look(name, Leased::nothing(FillRight::Nothing));
                }
                Leased::Failed if waits.as_ref().is_some_and(|wait| wait.may_stand(self.local.policy.lease)) => {}
                other => return self.look(name, other),
            }
            let pause = waits.as_mut().and_then(LeaseWait::pause);
            let timer = pause.and_then(|pause| self.local.tasks.timer(pause));
            let Some(timer) = timer else { return self.look(name, Leased::Busy) };
            self.local.counters.one(Count::LeaseWait);
            timer.await;
        }
    }

    pub(crate) fn look(self: &Arc<Self>, name: WireKey, leased: Leased<V>) -> Look<K, V> {
        let busy = matches!(leased, Leased::Busy);
        let (found, may, held) = match leased {
            Leased::Look { found, may, held } => (found, may, held),
            Leased::Busy | Leased::Outdated(_) | Leased::Failed => (None, FillRight::Nothing, false),
        };
        Look { found, permit: Permit::new(self, name, may), held, busy }
    }

    /// L2 had nothing fresh for so many keys; a read counts that once for each.
    #[inline]
    pub(crate) fn count_missed(&self, l2: L2Use, keys: usize) {
        if l2.is_first() {
            self.local.counters.add(Count::L2Miss, keys as u64);
        }
    }

    /// L2 had nothing fresh for a key that is about to be loaded: counted. `Some`: not to be loaded, as the source failed
    /// a moment ago, and there is a stale value instead.
    pub(crate) fn missed(&self, key: &K, l2: L2Use, look: &Look<K, V>) -> Option<CacheError> {
        self.count_missed(l2, 1);
        let local = &self.local;
        if look.found.is_none() || local.policy.stale == 0 { None } else { local.throttle.get(key, local.now()) }
    }

    /// Reads one key.
    pub(crate) async fn get_for_read(self: &Arc<Self>, key: &K, name: &WireKey) -> Found<V> {
        self.tend();
        if self.guards(key) || self.bypasses(key) {
            return Found::Nothing { fill: false };
        }
        let asked_at = self.asked_at();
        let (answer, age) = self.get(name.wire()).await;
        self.understand(&name.full, answer, self.moment().aged(age, asked_at))
    }
}
