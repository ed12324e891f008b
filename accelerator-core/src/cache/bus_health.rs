//! What a cache knows of its bus, as it is read.

use std::time::Duration;

/// What a cache says of its bus; from [`LevelCache::bus_health`](crate::LevelCache::bus_health).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BusHealth {
    /// Whether it hears of other nodes' writes.
    pub state: BusState,
    /// For how long without a break; `None` while it does not.
    pub up_for: Option<Duration>,
    /// Whether what it publishes comes back to it: of each hello within 5 s. So both ways work, through the whole bus.
    pub hears_itself: bool,
    /// When it may last have missed a message, and why.
    pub last_gap: Option<LastGap>,
    /// How long its own messages take until they are back: measured by one clock.
    pub echo: Delays,
    /// How long the messages of other nodes took until L1 was purged: by their clocks and this one's, so only as right
    /// as those agree.
    pub delivery: Delays,
    /// Invalidations that the bus has yet to take.
    pub unpublished: usize,
}

/// When and why a cache last forgot what it had in L1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LastGap {
    /// As the label of the metric `invalidation_gap_total`, and the fields of [`Gaps`](crate::Gaps).
    pub cause: &'static str,
    /// How long ago.
    pub ago: Duration,
}

/// Whether a cache with a bus believes its L1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum BusState {
    /// The cache has no bus.
    #[default]
    None,
    /// It does not hear of other nodes' writes: what it stores in L1 lives `suspect_ttl` at most.
    Suspect,
    /// It hears of every write.
    Up,
}

/// Why a cache with a bus forgot what it had in L1: messages of other nodes may have been lost. Each cause is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Gaps {
    /// The connection ended, or there was none yet ([`GapCause::Disconnected`](crate::GapCause::Disconnected)).
    pub disconnected: u64,
    /// The server of the bus did not answer ([`GapCause::NoAnswer`](crate::GapCause::NoAnswer)).
    pub no_answer: u64,
    /// This node was too slow for its messages ([`GapCause::Overflow`](crate::GapCause::Overflow)).
    pub overflow: u64,
    /// The server of the bus refused ([`GapCause::Refused`](crate::GapCause::Refused)).
    pub refused: u64,
    /// The number of a message skipped one of the same node.
    pub skipped: u64,
    /// A node said hello and named a last message that had not come.
    pub trailing: u64,
    /// A node was heard for the first time that had sent something before.
    pub unheard: u64,
    /// A message could not be read, or a key in it.
    pub undecodable: u64,
    /// The runtime of the task that listens was not run.
    pub asleep: u64,
}

impl Gaps {
    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        let Self { disconnected, no_answer, overflow, refused, skipped, trailing, unheard, undecodable, asleep } =
            *self;
        disconnected + no_answer + overflow + refused + skipped + trailing + unheard + undecodable + asleep
    }
}

/// How long messages took from their publish to the purge of L1, as far as it was measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Delays {
    /// How many were measured.
    pub count: u64,
    /// Half of them took no longer. Zero where there is none; up to a fifth too long, as all are.
    pub p50: Duration,
    /// 99 of 100 took no longer.
    pub p99: Duration,
    /// None took longer.
    pub max: Duration,
}
