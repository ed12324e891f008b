//! Lives and limits: all the arithmetic of time.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::time::Duration;

use crate::entry::Entry;
use crate::time::millis;

/// A failed load is not repeated for a key with a stale value (or with a refresh to retry) for this long.
pub(crate) const RETRY_AFTER: Duration = Duration::from_secs(1);
/// The longest time that an option takes: ten years.
pub(crate) const LONGEST: Duration = Duration::from_secs(3650 * 24 * 3600);
/// Background refreshes at once, per cache.
pub(crate) const MAX_REFRESHES: usize = 256;
/// Keys remembered as ones whose load failed a moment ago.
pub(crate) const MAX_REMEMBERED: usize = 10_000;
/// Bytes of keys whose delete L2 did not confirm, unless the builder says otherwise: some 500,000 keys.
pub(crate) const RECOVERY_BYTES: usize = 64 << 20;
/// What such a key weighs beside its text in L2: its place in the queue and in the index.
pub(crate) const RECOVERY_OVERHEAD: usize = 96;
/// Bytes per second that L2 is given time for, at least: a fifth of a line of 1 Gbit/s.
pub(crate) const SLOWEST_RATE: u64 = 25_000_000;
/// What a key of a write counts for in that beside its value.
pub(crate) const BYTES_PER_KEY: usize = 128;
/// A batch of reads that keeps coming in may take so many times its limit.
pub(crate) const MOST_PATIENCE: u32 = 16;
/// Once L2 did not answer a chunk of a batch of reads in time, the next ones are given this part of the limit.
const LATER_CHUNKS: u32 = 8;
/// Chunks of one write that are on their way to L2 at the same time, where it answers slowly.
pub(crate) const CHUNKS_AT_ONCE: usize = 64;
/// Longest encoded value taken from or given to L2, unless the builder says otherwise.
pub(crate) const MAX_VALUE_BYTES: usize = 1 << 20;
/// Pauses between two looks at another's lease, each up to half longer or shorter; the last one repeats.
pub(crate) const LEASE_POLLS: [Duration; 5] = [
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(20),
    Duration::from_millis(40),
    Duration::from_millis(50),
];
/// How long the lease of a ticket is renewed at least: a caller's own load may take longer than `loader_timeout`, and a
/// ticket that is held and forgotten must not keep a key of the fleet for ever.
pub(crate) const LONGEST_TICKET: Duration = Duration::from_secs(60);
/// How long a writer's hold lasts where its guard is never finished.
pub(crate) const HOLD: Duration = Duration::from_secs(10);
/// Pauses between two tries to send deletes that L2 did not confirm: the first, and the longest that doubling leads to.
pub(crate) const RECOVERY_PAUSE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));
/// Single loads of one batch at once, where there is no batch loader.
pub(crate) const BATCH_CONCURRENCY: usize = 32;

/// What the builder was told, in milliseconds.
#[derive(Debug)]
pub(crate) struct Policy {
    pub(crate) l1_ttl: u64,
    pub(crate) l2_ttl: u64,
    /// `None`: absent answers are not cached.
    pub(crate) null_ttl: Option<u64>,
    /// The longest life that both levels can express: an envelope counts milliseconds in 32 bits.
    pub(crate) longest_life: u64,
    pub(crate) stale: u64,
    pub(crate) jitter: f64,
    pub(crate) window: u64,
    pub(crate) loader_timeout: Duration,
    pub(crate) l2_read_timeout: Duration,
    pub(crate) l2_write_timeout: Duration,
    /// How long a lease lasts where its holder is never heard of again.
    pub(crate) lease: Duration,
    /// How long after it was given, or renewed, it is renewed; `None`: the store can't.
    pub(crate) renew_after: Option<Duration>,
    /// How long a load waits for the lease that another process holds; then it loads, and fills nothing.
    pub(crate) lease_wait: Duration,
    pub(crate) max_batch: usize,
    /// The longest life in L1 of what is stored from now on: bounded while this node may miss other nodes' writes.
    pub(crate) longest_in_l1: AtomicU64,
    /// The longest TTL that a call or a loader has asked for.
    pub(crate) longest_own: AtomicU64,
    /// See [`Policy::with_usual`].
    pub(crate) usual: Option<(Life, Life)>,
}

/// How long something may live from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Life {
    /// Milliseconds of freshness.
    pub(crate) fresh: u64,
    /// Milliseconds of usefulness: freshness and what `stale_on_error` adds.
    pub(crate) useful: u64,
}

impl Life {
    /// The deadlines of this life, begun at `now` of the cache's clock.
    pub(crate) fn from(self, now: u64) -> Until {
        Until { fresh: now.saturating_add(self.fresh), useful: now.saturating_add(self.useful) }
    }
}

/// Until when (of the cache's clock) a value from L2 may live: it may wait for others before it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Until {
    fresh: u64,
    useful: u64,
}

impl Until {
    /// What is left at `now`.
    pub(crate) fn left(self, now: u64) -> Life {
        Life { fresh: self.fresh.saturating_sub(now), useful: self.useful.saturating_sub(now) }
    }

    /// Fresh for more than `least` milliseconds after `now`.
    pub(crate) fn is_fresh(self, now: u64, least: u64) -> bool {
        self.left(now).fresh > least
    }

