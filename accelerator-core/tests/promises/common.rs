//! One world for all tests: a clock that the test moves, an L2 that fails on command, and a source of truth that knows
//! how often it was asked.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use accelerator_core::testkit::{Faulty, ManualClock, MemoryL1, MemoryL2};
use accelerator_core::{L1Store, LevelCache, LevelCacheBuilder, Lookup};
use tokio::sync::watch;

pub(crate) type L1 = MemoryL1<u64, u64>;
pub(crate) type L2 = Faulty<MemoryL2>;
pub(crate) type Level = LevelCache<u64, u64, L1>;

/// The TTL of all that does not say otherwise.
pub(crate) const TTL: Duration = Duration::from_secs(60);

pub(crate) fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

pub(crate) fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Why a [`Source`] does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Away(pub(crate) u64);

impl fmt::Display for Away {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the source is away ({})", self.0)
    }
}

impl std::error::Error for Away {}

/// The source of truth: key `k` has the value `1000 * k + version`, or none at version 0.
#[derive(Clone)]
pub(crate) struct Source(Arc<Inner>);

struct Inner {
    version: AtomicU64,
    away: AtomicBool,
    slow_ms: AtomicU64,
    doors: Mutex<VecDeque<Door>>,
    asked: Mutex<HashMap<u64, usize>>,
    calls: Mutex<Vec<Vec<u64>>>,
}

impl Source {
    fn new() -> Self {
        Self(Arc::new(Inner {
            version: AtomicU64::new(1),
            away: AtomicBool::new(false),
            slow_ms: AtomicU64::new(0),
            doors: Mutex::default(),
            asked: Mutex::default(),
            calls: Mutex::default(),
        }))
    }

    /// All values change.
    pub(crate) fn put(&self, version: u64) {
        self.0.version.store(version, SeqCst);
    }

    /// From now on it fails, or works again.
    pub(crate) fn away(&self, yes: bool) {
        self.0.away.store(yes, SeqCst);
    }

    /// From now on every answer takes so long.
    pub(crate) fn slow(&self, by: Duration) {
        self.0.slow_ms.store(u64::try_from(by.as_millis()).expect("a short time"), SeqCst);
    }

    /// The next load reads the value and then stops at this door.
    pub(crate) fn door(&self) -> Door {
        let door = Door::new();
        lock(&self.0.doors).push_back(door.clone());
        door
    }

    /// How many keys it was asked for, counted as often as they were asked for.
    pub(crate) fn asked(&self) -> usize {
        lock(&self.0.asked).values().sum()
    }

    pub(crate) fn asked_for(&self, key: u64) -> usize {
        lock(&self.0.asked).get(&key).copied().unwrap_or(0)
    }

    /// The keys of each call.
    pub(crate) fn calls(&self) -> Vec<Vec<u64>> {
        lock(&self.0.calls).clone()
    }

    pub(crate) async fn load(self, key: u64) -> Result<Option<u64>, Away> {
        Ok(self.load_many(vec![key]).await?.into_iter().next().and_then(|(_, value)| value))
    }

    pub(crate) async fn load_many(self, keys: Vec<u64>) -> Result<Vec<(u64, Option<u64>)>, Away> {
        let inner = &self.0;
        for key in &keys {
            *lock(&inner.asked).entry(*key).or_default() += 1;
        }
        lock(&inner.calls).push(keys.clone());
        let (version, away) = (inner.version.load(SeqCst), inner.away.load(SeqCst));
        let door = lock(&inner.doors).pop_front();
        if let Some(door) = door {
            door.pass().await;
        }
        match inner.slow_ms.load(SeqCst) {
            0 => {}
            slow => tokio::time::sleep(ms(slow)).await,
        }
        if away {
            return Err(Away(version));
        }
        Ok(keys.into_iter().map(|key| (key, (version > 0).then_some(1000 * key + version))).collect())
    }
}

/// Holds one load until the test opens it.
#[derive(Clone)]
pub(crate) struct Door(Arc<(watch::Sender<bool>, watch::Sender<bool>)>);

