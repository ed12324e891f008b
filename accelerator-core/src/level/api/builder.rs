//! Building a cache: four calls for most users, the rest has defaults; nonsense is refused by name.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize};
use std::time::Duration;

use tokio::runtime::Handle;

use crate::error::{CacheError, CacheResult, LoadError};
use crate::key::CacheKey;
use crate::level::api::handle::LevelCache;
use crate::level::api::settings::{Settings, area_prefix, claim_area, longest_value};
use crate::level::bounds::{Key, Value};
use crate::level::bus::ClearsL2;
use crate::level::engine::Engine;
use crate::level::flight::patience::Limits;
use crate::level::flight::slots::SlotTable;
use crate::level::local::Local;
use crate::level::local::claim::{Claim, Terms};
use crate::level::local::guarded::Guarded;
use crate::level::remote::{Grants, Remote};
use crate::level::source::{ByTrait, FromFn};
use crate::level::stats::counters::Counters;
use crate::level::stats::overdue::Overdue;
use crate::level::stats::rejects::Rejects;
use crate::level::time::background::Background;
use crate::level::time::key_deadlines::{Remembered, WhenFull};
use crate::level::time::policy::{MAX_REMEMBERED, MAX_VALUE_BYTES};
use crate::level::time::tasks::Tasks;
use crate::level::wire::Wire;
use crate::level::wire::cleared::Cleared;
use crate::level::wire::schema::schema;
use crate::level::wire::trials::Trials;
use crate::pulse::Pulses;
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
pub struct LevelCacheBuilder<K, V, L1 = NoL1> {
    l1: L1,
    pub(super) set: Settings<K, V>,
}

impl<K: Key, V: Value> LevelCache<K, V> {
    /// Begins a cache of `K` and `V`.
    pub fn builder() -> LevelCacheBuilder<K, V> {
        LevelCacheBuilder { l1: NoL1, set: Settings::default() }
    }
}

impl<K: Key, V: Value, L1> LevelCacheBuilder<K, V, L1> {
    /// Name of this cache's part of L2, 1 to 100 characters; two caches that share an L2 need two names. Required.
    pub fn area(mut self, area: impl Into<String>) -> Self {
        self.set.area = area.into();
        self
    }

    /// The in-process level: a store that is cheap to clone, or an `Arc` of one (`Arc<dyn L1Store<K, V>>` too). Each cache
    /// takes one of its own.
    pub fn l1<S: L1Store<K, V> + Clone>(mut self, store: S) -> LevelCacheBuilder<K, V, S> {
        self.set.has_l1 = true;
        LevelCacheBuilder { l1: store, set: self.set }
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

    /// How long a value is fresh, in both levels unless `l1_ttl` or `l2_ttl` say otherwise. Required if they don't. With
    /// an L2 nothing lives longer than 49.7 days (2^32 ms), stale time included.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.set.ttl = Some(ttl);
        self
    }

    /// How long a value is fresh in L1; at most `l2_ttl` where there is an L2. Default: `ttl`, and at most 10 s where there
    /// is an L2 and no [`bus`](Self::bus): nodes don't hear of each other's writes then, so a value that another node has
    /// changed or deleted is served from this node's L1 for up to `l1_ttl`.
    #[doc = include_str!("../../../docs/builder/l1_ttl.md")]
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
    #[doc = include_str!("../../../docs/builder/null_ttl.md")]
    pub fn null_ttl(mut self, ttl: Duration) -> Self {
        self.set.null_ttl = Some(ttl);
        self
    }

    /// Whether "absent" is cached at all. Default: yes. With `false` the source is asked again for each read of what it
    /// doesn't have.
    pub fn cache_null_value(mut self, yes: bool) -> Self {
        self.set.cache_null_value = yes;
        self
    }

    /// By how much of itself a TTL may be shortened at random, 0 to 1, drawn anew for each fill. Default: 0.
    ///
    /// With a `ttl` of 60 s and a ratio of 0.1, each value lives between 54 and 60 s: what was filled together does not
    /// end together.
    #[doc = include_str!("../../../docs/builder/ttl_jitter_ratio.md")]
    pub fn ttl_jitter_ratio(mut self, ratio: f64) -> Self {
        self.set.jitter = ratio;
        self
    }

