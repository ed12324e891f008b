//! What a function under an attribute writes, other nodes hear of; and no load of theirs that was in progress is stored.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use accelerator::macros::{cache_evict, cache_evict_batch, cache_put, cacheable, cacheable_batch};
use accelerator::stores::MokaL1;
use accelerator::testkit::{MemoryBus, settle};
use accelerator::{CacheResult, LevelCache, Lookup};
use tokio::sync::Semaphore;

use crate::common::secs;

struct Names {
    cache: LevelCache<u64, u64, MokaL1<u64, u64>>,
    version: Arc<AtomicU64>,
    door: Arc<Semaphore>,
}

impl Names {
    fn new(bus: MemoryBus, version: &Arc<AtomicU64>) -> Self {
        let builder = LevelCache::<u64, u64>::builder().area("names").l1(MokaL1::new(100)).ttl(secs(60));
        let cache = builder.bus(bus).build().expect("a good configuration");
        Self { cache, version: version.clone(), door: Arc::new(Semaphore::new(1)) }
    }

    #[cacheable(cache = self.cache, key = id)]
    async fn name(&self, id: u64) -> CacheResult<Option<u64>> {
        let version = self.version.load(SeqCst);
        drop(self.door.acquire().await);
        Ok(Some(id * 1000 + version))
    }

    #[cacheable_batch(cache = self.cache, keys = ids)]
    async fn names(&self, ids: Vec<u64>) -> CacheResult<HashMap<u64, Option<u64>>> {
        let version = self.version.load(SeqCst);
        drop(self.door.acquire().await);
        Ok(ids.into_iter().map(|id| (id, Some(id * 1000 + version))).collect())
    }

    #[cache_evict(cache = self.cache, key = id)]
    async fn delete(&self, id: u64) -> CacheResult<()> {
        let _ = id;
        Ok(())
    }

    #[cache_evict_batch(cache = self.cache, keys = ids)]
    async fn delete_all(&self, ids: Vec<u64>) -> CacheResult<()> {
        drop(ids);
        Ok(())
    }

    #[cache_put(cache = self.cache, key = id, value = Some(2002))]
    async fn save(&self, id: u64) -> CacheResult<()> {
        let _ = id;
        Ok(())
    }
}

async fn write(on: &Names, how: &str) {
    on.version.store(2, SeqCst);
    match how {
        "evict" => on.delete(2).await,
        "evict_batch" => on.delete_all(vec![1, 2]).await,
        _ => on.save(2).await,
    }
    .expect("a written value");
    settle().await;
}

#[tokio::test(start_paused = true)]
async fn what_an_attribute_writes_is_written_on_all_nodes() {
    for how in ["evict", "evict_batch", "put"] {
        for (in_progress, batch) in [(false, false), (false, true), (true, false), (true, true)] {
            let (bus, version) = (MemoryBus::new(), Arc::new(AtomicU64::new(1)));
            let (a, b) = (Names::new(bus.clone(), &version), Arc::new(Names::new(bus.node(), &version)));
            settle().await;
            let held = if in_progress { b.door.clone().acquire_owned().await.ok() } else { None };
            let own = b.clone();
            let read = tokio::spawn(async move {
                match batch {
                    true => own.names(vec![2]).await.map(|found| found[&2].unwrap_or_default()),
                    false => own.name(2).await.map(Option::unwrap_or_default),
                }
            });
            settle().await;
            if in_progress {
                write(&a, how).await;
                drop(held);
            }
            assert_eq!(read.await.expect("a task").expect("a name"), 2001, "{how}: it read before");
            if !in_progress {
                assert_eq!(b.cache.try_get(&2), Lookup::Hit(2001), "{how}");
                write(&a, how).await;
            }
            settle().await;
            assert_eq!(b.cache.try_get(&2), Lookup::Miss, "{how}, in progress: {in_progress}, batch: {batch}");
            assert_eq!(b.name(2).await.expect("a name"), Some(2002), "{how}");
        }
    }
}
