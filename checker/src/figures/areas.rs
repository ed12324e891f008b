//! Many caches of one process on one handle of the bus.

use std::time::{Duration, Instant};

use accelerator::stores::QuickCacheL1;
use accelerator::{BusState, LevelCache};
use anyhow::{Context, ensure};
use serde::Serialize;
use stats_alloc::Region;

use crate::ALLOCATOR;
use crate::backend::Carrier;
use crate::server::Server;

const ALL_LISTEN: Duration = Duration::from_secs(60);
type Cache = LevelCache<u64, u64, QuickCacheL1<u64, u64>>;

#[derive(Serialize)]
pub(super) struct Areas {
    pub(super) caches: usize,
    /// At the server, of `CLIENT LIST TYPE pubsub`.
    pub(super) listening_connections: usize,
    /// Allocated and not freed: the cache with an empty L1, its tasks, and its share of the bus.
    pub(super) bytes_per_cache: usize,
    pub(super) bytes_per_cache_without_bus: usize,
}

pub(super) async fn measure(server: &Server, caches: usize) -> anyhow::Result<Areas> {
    let bytes_per_cache_without_bus = {
        let region = Region::new(ALLOCATOR);
        let _all: Vec<Cache> = (0..caches).map(|n| builder(n).build()).collect::<Result<_, _>>()?;
        allocated(&region) / caches
    };
    let bus = Carrier::Redis.bus(&server.url(), "areas.")?.context("there is no bus")?;
    let region = Region::new(ALLOCATOR);
    let all: Vec<Cache> = (0..caches).map(|n| builder(n).bus(bus.clone()).build()).collect::<Result<_, _>>()?;
    let begin = Instant::now();
    while !all.iter().all(|cache| cache.stats().bus == BusState::Up) {
        ensure!(begin.elapsed() < ALL_LISTEN, "not all caches listen");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // Their hellos are heard as well.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let bytes_per_cache = allocated(&region) / caches;
    let listening_connections = server.ask("CLIENT LIST TYPE pubsub")?.lines().count();
    Ok(Areas { caches, listening_connections, bytes_per_cache, bytes_per_cache_without_bus })
}

fn builder(n: usize) -> accelerator::LevelCacheBuilder<u64, u64, QuickCacheL1<u64, u64>> {
    LevelCache::builder().area(format!("area-{n}")).l1(QuickCacheL1::new(100)).ttl(Duration::from_secs(60))
}

fn allocated(region: &Region<'_, std::alloc::System>) -> usize {
    let change = region.change();
    change.bytes_allocated.saturating_sub(change.bytes_deallocated)
}
