//! What an answer of L2 means to a read and to a load.

use bytes::Bytes;

use crate::error::StoreResult;
use crate::level::bounds::{Key, Value};
use crate::level::local::outcome::Stale;
use crate::level::remote::Remote;
use crate::level::remote::permit::{L2Use, May};
use crate::level::stats::counters::Count;
use crate::level::time::policy::Until;
use crate::level::wire::envelope::Unreadable;
use crate::level::wire::moment::Moment;
use crate::traits::l2::L2Read;

/// What an L2 read means.
pub(crate) enum Found<V> {
    /// A readable value with some life left, fresh or only useful.
    Hit { value: Option<V>, until: Until },
    /// Nothing to use; `fill`: whether what is loaded should be stored.
    Nothing { fill: bool },
}

/// What one answer of a store means.
pub(crate) enum Leased<V> {
    Look {
        found: Option<Stale<V>>,
        may: May,
        held: bool,
    },
    Busy,
    /// The store did not say.
    Failed,
}

impl<V> Leased<V> {
    pub(crate) fn nothing(may: May) -> Self {
        Self::Look { found: None, may, held: false }
    }

    /// A writer holds the key.
    pub(crate) fn held() -> Self {
        Self::Look { found: None, may: May::Nothing, held: true }
    }
}

impl<K: Key, V: Value> Remote<K, V> {
    pub(crate) fn understand(&self, full: &str, answer: StoreResult<Option<Bytes>>, at: Moment) -> Found<V> {
        let bytes = match answer {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Found::Nothing { fill: true },
            // Who can't read in time will hardly write in time, and a caller is waiting.
            Err(_) => return Found::Nothing { fill: false },
        };
        match self.open(full, &bytes, at) {
            Ok(Some(Stale { value, until })) => Found::Hit { value, until },
            Ok(None) => Found::Nothing { fill: true },
            // Old and new nodes must not fight over a key during a rolling deploy.
            Err(why) => Found::Nothing { fill: why == Unreadable::Garbage },
        }
    }

    #[inline(always)]
    pub(crate) fn understand_lease(&self, full: &str, answer: StoreResult<L2Read>, l2: L2Use, at: Moment) -> Leased<V> {
        self.grants.note(&answer);
        let read = match answer {
            Ok(read) => read,
            // Not even a plain write: other nodes may hold leases of the same store.
            Err(_) => return Leased::Failed,
        };
        match read {
            L2Read::Hit { bytes, seen } => {
                let replace = seen.map_or(May::Nothing, May::Replace);
                match self.open(full, &bytes, at) {
                    Ok(found) => {
                        Leased::Look { found: found.filter(|_| l2 != L2Use::Refresh), may: replace, held: false }
                    }
                    // Old and new nodes must not fight over a key during a rolling deploy.
                    Err(Unreadable::Foreign(_)) => Leased::nothing(May::Nothing),
                    Err(Unreadable::Garbage) => Leased::nothing(replace),
                }
            }
            L2Read::Leased { token, stale } => {
                self.local.counters.one(Count::Lease);
                let stale = stale.and_then(|bytes| self.open(full, &bytes, at).ok().flatten());
                let found = stale.map(|stale| Stale { until: stale.until.expired(at.now), ..stale });
                Leased::Look { found, may: May::Fill(token), held: false }
            }
            L2Read::Busy { .. } => Leased::Busy,
            L2Read::Held => {
                Leased::Look { found: None, may: May::Nothing, held: !cfg!(accelerator_mutant = "hold-ignored") }
            }
            L2Read::Failed | L2Read::NoLease => Leased::nothing(May::Nothing),
        }
    }

    /// What the bytes of a hit mean; what can't be read is counted.
    #[inline(always)]
    fn open(&self, full: &str, bytes: &Bytes, at: Moment) -> Result<Option<Stale<V>>, Unreadable> {
        match self.wire.open(full, bytes, at) {
            Ok(found) => Ok(found.map(|(value, left)| Stale { value, until: left.from(at.now) })),
            Err(why) => {
                match why {
                    Unreadable::Garbage => self.wire.rejects.damaged(at.unix),
                    Unreadable::Foreign(origin) => self.wire.rejects.foreign(origin, at.unix),
                }
                Err(why)
            }
        }
    }
}

/// `None`: L2 was not asked.
pub(crate) fn without_leases<V>(found: Option<Found<V>>) -> Leased<V> {
    match found {
        Some(Found::Hit { value, until }) => {
            Leased::Look { found: Some(Stale { value, until }), may: May::Write { occupied: true }, held: false }
        }
        Some(Found::Nothing { fill: true }) => Leased::nothing(May::Write { occupied: false }),
        Some(Found::Nothing { fill: false }) => Leased::nothing(May::Nothing),
        None => Leased::nothing(May::Write { occupied: true }),
    }
}
