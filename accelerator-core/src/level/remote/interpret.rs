//! What an answer of L2 means to a read and to a load.

use bytes::Bytes;

use crate::error::StoreResult;
use crate::level::bounds::{Key, Value};
use crate::level::remote::Remote;
use crate::level::remote::permit::{FillRight, L2Use};
use crate::level::stats::counters::Count;
use crate::level::wire::envelope::Unreadable;
use crate::level::wire::moment::{Dated, Instants};
use crate::traits::l2::{L2Read, LeaseToken};

/// What an L2 read means.
pub(crate) enum Found<V> {
    /// A readable value with some life left, fresh or only useful.
    Hit(Dated<V>),
    /// Nothing to use; `fill`: whether what is loaded should be stored.
    Nothing { fill: bool },
}

/// What one answer of a store means.
pub(crate) enum Leased<V> {
    Look {
        found: Option<Dated<V>>,
        may: FillRight,
        held: bool,
    },
    Busy,
    /// A value of another schema that gives way: this is the proof of what was seen.
    Outdated(LeaseToken),
    /// The store did not say.
    Failed,
}

impl<V> Leased<V> {
    pub(crate) fn nothing(may: FillRight) -> Self {
        Self::Look { found: None, may, held: false }
    }

    /// A writer holds the key.
    pub(crate) fn held() -> Self {
        Self::Look { found: None, may: FillRight::Nothing, held: true }
    }
}

impl<K: Key, V: Value> Remote<K, V> {
    pub(crate) fn understand(&self, full: &str, answer: StoreResult<Option<Bytes>>, at: Instants) -> Found<V> {
        let bytes = match answer {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Found::Nothing { fill: true },
            // Who can't read in time will hardly write in time, and a caller is waiting.
            Err(_) => return Found::Nothing { fill: false },
        };
        match self.open(full, &bytes, at) {
            Ok(Some(found)) => Found::Hit(found),
            Ok(None) => Found::Nothing { fill: true },
            // Old and new nodes must not fight over a key during a rolling deploy.
            Err(why) => Found::Nothing { fill: !matches!(why, Unreadable::Foreign(_)) },
        }
    }

    #[inline(always)]
    pub(crate) fn understand_lease(
        &self,
        full: &str,
        answer: StoreResult<L2Read>,
        l2: L2Use,
        at: Instants,
    ) -> Leased<V> {
        self.grants.note(&answer);
        let read = match answer {
            Ok(read) => read,
            // Not even a plain write: other nodes may hold leases of the same store.
            Err(_) => return Leased::Failed,
        };
        match read {
            L2Read::Hit { bytes, seen } => {
                let replace = seen.map_or(FillRight::Nothing, FillRight::Replace);
                match self.open(full, &bytes, at) {
                    Ok(found) => {
                        Leased::Look { found: found.filter(|_| l2 != L2Use::Refresh), may: replace, held: false }
                    }
                    // Old and new nodes must not fight over a key during a rolling deploy.
                    Err(Unreadable::Foreign(_)) => Leased::nothing(FillRight::Nothing),
                    Err(Unreadable::Outdated(_)) => seen.map_or(Leased::nothing(FillRight::Nothing), Leased::Outdated),
                    Err(Unreadable::Garbage | Unreadable::TooLarge(_)) => Leased::nothing(replace),
                }
            }
            L2Read::Leased { token, stale } => {
                self.local.counters.one(Count::Lease);
                let stale = stale.and_then(|bytes| self.open(full, &bytes, at).ok().flatten());
                let found = stale.map(|stale| Dated { until: stale.until.expired(at.now), ..stale });
                Leased::Look { found, may: FillRight::Fill(token), held: false }
            }
            L2Read::Busy => Leased::Busy,
            L2Read::Held => Leased::Look { found: None, may: FillRight::Nothing, held: true },
            L2Read::NoLease => Leased::nothing(FillRight::Nothing),
        }
    }

    /// What the bytes of a hit mean; what can't be read is counted.
    #[inline(always)]
    fn open(&self, full: &str, bytes: &Bytes, at: Instants) -> Result<Option<Dated<V>>, Unreadable> {
        self.wire.open(full, bytes, at).inspect_err(|why| match *why {
            Unreadable::Garbage => self.wire.rejects.damaged(at.unix),
            Unreadable::TooLarge(bytes) => {
                self.wire.rejects.too_large_to_read(bytes, self.wire.limits.max_value_bytes, at.unix);
            }
            Unreadable::Foreign(origin) | Unreadable::Outdated(origin) => self.wire.rejects.foreign(origin, at.unix),
        })
    }
}

/// `None`: L2 was not asked.
pub(crate) fn without_leases<V>(found: Option<Found<V>>) -> Leased<V> {
    match found {
        Some(Found::Hit(found)) => {
            Leased::Look { found: Some(found), may: FillRight::Write { occupied: true }, held: false }
        }
        Some(Found::Nothing { fill: true }) => Leased::nothing(FillRight::Write { occupied: false }),
        Some(Found::Nothing { fill: false }) => Leased::nothing(FillRight::Nothing),
        None => Leased::nothing(FillRight::Write { occupied: true }),
    }
}
