//! The caches of a worker.

use std::sync::Arc;
use std::time::Duration;

use accelerator::stores::{QuickCacheL1, RedisStore};
use accelerator::{CacheResult, InvalidationBus, L2Store, LevelCache, LevelCacheBuilder, NoL1};

use crate::backend::{self, Backend, Carrier};
use crate::event::Setup;
use crate::row::{Id, Row};
use crate::worker::calls::LOADER_TIMEOUT;
use crate::worker::source::Source;

/// What is stale stays, and is found.
const TTL: Duration = Duration::from_secs(3600);
/// Until nodes tell each other, an old value may live this long in another node's L1.
pub(crate) const L1_TTL: Duration = Duration::from_millis(300);

pub(crate) type Far = LevelCache<Id, Row, NoL1>;
pub(crate) type Near = LevelCache<Id, Row, QuickCacheL1<Id, Row>>;

/// A store, and a bus that publishes over its connection where both are of one Redis.
pub(crate) type StoreAndBus = (Option<Arc<dyn L2Store>>, Option<Arc<dyn InvalidationBus>>);

/// What a worker was told to use, with connections of this process.
pub(crate) fn store_and_bus(setup: &Setup) -> anyhow::Result<StoreAndBus> {
    let is_one = setup.l2 && setup.leases && setup.backend == Backend::Redis && setup.bus.carrier == Carrier::Redis;
    if is_one && setup.url == setup.bus.url {
        let store = RedisStore::builder().url(&setup.url).key_prefix(&setup.prefix).build()?;
        let bus = store.bus();
        return Ok((Some(Arc::new(store)), Some(Arc::new(bus))));
    }
    let store = setup.l2.then(|| backend::store(setup.backend, &setup.url, &setup.prefix, setup.leases)).transpose()?;
    Ok((store, setup.bus.carrier.bus(&setup.bus.url, &setup.prefix)?))
}

fn builder(area: &str, store: Arc<dyn L2Store>) -> LevelCacheBuilder<Id, Row> {
    LevelCache::builder().area(area).l2(store).ttl(TTL).null_ttl(TTL).loader_timeout(LOADER_TIMEOUT)
}

/// L2 alone: whatever any node has confirmed counts at once for all.
pub(crate) fn far(store: Arc<dyn L2Store>, source: Source) -> CacheResult<Far> {
    let many = source.clone();
    builder("far", store)
        .loader(move |id| source.clone().load(id))
        .batch_loader(move |ids| many.clone().load_many(ids))
        .build()
}

/// Both levels.
pub(crate) fn near(store: Arc<dyn L2Store>, source: Source) -> CacheResult<Near> {
    builder("near", store)
        .l1(QuickCacheL1::new(10_000))
        .l1_ttl(L1_TTL)
        .loader(move |id| source.clone().load(id))
        .build()
}

/// L1, which hears of other nodes' writes where there is a bus, and an L2 where there is one. The lives in L1 are the
/// defaults.
pub(crate) fn hearing(
    keys: Id,
    store: Option<Arc<dyn L2Store>>,
    bus: Option<Arc<dyn InvalidationBus>>,
    source: Source,
) -> CacheResult<Near> {
    let many = source.clone();
    let mut builder = LevelCache::builder()
        .area("near")
        .l1(QuickCacheL1::new(keys.saturating_mul(2).into()))
        .ttl(TTL)
        .null_ttl(TTL)
        .loader_timeout(LOADER_TIMEOUT)
        .loader(move |id| source.clone().load(id))
        .batch_loader(move |ids| many.clone().load_many(ids));
    if let Some(store) = store {
        builder = builder.l2(store);
    }
    if let Some(bus) = bus {
        builder = builder.bus(bus);
    }
    builder.build()
}

/// The same parts of L2, without loaders.
pub(crate) fn bare(area: &str, store: Arc<dyn L2Store>) -> CacheResult<Far> {
    builder(area, store).build()
}
