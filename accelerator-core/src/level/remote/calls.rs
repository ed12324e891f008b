//! The one door to L2: every call of the store is made here, under a time limit, and each of its failures is counted.
//!
//! The limit of a batch grows with its bytes:
//! ```text
//! writes   the limit, and the time that the bytes take at `SLOWEST_RATE`: the bytes are known
//! reads    the limit, and on while something comes, `MOST_PATIENCE` limits at most: the bytes are not known before
//! ```
//! A call for one key is made by the store's call for one key, also where a batch has only one.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::atomic::Ordering::Relaxed;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::error::{StoreError, StoreErrorKind, StoreResult};
use crate::level::bounds::{Key, Value};
use crate::level::bus::announce::Attached;
use crate::level::remote::Remote;
use crate::level::remote::age::{AskedRead, told};
use crate::level::time::policy::{BYTES_PER_KEY, HOLD, MOST_PATIENCE, SLOWEST_RATE};
use crate::level::time::ticker::{Limit, NoRuntime};
use crate::traits::l2::outcomes::{Outcomes, Progress};
use crate::traits::l2::{Filled, HoldOwner, L2Read, LeaseToken};

/// A read that was to end looks whether something came in the last part of its limit: one of so many.
const PARTS: u32 = 4;

impl<K: Key, V: Value> Remote<K, V> {
    /// The limit of a write of so many keys with so many bytes.
    pub(crate) fn write_limit(&self, keys: usize, bytes: usize) -> Duration {
        self.local.policy.l2_write_timeout.saturating_add(travel_time(keys, bytes))
    }

    /// Reads one key, and how old what it has is, where the store tells.
    pub(super) async fn get(&self, wire: &str) -> (StoreResult<Option<Bytes>>, Option<Duration>) {
        let asked = pin!(AskedRead::get(self, wire));
        told(self.counted(self.timed(self.local.policy.l2_read_timeout, asked).await))
    }

    /// The same, and the lease where there is nothing.
    pub(super) async fn get_or_lease(&self, wire: &str) -> (StoreResult<L2Read>, Option<Duration>) {
        let asked = {
            let _inside = self.local.tasks.enter();
            AskedRead::get_or_lease(self, wire, self.local.policy.lease)
        };
        told(self.counted(self.timed(self.local.policy.l2_read_timeout, pin!(asked)).await))
    }

    /// Reads many keys. `true`: not all were answered in time.
    pub(super) async fn mget(&self, wires: &[&str], limit: Duration, outcomes: &mut Outcomes<Option<Bytes>>) -> bool {
        if wires.is_empty() {
            return false;
        }
        let progress = outcomes.progress();
        let ended = {
            let read = pin!(self.store.mget_into(wires, outcomes));
            self.timed_read(limit, progress, read).await
        };
        self.has_missing(ended, outcomes)
    }

    /// Reads many keys, and takes the leases of those that are not there. `true`: not all were answered in time.
    pub(super) async fn mget_or_lease(
        &self,
        wires: &[&str],
        lease: Duration,
        limit: Duration,
        outcomes: &mut Outcomes<L2Read>,
    ) -> bool {
        if wires.is_empty() {
            return false;
        }
        let progress = outcomes.progress();
        let ended = {
            let read = pin!(self.store.mget_or_lease_into(wires, lease, outcomes));
            self.timed_read(limit, progress, read).await
        };
        self.has_missing(ended, outcomes)
    }

    /// Writes all, with this `limit`, of which so much is left, and publishes what is attached.
    pub(crate) async fn set_all(
        &self,
        items: Vec<(&str, Bytes, Duration)>,
        attached: Option<&mut Attached<K, V>>,
        limit: Duration,
        left: Duration,
    ) -> Vec<StoreResult<()>> {
        let mut outcomes = Outcomes::new(items.len());
        let ended = self.send_sets(items, attached, limit, left, &mut outcomes).await;
        self.all_outcomes(limit, ended, outcomes)
    }

    /// The same for one who doesn't ask what became of each.
    pub(super) async fn set_and_count(&self, items: Vec<(&str, Bytes, Duration)>, limit: Duration) {
        let mut outcomes = Outcomes::new(items.len());
        let ended = self.send_sets(items, None, limit, limit, &mut outcomes).await;
        self.count_outcomes(limit, &ended, &outcomes);
    }

    async fn send_sets(
        &self,
        mut items: Vec<(&str, Bytes, Duration)>,
        attached: Option<&mut Attached<K, V>>,
        limit: Duration,
        left: Duration,
        out: &mut Outcomes<()>,
    ) -> StoreResult<()> {
        // Pinned here, as what an `async fn` is given takes its room twice.
        let write = pin!(async {
            if let Some(attached) = attached {
                let sent = self.store.mset_then_publish(items, attached.topic(), attached.message(), out).await;
                return attached.published(sent);
            }
            match (items.len(), items.pop()) {
                (1, Some((wire, bytes, ttl))) => out.put(0, self.store.set(wire, bytes, ttl).await),
                (_, Some(last)) => {
                    items.push(last);
                    self.store.mset_into(items, out).await;
                }
                (_, None) => {}
            }
        });
        self.timed_write(limit, left, write).await
    }

