//! Counters for the crate `metrics`: what `stats` says, handed over when somebody asks. A hit knows nothing of it.
//!
//! A recorder is given what was counted since the last report, not totals: caches that share an area, one after another
//! or at the same time, add up.

use std::sync::Arc;

use crate::cache::Stats;
use crate::level::stats::bus_reporter::ReportedBus;
use crate::level::stats::counters::{Counters, Gauges};
use crate::sync::{Mutex, lock};

struct Metric {
    name: &'static str,
    help: &'static str,
    of: fn(&Stats) -> u64,
}

macro_rules! metrics {
    ($($name:literal $help:literal $of:expr;)*) => {
        const METRICS: &[Metric] = &[$(Metric { name: concat!("accelerator_cache_", $name), help: $help, of: $of }),*];

        /// The names of the counters that [`LevelCache::report_metrics`](crate::LevelCache::report_metrics) reports. They stay as they are.
        pub const METRIC_NAMES: &[&str] = &[$(concat!("accelerator_cache_", $name)),*];
    };
}

metrics! {
    "local_hit_total" "Reads that L1 answered, known-absent answers included." |s| s.l1_hits;
    "local_miss_total" "Reads that L1 could not answer." |s| s.misses;
    "remote_hit_total" "Flights that L2 answered, known-absent answers included." |s| s.l2_hits;
    "remote_miss_total" "Flights that wanted an answer of L2 and got none that is fresh." |s| s.l2_misses;
    "remote_undecodable_total" "Values of L2 that could not be read." |s| s.undecodable;
    "remote_foreign_version_total" "Of these: written by another version of the library." |s| s.foreign_version;
    "remote_foreign_codec_total" "Of these: written by another codec." |s| s.foreign_codec;
    "remote_foreign_schema_total" "Of these: of another schema." |s| s.foreign_schema;
    "remote_foreign_layer_total" "Of these: with other layers than this cache has." |s| s.foreign_layer;
    "remote_foreign_key_id_total" "Of these: encrypted with a key that this cache does not have." |s| s.foreign_key_id;
    "remote_damaged_total" "Of these: damaged, changed, of another key, or not decodable." |s| s.damaged;
    "remote_trial_failed_total" "Values not stored in L2: their bytes don't give them back." |s| s.trials_failed;
    "remote_too_large_total" "Values not stored in L2, or not read from there: larger than max_value_bytes." |s| s.too_large;
    "load_total" "Keys for which the source was asked." Stats::loads;
    "load_success_total" "Keys that the source answered, absent ones included." |s| s.loads_ok;
    "load_timeout_total" "Keys whose load was over its time limit." |s| s.loads_timeout;
    "load_error_total" "Keys whose load returned an error or panicked." |s| s.loads_error + s.loads_panic;
    "stale_fallback_total" "Stale values handed out because a load failed." |s| s.stale_served;
    "refresh_attempts_total" "Background refreshes started." |s| s.refreshes;
    "refresh_success_total" "Background refreshes that ended with a new answer." |s| s.refreshes_ok;
    "refresh_failures_total" "Background refreshes that ended without one." |s| s.refreshes_failed;
    "invalidation_publish_total" "Invalidations that the bus took from this node." |s| s.published;
    "invalidation_publish_failures_total" "Invalidations that the bus did not take; sent again." |s| s.publishes_failed;
    "invalidation_receive_total" "Invalidations received from other nodes." |s| s.received;
    "invalidation_receive_failures_total" "Received messages that could not be read." |s| s.receives_failed;
}

/// One cache's counters, and how much of them was reported. It knows neither keys nor values, and outlives the cache as
/// long as somebody still reports.
pub(crate) struct Reporter {
    area: Arc<str>,
    counters: Counters,
    reported: Mutex<[u64; METRICS.len()]>,
    reported_bus: Mutex<Option<Box<ReportedBus>>>,
}

impl Reporter {
    pub(crate) fn new(area: &str, counters: &Counters) -> Arc<Self> {
        Arc::new(Self {
            area: area.into(),
            counters: counters.clone(),
            reported: Mutex::default(),
            reported_bus: Mutex::default(),
        })
    }

    pub(crate) fn report(&self) {
        // The recorder is foreign code: it is called outside of the lock.
        for (metric, grown) in METRICS.iter().zip(self.unreported()) {
            metrics::describe_counter!(metric.name, metrics::Unit::Count, metric.help);
            // Also by nothing, so that a counter is there before its first event.
            metrics::counter!(metric.name, "area" => self.area.clone()).increment(grown);
        }
        if let Some(figures) = self.counters.bus() {
            let grown = lock(&self.reported_bus).get_or_insert_default().grown(figures);
            grown.report(&self.area);
        }
    }

    /// What was counted since the last call.
    fn unreported(&self) -> [u64; METRICS.len()] {
        let mut reported = lock(&self.reported);
        // Under the lock: a later report reads what an earlier one has read, or more.
        let stats = self.counters.read(Gauges::default());
        let now = std::array::from_fn(|i| (METRICS[i].of)(&stats));
        let before = std::mem::replace(&mut *reported, now);
        std::array::from_fn(|i| now[i].saturating_sub(before[i]))
    }
}