    /// No longer fresh at `now`.
    pub(crate) fn expired(self, now: u64) -> Self {
        Self { fresh: self.fresh.min(now), ..self }
    }

    /// Of use, fresh or not.
    pub(crate) fn is_useful(self, now: u64) -> bool {
        now < self.useful
    }
}

impl Policy {
    /// The life in L1 and in L2 of a new value with an own `ttl` or the configured ones; `None`: not to be stored.
    /// Jitter is drawn anew each time and only shortens.
    #[inline]
    pub(crate) fn lives(&self, absent: bool, ttl: Option<Duration>) -> Option<(Life, Life)> {
        match ttl {
            None if !absent && self.usual.is_some() => self.usual,
            _ => self.draw_lives(absent, ttl),
        }
    }

    /// The lives of every value without a TTL of its own, where there is no jitter.
    pub(crate) fn with_usual(mut self) -> Self {
        if self.jitter <= 0.0 {
            self.usual = self.draw_lives(false, None);
        }
        self
    }

    fn draw_lives(&self, absent: bool, ttl: Option<Duration>) -> Option<(Life, Life)> {
        let own = ttl.map(millis);
        if let Some(own) = own {
            self.longest_own.fetch_max(own, Relaxed);
        }
        let (l1, l2) = match (absent, own) {
            (true, own) => {
                let null = self.null_ttl?;
                let ttl = own.unwrap_or(null);
                (ttl.min(self.l1_ttl), ttl)
            }
            (false, Some(own)) => (own, own),
            (false, None) => (self.l1_ttl, self.l2_ttl),
        };
        let keep = self.draw();
        let (l1, l2) = (shorten(l1, keep).min(self.longest_life), shorten(l2, keep).min(self.longest_life));
        (l1 > 0 && l2 > 0).then(|| (self.life(l1.min(l2)), self.life(l2)))
    }

    /// How long leases of a load are renewed at most, which runs in so many rounds: the load has a limit of its own, unless
    /// nobody runs its runtime.
    pub(crate) fn longest_load(&self, rounds: usize) -> Duration {
        let rounds = u32::try_from(rounds).unwrap_or(u32::MAX);
        self.loader_timeout.saturating_mul(rounds).saturating_add(self.lease)
    }

    /// The same for a ticket, whose holder may forget it.
    pub(crate) fn longest_ticket(&self) -> Duration {
        self.loader_timeout.max(LONGEST_TICKET)
    }

    /// How long L2 may take for a chunk of reads of a batch whose earlier chunk it did not answer in time.
    pub(crate) fn later_chunk(&self) -> Duration {
        self.l2_read_timeout / LATER_CHUNKS
    }

    /// After this, nothing that this node has written lives in L2 any more.
    pub(crate) fn longest(&self) -> u64 {
        let configured = self.l2_ttl.max(self.null_ttl.unwrap_or(0));
        configured.max(self.longest_own.load(Relaxed)).saturating_add(self.stale).min(self.longest_life)
    }

    /// How long values of this cache live in L2: fresh, absent ones, and stale. (Of one that caches no absent ones: zero.)
    pub(crate) fn lives_in_l2(&self) -> [u64; 3] {
        [self.l2_ttl, self.null_ttl.unwrap_or(0), self.stale]
    }

    /// The part of a TTL that jitter leaves, drawn anew each time.
    fn draw(&self) -> f64 {
        if self.jitter > 0.0 { 1.0 - self.jitter * fastrand::f64() } else { 1.0 }
    }

    fn life(&self, fresh: u64) -> Life {
        Life { fresh, useful: fresh.saturating_add(self.stale).min(self.longest_life) }
    }

    /// The life in L1 of what came from L2 with `left` to live: never more than that.
    pub(crate) fn backfill(&self, left: Life) -> Life {
        let keep = self.draw();
        let fresh = shorten(self.l1_ttl, keep).min(left.fresh);
        Life { fresh, useful: fresh.saturating_add(self.stale).min(left.useful) }
    }

    /// Bounds the life in L1 of what is stored from now on. Whoever shortens it raises the generation after that, whoever
    /// lengthens it before: no entry that counts has the longer life by mistake.
    pub(crate) fn bound_l1(&self, longest: u64) {
        self.longest_in_l1.store(longest, Release);
    }

    /// Whether L1 takes nothing at the moment.
    #[inline(always)]
    pub(crate) fn keeps_nothing(&self) -> bool {
        self.longest_in_l1.load(Relaxed) == 0
    }

    /// The L1 entry that begins `life` at `now`. The generation was read before.
    pub(crate) fn entry<V>(&self, value: Option<V>, life: Life, now: u64, generation: u32) -> Entry<V> {
        let longest = self.longest_in_l1.load(Acquire);
        let (fresh, useful) = (life.fresh.min(longest), life.useful.min(longest));
        let (fresh, useful) = (now.saturating_add(fresh), now.saturating_add(useful));
        Entry::new(value, now, fresh, useful, generation).with_window(self.window)
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
fn shorten(ms: u64, keep: f64) -> u64 {
    // A ratio of 0 keeps the exact value; a positive life never becomes nothing by jitter.
    if keep >= 1.0 { ms } else { ((ms as f64 * keep) as u64).max(ms.min(1)) }
}
