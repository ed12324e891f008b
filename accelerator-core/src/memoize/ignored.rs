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

impl Line {
    /// Whether a line may be written at `now`, and how many were left out since the last one.
    fn due(&self, now: u64) -> Option<u64> {
        let next = self.next.load(Relaxed);
        if now < next || self.next.compare_exchange(next, now.saturating_add(EVERY_MS), Relaxed, Relaxed).is_err() {
            self.left_out.fetch_add(1, Relaxed);
            return None;
        }
        Some(self.left_out.swap(0, Relaxed))
    }
}

static START: LazyLock<Instant> = LazyLock::new(Instant::now);
static LINES: [Line; MACROS.len()] =
    [const { Line { next: AtomicU64::new(0), left_out: AtomicU64::new(0) } }; MACROS.len()];

/// One line for an error of the cache that the caller does not get.
pub(super) fn log(name: &'static str, op: &'static str, error: &CacheError) {
    let Some(line) = MACROS.iter().position(|known| *known == name).and_then(|at| LINES.get(at)) else { return };
    let now = u64::try_from(START.elapsed().as_millis()).unwrap_or(u64::MAX);
    let Some(left_out) = line.due(now) else { return };
    tracing::warn!(
        target: "accelerator::macros",
        cache_macro = name,
        op,
        result = "ignored",
        error = %format_args!("{error:#}"),
        left_out,
        "the cache could not take part; the function went on without it",
    );
}

#[cfg(test)]
mod tests {
    use super::{AtomicU64, EVERY_MS, Line};

    #[test]
    fn one_line_in_a_second_and_the_next_says_how_many_were_left_out() {
        let line = Line { next: AtomicU64::new(0), left_out: AtomicU64::new(0) };
        assert_eq!(line.due(7), Some(0));
        for now in [7, 8, EVERY_MS + 6] {
            assert_eq!(line.due(now), None);
        }
        assert_eq!(line.due(EVERY_MS + 7), Some(3));
        assert_eq!(line.due(EVERY_MS * 5), Some(0));
    }
}