impl Door {
    fn new() -> Self {
        Self(Arc::new((watch::Sender::new(false), watch::Sender::new(false))))
    }

    /// Waits until the load stands there.
    pub(crate) async fn reached(&self) {
        let _ = self.0.0.subscribe().wait_for(|set| *set).await;
    }

    pub(crate) fn open(&self) {
        self.0.1.send_replace(true);
    }

    async fn pass(&self) {
        self.0.0.send_replace(true);
        let _ = self.0.1.subscribe().wait_for(|set| *set).await;
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One clock, one L2, one source; as many nodes as a test builds.
pub(crate) struct World {
    pub(crate) clock: ManualClock,
    pub(crate) l1: L1,
    pub(crate) l2: L2,
    pub(crate) source: Source,
}

impl World {
    pub(crate) fn new() -> Self {
        let clock = ManualClock::new();
        let l2 = Faulty::new(MemoryL2::with_clock(clock.clone()));
        Self { clock, l1: MemoryL1::new(), l2, source: Source::new() }
    }

    /// The same clock, L2 and source, with an L1 of its own.
    pub(crate) fn twin(&self) -> Self {
        let (clock, l2, source) = (self.clock.clone(), self.l2.clone(), self.source.clone());
        Self { clock, l1: MemoryL1::new(), l2, source }
    }

    /// Nothing but area, clock and TTL.
    pub(crate) fn bare(&self) -> LevelCacheBuilder<u64, u64> {
        // Each is another node.
        LevelCache::<u64, u64>::builder().area("t").share_area(true).clock(self.clock.clone()).ttl(TTL)
    }

    fn loading<S>(&self, builder: LevelCacheBuilder<u64, u64, S>) -> LevelCacheBuilder<u64, u64, S> {
        let source = self.source.clone();
        builder.loader(move |key| source.clone().load(key))
    }

    /// L1 and the source.
    pub(crate) fn l1(&self) -> LevelCacheBuilder<u64, u64, L1> {
        self.loading(self.bare().l1(self.l1.clone()))
    }

    /// L1, L2 and the source.
    pub(crate) fn both(&self) -> LevelCacheBuilder<u64, u64, L1> {
        self.l1().l1_ttl(TTL).l2(self.l2.clone())
    }

    /// L1 and L2, without a loader.
    pub(crate) fn no_loader(&self) -> LevelCacheBuilder<u64, u64, L1> {
        self.bare().l1_ttl(TTL).l1(self.l1.clone()).l2(self.l2.clone())
    }

    /// L2 and the source.
    pub(crate) fn l2(&self) -> LevelCacheBuilder<u64, u64, accelerator_core::NoL1> {
        self.loading(self.bare().l2(self.l2.clone()))
    }

    /// L1 and the source, in batches.
    pub(crate) fn many(&self) -> LevelCacheBuilder<u64, u64, L1> {
        let source = self.source.clone();
        self.bare().l1(self.l1.clone()).batch_loader(move |keys| source.clone().load_many(keys))
    }

    /// L1, L2 and the source, in batches.
    pub(crate) fn batches(&self) -> LevelCacheBuilder<u64, u64, L1> {
        let source = self.source.clone();
        self.no_loader().batch_loader(move |keys| source.clone().load_many(keys))
    }

    /// Another node: an L1 of its own, the same L2, no loader.
    pub(crate) fn other_node(&self) -> Level {
        self.bare().l1_ttl(TTL).l1(MemoryL1::new()).l2(self.l2.clone()).build().expect("a good configuration")
    }

    /// What L2 has for the key, read by a node that knows nothing else.
    pub(crate) async fn in_l2(&self, key: u64) -> Option<Option<u64>> {
        match self.other_node().lookup(&key).await {
            Lookup::Hit(value) => Some(Some(value)),
            Lookup::Absent => Some(None),
            Lookup::Miss | Lookup::Unavailable => None,
        }
    }
}

/// Builds what is known to be a good configuration.
pub(crate) fn ok<S: L1Store<u64, u64> + Clone>(builder: LevelCacheBuilder<u64, u64, S>) -> LevelCache<u64, u64, S> {
    builder.build().expect("a good configuration")
}
