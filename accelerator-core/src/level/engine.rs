//! What all clones of a cache share: one engine per `(K, V)`, whatever the stores.

use std::future::Future;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::runtime::Handle;

use crate::entry::Entry;
use crate::error::{CacheError, ErrorKind};
use crate::level::flight;
use crate::level::load::{Sources, Work};
use crate::level::policy::{Life, Policy, RETRY_AFTER, Until};
use crate::level::remembered::Remembered;
use crate::level::remote::Remote;
use crate::level::slots::{Join, SlotTable, Token};
use crate::level::stats::{Count, Counters};
use crate::level::timer::Timer;
use crate::time::{TimeSource, millis};
use crate::traits::l1::L1Store;
use crate::traits::loader::Loaded;

/// What a key must be able to do. Implemented for everything that can.
pub trait Key: Hash + Eq + Clone + Send + Sync + 'static {}
impl<T: Hash + Eq + Clone + Send + Sync + 'static> Key for T {}

/// What a value must be able to do. Implemented for everything that can; `Arc<T>` makes the clone of a hit cheap.
pub trait Value: Clone + Send + Sync + 'static {}
impl<T: Clone + Send + Sync + 'static> Value for T {}

pub(crate) type Flight<K, V> = flight::Flight<K, Outcome<V>, Work<V>, Arc<Engine<K, V>>>;
type Table<K, V> = SlotTable<K, Outcome<V>, Work<V>, Arc<Engine<K, V>>>;
pub(crate) type Joined<K, V> = Join<Option<V>, K, Outcome<V>, Work<V>, Arc<Engine<K, V>>>;

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
    pub(crate) table: Table<K, V>,
    pub(crate) l1: Arc<dyn L1Store<K, V>>,
    pub(crate) remote: Option<Remote<K, V>>,
    pub(crate) sources: Sources<K, V>,
    pub(crate) policy: Policy,
    pub(crate) runtime: Option<Handle>,
    pub(crate) closed: AtomicBool,
    pub(crate) refreshing: AtomicUsize,
    pub(crate) throttle: Remembered<K, CacheError>,
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

    /// The runtime for detached work: the current one, else the builder's.
    pub(crate) fn handle(&self) -> Option<Handle> {
        Handle::try_current().ok().or_else(|| self.runtime.clone())
    }

    /// A timer, also outside a runtime if the builder was given one.
    pub(crate) fn timer(&self, after: Duration) -> Option<Timer> {
        let _inside = match Handle::try_current() {
            Ok(_) => None,
            Err(_) => Some(self.runtime.as_ref()?.enter()),
        };
        Some(Timer::start(after))
    }

    /// Runs `work` in a task of its own. `false`: there is no runtime; `work` was dropped.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) -> bool {
        self.handle().map(|handle| handle.spawn(work)).is_some()
    }

    /// Joins the flight of `key` or starts one; `fresh_is_enough`: a fresh value in L1 ends it here.
    pub(crate) fn join(self: &Arc<Self>, key: &K, borrowed: bool, fresh_is_enough: bool) -> Joined<K, V> {
        self.join_as(key, fresh_is_enough, |key, hash, token| Flight::new(key, hash, token, borrowed, self.clone()))
    }

    /// [`join`](Self::join) with a flight of the caller's making.
    pub(crate) fn join_as(
        &self,
        key: &K,
        fresh_is_enough: bool,
        make: impl FnOnce(K, u64, Token) -> Flight<K, V>,
    ) -> Joined<K, V> {
        let probe = || if fresh_is_enough { self.fresh(key) } else { None };
        let joined = self.table.join(key, || self.generation(), make, probe);
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
    fn fresh(&self, key: &K) -> Option<Option<V>> {
        let entry = self.l1.recheck(key)?;
        (self.is_of_now(&entry) && self.now() < entry.fresh_until()).then(|| entry.into_value())
    }

    /// Whether the entry was inserted after the last `clear`.
    pub(crate) fn is_of_now(&self, entry: &Entry<V>) -> bool {
        entry.generation() == self.generation()
    }

    /// What the source has just answered.
    pub(crate) fn arrived(&self, loaded: Loaded<V>) -> Arrived<V> {
        let lives = self.policy.lives(loaded.value.is_none(), loaded.ttl);
        Arrived { value: loaded.value, lives, at: self.now() }
    }

    /// Commits what a flight found, under the fence; tells all who wait; ends the flight.
    pub(crate) fn finish(&self, flight: Arc<Flight<K, V>>, end: End<V>) -> Outcome<V> {
        let release_all = OnPanic(&flight);
        let generation = flight.token().generation;
        let outcome = match end {
            End::Throttled { error, stale } => {
                let stale = self.stale_for(&flight, stale);
                self.release(&flight);
                Outcome::Failed { error, stale }
            }
            End::Loaded(Arrived { value, lives, at }) => {
                self.counters.one(Count::LoadOk);
                self.throttle.remove(flight.key(), at);
                let entry = lives.map(|(life, _)| self.policy.entry(value.clone(), life, at, generation));
                self.commit(&flight, entry);
                Outcome::Value(value)
            }
            End::Found { value, until } => {
                let hit = if value.is_none() { Count::L2Absent } else { Count::L2Hit };
                self.counters.one(hit);
                let now = self.now();
                let life = self.policy.backfill(until.left(now));
                self.commit(&flight, Some(self.policy.entry(value.clone(), life, now, generation)));
                Outcome::Value(value)
            }
            End::Missed => {
                self.release(&flight);
                Outcome::Missed
            }
            End::Failed { error, stale } => {
                self.counters.load_failed(error.kind());
                let stale = self.stale_for(&flight, stale);
                let now = self.now();
                if stale.is_some() || self.policy.window > 0 {
                    self.throttle.insert(flight.key(), now, now.saturating_add(millis(RETRY_AFTER)), error.clone());
                }
                self.release(&flight);
                Outcome::Failed { error, stale }
            }
        };
        if !flight::is_unshared(&flight) {
            flight.publish(outcome.clone());
        }
        std::mem::forget(release_all);
        outcome
    }

    /// Ends the registration of a flight, storing `entry` if nothing was invalidated meanwhile. An answer that may not
    /// be cached still removes what it replaces.
    fn commit(&self, flight: &Arc<Flight<K, V>>, entry: Option<Entry<V>>) {
        let (key, counters) = (flight.key(), &self.counters);
        self.table.commit(
            key,
            flight.hash(),
            flight.token(),
            Some(flight),
            || self.generation(),
            |valid| match (valid, entry) {
                (true, Some(entry)) => self.l1.insert(key.clone(), entry),
                (true, None) => self.l1.remove(key),
                (false, Some(_)) => counters.one(Count::FillRefused),
                (false, None) => {}
            },
        );
    }

    /// Ends the registration of a flight without touching L1.
    pub(crate) fn release(&self, flight: &Arc<Flight<K, V>>) {
        self.table.commit(flight.key(), flight.hash(), flight.token(), Some(flight), || self.generation(), |_| {});
    }

    /// The leader of a flight gives up: the next who waits takes over, or the flight ends.
    pub(crate) fn give_up(&self, flight: &Arc<Flight<K, V>>) {
        if flight.vacate() {
            self.release(flight);
        }
    }

    /// A stale value that may be served instead of the error of this flight: young enough, and not invalidated since
    /// the flight began.
    pub(crate) fn stale_for(&self, flight: &Flight<K, V>, from_l2: Option<Stale<V>>) -> Option<Option<V>> {
        if self.policy.stale == 0 {
            return None;
        }
        let from_l1 = || {
            let entry = self.l1.get(flight.key())?;
            (self.is_of_now(&entry) && self.now() < entry.useful_until()).then(|| entry.into_value())
        };
        let valid = self.table.is_valid(flight.key(), flight.hash(), flight.token(), self.generation());
        let from_l2 = || from_l2.filter(|stale| stale.until.is_useful(self.now())).map(|stale| stale.value);
        if valid { from_l1().or_else(from_l2) } else { None }
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

/// User code (a weigher, a `Clone`, a `Drop`) panicked while a flight was being finished: those who wait must hear of it.
struct OnPanic<'a, K: Key, V: Value>(&'a Flight<K, V>);

impl<K: Key, V: Value> Drop for OnPanic<'_, K, V> {
    fn drop(&mut self) {
        let error = CacheError::new(ErrorKind::Panic, "storing the loaded value panicked");
        self.0.publish(Outcome::Failed { error, stale: None });
    }
}
