//! Whether the store works: a fill of a new key, and a hit on it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use accelerator::{CacheResult, L2Store, LevelCache, Lookup, NoL1};
use anyhow::ensure;

use crate::worker::calls::LOADER_TIMEOUT;

/// Longer than anybody waits for the answer.
const GIVE_UP: Duration = Duration::from_secs(10);

pub(crate) struct Probe {
    cache: LevelCache<u64, u64, NoL1>,
    next: AtomicU64,
}

impl Probe {
    pub(crate) fn new(store: Arc<dyn L2Store>, process: usize) -> CacheResult<Self> {
        let cache = LevelCache::builder()
            .area("probe")
            .l2(store)
            .ttl(Duration::from_secs(60))
            .loader_timeout(LOADER_TIMEOUT)
            .loader(|key: u64| async move { Ok::<_, std::convert::Infallible>(Some(key)) })
            .build()?;
        Ok(Self { cache, next: AtomicU64::new((process as u64) << 32) })
    }

    /// Returns when the store works for the first time.
    pub(crate) async fn begin(&self) -> anyhow::Result<()> {
        let tried = self.recover().await;
        ensure!(self.works().await, "L2 does not work: {tried}");
        Ok(())
    }

    /// Returns when the store works, or does not for long, with what was tried until then.
    pub(crate) async fn recover(&self) -> String {
        let (begin, before, mut tries) = (Instant::now(), self.cache.stats(), 1);
        while begin.elapsed() < GIVE_UP && !self.works().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
            tries += 1;
        }
        let after = self.cache.stats();
        let errors =
            after.l2_errors.iter().zip(before.l2_errors.iter()).map(|((kind, now), (_, then))| (kind, now - then));
        let errors: Vec<_> = errors.filter(|(_, n)| *n > 0).collect();
        let (leases, lost) = (after.leases - before.leases, after.fills_lost - before.fills_lost);
        format!("{tries} tries with {leases} leases and {lost} lost fills; errors: {errors:?}")
    }

    async fn works(&self) -> bool {
        // A key of its own for each try: one that L2 did not confirm would be read past it.
        let key = self.next.fetch_add(1, Ordering::Relaxed);
        self.cache.get(&key).await.is_ok_and(|value| value == Some(key))
            && self.cache.lookup(&key).await == Lookup::Hit(key)
    }
}
