//! Counters: one cell per thread and cache, written by its owner alone, summed by the reader.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::error::{ErrorKind, StoreErrorKind};
use crate::level::stats::thread_index::{CELLS, first_use, number};

/// What is counted per thread.
#[derive(Clone, Copy)]
pub(crate) enum Count {
    L1Hit,
    L1Absent,
    L2Hit,
    L2Absent,
    L2Miss,
    Miss,
    LoadOk,
    LoadError,
    LoadTimeout,
    LoadPanic,
    Joined,
    StaleServed,
    Refresh,
    RefreshOk,
    RefreshFailed,
    FillRefused,
    Undecodable,
    Lease,
    LeaseWait,
    FillLost,
}

/// What is counted in one cell for all threads, beside the others: the lines of the threads keep their size.
#[derive(Clone, Copy)]
pub(crate) enum Rare {
    ForeignVersion,
    ForeignCodec,
    ForeignSchema,
    TrialFailed,
    TooLarge,
}

const RARE: usize = Rare::TooLarge as usize + 1;
const COUNTS: usize = Count::FillLost as usize + 1;
const ERRORS: usize = StoreErrorKind::ALL.len();

/// The cells of one cache. Clones are the same cells.
#[derive(Clone, Default)]
pub(crate) struct Counters {
    lines: Arc<Lines>,
}

struct Lines {
    own: [Line; CELLS],
    shared: Line,
    rare: [AtomicU64; RARE],
}

impl Default for Lines {
    fn default() -> Self {
        Self { own: std::array::from_fn(|_| Line::default()), shared: Line::default(), rare: Default::default() }
    }
}

// Two threads' counters never share a cache line (or a pair of them, as prefetched).
#[repr(align(128))]
#[derive(Default)]
struct Line([AtomicU64; COUNTS + ERRORS]);

impl Line {
    /// A load and a store instead of a locked add: only the owning thread writes here.
    #[inline(always)]
    fn add_alone(&self, index: usize, n: u64) {
        let cell = &self.0[index];
        cell.store(cell.load(Relaxed).wrapping_add(n), Relaxed);
    }
}

impl Counters {
    #[inline(always)]
    pub(crate) fn l1_hit(&self, absent: bool) {
        if absent { self.absent_hit() } else { self.bump(Count::L1Hit as usize, 1) }
    }

    /// Apart, so that on the way of a value the compiler knows that there is one.
    #[cold]
    #[inline(never)]
    fn absent_hit(&self) {
        self.one(Count::L1Absent);
    }

    #[inline(always)]
    fn bump(&self, index: usize, n: u64) {
        match self.lines.own.get(number()) {
            Some(line) => line.add_alone(index, n),
            None => self.bump_first(index, n),
        }
    }

    #[cold]
    #[inline(never)]
    fn bump_first(&self, index: usize, n: u64) {
        match first_use().and_then(|number| self.lines.own.get(number)) {
            Some(line) => line.add_alone(index, n),
            None => drop(self.lines.shared.0[index].fetch_add(n, Relaxed)),
        }
    }

    pub(crate) fn add(&self, what: Count, n: u64) {
        self.bump(what as usize, n);
    }

    pub(crate) fn one(&self, what: Count) {
        self.add(what, 1);
    }

    pub(crate) fn rare(&self, what: Rare) {
        self.lines.rare[what as usize].fetch_add(1, Relaxed);
    }

    pub(crate) fn l2_error(&self, kind: StoreErrorKind) {
        // An answer, not a failure.
        if kind == StoreErrorKind::Held {
            return;
        }
        let index = StoreErrorKind::ALL.iter().position(|k| *k == kind).unwrap_or(ERRORS - 1);
        self.bump(COUNTS + index, 1);
    }

    pub(crate) fn load_failed(&self, kind: ErrorKind) {
        self.one(match kind {
            ErrorKind::Timeout => Count::LoadTimeout,
            ErrorKind::Panic => Count::LoadPanic,
            _ => Count::LoadError,
        });
    }

    pub(crate) fn read(&self, now: Gauges) -> Stats {
        let mut sum = [0_u64; COUNTS + ERRORS];
        for cell in self.lines.own.iter().chain([&self.lines.shared]) {
            for (total, part) in sum.iter_mut().zip(&cell.0) {
                *total = total.wrapping_add(part.load(Relaxed));
            }
        }
        let of = |what: Count| sum[what as usize];
        let rare = |what: Rare| self.lines.rare[what as usize].load(Relaxed);
        let mut l2_errors = [(StoreErrorKind::Other, 0); ERRORS];
        for ((pair, kind), n) in l2_errors.iter_mut().zip(StoreErrorKind::ALL).zip(&sum[COUNTS..]) {
            *pair = (kind, *n);
        }
        Stats {
            l1_hits: of(Count::L1Hit) + of(Count::L1Absent),
            l2_hits: of(Count::L2Hit) + of(Count::L2Absent),
            absent_hits: of(Count::L1Absent) + of(Count::L2Absent),
            l2_misses: of(Count::L2Miss),
            misses: of(Count::Miss),
            loads_ok: of(Count::LoadOk),
            loads_error: of(Count::LoadError),
            loads_timeout: of(Count::LoadTimeout),
            loads_panic: of(Count::LoadPanic),
            joined: of(Count::Joined),
            stale_served: of(Count::StaleServed),
            refreshes: of(Count::Refresh),
            refreshes_ok: of(Count::RefreshOk),
            refreshes_failed: of(Count::RefreshFailed),
            fills_refused: of(Count::FillRefused),
            undecodable: of(Count::Undecodable),
            foreign_version: rare(Rare::ForeignVersion),
            foreign_codec: rare(Rare::ForeignCodec),
            foreign_schema: rare(Rare::ForeignSchema),
            trials_failed: rare(Rare::TrialFailed),
            too_large: rare(Rare::TooLarge),
            leases: of(Count::Lease),
            lease_waits: of(Count::LeaseWait),
            fills_lost: of(Count::FillLost),
            l2_errors,
            flights: now.flights,
            unconfirmed: now.unconfirmed,
            has_leases: now.has_leases,
        }
    }
}

