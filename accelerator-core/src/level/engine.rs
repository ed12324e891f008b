//! What all clones of a cache share: one engine per `(K, V)`, whatever the stores.

use std::borrow::Borrow;
use std::future::Future;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::runtime::Handle;

use crate::entry::Entry;
use crate::error::CacheError;
use crate::level::flight::join::{Join, Seen};
use crate::level::flight::reservation::{By, Latent};
use crate::level::flight::slots::SlotTable;
use crate::level::flight::state;
use crate::level::load::one::Work;
use crate::level::local::batch_run::BatchRun;
use crate::level::local::claim::Claim;
use crate::level::remote::Remote;
use crate::level::source::Sources;
use crate::level::stats::counters::{Count, Counters, Now, Stats};
use crate::level::stats::overdue::Overdue;
use crate::level::time::key_deadlines::Remembered;
use crate::level::time::policy::{Life, Policy, Until};
use crate::level::time::ticker::{Limit, NoRuntime, Ticker};
use crate::level::time::timer::{Timer, from_now};
use crate::pulse::Pulses;
use crate::time::TimeSource;
use crate::traits::l1::L1Store;
use crate::traits::loader::Loaded;

/// What a key must be able to do. Implemented for everything that can.
pub trait Key: Hash + Eq + Clone + Send + Sync + 'static {}
impl<T: Hash + Eq + Clone + Send + Sync + 'static> Key for T {}

/// What a value must be able to do. Implemented for everything that can; `Arc<T>` makes the clone of a hit cheap.
///
/// # What its own code may do
/// A store clones, drops and weighs values while the cache holds a lock. So `Clone` and `Drop` of a value (and `Hash`,
/// `Eq`, `Clone` and `Drop` of a [`Key`], a weigher, an [`L1Store`](crate::L1Store)) should do nothing but that.
///
/// - They may call `stats`, and `set`, `mset`, `del`, `mdel` and `clear` of any cache. Such a write is made as soon as the
///   lock is released, or in a task where a store drops a value on its own
///   (without a runtime it is refused, and a warning says so). Its future may be dropped; who polls it in
///   there gets an error.
/// - All else there (a read that misses, `l1_stats`, `write_guard`) panics with a message that names this rule. A read
///   that hits may wait for ever where the store holds a lock of its own.
/// - A panic ends the operation that it happens in, with an error of the kind `Panic` where that returns one, and L1 keeps
///   nothing for the key. A panic of `Drop` inside of a store ends nothing: it is logged.
pub trait Value: Clone + Send + Sync + 'static {}
impl<T: Clone + Send + Sync + 'static> Value for T {}

pub(crate) type Flight<K, V> = state::Flight<K, Outcome<V>, Work<V>, Arc<Engine<K, V>>>;
type Table<K, V> = SlotTable<K, Outcome<V>, Work<V>, Arc<Engine<K, V>>>;
pub(crate) type Joined<K, V> = Join<Option<V>, Arc<Flight<K, V>>, Arc<Flight<K, V>>>;

/// How a flight ended, for all who wait.
#[derive(Clone)]
pub(crate) enum Outcome<V> {
    /// The answer; `None` is absent.
    Value(Option<V>),
    /// The load failed; here is a stale value for those who accept one.
    Failed { error: CacheError, stale: Option<Option<V>> },
    /// L2 has nothing, and the leader had nothing to load with.
    Missed,
}

/// How the work of a flight ended, for the commit.
pub(crate) enum End<V> {
    /// The source answered.
    Loaded(Arrived<V>),
    /// L2 answered.
    Found { value: Option<V>, until: Until },
    /// Nothing found and nothing to load with.
    Missed,
    /// The load failed; L2 had this stale value.
    Failed { error: CacheError, stale: Option<Stale<V>> },
    /// The source failed a moment ago and was not asked again.
    Throttled { error: CacheError, stale: Option<Stale<V>> },
}

/// An answer of the source, with the lives that were drawn for it: once, so that L1 and L2 agree.
pub(crate) struct Arrived<V> {
    pub(crate) value: Option<V>,
    /// In L1 and in L2; `None`: not to be cached.
    pub(crate) lives: Option<(Life, Life)>,
    /// When, by the cache's clock.
    pub(crate) at: u64,
}

/// A value from L2 that is no longer fresh, and until when (of the cache's clock) it is of use: the load that it stands
/// in for may take a while to fail.
#[derive(Clone)]
pub(crate) struct Stale<V> {
    pub(crate) value: Option<V>,
    pub(crate) until: Until,
}

pub(crate) struct Engine<K, V> {
    pub(crate) clock: TimeSource,
    pub(crate) generation: AtomicU32,
    pub(crate) counters: Counters,
    #[cfg(feature = "metrics")]
    pub(crate) reporter: Arc<crate::level::stats::reporter::Reporter>,
    pub(crate) table: Table<K, V>,
    pub(crate) l1: Arc<dyn L1Store<K, V>>,
    pub(crate) remote: Option<Remote<K, V>>,
    pub(crate) sources: Sources<K, V>,
    pub(crate) policy: Policy,
    pub(crate) runtime: Option<Handle>,
    pub(crate) ticker: Arc<Ticker>,
    pub(crate) pulses: Arc<Pulses>,
    pub(crate) overdue: Overdue,
    pub(crate) closed: AtomicBool,
    pub(crate) refreshing: AtomicUsize,
    pub(crate) throttle: Remembered<K, CacheError>,
    /// The L1 store is this cache's alone, as long as anything of it lives.
    pub(crate) _claim: Claim,
}

