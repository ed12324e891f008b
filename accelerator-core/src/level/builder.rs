//! Building a cache: four calls for most users, the rest has defaults; nonsense is refused by name.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize};
use std::time::Duration;

use tokio::runtime::Handle;

use crate::error::{CacheError, CacheResult, LoadError};
use crate::key::CacheKey;
use crate::level::LevelCache;
use crate::level::engine::{Engine, Key, Value};
use crate::level::lease::Grants;
use crate::level::rejects::Rejects;
use crate::level::remembered::{Remembered, WhenFull};
use crate::level::remote::Remote;
use crate::level::schema::schema;
use crate::level::settings::{Settings, area_prefix};
use crate::level::slots::SlotTable;
use crate::level::sources::{ByTrait, FromFn};
use crate::level::stats::Counters;
use crate::level::ticker::Ticker;
use crate::level::trials::Trials;
use crate::time::{Clock, TimeSource};
use crate::traits::codec::Codec;
use crate::traits::l1::{L1Store, NoL1};
use crate::traits::l2::L2Store;
use crate::traits::loader::{BatchLoader, Loaded, Loader};

/// Builds a [`LevelCache`]; begin with [`LevelCache::builder`].
///
/// Most users need four calls: `area`, `l1` and / or `l2`, `ttl`, `loader`. The levels follow from what is plugged in:
/// L1 only, L2 only, or both.
#[must_use = "call build()"]
pub struct Builder<K, V, L1 = NoL1> {
    l1: L1,
    set: Settings<K, V>,
}

impl<K: Key, V: Value> LevelCache<K, V> {
    /// Begins a cache of `K` and `V`.
    pub fn builder() -> Builder<K, V> {
        Builder { l1: NoL1, set: Settings::default() }
    }
}

impl<K: Key, V: Value, L1> Builder<K, V, L1> {
    /// Name of this cache's part of L2, 1 to 100 characters; two caches that share an L2 need two names. Required.
    pub fn area(mut self, area: impl Into<String>) -> Self {
        self.set.area = area.into();
        self
    }

    /// The in-process level: a store that is cheap to clone, or an `Arc` of one (`Arc<dyn L1Store<K, V>>` too).
    pub fn l1<S: L1Store<K, V> + Clone>(mut self, store: S) -> Builder<K, V, S> {
        self.set.has_l1 = true;
        Builder { l1: store, set: self.set }
    }

    /// The shared level, with the codec [`Postcard`](crate::Postcard) unless [`codec`](Self::codec) says otherwise.
    #[cfg(feature = "postcard")]
    pub fn l2(mut self, store: impl L2Store) -> Self
    where
        K: CacheKey,
        V: serde::Serialize + serde::de::DeserializeOwned,
    {
        self.set.l2 = Some((Arc::new(store), K::encode));
        self.set.codec.get_or_insert_with(|| Arc::new(crate::Postcard));
        self
    }

    /// The shared level, with a codec of your own.
    pub fn l2_with_codec(mut self, store: impl L2Store, codec: impl Codec<V>) -> Self
    where
        K: CacheKey,
    {
        self.set.l2 = Some((Arc::new(store), K::encode));
        self.codec(codec)
    }

    /// How values are encoded for L2. A value written by another codec is a miss.
    pub fn codec(mut self, codec: impl Codec<V>) -> Self {
        self.set.codec = Some(Arc::new(codec));
        self
    }

