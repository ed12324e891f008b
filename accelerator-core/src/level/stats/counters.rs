//! Counters: one cell per thread and cache, written by its owner alone, summed by the reader.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use crate::cache::{BusState, L2Errors, Stats};
use crate::error::{ErrorKind, StoreErrorKind};
use crate::level::stats::bus_figures::{BusCount, BusFigures};
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
    ForeignLayer,
    ForeignKeyId,
    Damaged,
    TrialFailed,
    TooLarge,
}

const RARE: usize = Rare::TooLarge as usize + 1;
const COUNTS: usize = Count::FillLost as usize + 1;
const ERRORS: usize = StoreErrorKind::COUNTED.len();

/// The cells of one cache. Clones are the same cells.
#[derive(Clone, Default)]
pub(crate) struct Counters {
    lines: Arc<Lines>,
}

struct Lines {
    own: [Line; CELLS],
    shared: Line,
    rare: [AtomicU64; RARE],
    /// Where there is a bus.
    bus: OnceLock<Box<BusFigures>>,
}

impl Default for Lines {
    fn default() -> Self {
        let own = std::array::from_fn(|_| Line::default());
        Self { own, shared: Line::default(), rare: Default::default(), bus: OnceLock::new() }
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

    /// The figures of the cache's bus, from now on.
    pub(crate) fn with_bus(&self) -> &BusFigures {
        self.lines.bus.get_or_init(Box::default)
    }

    /// Those of a cache that has one.
    pub(crate) fn bus(&self) -> Option<&BusFigures> {
        self.lines.bus.get().map(|figures| &**figures)
    }

    pub(crate) fn l2_error(&self, kind: StoreErrorKind) {
        // An answer, not a failure.
        if kind == StoreErrorKind::Held {
            return;
        }
        let index = StoreErrorKind::COUNTED.iter().position(|k| *k == kind).unwrap_or(ERRORS - 1);
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
        let mut l2_errors = L2Errors::default();
        for (kind, n) in StoreErrorKind::COUNTED.iter().zip(&sum[COUNTS..]) {
            l2_errors.count(*kind, *n);
        }
        let bus = self.bus();
        let told = |what| bus.map_or(0, |figures| figures.of(what));
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
            foreign_layer: rare(Rare::ForeignLayer),
            foreign_key_id: rare(Rare::ForeignKeyId),
            damaged: rare(Rare::Damaged),
            trials_failed: rare(Rare::TrialFailed),
            too_large: rare(Rare::TooLarge),
            leases: of(Count::Lease),
            lease_waits: of(Count::LeaseWait),
            fills_lost: of(Count::FillLost),
            l2_errors,
            flights: now.flights,
            unconfirmed: now.unconfirmed,
            has_leases: now.has_leases,
            published: told(BusCount::Published),
            publishes_failed: told(BusCount::PublishFailed),
            received: told(BusCount::Received),
            receives_failed: told(BusCount::ReceiveFailed),
            gaps: bus.map(BusFigures::gaps).unwrap_or_default(),
            bus: bus.map_or(BusState::None, BusFigures::state),
            unpublished: now.unpublished,
        }
    }
}

/// What is not counted, but so at the moment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Gauges {
    pub(crate) flights: usize,
    pub(crate) unconfirmed: usize,
    pub(crate) has_leases: bool,
    pub(crate) unpublished: usize,
}
