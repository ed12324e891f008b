//! What all clones of a cache share: one engine for each `(K, V)`, whatever the stores.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use crate::cache::Stats;
use crate::level::bounds::{Key, Value};
use crate::level::bus::Bus;
use crate::level::local::Local;
use crate::level::remote::Remote;
use crate::level::source::Sources;
use crate::level::stats::counters::Gauges;

pub(crate) struct Engine<K, V> {
    pub(crate) local: Arc<Local<K, V>>,
    pub(crate) bus: Option<Arc<Bus<K, V>>>,
    pub(crate) remote: Option<Arc<Remote<K, V>>>,
    pub(crate) sources: Sources<K, V>,
    pub(crate) refreshing: AtomicUsize,
}

impl<K: Key, V: Value> Engine<K, V> {
    /// Keys that this node reads past L2 for.
    pub(crate) fn unconfirmed(&self) -> usize {
        self.remote.as_ref().map_or(0, |remote| remote.bypass.len())
    }

    /// Invalidations that the bus has yet to take.
    pub(crate) fn unpublished(&self) -> usize {
        self.bus.as_ref().map_or(0, |bus| bus.unpublished())
    }

    /// Whoever can't be answered by L1 sees to it that this node hears of others' writes.
    #[inline]
    pub(crate) fn tend(&self) {
        if let Some(bus) = &self.bus {
            bus.tend();
        }
    }

    pub(crate) fn stats(&self) -> Stats {
        let has_leases = self.remote.as_ref().is_some_and(|remote| remote.has_leases());
        let (flights, unconfirmed) = (self.local.table.len(), self.unconfirmed());
        self.local.counters.read(Gauges { flights, unconfirmed, has_leases, unpublished: self.unpublished() })
    }
}
