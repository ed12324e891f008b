//! Reports for the crate `metrics`.

use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::cache::CacheFuture;
use crate::error::{CacheError, CacheResult};
use crate::level::api::handle::LevelCache;
use crate::level::bounds::{Key, Value};
use crate::level::time::timer::{Timer, from_now};

/// Reports don't come closer than this.
const SHORTEST_PERIOD: Duration = Duration::from_millis(100);

impl<K: Key, V: Value, L1> LevelCache<K, V, L1> {
    /// Gives the recorder of the crate `metrics` what was counted since the last report of this cache, for a scrape or
    /// before the cache is dropped. All clones report as one cache; caches of the same area add up.
    ///
    /// The counters are [`METRIC_NAMES`](crate::METRIC_NAMES), each with the label `area`. They count events, from
    /// [`stats`](Self::stats); between reports nothing changes. Install the recorder before the first report: what is
    /// reported without one is lost.
    ///
    /// ```
    /// # use accelerator_core::{LevelCache, testkit::MemoryL1};
    /// # use std::time::Duration;
    /// # fn main() -> Result<(), accelerator_core::CacheError> {
    /// let cache = LevelCache::<u64, u64>::builder().area("user").l1(MemoryL1::new()).ttl(Duration::from_secs(60)).build()?;
    /// cache.report_metrics();
    /// # Ok(()) }
    /// ```
    pub fn report_metrics(&self) {
        self.local.reporter.report();
    }

    /// [`report_metrics`](Self::report_metrics) now and then every `period` (100 ms at least), for a task of the
    /// caller's. It doesn't keep the cache: when the last clone is gone, the next report is the last one, with all that
    /// was counted until the end.
    ///
    /// # Errors
    /// `NoRuntime` where it is polled outside of a tokio runtime, after the first report.
    ///
    /// # Cancel safety
    /// Dropping the future ends the reports. Nothing is lost: what it did not report is in the next report, by whomever.
    pub fn report_metrics_every(&self, period: Duration) -> CacheFuture<'static, CacheResult<()>> {
        let (reporter, local) = (self.local.reporter.clone(), Arc::downgrade(&self.local));
        CacheFuture::boxed(async move {
            loop {
                // Asked before the report, which then has everything.
                let is_last = Weak::strong_count(&local) == 0;
                reporter.report();
                if is_last {
                    return Ok(());
                }
                match Timer::until(from_now(period.max(SHORTEST_PERIOD)), None) {
                    Some(timer) => timer.await,
                    None => return Err(CacheError::no_runtime("report_metrics_every")),
                }
            }
        })
    }
}
