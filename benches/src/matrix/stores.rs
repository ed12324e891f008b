//! From two names to a cache.

use std::sync::Arc;
use std::time::Duration;

use accelerator::stores::{MiniMokaL1, MokaL1, QuickCacheL1};
use accelerator::testkit::MemoryL2;
use accelerator::{BoxFuture, Cache, L1Store, L2Store, LevelCache, LevelCacheBuilder, NoL1};
use foldhash::fast::FixedState;

use crate::matrix::storm::{Storm, Way, storm};
use crate::matrix::{CAPACITY, Payload, Servers};
use crate::rows::Pair;

/// The stores' own hasher with a seed that is always the same: which keys share a bucket is worth some percent of a miss,
/// and must not differ between two runs.
const HASHER: FixedState = FixedState::with_seed(7);

/// Longer than any row runs.
const TTL: Duration = Duration::from_secs(3600);

/// In a server, which may be anybody's.
const KEPT: Duration = Duration::from_secs(120);

/// A cache, and what a benchmark needs to do behind its back.
pub struct Built {
    /// What the rows use.
    pub cache: Arc<dyn Cache<u64, Payload>>,
    /// L2, if there is one in memory.
    pub memory: Option<MemoryL2>,
    handle: Box<dyn Handle>,
}

impl Built {
    /// So many hits of L1 on warm keys, through the handle and no `dyn`.
    pub fn static_hits(&self, from: u64, count: u64) {
        self.handle.hits(from, count);
    }

    /// The same without L1: hits of L2, which suspend.
    pub async fn static_l2_hits(&self, from: u64, count: u64) {
        self.handle.l2_hits(from, count).await;
    }

    /// Calls to L2 so far.
    #[must_use]
    pub fn round_trips(&self) -> u64 {
        self.memory.as_ref().map_or(0, MemoryL2::round_trips)
    }

    /// Removes keys from L1.
    pub fn forget_l1(&self, keys: &[u64]) {
        self.handle.forget(keys);
    }

    /// So many tasks on one cold key, in one way; `allocations` counts those of the process so far.
    #[must_use]
    pub fn storm(&self, way: Way, tasks: u64, allocations: &dyn Fn() -> u64) -> Storm {
        self.handle.storm(way, tasks, allocations)
    }
}

/// What needs the store's own type.
trait Handle {
    fn hits(&self, from: u64, count: u64);
    fn l2_hits(&self, from: u64, count: u64) -> BoxFuture<'_, ()>;
    fn forget(&self, keys: &[u64]);
    fn storm(&self, way: Way, tasks: u64, allocations: &dyn Fn() -> u64) -> Storm;
}

struct Over<S, N, F> {
    store: S,
    cache: LevelCache<u64, Payload, S>,
    new: N,
    build: F,
}

impl<S, N, F> Handle for Over<S, N, F>
where
    S: L1Store<u64, Payload> + Clone,
    N: Fn() -> S,
    F: Fn(S) -> LevelCacheBuilder<u64, Payload, S>,
{
    fn hits(&self, from: u64, count: u64) {
        super::subject::static_hits(&self.cache, from, count);
    }

    fn l2_hits(&self, from: u64, count: u64) -> BoxFuture<'_, ()> {
        Box::pin(super::subject::static_l2_hits(&self.cache, from, count))
    }

    fn forget(&self, keys: &[u64]) {
        keys.iter().for_each(|key| self.store.remove(key));
    }

    fn storm(&self, way: Way, tasks: u64, allocations: &dyn Fn() -> u64) -> Storm {
        // A cache with loaders, over a store of its own.
        storm((self.build)((self.new)()), way, tasks, allocations)
    }
}

/// The cache of a pair.
///
/// # Panics
/// For a name that no store has, and where a server does not answer: see [`Servers::check`].
pub async fn build(pair: Pair, servers: &Servers) -> Built {
    match pair.l1 {
        "none" => over(|| NoL1, pair, servers).await,
        "moka" => {
            over(|| MokaL1::builder().capacity(CAPACITY).hasher(HASHER).build().expect("it has a bound"), pair, servers)
                .await
        }
        "mini-moka" => {
            over(
                || MiniMokaL1::builder().capacity(CAPACITY).hasher(HASHER).build().expect("it has a bound"),
                pair,
                servers,
            )
            .await
        }
        "quick-cache" => {
            over(
                || QuickCacheL1::builder().capacity(CAPACITY).hasher(HASHER).build().expect("it has a bound"),
                pair,
                servers,
            )
            .await
        }
        other => unreachable!("no L1 is called {other}"),
    }
}

async fn over<S, N>(new: N, pair: Pair, servers: &Servers) -> Built
where
    S: L1Store<u64, Payload> + Clone,
    N: Fn() -> S + 'static,
{
    #[cfg(any(accelerator_inject = "slow", accelerator_inject = "alloc"))]
    let new = move || super::inject::Injected::into(new());
    let store = new();
    let memory = (pair.l2 == "memory").then(MemoryL2::new);
    let l2: Option<Arc<dyn L2Store>> = match &memory {
        Some(memory) => Some(Arc::new(memory.clone())),
        None => servers.store(pair.l2).await.expect("a server that answered a moment ago"),
    };
    // Not longer in L1 than in L2.
    let (area, l2_ttl) = if pair.is_remote() { (unique_area(), KEPT) } else { ("bench".to_owned(), TTL) };
    let build = move |store| {
        let builder = LevelCache::builder().area(area.clone()).l1(store).l1_ttl(l2_ttl).l2_ttl(l2_ttl);
        match &l2 {
            Some(l2) => builder.l2(l2.clone()),
            None => builder,
        }
    };
    let cache = build(store.clone()).build().expect("the settings above are valid");
    let handle = Over { store, cache: cache.clone(), new, build };
    Built { cache: Arc::new(cache), memory, handle: Box::new(handle) }
}

/// What nobody has stored anything under, and nobody will, so that a key that is new is a miss.
pub(super) fn unique_area() -> String {
    use std::collections::hash_map::RandomState;
    use std::hash::BuildHasher;
    format!("bench-{:016x}", RandomState::new().hash_one(std::process::id()))
}
