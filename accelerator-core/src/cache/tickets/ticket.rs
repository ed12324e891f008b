//! What a read by tickets finds, and the ticket: the right and the duty to load one key, and what it can do to its flight.

use std::fmt;
use std::sync::Arc;

use crate::cache::answers::Lookup;
use crate::cache::future::CacheFuture;
use crate::cache::tickets::failed::FailedLoad;
use crate::error::CacheError;
use crate::pulse::PulsePoint;
use crate::traits::loader::Loaded;

/// What [`Tickets::begin`](crate::Tickets::begin) found.
#[derive(Debug)]
#[non_exhaustive]
pub enum Begin<V> {
    /// In the cache; `None` is known to be absent.
    Hit(Option<V>),
    /// Not there, and it is the caller's turn to load: give the result to the ticket.
    Lead(LoadTicket<V>),
    /// Somebody else's load of this key, which the caller waited for, failed.
    Failed(FailedLoad<V>),
    /// The cache can't take part (it is shut down): load without it.
    Unavailable(CacheError),
}

/// What a ticket can do to its flight; implemented by the engine, and by wrappers that want to see what passes.
pub trait FlightOps<V>: Send + Sync {
    /// The load ended well.
    fn complete(self: Arc<Self>, loaded: Loaded<V>);
    /// The load failed; all who wait get `error`.
    fn fail(self: Arc<Self>, error: CacheError);
    /// The load was given up; the next who waits takes over.
    fn hand_over(self: Arc<Self>);
    /// A stale answer to serve instead of the failed load, [`Lookup::Miss`] where there is none; counted as served.
    fn stale(&self) -> Lookup<V>;
    /// Where those who wait look for the pulse of this load, to know that it is alive. The provided method says nowhere.
    fn pulse_point(&self) -> Option<PulsePoint> {
        None
    }
    /// The keys of its batch that other processes load, and which of them this one is. The provided method says that it is
    /// none.
    fn busy(&self) -> Option<(Arc<dyn BusyOps<V>>, usize)> {
        None
    }
}

/// The keys of one batch that other processes load; for caches, and for wrappers that pass them on.
pub trait BusyOps<V>: Send + Sync {
    /// Waits for the keys at these places, and answers when something is known of one of them at least: its value, or
    /// that it is the caller's to load. An answer ends the key's ticket of before.
    fn wait(self: Arc<Self>, places: Vec<usize>) -> CacheFuture<'static, Vec<(usize, Begin<V>)>>;
}

/// The right and the duty to load one key. Dropping it hands the load to the next who waits, also where a panic drops it.
#[must_use = "a dropped ticket gives the load up"]
pub struct LoadTicket<V>(pub(super) Option<Arc<dyn FlightOps<V>>>);

impl<V> LoadTicket<V> {
    /// A ticket of a flight.
    pub fn new(flight: Arc<dyn FlightOps<V>>) -> Self {
        Self(Some(flight))
    }

    /// A ticket of no flight, for fakes and for caches that can't take part: filling it does nothing.
    pub fn detached() -> Self {
        Self(None)
    }

    /// Where those who wait look for the pulse of its load.
    pub(crate) fn pulse_point(&self) -> Option<PulsePoint> {
        self.0.as_ref().and_then(|flight| flight.pulse_point())
    }

    /// Hands in what was loaded. It is cached unless an invalidation came since the ticket was given, and goes to all
    /// who wait.
    pub fn fill(mut self, loaded: impl Into<Loaded<V>>) {
        // Before the ticket is used up: user code, which may panic.
        let loaded = loaded.into();
        if let Some(flight) = self.0.take() {
            flight.complete(loaded);
        }
    }

    /// Says that the load failed, to all who wait. They get a stale value where the cache allows one.
    pub fn fail(mut self, error: CacheError) {
        if let Some(flight) = self.0.take() {
            flight.fail(error);
        }
    }

    pub(crate) fn flight(&self) -> Option<Arc<dyn FlightOps<V>>> {
        self.0.clone()
    }

    /// A stale answer to serve because this load failed, where the cache allows that. It counts as served.
    /// [`Lookup::Miss`]: there is none.
    ///
    /// ```
    /// use accelerator_core::{CacheError, LoadTicket};
    ///
    /// fn instead(ticket: LoadTicket<String>, error: CacheError) -> Result<Option<String>, CacheError> {
    ///     let stale = ticket.stale();
    ///     ticket.fail(error.clone());
    ///     stale.ok_or(error)
    /// }
    /// ```
    #[must_use]
    pub fn stale(&self) -> Lookup<V> {
        self.0.as_ref().map_or(Lookup::Miss, |flight| flight.stale())
    }
}

impl<V> Drop for LoadTicket<V> {
    fn drop(&mut self) {
        // Also by a panic, which may be of anything else in the task.
        if let Some(flight) = self.0.take() {
            flight.hand_over();
        }
    }
}

impl<V> fmt::Debug for LoadTicket<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "LoadTicket" } else { "LoadTicket(detached)" })
    }
}
