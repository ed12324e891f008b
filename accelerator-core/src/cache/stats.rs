//! What a cache has done: the counters, as they are read.

use crate::cache::bus_health::{BusState, Gaps};
use crate::error::StoreErrorKind;

/// What a cache has done since it was built. Each counter is exact once the threads that count are at rest; a reading
/// while they work may be a moment behind.
///
/// ```
/// # fn show(stats: accelerator_core::Stats) {
/// println!("{} hits in L1, {} in L2, {} loads", stats.l1_hits, stats.l2_hits, stats.loads());
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
    /// L2 values that could not be read: the next six, and those that are too large.
    pub undecodable: u64,
    /// Of `undecodable`: written by another version of the library.
    pub foreign_version: u64,
    /// Of `undecodable`: written by another codec, which `also_reads` does not name.
    pub foreign_codec: u64,
    /// Of `undecodable`: of another `schema_version`, or of another shape of the type. During a deploy that changes the
    /// type this is normal; at other times two caches share an area.
    pub foreign_schema: u64,
    /// Of `undecodable`: through a layer that this cache does not have (a compression, encryption), or without encryption
    /// where this cache has it.
    pub foreign_layer: u64,
    /// Of `undecodable`: encrypted with a key that this cache does not have.
    pub foreign_key_id: u64,
    /// Of `undecodable`: the checksum does not fit (damaged, cut off, of another key), an encrypted value was changed or
    /// moved, or the codec can't read what it finds.
    pub damaged: u64,
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
    pub l2_errors: L2Errors,
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
    /// Invalidations that the bus took from this cache: a key, or a `clear`, each counts as one.
    pub published: u64,
    /// Invalidations that the bus did not take. They are sent again, and may be counted again.
    pub publishes_failed: u64,
    /// Invalidations that this cache got from other nodes.
    pub received: u64,
    /// Messages that could not be read, or with a key that could not.
    pub receives_failed: u64,
    /// How often this cache forgot what it had in L1, as it may have missed a message.
    pub gaps: Gaps,
    /// Whether it hears of other nodes' writes.
    pub bus: BusState,
    /// Invalidations that the bus has yet to take.
    pub unpublished: usize,
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
        self.l2_errors.total()
    }
}

/// Failed L2 operations, counted by the kind of their error.
///
/// ```
/// # use accelerator_core::StoreErrorKind;
/// # fn show(stats: accelerator_core::Stats) {
/// println!("{} of {} without a connection", stats.l2_errors.of(StoreErrorKind::Unavailable), stats.l2_errors.total());
/// for (kind, count) in stats.l2_errors.iter() {
///     println!("{kind:?}: {count}");
/// }
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct L2Errors([u64; StoreErrorKind::COUNTED.len()]);

impl L2Errors {
    pub(crate) fn count(&mut self, kind: StoreErrorKind, n: u64) {
        if let Some(counted) = StoreErrorKind::COUNTED.iter().position(|one| *one == kind) {
            self.0[counted] += n;
        }
    }

    /// Those of one kind; none of a kind that is not counted.
    #[must_use]
    pub fn of(&self, kind: StoreErrorKind) -> u64 {
        self.iter().find(|(one, _)| *one == kind).map_or(0, |(_, n)| n)
    }

    /// Each kind that is counted, with its count.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (StoreErrorKind, u64)> + '_ {
        StoreErrorKind::COUNTED.iter().copied().zip(self.0)
    }

    /// All together.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }
}
