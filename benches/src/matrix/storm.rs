//! Many tasks on one cold key.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use accelerator::macros::cacheable;
use accelerator::{Cache, L1Store, LevelCache, LevelCacheBuilder};
use tokio::task::JoinHandle;

use crate::matrix::{Failed, Payload, make};

/// How the tasks ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// `get`, by the cache's loader.
    Get,
    /// `mget` of the one key.
    Mget,
    /// `get_or_load` with a body of the caller's.
    GetOrLoad,
    /// An annotated method.
    Macro,
}

impl Way {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Get, Self::Mget, Self::GetOrLoad, Self::Macro];

    /// As in ids.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Mget => "mget",
            Self::GetOrLoad => "get_or_load",
            Self::Macro => "macro",
        }
    }
}

/// What a storm has to show.
#[derive(Clone, Copy, Debug)]
pub struct Storm {
    /// How often the source was asked.
    pub loads: u64,
    /// Allocations for each task, beside what the task itself and its sleep take.
    pub allocs_per_waiter: f64,
}

struct Slow {
    cache: Arc<dyn Cache<u64, Payload>>,
    loads: Arc<AtomicU64>,
}

impl Slow {
    #[cacheable(cache = self.cache, key = id)]
    async fn get(&self, id: u64) -> Result<Option<Payload>, Failed> {
        load(&self.loads, id).await
    }
}

async fn load(loads: &AtomicU64, id: u64) -> Result<Option<Payload>, Failed> {
    loads.fetch_add(1, Relaxed);
    tokio::time::sleep(Duration::from_millis(20)).await;
    Ok(Some(make(id)))
}

/// A storm on a fresh cache, on one thread; `allocations` counts those of the process so far.
pub(super) fn storm<S: L1Store<u64, Payload> + Clone>(
    builder: LevelCacheBuilder<u64, Payload, S>,
    way: Way,
    tasks: u64,
    allocations: &dyn Fn() -> u64,
) -> Storm {
    let loads = Arc::new(AtomicU64::new(0));
    let counted = loads.clone();
    let loader = move |key| {
        let loads = counted.clone();
        async move { load(&loads, key).await }
    };
    let cache = builder.loader(loader).build().expect("the settings are valid");
    let slow = Arc::new(Slow { cache: Arc::new(cache.clone()), loads: loads.clone() });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let count = |storm: &dyn Fn() -> JoinHandle<()>| {
        let before = allocations();
        runtime.block_on(async {
            let handles: Vec<_> = (0..tasks).map(|_| storm()).collect();
            for handle in handles {
                handle.await.expect("no task panics");
            }
        });
        allocations() - before
    };
    let alone = count(&|| tokio::spawn(tokio::time::sleep(Duration::from_millis(20))));
    let together = count(&|| {
        let (cache, slow) = (cache.clone(), slow.clone());
        tokio::spawn(async move { ask(&cache, &slow, way, 7).await })
    });
    let each = together.saturating_sub(alone) as f64 / tasks as f64;
    Storm { loads: loads.load(Relaxed), allocs_per_waiter: (each * 1000.0).round() / 1000.0 }
}

async fn ask<S: L1Store<u64, Payload> + Clone>(cache: &LevelCache<u64, Payload, S>, slow: &Slow, way: Way, key: u64) {
    match way {
        Way::Get => drop(cache.get(&key).await),
        Way::Mget => drop(cache.mget(&[key]).await),
        Way::GetOrLoad => drop(cache.get_or_load(&key, load(&slow.loads, key)).await),
        Way::Macro => drop(slow.get(key).await),
    }
}
