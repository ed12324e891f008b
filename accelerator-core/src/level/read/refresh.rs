//! Refresh-ahead: a new value before the old one expires, never in a caller's time.
//!
//! One per key (it is the key's flight, so that readers of an expired value join it), at most `MAX_REFRESHES` at once,
//! and after a failure not again for `RETRY_AFTER`. Each that begins is counted once more when it ends, as a success or a
//! failure, wherever its work has moved to.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Waker;

use crate::level::drive::wait::Led;
use crate::level::engine::{End, Engine, Flight, Key, Value};
use crate::level::flight::join::Join;
use crate::level::load::one::{How, Work, fly};
use crate::level::stats::counters::Count;
use crate::level::time::policy::MAX_REFRESHES;

impl<K: Key, V: Value> Engine<K, V> {
    /// Starts a refresh of `key`, if one may start.
    pub(crate) fn refresh_ahead(self: &Arc<Self>, key: &K, now: u64) {
        if !self.sources.exist() || self.is_closed() || self.throttle.get(key, now).is_some() {
            return;
        }
        // Without a runtime the next expiry loads in somebody's time.
        if self.handle().is_none() {
            return;
        }
        let running = self.refreshing.fetch_add(1, Relaxed);
        let mut permit = Permit { engine: self.clone(), ends: None };
        if running >= MAX_REFRESHES {
            return;
        }
        let make = |key, hash, token| Flight::new(key, hash, token, false, self.clone());
        let no_probe = || None::<()>;
        let flight = match self.table.join(key, self, || self.generation(), make, no_probe) {
            Join::Lead(flight) => flight,
            Join::Follow(flight) => {
                // Of a refresh in a runtime that stands still nobody else would ever know.
                self.look_after(&flight);
                return;
            }
            Join::Hit(()) => return,
        };
        self.counters.one(Count::Refresh);
        permit.ends = Some(Count::RefreshFailed);
        let how = How { min_fresh: self.policy.window, ..How::refresh(false) };
        let led = Led::new(flight);
        let Some(flight) = led.flight() else { return };
        let work = Work::Full(Box::pin(refreshes(flight.clone(), how, permit)));
        let parked = flight.park(work, Waker::noop());
        let Some(flight) = led.take() else { return };
        // The loader's first part runs in the task as well: a slow closure must not slow the hit.
        match parked {
            // Somebody follows already.
            Some(hand) => self.run_in_task(flight, hand),
            None => self.leave_to_task(&flight),
        }
    }
}

/// The work of a refresh.
async fn refreshes<K: Key, V: Value>(flight: Arc<Flight<K, V>>, how: How, mut permit: Permit<K, V>) -> End<V> {
    let end = match flight.context.remote.is_some() {
        true => fly(flight, how).await,
        false => flight.context.end(flight.context.load_one(flight.key().clone()).await),
    };
    if let End::Loaded(_) | End::Found { .. } = end {
        permit.ends = Some(Count::RefreshOk);
    }
    end
}

/// One of the refreshes that may run at once. One that is dropped before its end has failed.
struct Permit<K: Key, V: Value> {
    engine: Arc<Engine<K, V>>,
    /// How it is counted if it ends now; `None`: it has not begun.
    ends: Option<Count>,
}

impl<K: Key, V: Value> Drop for Permit<K, V> {
    fn drop(&mut self) {
        self.engine.refreshing.fetch_sub(1, Relaxed);
        if let Some(ends) = self.ends {
            self.engine.counters.one(ends);
        }
    }
}