    /// Writes all like that, each only in place of its token.
    pub(super) async fn fill_all(
        &self,
        mut items: Vec<(&str, LeaseToken, Bytes, Duration)>,
        limit: Duration,
        left: Duration,
    ) -> Vec<StoreResult<Filled>> {
        let mut outcomes = Outcomes::new(items.len());
        let ended = {
            let out = &mut outcomes;
            let write = pin!(async {
                match (items.len(), items.pop()) {
                    (1, Some((wire, token, bytes, ttl))) => out.put(0, self.store.fill(wire, &token, bytes, ttl).await),
                    (_, Some(last)) => {
                        items.push(last);
                        self.store.mfill_into(items, out).await;
                    }
                    (_, None) => {}
                }
            });
            self.timed_write(limit, left, write).await
        };
        self.all_outcomes(limit, ended, outcomes)
    }

    /// Deletes all like that. `owner`: in place of that the one key with the hold of this guard.
    pub(crate) async fn del_all(
        &self,
        wires: &[&str],
        owner: Option<HoldOwner>,
        attached: Option<&mut Attached<K, V>>,
        limit: Duration,
        left: Duration,
    ) -> Vec<StoreResult<()>> {
        let mut outcomes = Outcomes::new(wires.len());
        let ended = {
            let out = &mut outcomes;
            let write = pin!(async {
                if let Some(attached) = attached {
                    let sent = self.store.mdel_then_publish(wires, attached.topic(), attached.message(), out).await;
                    return attached.published(sent);
                }
                match (owner, wires) {
                    (Some(owner), [one]) => out.put(0, self.store.unhold(one, owner).await),
                    (_, [one]) => out.put(0, self.store.del(one).await),
                    (_, many) => self.store.mdel_into(many, out).await,
                }
            });
            self.timed_write(limit, left, write).await
        };
        self.all_outcomes(limit, ended, outcomes)
    }

    /// Begins the time of these leases anew.
    pub(super) async fn renew_all(&self, mut items: Vec<(&str, LeaseToken)>) -> Vec<StoreResult<Option<LeaseToken>>> {
        let (limit, lease) = (self.write_limit(items.len(), 0), self.local.policy.lease);
        let mut outcomes = Outcomes::new(items.len());
        let ended = {
            let out = &mut outcomes;
            let renewing = pin!(async {
                match (items.len(), items.pop()) {
                    (1, Some((wire, token))) => out.put(0, self.store.renew(wire, &token, lease).await),
                    (_, Some(last)) => {
                        items.push(last);
                        out.put_all(self.store.mrenew(items, lease).await);
                    }
                    (_, None) => {}
                }
            });
            self.timed(limit, renewing).await
        };
        self.all_outcomes(limit, ended, outcomes)
    }

    /// Removes a lease, or the value seen, if it is still there. `false`: L2 did not confirm it.
    pub(super) async fn release(&self, wire: &str, token: LeaseToken) -> bool {
        let limit = self.local.policy.l2_write_timeout;
        self.counted(self.timed(limit, pin!(self.store.release(wire, token))).await).is_ok()
    }

    /// Holds a key for a writer.
    pub(crate) async fn hold(&self, wire: &str, owner: HoldOwner) -> StoreResult<()> {
        self.counted(self.timed(self.local.policy.l2_write_timeout, pin!(self.store.hold(wire, owner, HOLD))).await)
    }

    /// Ends a hold.
    pub(crate) async fn unhold(&self, wire: &str, owner: HoldOwner) {
        let _ =
            self.counted(self.timed(self.local.policy.l2_write_timeout, pin!(self.store.unhold(wire, owner))).await);
    }

    /// What the store answered in time; a failure is counted.
    #[inline(always)]
    fn counted<T>(&self, answer: StoreResult<StoreResult<T>>) -> StoreResult<T> {
        answer.and_then(|answer| answer).inspect_err(|e| self.local.counters.l2_error(e.kind()))
    }

    /// Counts what failed, and what a call left unanswered, as one. `true`: as its time was over.
    fn has_missing<T>(&self, ended: StoreResult<()>, outcomes: &Outcomes<T>) -> bool {
        if outcomes.missing_but(|error| self.local.counters.l2_error(error.kind())) == 0 {
            return false;
        }
        let kind = ended.map_or_else(|e| e.kind(), |()| StoreErrorKind::Protocol);
        self.local.counters.l2_error(kind);
        kind == StoreErrorKind::Timeout
    }

    /// Runs an L2 operation under `limit`; a runtime is needed for the timer.
    pub(super) async fn timed<T>(&self, limit: Duration, op: Pin<&mut impl Future<Output = T>>) -> StoreResult<T> {
        if !self.local.tasks.may_have_runtime() {
            return Err(no_runtime());
        }
        let (mut op, mut over) = (op, Limit::new(&self.local.tasks.ticker, limit));
        poll_fn(|cx| {
            let _inside = self.local.tasks.enter();
            match catch_unwind(AssertUnwindSafe(|| op.as_mut().poll(cx))) {
                Ok(Poll::Ready(out)) => return Poll::Ready(Ok(out)),
                Ok(Poll::Pending) => {}
                Err(_) => return Poll::Ready(Err(StoreError::new(StoreErrorKind::Other, "the store panicked"))),
            }
            self.local.tasks.poll_limit(&mut over, cx).map(|over| match over {
                Ok(()) => Err(StoreError::new(StoreErrorKind::Timeout, format!("L2 did not answer within {limit:?}"))),
                Err(NoRuntime) => Err(no_runtime()),
            })
        })
        .await
    }