/// What is not counted, but so at the moment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Gauges {
    pub(crate) flights: usize,
    pub(crate) unconfirmed: usize,
    pub(crate) has_leases: bool,
}

/// What a cache has done since it was built. Each counter is exact once the threads that count are at rest; a reading
/// while they work may be a moment behind.
///
/// ```
/// # fn show(stats: accelerator_core::Stats) {
/// println!("{} hits in L1, {} in L2, {} loads", stats.l1_hits, stats.l2_hits, stats.loads());
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Answered by L1 (known-absent answers included).
    pub l1_hits: u64,
    /// Flights answered by L2 (known-absent answers included).
    pub l2_hits: u64,
    /// Of the hits in both levels: those whose answer was "known to be absent".
    pub absent_hits: u64,
    /// Flights that wanted an answer of L2 and got none that is fresh: L2 has nothing, failed, or is read past.
    pub l2_misses: u64,
    /// Reads (`lookup` and `try_get` aside) that L1 could not answer.
    pub misses: u64,
    /// Keys loaded, absent ones included.
    pub loads_ok: u64,
    /// Keys whose load returned an error (a batch answer that leaves a key out included).
    pub loads_error: u64,
    /// Keys whose load was over `loader_timeout`.
    pub loads_timeout: u64,
    /// Keys whose load panicked.
    pub loads_panic: u64,
    /// Reads that waited for somebody else's flight.
    pub joined: u64,
    /// Stale values handed out.
    pub stale_served: u64,
    /// Background refreshes started.
    pub refreshes: u64,
    /// Background refreshes that ended with a new answer, of the source or of L2.
    pub refreshes_ok: u64,
    /// Background refreshes that ended without one, or were given up because their runtime ended.
    pub refreshes_failed: u64,
    /// Values not stored in L1 because an invalidation came while they were on their way.
    pub fills_refused: u64,
    /// L2 values that could not be read: damaged, foreign, or of another version, schema or codec.
    pub undecodable: u64,
    /// Of `undecodable`: written by another version of the library.
    pub foreign_version: u64,
    /// Of `undecodable`: written by another codec.
    pub foreign_codec: u64,
    /// Of `undecodable`: of another `schema_version`, or of another shape of the type. During a deploy that changes the
    /// type this is normal; at other times two caches share an area.
    pub foreign_schema: u64,
    /// Values not stored in L2 because they did not come back from their bytes as they were written. The first 16 values
    /// that a cache encodes are tried, then one in 10,000.
    pub trials_failed: u64,
    /// Values not stored in L2, or not read from there, because they exceed `max_value_bytes` of the builder.
    pub too_large: u64,
    /// Leases of L2 that were granted to this cache.
    pub leases: u64,
    /// Looks at keys whose lease another process held, each followed by a pause.
    pub lease_waits: u64,
    /// Values not stored in L2 because an invalidation or another write came while they were on their way.
    pub fills_lost: u64,
    /// Failed L2 operations by kind.
    pub l2_errors: [(StoreErrorKind, u64); ERRORS],
    /// Keys with a load or a write in progress now.
    pub flights: usize,
    /// Keys whose write or delete L2 has not confirmed: this node reads past L2 for them, and sends deletes until one, or a
    /// later write of the key, is confirmed. Some 500,000 are kept one by one (`recovery_bytes` of the builder). When there
    /// are more, this node reads past L2 for all keys, for as long as the longest TTL, and the deletes that found no room
    /// are not sent again ([`CacheError::is_queued`](crate::CacheError::is_queued) is false).
    pub unconfirmed: usize,
    /// Whether L2 has leases. Without them (or without L2) one load per key, and invalidation that beats loads, hold in
    /// this process only. A store that has them and was refused them by its server (`Unsupported`) is without until it
    /// gets one: what is loaded meanwhile is not stored in L2.
    pub has_leases: bool,
}

impl Stats {
    /// Keys for which the source was asked, whatever came of it.
    #[must_use]
    pub fn loads(&self) -> u64 {
        self.loads_ok + self.loads_error + self.loads_timeout + self.loads_panic
    }

    /// Failed L2 operations of all kinds.
    #[must_use]
    pub fn l2_errors_total(&self) -> u64 {
        self.l2_errors.iter().map(|(_, n)| n).sum()
    }
}
