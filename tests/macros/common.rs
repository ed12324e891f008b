//! One world for all tests: a clock that the test moves, a source of truth that knows how often it was asked, and a
//! service over one of three caches.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use accelerator::stores::MokaL1;
use accelerator::testkit::{Faulty, ManualClock, MemoryL2, settle};
use accelerator::{Begin, Cache, CacheError, LevelCache, LevelCacheBuilder};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::fake::Fake;

/// The TTL of all that does not say otherwise.
pub(crate) const TTL: Duration = Duration::from_secs(60);

pub(crate) const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

pub(crate) const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct User {
    pub(crate) id: u64,
    pub(crate) version: u64,
}

pub(crate) fn user(id: u64, version: u64) -> Option<Arc<User>> {
    Some(Arc::new(User { id, version }))
}

pub(crate) type Row = Option<Arc<User>>;
pub(crate) type Rows = HashMap<u64, Row>;

/// Why the source does not answer, with the number of the run. It can't be copied, and knows nothing of caches.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Away(pub(crate) usize);

/// The same, and can be copied; no `Error`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Copied(pub(crate) usize);

/// The same, an `Error` that can be copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told(pub(crate) usize);

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the source is away")
    }
}

impl std::error::Error for Told {}

/// Can carry an error of the cache; can't be copied.
#[derive(Debug)]
pub(crate) enum Wide {
    Away(usize),
    Cache(CacheError),
}

impl From<Away> for Copied {
    fn from(Away(run): Away) -> Self {
        Self(run)
    }
}

impl From<Away> for Told {
    fn from(Away(run): Away) -> Self {
        Self(run)
    }
}

impl From<Away> for Wide {
    fn from(Away(run): Away) -> Self {
        Self::Away(run)
    }
}

impl From<CacheError> for Wide {
    fn from(error: CacheError) -> Self {
        Self::Cache(error)
    }
}

/// The source of truth: every id has a user of the current version, none at version 0.
#[derive(Clone)]
pub(crate) struct Source(Arc<Inner>);

struct Inner {
    version: AtomicU64,
    away: AtomicBool,
    panics: AtomicBool,
    slow_ms: AtomicU64,
    left_out: Mutex<HashSet<u64>>,
    doors: Mutex<VecDeque<Door>>,
    calls: Mutex<Vec<Vec<u64>>>,
    at_once: AtomicU64,
    most_at_once: AtomicU64,
}

impl Source {
    fn new() -> Self {
        Self(Arc::new(Inner {
            version: AtomicU64::new(1),
            away: AtomicBool::default(),
            panics: AtomicBool::default(),
            slow_ms: AtomicU64::default(),
            left_out: Mutex::default(),
            doors: Mutex::default(),
            calls: Mutex::default(),
            at_once: AtomicU64::default(),
            most_at_once: AtomicU64::default(),
        }))
    }

    /// All users change.
    pub(crate) fn put(&self, version: u64) {
        self.0.version.store(version, SeqCst);
    }

    /// From now on it fails, or works again.
    pub(crate) fn away(&self, yes: bool) {
        self.0.away.store(yes, SeqCst);
    }

    /// From now on it panics, or works again.
    pub(crate) fn panics(&self, yes: bool) {
        self.0.panics.store(yes, SeqCst);
    }

    /// From now on every answer takes so long, of tokio's time.
    pub(crate) fn slow(&self, by: Duration) {
        self.0.slow_ms.store(u64::try_from(by.as_millis()).expect("a short time"), SeqCst);
    }

    /// From now on it says nothing of these ids.
    pub(crate) fn leave_out(&self, ids: &[u64]) {
        *lock(&self.0.left_out) = ids.iter().copied().collect();
    }

    /// The next call stops at this door.
    pub(crate) fn door(&self) -> Door {
        let door = Door::new();
        lock(&self.0.doors).push_back(door.clone());
        door
    }

    /// The ids of each call.
    pub(crate) fn calls(&self) -> Vec<Vec<u64>> {
        lock(&self.0.calls).clone()
    }

    /// How often it was called.
    pub(crate) fn runs(&self) -> usize {
        lock(&self.0.calls).len()
    }