    /// Runs a write with this `limit` for as long as is left of it.
    async fn timed_write<T>(
        &self,
        limit: Duration,
        left: Duration,
        op: Pin<&mut impl Future<Output = T>>,
    ) -> StoreResult<T> {
        self.timed(left, op).await.map_err(|e| match e.kind() {
            StoreErrorKind::Timeout => {
                StoreError::new(StoreErrorKind::Timeout, format!("L2 did not answer within {limit:?}"))
            }
            _ => e,
        })
    }

    /// Runs a batch of reads that puts what comes into outcomes with this `progress`.
    async fn timed_read(
        &self,
        limit: Duration,
        progress: Progress,
        op: Pin<&mut impl Future<Output = ()>>,
    ) -> StoreResult<()> {
        if !self.local.tasks.may_have_runtime() {
            return Err(no_runtime());
        }
        let (begun, step) = (Instant::now(), limit / PARTS);
        let (mut op, mut over) = (op, Limit::new(&self.local.tasks.ticker, limit - step));
        let mut seen = None;
        poll_fn(|cx| {
            match catch_unwind(AssertUnwindSafe(|| op.as_mut().poll(cx))) {
                Ok(Poll::Ready(())) => return Poll::Ready(Ok(())),
                Ok(Poll::Pending) => {}
                Err(_) => return Poll::Ready(Err(StoreError::new(StoreErrorKind::Other, "the store panicked"))),
            }
            loop {
                match self.local.tasks.poll_limit(&mut over, cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Err(_)) => return Poll::Ready(Err(no_runtime())),
                    Poll::Ready(Ok(())) => {}
                }
                let (waited, number) = (begun.elapsed(), progress.number());
                let moved = seen.replace(number) != Some(number);
                let longest = limit.saturating_mul(MOST_PATIENCE);
                if !moved || waited >= longest {
                    if moved {
                        self.tell_too_large(longest);
                    }
                    let context = format!("L2 did not answer within {limit:?}");
                    return Poll::Ready(Err(StoreError::new(StoreErrorKind::Timeout, context)));
                }
                over = Limit::new(&self.local.tasks.ticker, limit.saturating_sub(waited).max(step));
            }
        })
        .await
    }

    /// One outcome per key of a write with this `limit` that `ended` like this; failures are counted, what is missing as
    /// one.
    fn all_outcomes<T>(&self, limit: Duration, ended: StoreResult<()>, outcomes: Outcomes<T>) -> Vec<StoreResult<T>> {
        let kind = self.count_outcomes(limit, &ended, &outcomes);
        outcomes.into_vec(|| match &ended {
            Ok(()) => StoreError::new(kind, "a batch was not answered in full"),
            Err(why) => StoreError::new(kind, format!("{why:#}")),
        })
    }

    /// The half of [`all_outcomes`](Self::all_outcomes) that counts. What is missing is a failure of the kind that it
    /// answers.
    fn count_outcomes<T>(&self, limit: Duration, ended: &StoreResult<()>, outcomes: &Outcomes<T>) -> StoreErrorKind {
        let kind = ended.as_ref().map_or_else(StoreError::kind, |()| StoreErrorKind::Protocol);
        let missing = outcomes.missing_but(|error| self.local.counters.l2_error(error.kind()));
        if missing > 0 {
            self.local.counters.l2_error(kind);
        }
        // More than half of the limit was there for its bytes, L2 took some of them, and it was not enough.
        let is_large = limit > self.local.policy.l2_write_timeout.saturating_mul(2);
        if kind == StoreErrorKind::Timeout && is_large && (1..outcomes.len()).contains(&missing) {
            self.tell_too_large(limit);
        }
        kind
    }
}

fn no_runtime() -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, "no tokio runtime to time the L2 operation")
}

/// How long so many keys with so many bytes take on the slowest line that the limits are made for.
fn travel_time(keys: usize, bytes: usize) -> Duration {
    let bytes = keys.saturating_mul(BYTES_PER_KEY).saturating_add(bytes);
    let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
    Duration::from_micros(bytes.saturating_mul(1_000_000) / SLOWEST_RATE)
}

impl<K, V> Remote<K, V> {
    /// A batch did not fit into the `longest` time that it may take, though all that time something moved. Said once.
    fn tell_too_large(&self, longest: Duration) {
        if !self.told_too_large.swap(true, Relaxed) {
            let area = self.wire.prefix.trim_end_matches('.');
            tracing::warn!(
                target: "accelerator::l2", area, ?longest,
                "a batch of this area does not fit into its time limit: lower max_batch, or raise l2_timeout"
            );
        }
    }
}
