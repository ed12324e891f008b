//! The log of ignored cache errors. A backend that is down must not become a flood of lines as well.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use crate::error::CacheError;

/// At most one line in this time, for each macro.
const EVERY_MS: u64 = 1_000;

const MACROS: [&str; 5] = ["cacheable", "cacheable_batch", "cache_put", "cache_evict", "cache_evict_batch"];

struct Line {
    /// When the next one may be written, in milliseconds since the first error of the process.
    next: AtomicU64,
    left_out: AtomicU64,
}

static START: LazyLock<Instant> = LazyLock::new(Instant::now);
static LINES: [Line; MACROS.len()] =
    [const { Line { next: AtomicU64::new(0), left_out: AtomicU64::new(0) } }; MACROS.len()];

/// One line for an error of the cache that the caller does not get.
pub(super) fn log(name: &'static str, op: &'static str, error: &CacheError) {
    let Some(line) = MACROS.iter().position(|known| *known == name).and_then(|at| LINES.get(at)) else { return };
    let now = u64::try_from(START.elapsed().as_millis()).unwrap_or(u64::MAX);
    let next = line.next.load(Relaxed);
    if now < next || line.next.compare_exchange(next, now.saturating_add(EVERY_MS), Relaxed, Relaxed).is_err() {
        line.left_out.fetch_add(1, Relaxed);
        return;
    }
    let left_out = line.left_out.swap(0, Relaxed);
    tracing::warn!(
        target: "accelerator::macros",
        cache_macro = name,
        op,
        result = "ignored",
        error = %error,
        left_out,
        "the cache could not take part; the function went on without it",
    );
}
