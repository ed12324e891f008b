//! L2 as a cache uses it.
//!
//! Reads and loads look here, writes and deletes are sent here. Every call of the store is made in `calls`, under a time
//! limit; every failure is counted, and is a miss to whoever reads. The room calls `wire` for names and bytes, and `local`
//! for the clock, the counters and the fence.

pub(crate) mod age;
pub(crate) mod bypass;
pub(crate) mod calls;
pub(crate) mod fill;
pub(crate) mod interpret;
pub(crate) mod look;
pub(crate) mod look_many;
pub(crate) mod permit;
pub(crate) mod renew;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{StoreErrorKind, StoreResult};
use crate::level::bounds::{Key, Value};
use crate::level::bus::Bus;
use crate::level::local::Local;
use crate::level::local::claim::AreaClaim;
use crate::level::local::guarded::Guarded;
use crate::level::time::background::Background;
use crate::level::time::key_deadlines::Remembered;
use crate::level::wire::Wire;
use crate::level::wire::moment::Instants;
use crate::level::wire::wall_clock;
use crate::traits::l2::{L2Read, L2Store};

/// An L2 store and how this cache speaks to it.
pub(crate) struct Remote<K, V> {
    /// Before the store: whoever has the same identity later finds it free.
    pub(crate) _area: AreaClaim,
    pub(crate) local: Arc<Local<K, V>>,
    /// By which other nodes hear of what is deleted late.
    pub(crate) bus: Option<Arc<Bus<K, V>>>,
    pub(crate) store: Arc<dyn L2Store>,
    pub(crate) wire: Wire<K, V>,
    pub(crate) grants: Grants,
    /// Keys that this node guards itself.
    pub(crate) guarded: Guarded<K>,
    /// Keys whose delete L2 did not confirm.
    pub(crate) bypass: Remembered<K, ()>,
    /// The task that sends their deletes again.
    pub(crate) recovering: Background,
    /// Whether it was said that a batch can't be read or written in time.
    pub(crate) told_too_large: AtomicBool,
}

/// Whether a store that has leases gives them: a server that was set up without may be found out by the first call.
#[derive(Default)]
pub(crate) struct Grants {
    refused: AtomicBool,
    told: AtomicBool,
}

impl Grants {
    pub(crate) fn refused(&self) -> bool {
        self.refused.load(Ordering::Relaxed)
    }

    fn note(&self, answer: &StoreResult<L2Read>) {
        match answer {
            Ok(L2Read::Leased { .. }) if self.refused() => self.refused.store(false, Ordering::Relaxed),
            Err(error) if error.kind() == StoreErrorKind::Unsupported => {
                self.refused.store(true, Ordering::Relaxed);
                if !self.told.swap(true, Ordering::Relaxed) {
                    tracing::warn!(target: "accelerator::l2", error = %format_args!("{error:#}"), "L2 gives no leases; loads are not stored there");
                }
            }
            _ => {}
        }
    }
}

impl<K: Key, V: Value> Remote<K, V> {
    /// Whether the store has leases and, as far as is known, gives them.
    pub(crate) fn has_leases(&self) -> bool {
        self.wire.limits.leases && !self.grants.refused()
    }

    #[inline]
    pub(crate) fn moment(&self) -> Instants {
        let own = self.local.clock.unix();
        Instants { now: self.local.now(), unix: wall_clock::to_read(&*self.store, own), least_age: 0 }
    }

    /// When a read of L2 begins, by the cache's clock; zero where the store tells no ages.
    #[inline]
    pub(crate) fn asked_at(&self) -> u64 {
        if self.wire.limits.ages { self.local.now() } else { 0 }
    }
}