    /// A hit within this time before the end of freshness starts a background refresh. Default: none. What is read often is
    /// then never waited for; see the example at [`stale_on_error`](Self::stale_on_error).
    pub fn refresh_ahead_window(mut self, window: Duration) -> Self {
        self.set.window = Some(window);
        self
    }

    /// How long after its freshness a value may be served when the loader fails. Default: zero, never.
    ///
    /// Each value is kept for so much longer, in L1 and in L2, where it takes memory for all of that time: with a TTL of
    /// 60 s and `stale_on_error` of 600 s a key stays in L2 for 660 s after its last load, eleven times as long. Count that in
    /// where L2 is sized.
    #[doc = include_str!("../../../docs/builder/stale_on_error.md")]
    pub fn stale_on_error(mut self, age: Duration) -> Self {
        self.set.stale = age;
        self
    }

    /// Hard limit of one load by the loader, or by a body given to `get_or_load`. A load that a caller runs itself, with a
    /// ticket or under an attribute, has none; those who wait for it have patience for as long, the L2 read before it and a
    /// little more. Then they wait on while it is alive, and else one of them loads beside it, in each such time one.
    /// Default: 2 s.
    pub fn loader_timeout(mut self, limit: Duration) -> Self {
        self.set.loader_timeout = limit;
        self
    }

    /// Limit of one L2 operation. Default: 100 ms for reads, 250 ms for writes.
    ///
    /// It grows with the bytes. A call of writes, with all its chunks, has the time in addition that its bytes take at
    /// 25 MB/s, where each key counts for 128 bytes beside its name and value. A batch of reads goes on while something
    /// comes from L2, for 16 times the limit at most. In a call of many chunks of reads, those after one that was not
    /// answered in time have an eighth of the limit. What has come of a batch by the end is kept.
    pub fn l2_timeout(mut self, limit: Duration) -> Self {
        self.set.l2_timeout = Some(limit);
        self
    }

    /// How long a lease of L2 lasts if its holder disappears: as long, others wait for the key (`lease_wait`), and nobody
    /// else stores it there. Its living holder renews it while the load goes on. Only for stores with leases. Default, and
    /// the least that is taken: the shortest that the store allows (Redis 1 s, memcached 2 s). For a store that can't renew
    /// leases: `loader_timeout`, the limit of an L2 write, and 1 s.
    #[doc = include_str!("../../../docs/builder/lease_ttl.md")]
    pub fn lease_ttl(mut self, ttl: Duration) -> Self {
        self.set.lease_ttl = Some(ttl);
        self
    }

    /// How long a read waits for the lease of another process; then it loads, and stores nothing in L2. Only for stores
    /// with leases. The lease of a process that died ends after `lease_ttl`, and one who waits takes it over. Default:
    /// `loader_timeout`, so that a load which keeps to its limit is the only one of all nodes. See the example at
    /// [`lease_ttl`](Self::lease_ttl).
    pub fn lease_wait(mut self, limit: Duration) -> Self {
        self.set.lease_wait = Some(limit);
        self
    }

    /// Most keys in one L2 call or one call of the batch loader. Default: 256.
    pub fn max_batch(mut self, keys: usize) -> Self {
        self.set.max_batch = keys;
        self
    }

