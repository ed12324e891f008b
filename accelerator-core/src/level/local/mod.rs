//! L1 with all that decides what it may hold: the slot table, the clock, the generation, the counters.
//!
//! Everybody above calls it: reads ask for a fresh value, loads and writes register and commit. It calls the L1 store, and
//! the rooms of time, of counters and of flights. It knows of no L2 and of no source.

pub(crate) mod batch_run;
pub(crate) mod claim;
pub(crate) mod commit;
pub(crate) mod guarded;
pub(crate) mod host;
pub(crate) mod keep;
pub(crate) mod outcome;
pub(crate) mod registration;
pub(crate) mod work;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use crate::cache::Lookup;
use crate::entry::Entry;
use crate::error::{CacheError, CacheResult};
use crate::level::bounds::{Key, Value};
use crate::level::flight::join::{Join, Seen};
use crate::level::flight::patience::Limits;
use crate::level::flight::reservation::LedBy;
use crate::level::flight::slots::SlotTable;
use crate::level::flight::state;
use crate::level::flight::token::Reservation;
use crate::level::local::claim::Claim;
use crate::level::local::outcome::{FromSource, Outcome, no_answer};
use crate::level::local::work::{BatchRun, Work};
use crate::level::stats::counters::{Count, Counters};
use crate::level::stats::overdue::Overdue;
use crate::level::time::key_deadlines::Remembered;
use crate::level::time::policy::Policy;
use crate::level::time::tasks::Tasks;
use crate::pulse::Pulses;
use crate::time::TimeSource;
use crate::traits::l1::L1Store;
use crate::traits::loader::Loaded;

pub(crate) type Flight<K, V> = state::Flight<K, Outcome<V>, Work<V>, Arc<Local<K, V>>>;
pub(crate) type Table<K, V> = SlotTable<K, Outcome<V>, Work<V>, Arc<Local<K, V>>>;
pub(crate) type Joined<K, V> = Join<Option<V>, Arc<Flight<K, V>>, Arc<Flight<K, V>>>;

/// What all clones of a cache share of its first level: one for each `(K, V)`, whatever the store.
pub(crate) struct Local<K, V> {
    pub(crate) clock: TimeSource,
    pub(crate) generation: AtomicU32,
    /// The generation that the last `clear` has begun: it overtakes writes that were called before.
    pub(crate) cleared: AtomicU32,
    pub(crate) counters: Counters,
    #[cfg(feature = "metrics")]
    pub(crate) reporter: Arc<crate::level::stats::reporter::Reporter>,
    pub(crate) table: Table<K, V>,
    pub(crate) l1: Arc<dyn L1Store<K, V>>,
    pub(crate) policy: Policy,
    /// How long a follower waits for somebody's ticket: the leader reads L2 and runs its body in this time, and its own
    /// timeout, which all who wait share, comes first. (A wait for the lease of another process gives signs of life.)
    pub(crate) patience: Limits,
    pub(crate) tasks: Tasks,
    pub(crate) pulses: Arc<Pulses>,
    pub(crate) overdue: Overdue,
    pub(crate) closed: AtomicBool,
    pub(crate) throttle: Remembered<K, CacheError>,
    /// The L1 store is this cache's alone, as long as anything of it lives.
    pub(crate) _claim: Claim,
}

impl<K: Key, V: Value> Local<K, V> {
    pub(crate) fn now(&self) -> u64 {
        self.clock.now()
    }

    pub(crate) fn generation(&self) -> u32 {
        self.generation.load(Ordering::Acquire)
    }

