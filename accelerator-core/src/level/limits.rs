//! How long a batch of L2 may take: its limit grows with its bytes.
//!
//! ```text
//! writes   the limit, and the time that the bytes take at `SLOWEST_RATE`: the bytes are known
//! reads    the limit, and on while something comes, `MOST_PATIENCE` limits at most: the bytes are not known before
//! ```

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering::Relaxed;
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;

use crate::error::{StoreError, StoreErrorKind, StoreResult};
use crate::level::engine::{Engine, Key, Value};
use crate::level::policy::{BYTES_PER_KEY, MOST_PATIENCE, SLOWEST_RATE};
use crate::level::remote::{Remote, no_runtime};
use crate::level::ticker::Limit;
use crate::traits::outcomes::{Outcomes, Progress};

/// A read that was to end looks whether something came in the last part of its limit: one of so many.
const PARTS: u32 = 4;

impl<K: Key, V: Value> Engine<K, V> {
    /// The limit of a write of so many keys with so many bytes.
    pub(crate) fn write_limit(&self, keys: usize, bytes: usize) -> Duration {
        self.policy.l2_write_timeout.saturating_add(travel_time(keys, bytes))
    }

    /// Runs a batch of reads that puts what comes into outcomes with this `progress`.
    pub(crate) async fn timed_read(
        &self,
        remote: &Remote<K, V>,
        limit: Duration,
        progress: Progress,
        op: impl Future<Output = ()>,
    ) -> StoreResult<()> {
        if !self.may_have_runtime() {
            return Err(no_runtime());
        }
        let (begun, step) = (Instant::now(), limit / PARTS);
        let (mut op, mut over) = (std::pin::pin!(op), Limit::new(&self.ticker, limit - step));
        let mut seen = None;
        poll_fn(|cx| {
            match catch_unwind(AssertUnwindSafe(|| op.as_mut().poll(cx))) {
                Ok(Poll::Ready(())) => return Poll::Ready(Ok(())),
                Ok(Poll::Pending) => {}
                Err(_) => return Poll::Ready(Err(StoreError::new(StoreErrorKind::Other, "the store panicked"))),
            }
            loop {
                match self.poll_limit(&mut over, cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Err(_)) => return Poll::Ready(Err(no_runtime())),
                    Poll::Ready(Ok(())) => {}
                }
                let (waited, number) = (begun.elapsed(), progress.number());
                let moved = seen.replace(number) != Some(number);
                let longest = limit.saturating_mul(MOST_PATIENCE);
                if !moved || waited >= longest {
                    if moved {
                        remote.tell_too_large(longest);
                    }
                    let context = format!("L2 did not answer within {limit:?}");
                    return Poll::Ready(Err(StoreError::new(StoreErrorKind::Timeout, context)));
                }
                over = Limit::new(&self.ticker, limit.saturating_sub(waited).max(step));
            }
        })
        .await
    }

    /// One outcome per key of a write with this `limit` that `ended` like this; failures are counted, what is missing as
    /// one.
    pub(crate) fn all_outcomes<T>(
        &self,
        remote: &Remote<K, V>,
        limit: Duration,
        ended: StoreResult<()>,
        outcomes: Outcomes<T>,
    ) -> Vec<StoreResult<T>> {
        let kind = ended.as_ref().map_or_else(StoreError::kind, |()| StoreErrorKind::Protocol);
        let missing = outcomes.missing();
        if missing > 0 {
            self.counters.l2_error(kind);
        }
        // More than half of the limit was there for its bytes, L2 took some of them, and it was not enough.
        let is_large = limit > self.policy.l2_write_timeout.saturating_mul(2);
        if kind == StoreErrorKind::Timeout && is_large && (1..outcomes.len()).contains(&missing) {
            remote.tell_too_large(limit);
        }
        outcomes.each_error(|error| self.counters.l2_error(error.kind()));
        outcomes.into_vec(|| match &ended {
            Ok(()) => StoreError::new(kind, "a batch was not answered in full"),
            Err(why) => StoreError::new(kind, why.to_string()),
        })
    }
}

/// How long so many keys with so many bytes take on the slowest line that the limits are made for.
fn travel_time(keys: usize, bytes: usize) -> Duration {
    let bytes = keys.saturating_mul(BYTES_PER_KEY).saturating_add(bytes);
    let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
    Duration::from_micros(bytes.saturating_mul(1_000_000) / SLOWEST_RATE)
}

impl<K, V> Remote<K, V> {
    /// A batch did not fit into the `longest` time that it may take, though all that time something moved. Said once.
    pub(crate) fn tell_too_large(&self, longest: Duration) {
        if !self.told_too_large.swap(true, Relaxed) {
            let area = self.prefix.trim_end_matches('.');
            tracing::warn!(
                target: "accelerator::l2", area, ?longest,
                "a batch of this area does not fit into its time limit: lower max_batch, or raise l2_timeout"
            );
        }
    }
}
