//! What the recorder of the crate `metrics` gets of a cache with a bus beside the counters: gaps by cause, whether the bus
//! is connected, delays.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use metrics::Unit;

use crate::level::stats::bus_figures::{BusFigures, GAPS as CAUSES, Gap, STEPS, end_of};

const GAPS: &str = "accelerator_cache_invalidation_gap_total";
const CONNECTED: &str = "accelerator_cache_bus_connected";
const DELAY: &str = "accelerator_cache_invalidation_delay_seconds";

/// The names of what [`LevelCache::report_metrics`](crate::LevelCache::report_metrics) reports of a cache with a bus beside
/// the counters: a counter with the label `cause`, a gauge, and a histogram with the label `of` (`own`, `others`). They
/// stay as they are.
pub const BUS_METRIC_NAMES: &[&str] = &[GAPS, CONNECTED, DELAY];

/// How much was reported of what only grows.
pub(crate) struct ReportedBus {
    gaps: [u64; CAUSES],
    own: [u64; STEPS],
    others: [u64; STEPS],
}

impl Default for ReportedBus {
    fn default() -> Self {
        Self { gaps: [0; CAUSES], own: [0; STEPS], others: [0; STEPS] }
    }
}

/// What is to be reported now.
pub(crate) struct Grown {
    gaps: [u64; CAUSES],
    own: [u64; STEPS],
    others: [u64; STEPS],
    hears_itself: bool,
}

impl ReportedBus {
    pub(crate) fn grown(&mut self, figures: &BusFigures) -> Grown {
        Grown {
            gaps: grown(&mut self.gaps, figures.gap_counts()),
            own: grown(&mut self.own, figures.own.counts()),
            others: grown(&mut self.others, figures.others.counts()),
            hears_itself: figures.hears_itself.load(Relaxed),
        }
    }
}

fn grown<const N: usize>(reported: &mut [u64; N], now: [u64; N]) -> [u64; N] {
    let before = std::mem::replace(reported, now);
    std::array::from_fn(|n| now[n].saturating_sub(before[n]))
}

impl Grown {
    pub(crate) fn report(&self, area: &Arc<str>) {
        metrics::describe_counter!(GAPS, Unit::Count, "How often L1 was forgotten, as a message may have been lost.");
        for (gap, grown) in Gap::ALL.iter().zip(self.gaps) {
            metrics::counter!(GAPS, "area" => area.clone(), "cause" => gap.as_str()).increment(grown);
        }
        metrics::describe_gauge!(
            CONNECTED,
            Unit::Count,
            "1 while this node hears its own messages on the bus, else 0."
        );
        metrics::gauge!(CONNECTED, "area" => area.clone()).set(if self.hears_itself { 1.0 } else { 0.0 });
        metrics::describe_histogram!(DELAY, Unit::Seconds, "From the publish of an invalidation to the purge of L1.");
        for (of, steps) in [("own", &self.own), ("others", &self.others)] {
            let histogram = metrics::histogram!(DELAY, "area" => area.clone(), "of" => of);
            for (step, &count) in steps.iter().enumerate().filter(|(_, count)| **count > 0) {
                let count = usize::try_from(count).unwrap_or(usize::MAX);
                histogram.record_many(end_of(step) as f64 / 1e6, count);
            }
        }
    }
}