    /// Everything in L1 becomes a miss, and no load in progress is stored. Writes in progress go on. The new generation.
    pub(crate) fn forget_all(&self) -> u32 {
        self.generation.fetch_add(1, Ordering::AcqRel).wrapping_add(1)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// Joins the flight of `key` or starts one; `fresh_is_enough`: a fresh value in L1 ends it here.
    pub(crate) fn join(self: &Arc<Self>, key: &K, borrowed: bool, fresh_is_enough: bool) -> Joined<K, V> {
        self.counted(self.join_again(key, borrowed, fresh_is_enough))
    }

    /// [`join`](Self::join) by one who was counted when it joined first.
    pub(crate) fn join_again(self: &Arc<Self>, key: &K, borrowed: bool, fresh_is_enough: bool) -> Joined<K, V> {
        let make = |key, hash, token| Flight::new(key, hash, token, borrowed, self.clone());
        let probe = || if fresh_is_enough { self.fresh(key).map(Entry::into_value) } else { None };
        self.table.join(key, self, || self.generation(), make, probe)
    }

    /// [`join`](Self::join) with a flight that is made only when somebody follows it.
    pub(crate) fn join_reserved(
        self: &Arc<Self>,
        key: &K,
        by: LedBy<&Arc<BatchRun>>,
        fresh_is_enough: bool,
    ) -> Join<Option<V>, Reservation, Arc<Flight<K, V>>> {
        self.counted(self.join_latent_uncounted(key, None, by, fresh_is_enough))
    }

    /// For callers who count for many, and who have seen the key's place before they asked L1.
    #[inline]
    pub(crate) fn join_latent_uncounted(
        self: &Arc<Self>,
        key: &K,
        seen: Option<Seen>,
        by: LedBy<&Arc<BatchRun>>,
        fresh_is_enough: bool,
    ) -> Join<Option<V>, Reservation, Arc<Flight<K, V>>> {
        let probe = || if fresh_is_enough { self.fresh(key).map(Entry::into_value) } else { None };
        self.table.join_reserved(key, seen, by, self, || self.generation(), probe)
    }

    fn counted<L, F>(&self, joined: Join<Option<V>, L, F>) -> Join<Option<V>, L, F> {
        match &joined {
            Join::Hit(value) => self.counters.l1_hit(value.is_none()),
            Join::Lead(_) => self.counters.one(Count::Miss),
            Join::Follow(_) => {
                self.counters.one(Count::Miss);
                self.counters.one(Count::Joined);
            }
        }
        joined
    }

    /// What L1 has, if it is fresh.
    #[inline]
    pub(crate) fn fresh(&self, key: &K) -> Option<Entry<V>> {
        let entry = self.l1.recheck(key)?;
        (self.is_of_now(&entry) && self.now() < entry.fresh_until()).then_some(entry)
    }

    /// Whether the entry was inserted after the last `clear`.
    pub(crate) fn is_of_now(&self, entry: &Entry<V>) -> bool {
        entry.generation() == self.generation()
    }

    /// What the source has just answered.
    pub(crate) fn with_lives(&self, loaded: Loaded<V>) -> FromSource<V> {
        self.with_lives_at(loaded, self.now())
    }

    /// What the source answered at `now`.
    pub(crate) fn with_lives_at(&self, loaded: Loaded<V>, now: u64) -> FromSource<V> {
        let lives = self.policy.lives(loaded.value.is_none(), loaded.ttl);
        FromSource { value: loaded.value, lives, at: now }
    }

    /// What L1 gets of it; `None`: nothing, and what is there must go.
    pub(crate) fn entry_of(&self, value: FromSource<V>, generation: u32) -> Option<Entry<V>> {
        let FromSource { value, lives, at } = value;
        lives.map(|(life, _)| self.policy.entry(value, life, at, generation))
    }

    /// What a caller gets from the outcome of a flight; `None`: nothing was found and nobody had a loader.
    pub(crate) fn answer(&self, outcome: Outcome<V>, allow_stale: bool) -> Option<CacheResult<Option<V>>> {
        match outcome {
            Outcome::Value(value) => Some(Ok(value)),
            Outcome::Missed => None,
            Outcome::Failed { error, stale } => Some(self.served(stale, allow_stale).ok_or(error)),
        }
    }

    /// What the leader of a flight gets from its outcome. Nothing found is absent only for one who had nothing to load
    /// with.
    #[inline]
    pub(crate) fn led_answer(&self, outcome: Outcome<V>, allow_stale: bool, loads: bool) -> CacheResult<Option<V>> {
        self.answer(outcome, allow_stale).unwrap_or_else(|| if loads { Err(no_answer()) } else { Ok(None) })
    }

    /// The stale value, for a caller who accepts one (`allowed`); counted as served.
    pub(crate) fn served(&self, stale: Lookup<V>, allowed: bool) -> Lookup<V> {
        if !allowed || !stale.is_known() {
            return Lookup::Miss;
        }
        self.counters.one(Count::StaleServed);
        stale
    }
}