    /// The most calls that were in progress at once.
    pub(crate) fn most_at_once(&self) -> u64 {
        self.0.most_at_once.load(SeqCst)
    }

    pub(crate) async fn find(&self, id: u64) -> Result<Row, Away> {
        Ok(self.find_many(&[id]).await?.remove(&id).flatten())
    }

    pub(crate) async fn find_many(&self, ids: &[u64]) -> Result<Rows, Away> {
        let inner = &*self.0;
        let run = {
            let mut calls = lock(&inner.calls);
            calls.push(ids.to_vec());
            calls.len()
        };
        let _inside = Inside::new(inner);
        // As it is when the call begins.
        let (version, away) = (inner.version.load(SeqCst), inner.away.load(SeqCst));
        let (panics, left_out) = (inner.panics.load(SeqCst), lock(&inner.left_out).clone());
        let door = lock(&inner.doors).pop_front();
        if let Some(door) = door {
            door.pass().await;
        }
        match inner.slow_ms.load(SeqCst) {
            0 => {}
            slow => tokio::time::sleep(ms(slow)).await,
        }
        assert!(!panics, "the source was told to panic");
        if away {
            return Err(Away(run));
        }
        let told = ids.iter().filter(|id| !left_out.contains(id));
        Ok(told.map(|&id| (id, user(id, version).filter(|_| version > 0))).collect())
    }
}

/// Counts a call that is in progress.
struct Inside<'a>(&'a Inner);

impl<'a> Inside<'a> {
    fn new(inner: &'a Inner) -> Self {
        let now = inner.at_once.fetch_add(1, SeqCst) + 1;
        inner.most_at_once.fetch_max(now, SeqCst);
        Self(inner)
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.at_once.fetch_sub(1, SeqCst);
    }
}

/// Holds one call until the test opens it.
#[derive(Clone)]
pub(crate) struct Door(Arc<(watch::Sender<bool>, watch::Sender<bool>)>);

impl Door {
    fn new() -> Self {
        Self(Arc::new((watch::Sender::new(false), watch::Sender::new(false))))
    }

    /// Waits until the call stands there.
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

pub(crate) type OverMoka = LevelCache<u64, Arc<User>, MokaL1<u64, Arc<User>>>;
pub(crate) type Settings = LevelCacheBuilder<u64, Arc<User>, MokaL1<u64, Arc<User>>>;

/// The caches that all is tested with.
pub(crate) trait Kind: Sized + 'static {
    type Cache: Cache<u64, Arc<User>> + Clone + 'static;
    fn build(world: &World<Self>, settings: Settings) -> (Self::Cache, Behind);
}

/// What is behind the service's cache.
#[derive(Clone)]
pub(crate) enum Behind {
    Level(OverMoka),
    Fake(Fake),
}

/// A `LevelCache` over moka.
pub(crate) struct Level;
/// An `Arc<dyn Cache>` over moka and an L2.
pub(crate) struct Erased;
/// See [`Fake`].
pub(crate) struct Faked;

impl Kind for Level {
    type Cache = OverMoka;
    fn build(_: &World<Self>, settings: Settings) -> (OverMoka, Behind) {
        let level = settings.build().expect("a good configuration");
        (level.clone(), Behind::Level(level))
    }
}

impl Kind for Erased {
    type Cache = Arc<dyn Cache<u64, Arc<User>>>;
    fn build(world: &World<Self>, settings: Settings) -> (Self::Cache, Behind) {
        let level = settings.l2(world.l2.clone()).build().expect("a good configuration");
        (Arc::new(level.clone()), Behind::Level(level))
    }
}

impl Kind for Faked {
    type Cache = Fake;
    fn build(_: &World<Self>, _: Settings) -> (Fake, Behind) {
        let fake = Fake::default();
        (fake.clone(), Behind::Fake(fake))
    }
}

/// A clock, an L2 and a source.
pub(crate) struct World<C> {
    pub(crate) clock: ManualClock,
    pub(crate) l2: Faulty<MemoryL2>,
    pub(crate) source: Source,
    /// The path of the test, where it has need of it.
    pub(crate) test: &'static str,
    kind: PhantomData<C>,
}