impl<K: Key, V: Value> Engine<K, V> {
    pub(crate) fn now(&self) -> u64 {
        self.clock.now()
    }

    pub(crate) fn generation(&self) -> u32 {
        self.generation.load(Ordering::Acquire)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// Keys that this node reads past L2 for.
    pub(crate) fn unconfirmed(&self) -> usize {
        self.remote.as_ref().map_or(0, |remote| remote.bypass.len())
    }

    pub(crate) fn stats(&self) -> Stats {
        let has_leases = self.remote.as_ref().is_some_and(Remote::has_leases);
        self.counters.read(Now { flights: self.table.len(), unconfirmed: self.unconfirmed(), has_leases })
    }

    /// The runtime for detached work: the current one, else the builder's.
    pub(crate) fn handle(&self) -> Option<Handle> {
        Handle::try_current().ok().or_else(|| self.runtime.clone())
    }

    /// Whether there may be one. Within a task the answer costs no handle, which all threads count; but a task of a
    /// `LocalSet` may be polled outside of every runtime.
    pub(crate) fn may_have_runtime(&self) -> bool {
        tokio::task::try_id().is_some() || self.handle().is_some()
    }

    /// A timer, also outside a runtime if the builder was given one.
    pub(crate) fn timer(&self, after: Duration) -> Option<Timer> {
        Timer::until(from_now(after), self.runtime.as_ref())
    }

    /// Polls a limit: ready when its time is over, or at once with `NoRuntime`.
    pub(crate) fn poll_limit<T: Borrow<Arc<Ticker>>>(
        &self,
        limit: &mut Limit<T>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), NoRuntime>> {
        limit.poll(self.runtime.as_ref(), cx)
    }

    /// Runs `work` in a task of its own. `false`: there is no runtime; `work` was dropped.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) -> bool {
        self.handle().map(|handle| handle.spawn(work)).is_some()
    }

    /// Joins the flight of `key` or starts one; `fresh_is_enough`: a fresh value in L1 ends it here.
    pub(crate) fn join(self: &Arc<Self>, key: &K, borrowed: bool, fresh_is_enough: bool) -> Joined<K, V> {
        self.counted(self.join_again(key, borrowed, fresh_is_enough))
    }

    /// [`join`](Self::join) by one who was counted when it joined first.
    pub(crate) fn join_again(self: &Arc<Self>, key: &K, borrowed: bool, fresh_is_enough: bool) -> Joined<K, V> {
        let make = |key, hash, token| Flight::new(key, hash, token, borrowed, self.clone());
        let probe = || if fresh_is_enough { self.fresh(key) } else { None };
        self.table.join(key, self, || self.generation(), make, probe)
    }

    /// [`join`](Self::join) with a flight that is made only when somebody follows it.
    pub(crate) fn join_latent(
        self: &Arc<Self>,
        key: &K,
        by: By<&Arc<BatchRun>>,
        fresh_is_enough: bool,
    ) -> Join<Option<V>, Latent, Arc<Flight<K, V>>> {
        self.counted(self.join_latent_uncounted(key, None, by, fresh_is_enough))
    }

    /// For callers who count for many, and who have seen the key's place before they asked L1.
    #[inline]
    pub(crate) fn join_latent_uncounted(
        self: &Arc<Self>,
        key: &K,
        seen: Option<Seen>,
        by: By<&Arc<BatchRun>>,
        fresh_is_enough: bool,
    ) -> Join<Option<V>, Latent, Arc<Flight<K, V>>> {
        let probe = || if fresh_is_enough { self.fresh(key) } else { None };
        self.table.join_latent(key, seen, by, self, || self.generation(), probe)
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

    /// The value in L1, if fresh.
    pub(crate) fn fresh(&self, key: &K) -> Option<Option<V>> {
        let entry = self.l1.recheck(key)?;
        (self.is_of_now(&entry) && self.now() < entry.fresh_until()).then(|| entry.into_value())
    }

    /// Whether the entry was inserted after the last `clear`.
    pub(crate) fn is_of_now(&self, entry: &Entry<V>) -> bool {
        entry.generation() == self.generation()
    }

    /// What the source has just answered.
    pub(crate) fn arrived(&self, loaded: Loaded<V>) -> Arrived<V> {
        self.arrived_at(loaded, self.now())
    }

    /// What the source answered at `now`.
    pub(crate) fn arrived_at(&self, loaded: Loaded<V>, now: u64) -> Arrived<V> {
        let lives = self.policy.lives(loaded.value.is_none(), loaded.ttl);
        Arrived { value: loaded.value, lives, at: now }
    }

    /// What a caller gets from the outcome of a flight; `None`: nothing was found and nobody had a loader.
    pub(crate) fn answer(&self, outcome: Outcome<V>, allow_stale: bool) -> Option<Result<Option<V>, CacheError>> {
        match outcome {
            Outcome::Value(value) => Some(Ok(value)),
            Outcome::Missed => None,
            Outcome::Failed { stale: Some(value), .. } if allow_stale => {
                self.counters.one(Count::StaleServed);
                Some(Ok(value))
            }
            Outcome::Failed { error, .. } => Some(Err(error)),
        }
    }
}