    /// How long a value is fresh, in both levels unless `l1_ttl` or `l2_ttl` say otherwise. Required if they don't. With
    /// an L2 nothing lives longer than 49.7 days (2^32 ms), stale time included.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.set.ttl = Some(ttl);
        self
    }

    /// How long a value is fresh in L1; at most `l2_ttl` where there is an L2. Default: `ttl`, and at most 10 s where there
    /// is an L2: nodes don't hear of each other's writes, so a value that another node has changed or deleted is served
    /// from this node's L1 for up to `l1_ttl`.
    pub fn l1_ttl(mut self, ttl: Duration) -> Self {
        self.set.l1_ttl = Some(ttl);
        self
    }

    /// How long a value is fresh in L2.
    pub fn l2_ttl(mut self, ttl: Duration) -> Self {
        self.set.l2_ttl = Some(ttl);
        self
    }

    /// How long "absent" is believed. Default: the TTL, at most 30 s.
    pub fn null_ttl(mut self, ttl: Duration) -> Self {
        self.set.null_ttl = Some(ttl);
        self
    }

    /// Whether "absent" is cached at all. Default: yes.
    pub fn cache_null_value(mut self, yes: bool) -> Self {
        self.set.cache_null_value = yes;
        self
    }

    /// By how much of itself a TTL may be shortened at random, 0 to 1, drawn anew for each fill. Default: 0.
    pub fn ttl_jitter_ratio(mut self, ratio: f64) -> Self {
        self.set.jitter = ratio;
        self
    }

    /// A hit within this time before the end of freshness starts a background refresh. Default: none.
    pub fn refresh_ahead_window(mut self, window: Duration) -> Self {
        self.set.window = Some(window);
        self
    }

    /// How long after its freshness a value may be served when the loader fails. Default: zero, never.
    pub fn stale_on_error(mut self, age: Duration) -> Self {
        self.set.stale = age;
        self
    }

    /// Hard limit of one load. It also bounds the wait for a load that another caller runs itself: that of one load, the
    /// L2 read before it (with leases: two, and `lease_wait`), and an eighth more. Of all who waited in vain one loads anew; who has waited twice is told
    /// `Timeout`, or loads alone where there is a loader. Default: 2 s.
    pub fn loader_timeout(mut self, limit: Duration) -> Self {
        self.set.loader_timeout = limit;
        self
    }

    /// Hard limit of one L2 operation. Default: 100 ms for reads, 250 ms for writes.
    pub fn l2_timeout(mut self, limit: Duration) -> Self {
        self.set.l2_timeout = Some(limit);
        self
    }

    /// How long a lease of L2 lasts if its holder disappears: as long, nobody else stores the key there. Only for stores
    /// with leases. Default, and the least that is taken: `loader_timeout`, the limit of an L2 write, and 1 s.
    pub fn lease_ttl(mut self, ttl: Duration) -> Self {
        self.set.lease_ttl = Some(ttl);
        self
    }

    /// How long a read waits for the lease of another process; then it loads, and stores nothing in L2. Only for stores
    /// with leases. One longer than `lease_ttl` sees the lease of a process that died end, and takes it over: then the
    /// source is asked once per lease, whoever dies. Default: 500 ms.
    pub fn lease_wait(mut self, limit: Duration) -> Self {
        self.set.lease_wait = limit;
        self
    }

    /// Most keys in one L2 call or one call of the batch loader. Default: 256.
    pub fn max_batch(mut self, keys: usize) -> Self {
        self.set.max_batch = keys;
        self
    }

    /// Raise it when values mean something else though their type has not changed (with `fingerprint(false)`: when the
    /// type changes, too). Values of another schema in L2 are misses, and are not replaced until their TTL is over (old
    /// and new nodes must not fight over a key). Default: 0.
    pub fn schema_version(mut self, version: u32) -> Self {
        self.set.schema = version;
        self
    }

    /// Whether `build()` looks at what `V` asks for when it is deserialized ([`Codec::shape`]): values of another shape
    /// are then misses, and a type that the codec can't read back is refused. Without it, bytes of the codec postcard
    /// that were written for another type may be read as nonsense. Default: yes.
    pub fn fingerprint(mut self, yes: bool) -> Self {
        self.set.fingerprint = yes;
        self
    }

    /// Another clock, for tests. Default: the operating system's.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.set.clock = TimeSource::Custom(Arc::new(clock));
        self
    }

    /// Where detached work runs when a call comes from outside a tokio runtime.
    pub fn runtime(mut self, runtime: Handle) -> Self {
        self.set.runtime = Some(runtime);
        self
    }

    /// How to load one key: a function from the key to a future of `Result<Option<V>, E>` (or of `Result<Loaded<V>, E>`,
    /// for a TTL of its own).
    pub fn loader<F, Fut, T, E>(mut self, load: F) -> Self
    where
        F: Fn(K) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
        T: Into<Loaded<V>>,
        E: Into<LoadError>,
    {
        self.set.sources.one = Some(Box::new(FromFn(load)));
        self
    }

    /// How to load one key: an implementation of [`Loader`].
    pub fn loader_from(mut self, loader: impl Loader<K, V>) -> Self {
        self.set.sources.one = Some(Box::new(ByTrait(Arc::new(loader))));
        self
    }

    /// How to load many keys at once: a function from the keys to a future of pairs (a `HashMap<K, Option<V>>`, a
    /// `Vec<(K, Option<V>)>`...). A key that is left out is an error for that key. Single reads use it too where there
    /// is no `loader`.
    pub fn batch_loader<F, Fut, I, T, E>(mut self, load: F) -> Self
    where
        F: Fn(Vec<K>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<I, E>> + Send + 'static,
        I: IntoIterator<Item = (K, T)>,
        T: Into<Loaded<V>>,
        E: Into<LoadError>,
    {
        self.set.sources.many = Some(Box::new(FromFn(load)));
        self
    }

    /// How to load many keys at once: an implementation of [`BatchLoader`].
    pub fn batch_loader_from(mut self, loader: impl BatchLoader<K, V>) -> Self {
        self.set.sources.many = Some(Box::new(ByTrait(Arc::new(loader))));
        self
    }

    /// The cache.
    ///
    /// # Errors
    /// `InvalidConfig`, naming the field, its value and what it accepts. Also where the codec can't read back what it
    /// writes of `V`.
    pub fn build(self) -> CacheResult<LevelCache<K, V, L1>>
    where
        L1: L1Store<K, V> + Clone,
    {
        let policy = self.set.policy()?;
        let (set, counters) = (self.set, Counters::default());
        let remote = match (set.l2, set.codec) {
            (None, _) => None,
            (Some((store, _)), _) if store.limits().max_key_bytes < SHORTEST_KEY_LIMIT => {
                let given = store.limits().max_key_bytes;
                return Err(CacheError::config("l2's limits().max_key_bytes", given, "takes 64 or more"));
            }
            (Some((store, text)), Some(codec)) => Some(Remote {
                schema: schema(&*codec, set.schema, set.fingerprint)?,
                limits: store.limits(),
                store,
                codec,
                text,
                prefix: area_prefix(&set.area),
                grants: Grants::default(),
                bypass: Remembered::new(WhenFull::HoldForAll),
                recovering: AtomicBool::new(false),
                cleared_at: AtomicU64::new(0),
                trials: Trials::default(),
                rejects: Rejects::new(&set.area, &counters),
            }),
            (Some(_), None) => return Err(CacheError::config("codec", "none", "an l2 needs one")),
        };
        let engine = Engine {
            clock: set.clock,
            generation: AtomicU32::new(1),
            #[cfg(feature = "metrics")]
            reporter: crate::level::metrics::Reporter::new(&set.area, &counters),
            counters,
            table: SlotTable::new(),
            l1: Arc::new(self.l1.clone()),
            remote,
            sources: set.sources,
            policy,
            runtime: set.runtime,
            ticker: Ticker::new(),
            closed: AtomicBool::new(false),
            refreshing: AtomicUsize::new(0),
            throttle: Remembered::new(WhenFull::Forget),
        };
        Ok(LevelCache { l1: self.l1, engine: Arc::new(engine) })
    }
}

/// A shortened key is 42 bytes of hash and some of the text.
const SHORTEST_KEY_LIMIT: usize = 64;
