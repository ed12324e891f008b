//! Read: one pass over L1 for many keys, whatever becomes of those that are missing.
//!
//! Hits pay for nothing but their look. Where one key is missing, others are likely to be: from the first one on, the place
//! of a key in the slot table is noted before each look, which spares whoever leads it a second one.

use std::sync::Arc;

use crate::entry::Entry;
use crate::error::CacheResult;
use crate::level::bounds::{Key, Value};
use crate::level::engine::Engine;
use crate::level::flight::join::{Join, Seen};
use crate::level::flight::reservation::LedBy;
use crate::level::flight::token::Reservation;
use crate::level::local::batch_run::LeadingBatch;
use crate::level::local::work::BatchRun;
use crate::level::local::{Flight, Local};
use crate::level::read::hit::probe_slow;
use crate::level::stats::counters::Count;
use crate::options::ReadOptions;
use crate::traits::l1::L1Store;

/// A key that L1 could not answer: its index, and its place in the slot table as it was before L1 was asked,
/// where that was noted.
pub(crate) struct Missing {
    pub(crate) at: usize,
    pub(crate) seen: Option<Seen>,
}

/// The keys that one pass did not find.
#[derive(Default)]
pub(crate) struct AllMissing {
    // The first one apart: a single one goes the way of `get`, and costs what that costs.
    first: Option<usize>,
    more: Vec<Missing>,
}

impl AllMissing {
    /// L1 had all.
    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// The one that is missing, if no other is.
    pub(crate) fn only(&self) -> Option<usize> {
        self.first.filter(|_| self.more.is_empty())
    }

    /// All of them, in order; `None`: there is none.
    pub(crate) fn all(mut self) -> Option<Vec<Missing>> {
        self.more.insert(0, Missing { at: self.first?, seen: None });
        Some(self.more)
    }
}

/// Who gets what one pass finds, key by key.
pub(crate) trait Findings<V> {
    fn hit(&mut self, at: usize, value: Option<V>);

    /// L1 has no answer; there will be one from elsewhere.
    fn miss(&mut self);
}

/// For `mget`: each key has a place.
impl<V> Findings<V> for Values<V> {
    #[inline(always)]
    fn hit(&mut self, _: usize, value: Option<V>) {
        self.push(Ok(value));
    }

    #[inline(always)]
    fn miss(&mut self) {
        self.push(Ok(None));
    }
}

/// For tickets: hits are named by the indices of their keys.
impl<V> Findings<V> for Vec<(usize, Option<V>)> {
    #[inline(always)]
    fn hit(&mut self, at: usize, value: Option<V>) {
        self.push((at, value));
    }

    #[inline(always)]
    fn miss(&mut self) {}
}

/// What one pass counts.
struct Pass {
    now: u64,
    generation: u32,
    absent: u64,
    // Those that were no plain hit, whatever came of them.
    slow: u64,
    missing: AllMissing,
}

/// Probes L1 for all keys: one clock, and the counters once.
#[inline(always)]
pub(crate) fn probe_all<K: Key, V: Value, L1: L1Store<K, V>>(
    l1: &L1,
    local: &Local<K, V>,
    engine: &Arc<Engine<K, V>>,
    keys: &[K],
    options: ReadOptions,
    findings: &mut impl Findings<V>,
) -> AllMissing {
    let (now, generation) = (local.clock.now(), local.generation());
    let mut pass = Pass { now, generation, absent: 0, slow: 0, missing: AllMissing::default() };
    probe_from::<false, K, V, L1>(0, l1, local, engine, keys, options, &mut pass, findings);
    if let Some(first) = pass.missing.first {
        probe_from::<true, K, V, L1>(first + 1, l1, local, engine, keys, options, &mut pass, findings);
    }
    local.counters.add(Count::L1Hit, keys.len() as u64 - pass.slow - pass.absent);
    local.counters.add(Count::L1Absent, pass.absent);
    pass.missing
}

/// From the first key that was not probed yet to the first missing one, or, after that, to the end. `SEEING`: with the
/// places of the keys in the slot table, which hits have no use for.
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "inlined; a struct would be one more stop for each value")]
fn probe_from<const SEEING: bool, K: Key, V: Value, L1: L1Store<K, V>>(
    from: usize,
    l1: &L1,
    local: &Local<K, V>,
    engine: &Arc<Engine<K, V>>,
    keys: &[K],
    options: ReadOptions,
    pass: &mut Pass,
    findings: &mut impl Findings<V>,
) {
    for (i, key) in keys.iter().enumerate().skip(from) {
        let seen = SEEING.then(|| local.table.observe(key));
        let found = l1.get(key);
        if let Some(entry) = &found
            && entry.is_plainly_fresh(pass.now)
            && entry.generation() == pass.generation
            && !options.force_refresh
        {
            pass.absent += u64::from(entry.value().is_none());
            findings.hit(i, found.and_then(Entry::into_value));
            continue;
        }
        let found = found
            .filter(|_| !options.force_refresh)
            .and_then(|entry| probe_slow(engine, key, entry, options.allow_stale, !options.disable_load));
        pass.slow += 1;
        if let Some(entry) = found {
            findings.hit(i, entry.into_value());
            continue;
        }
        findings.miss();
        if SEEING {
            let more = &mut pass.missing.more;
            if more.is_empty() {
                // The first one comes in front.
                more.reserve(keys.len() - i + 1);
            }
            more.push(Missing { at: i, seen });
        } else {
            pass.missing.first = Some(i);
            return;
        }
    }
}

/// What is still to be waited for.
pub(crate) struct Begun<K: Key, V: Value> {
    /// The load goes on.
    pub(crate) leading: Option<LeadingBatch<K, V>>,
    /// Flights of others, and the indices of their keys.
    pub(crate) followed: Vec<(usize, Arc<Flight<K, V>>)>,
}

pub(crate) type Values<V> = Vec<CacheResult<Option<V>>>;

/// Whether nothing that is cached is accepted.
pub(crate) fn forces<K: Key, V: Value>(engine: &Arc<Engine<K, V>>, options: ReadOptions) -> bool {
    options.force_refresh && !options.disable_load && engine.sources.exist()
}

/// Joins every missing key; `lead` has those that are led, the answer those that are followed.
#[inline(always)]
pub(crate) fn join_missing<K: Key, V: Value>(
    engine: &Arc<Engine<K, V>>,
    keys: &[K],
    values: &mut Values<V>,
    missing: Vec<Missing>,
    options: ReadOptions,
    by: LedBy<&Arc<BatchRun>>,
    mut lead: impl FnMut(usize, Reservation),
) -> Vec<(usize, Arc<Flight<K, V>>)> {
    let (mut led, mut followed) = (0, Vec::new());
    let forced = forces(engine, options);
    for Missing { at, seen } in missing {
        if forced {
            lead(at, engine.local.table.lead_forced(&keys[at], by, || engine.local.generation()));
            led += 1;
            continue;
        }
        match engine.local.join_latent_uncounted(&keys[at], seen, by, !options.force_refresh) {
            Join::Hit(value) => {
                engine.local.counters.l1_hit(value.is_none());
                values[at] = Ok(value);
            }
            Join::Lead(reserved) => {
                lead(at, reserved);
                led += 1;
            }
            Join::Follow(flight) => followed.push((at, flight)),
        }
    }
    engine.local.counters.add(Count::Miss, led + followed.len() as u64);
    engine.local.counters.add(Count::Joined, followed.len() as u64);
    followed
}
