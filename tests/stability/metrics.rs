//! The names of the counters: dashboards and alerts are written against them.

use std::time::Duration;

use accelerator::stores::MokaL1;
use accelerator::{BUS_METRIC_NAMES, CacheFuture, CacheResult, LevelCache, METRIC_NAMES};

const PUBLISHED: [&str; 25] = [
    "accelerator_cache_local_hit_total",
    "accelerator_cache_local_miss_total",
    "accelerator_cache_remote_hit_total",
    "accelerator_cache_remote_miss_total",
    "accelerator_cache_remote_undecodable_total",
    "accelerator_cache_remote_foreign_version_total",
    "accelerator_cache_remote_foreign_codec_total",
    "accelerator_cache_remote_foreign_schema_total",
    "accelerator_cache_remote_foreign_layer_total",
    "accelerator_cache_remote_foreign_key_id_total",
    "accelerator_cache_remote_damaged_total",
    "accelerator_cache_remote_trial_failed_total",
    "accelerator_cache_remote_too_large_total",
    "accelerator_cache_load_total",
    "accelerator_cache_load_success_total",
    "accelerator_cache_load_timeout_total",
    "accelerator_cache_load_error_total",
    "accelerator_cache_stale_fallback_total",
    "accelerator_cache_refresh_attempts_total",
    "accelerator_cache_refresh_success_total",
    "accelerator_cache_refresh_failures_total",
    "accelerator_cache_invalidation_publish_total",
    "accelerator_cache_invalidation_publish_failures_total",
    "accelerator_cache_invalidation_receive_total",
    "accelerator_cache_invalidation_receive_failures_total",
];

type C = LevelCache<u64, u64, MokaL1<u64, u64>>;

#[test]
fn published_names_stay() {
    for name in PUBLISHED {
        assert!(METRIC_NAMES.contains(&name), "{name} is gone");
    }
    for name in METRIC_NAMES {
        assert!(PUBLISHED.contains(name), "{name} is new: add it here");
    }
}

#[test]
fn published_names_of_a_bus_stay() {
    let published = [
        "accelerator_cache_invalidation_gap_total",
        "accelerator_cache_bus_connected",
        "accelerator_cache_invalidation_delay_seconds",
    ];
    assert_eq!(BUS_METRIC_NAMES, published);
}

#[test]
fn the_guide_describes_them_all() {
    let guide = include_str!("../../docs/guide/metrics.md");
    for name in METRIC_NAMES.iter().chain(BUS_METRIC_NAMES) {
        let short = name.strip_prefix("accelerator_cache_").unwrap();
        assert_eq!(guide.matches(&format!("| `{short}` |")).count(), 1, "{short}");
    }
}

#[test]
fn reports() {
    let _: fn(&C) = C::report_metrics;
    let _: fn(&C, Duration) -> CacheFuture<'static, CacheResult<()>> = C::report_metrics_every;
}