    /// Another clock, for tests. Default: the operating system's.
    #[doc = include_str!("../../../docs/builder/clock.md")]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.set.clock = TimeSource::Custom(Arc::new(clock));
        self
    }

    /// The runtime for calls from outside of tokio: their detached work runs there in tasks, and what is polled in their
    /// own future (loaders, L2) is polled inside of it. For calls from a current-thread runtime too it takes what nobody
    /// waits for (fills of L2 behind a ticket, leases that are given back): such a runtime stands still as soon as its
    /// `block_on` is over.
    ///
    /// It must be one that is run: of a current-thread runtime that nobody is in `block_on` of, neither tasks nor timers
    /// make progress.
    #[doc = include_str!("../../../docs/builder/runtime.md")]
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

    /// How to load one key: an implementation of [`Loader`], where there is an example.
    pub fn loader_from(mut self, loader: impl Loader<K, V>) -> Self {
        self.set.sources.one = Some(Box::new(ByTrait(Arc::new(loader))));
        self
    }

    /// How to load many keys at once: a function from the keys to a future of pairs (a `HashMap<K, Option<V>>`, a
    /// `Vec<(K, Option<V>)>`...). A key that is left out is an error for that key. Single reads use it too where there
    /// is no `loader`.
    #[doc = include_str!("../../../docs/builder/batch_loader.md")]
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
    /// `InvalidConfig`, naming the field, its value and what it accepts. So too where the L1 store is that of a cache which
    /// lives (or has a load in progress), as far as its [`identity`](L1Store::identity) is known.
    /// So too where the codec can't read back what it writes of `V`, and where a cache that lives has this area on the same
    /// store, with other types or settings (see [`share_area`](Self::share_area)), as far as the store's
    /// [`identity`](L2Store::identity) is known.
    pub fn build(self) -> CacheResult<LevelCache<K, V, L1>>
    where
        L1: L1Store<K, V> + Clone,
    {
        let policy = self.set.policy()?;
        let (set, counters) = (self.set, Counters::default());
        let l2 = match (set.l2, set.codec) {
            (None, _) => None,
            (Some((store, _)), _) if store.limits().max_key_bytes < SHORTEST_KEY_LIMIT => {
                let given = store.limits().max_key_bytes;
                return Err(CacheError::config("l2's limits().max_key_bytes", given, "takes 64 or more"));
            }
            (Some((store, text)), Some(codec)) => {
                let most = longest_value(set.max_value_bytes, store.limits().max_value_bytes)?;
                let schema = schema("codec", &*codec, set.schema, set.fingerprint)?;
                let (also, layers) = set.bytes.checked(codec.id(), set.schema, set.fingerprint)?;
                let terms = Terms::of::<K, V>(codec.id(), schema, policy.lives_in_l2(), most).with_layers(layers.ids());
                let claim = claim_area(&*store, &set.area, terms, set.share_area)?;
                let wire = Wire {
                    schema,
                    also,
                    layers,
                    most_in_layers: most.max(MAX_VALUE_BYTES),
                    limits: store.limits().max_value_bytes(most),
                    codec,
                    text,
                    prefix: area_prefix(&set.area),
                    cleared: Arc::new(Cleared::default()),
                    trials: Trials::default(),
                    rejects: Rejects::new(&set.area, &counters),
                };
                Some((store, wire, claim))
            }
            (Some(_), None) => return Err(CacheError::config("codec", "none", "an l2 needs one")),
        };
        let claim = Claim::of(self.l1.identity()).ok_or_else(|| {
            let fix = "takes one of its own for each cache, or clone the cache: clones of a store share their entries";
            CacheError::config("l1", "a store that another cache has", fix)
        })?;
        let overdue = Overdue::new(&set.area, policy.loader_timeout);
        let read = l2.as_ref().map_or(Duration::ZERO, |_| policy.l2_read_timeout);
        let local = Arc::new(Local {
            clock: set.clock,
            generation: AtomicU32::new(1),
            cleared: AtomicU32::new(0),
            #[cfg(feature = "metrics")]
            reporter: crate::level::stats::reporter::Reporter::new(&set.area, &counters),
            counters,
            table: SlotTable::new(),
            l1: Arc::new(self.l1.clone()),
            patience: Limits::new(policy.loader_timeout, read),
            policy,
            tasks: Tasks::new(set.runtime),
            pulses: Pulses::new(),
            overdue,
            closed: AtomicBool::new(false),
            throttle: Remembered::new(WhenFull::Forget, MAX_REMEMBERED),
            _claim: claim,
        });
        let clears =
            l2.as_ref().map(|(store, wire, _)| ClearsL2 { store: store.clone(), cleared: wire.cleared.clone() });
        let bus = set.bus.build(&local, &set.area, set.recovery_bytes, clears);
        let remote = l2.map(|(store, wire, claim)| {
            Arc::new(Remote {
                _area: claim,
                local: local.clone(),
                bus: bus.clone(),
                store,
                wire,
                grants: Grants::default(),
                guarded: Guarded::new(),
                bypass: Remembered::new(WhenFull::HoldForAll, set.recovery_bytes),
                recovering: Background::default(),
                told_too_large: AtomicBool::new(false),
            })
        });
        let engine =
            Engine { local: local.clone(), bus, remote, sources: set.sources, refreshing: AtomicUsize::new(0) };
        engine.tend();
        Ok(LevelCache { l1: self.l1, local, engine: Arc::new(engine) })
    }
}

/// A shortened key is 42 bytes of hash and some of the text.
const SHORTEST_KEY_LIMIT: usize = 64;
