//! How a flight ends: for those who wait, and for the commit.

use crate::error::{CacheError, ErrorKind};
use crate::level::time::policy::{Life, Until};
use crate::traits::loader::Loaded;

/// How a flight ended, for all who wait.
#[derive(Clone)]
pub(crate) enum Outcome<V> {
    /// The answer; `None` is absent.
    Value(Option<V>),
    /// The load failed; here is a stale value for those who accept one.
    Failed { error: CacheError, stale: Option<Option<V>> },
    /// L2 has nothing, and the leader had nothing to load with.
    Missed,
}

/// How the work of a flight ended, for the commit.
pub(crate) enum End<V> {
    /// The source answered; how long it may be cached is drawn by the commit.
    Answered(Loaded<V>),
    /// The source answered, and its lives are known.
    Loaded(FromSource<V>),
    /// L2 answered.
    Found { value: Option<V>, until: Until },
    /// Nothing found and nothing to load with.
    Missed,
    /// The load failed; L2 had this stale value.
    Failed { error: CacheError, stale: Option<Dated<V>> },
    /// The source failed a moment ago and was not asked again.
    Throttled { error: CacheError, stale: Option<Dated<V>> },
}

/// An answer of the source, with the lives that were drawn for it: once, so that L1 and L2 agree.
pub(crate) struct FromSource<V> {
    pub(crate) value: Option<V>,
    /// In L1 and in L2; `None`: not to be cached.
    pub(crate) lives: Option<(Life, Life)>,
    /// When, by the cache's clock.
    pub(crate) at: u64,
}

/// A value from L2 that is no longer fresh, and until when (of the cache's clock) it is of use: the load that it stands
/// in for may take a while to fail.
#[derive(Clone)]
pub(crate) struct Dated<V> {
    pub(crate) value: Option<V>,
    pub(crate) until: Until,
}

impl<V> Outcome<V> {
    /// User code panicked.
    pub(crate) fn panicked() -> Self {
        let why = "user code panicked while the flight was under way (a Clone, a Drop, a store)";
        Self::Failed { error: CacheError::new(ErrorKind::Panic, why), stale: None }
    }
}