impl<C: Kind> World<C> {
    pub(crate) fn new() -> Self {
        let clock = ManualClock::new();
        let l2 = Faulty::new(MemoryL2::with_clock(clock.clone()));
        Self { clock, l2, source: Source::new(), test: "", kind: PhantomData }
    }

    pub(crate) fn named(self, test: &'static str) -> Self {
        Self { test, ..self }
    }

    /// What is on its way to L2 arrives, then time passes.
    pub(crate) async fn pass(&self, time: Duration) {
        settle().await;
        self.clock.advance(time).await;
    }

    pub(crate) fn users(&self) -> Users<C::Cache> {
        self.users_with(|settings| settings)
    }

    /// A service whose cache has other settings; a fake has none.
    pub(crate) fn users_with(&self, tweak: impl FnOnce(Settings) -> Settings) -> Users<C::Cache> {
        let settings = LevelCache::<u64, Arc<User>>::builder().area("users").l1(MokaL1::new(1000));
        let (cache, behind) = C::build(self, tweak(settings.clock(self.clock.clone()).ttl(TTL)));
        Users { cache, source: self.source.clone(), behind }
    }
}

/// The service. Each file of tests gives it the methods that it needs.
#[derive(Clone)]
pub(crate) struct Users<C> {
    pub(crate) cache: C,
    pub(crate) source: Source,
    pub(crate) behind: Behind,
}

impl<C: Cache<u64, Arc<User>>> Users<C> {
    /// The cache can't take part any more.
    pub(crate) async fn stop(&self) {
        match &self.behind {
            Behind::Level(level) => drop(level.shutdown(Duration::ZERO).await),
            Behind::Fake(fake) => fake.stop(),
        }
    }

    pub(crate) fn level(&self) -> &OverMoka {
        match &self.behind {
            Behind::Level(level) => level,
            Behind::Fake(_) => unreachable!("this test is not for the fake"),
        }
    }

    pub(crate) async fn set(&self, id: u64, version: u64) {
        let value = user(id, version).filter(|_| version > 0);
        self.cache.set(&id, value).await.expect("a cache that takes part");
    }

    /// What the cache has, without loading; `None`: nothing.
    pub(crate) async fn cached(&self, id: u64) -> Option<Row> {
        match self.cache.begin(&id).await {
            Begin::Hit(value) => Some(value),
            _ => None,
        }
    }
}

/// Runs each test with each cache, as `test::level_cache`, `test::erased` and `test::fake`; tokio's time stands still.
macro_rules! on_all {
    ($($test:ident),* $(,)?) => {$(
        mod $test {
            use crate::common::{Erased, Faked, Level, World};
            #[tokio::test(start_paused = true)]
            async fn level_cache() {
                Box::pin(super::$test(World::<Level>::new().named(concat!(module_path!(), "::level_cache")))).await;
            }
            #[tokio::test(start_paused = true)]
            async fn erased() {
                Box::pin(super::$test(World::<Erased>::new().named(concat!(module_path!(), "::erased")))).await;
            }
            #[tokio::test(start_paused = true)]
            async fn fake() {
                Box::pin(super::$test(World::<Faked>::new().named(concat!(module_path!(), "::fake")))).await;
            }
        }
    )*};
}

/// The same without the fake, for what needs flights, lives or stale values.
macro_rules! on_real {
    ($($test:ident),* $(,)?) => {$(
        mod $test {
            use crate::common::{Erased, Level, World};
            #[tokio::test(start_paused = true)]
            async fn level_cache() {
                Box::pin(super::$test(World::<Level>::new())).await;
            }
            #[tokio::test(start_paused = true)]
            async fn erased() {
                Box::pin(super::$test(World::<Erased>::new())).await;
            }
        }
    )*};
}

/// As `on_real`, on two threads and in real time.
macro_rules! on_threads {
    ($($test:ident),* $(,)?) => {$(
        mod $test {
            use crate::common::{Erased, Level, World};
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn level_cache() {
                Box::pin(super::$test(World::<Level>::new())).await;
            }
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn erased() {
                Box::pin(super::$test(World::<Erased>::new())).await;
            }
        }
    )*};
}
