//! How a flight ends: for those who wait, and for the commit.

use crate::cache::Lookup;
use crate::error::{CacheError, ErrorKind};
use crate::level::time::policy::Life;
use crate::level::wire::moment::Dated;

/// How a flight ended, for all who wait.
#[derive(Clone)]
pub(crate) enum Outcome<V> {
    /// The answer; `None` is absent.
    Value(Option<V>),
    /// The load failed; here is a stale value for those who accept one, or a `Miss`.
    Failed { error: CacheError, stale: Lookup<V> },
    /// L2 has nothing, and the leader had nothing to load with.
    Missed,
}

/// How the work of a flight ended, for the commit.
pub(crate) enum End<V> {
    /// The source answered.
    Loaded(FromSource<V>),
    /// L2 answered.
    Found(Dated<V>),
    /// Nothing found and nothing to load with.
    Missed,
    /// The load failed; L2 had this stale value.
    Failed { error: CacheError, stale: Option<Dated<V>> },
    /// The source failed a moment ago and was not asked again.
    Throttled { error: CacheError, stale: Option<Dated<V>> },
}

/// An answer of the source, or what a caller sets, with the lives that were drawn for it: once, so that L1 and L2 agree.
pub(crate) struct FromSource<V> {
    pub(crate) value: Option<V>,
    /// In L1 and in L2; `None`: not to be cached.
    pub(crate) lives: Option<(Life, Life)>,
    /// When, by the cache's clock.
    pub(crate) at: u64,
}

impl<V> FromSource<V> {
    /// The same where a writer holds the key (`held`): neither level keeps the answer.
    #[inline]
    pub(crate) fn unless(self, held: bool) -> Self {
        if held { Self { lives: None, ..self } } else { self }
    }
}

impl<V> Outcome<V> {
    /// User code panicked.
    pub(crate) fn panicked() -> Self {
        let why = "user code panicked while the flight was under way (a Clone, a Drop, a store)";
        Self::failed(CacheError::new(ErrorKind::Panic, why))
    }

    /// With no stale value.
    pub(crate) fn failed(error: CacheError) -> Self {
        Self::Failed { error, stale: Lookup::Miss }
    }
}

/// Where a load has ended and nothing is known of its answer, which can't be. No caller takes that for absent.
#[cold]
pub(crate) fn no_answer() -> CacheError {
    CacheError::new(ErrorKind::NotLoaded, "a load ended without an answer; this is a bug of the cache")
}
