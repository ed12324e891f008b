//! Refresh-ahead: a new value before the old one expires, never in a caller's time.
//!
//! One per key (it is the key's flight, so that readers of an expired value join it), at most `MAX_REFRESHES` at once,
//! and after a failure not again for `RETRY_AFTER`. Each that begins is counted once more when it ends, as a success or a
//! failure, wherever its work has moved to.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Poll;

use crate::level::engine::{Engine, Flight, Key, Outcome, Value};
use crate::level::join::Join;
use crate::level::load::How;
use crate::level::policy::MAX_REFRESHES;
use crate::level::stats::Count;
use crate::level::wait::{Follow, Heir, InPlace, Led, Waited};

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
        let Join::Lead(flight) = self.table.join(key, self, || self.generation(), make, no_probe) else { return };
        self.counters.one(Count::Refresh);
        permit.ends = Some(Count::RefreshFailed);
        let how = How { min_fresh: self.policy.window, ..How::refresh(false) };
        let (engine, led) = (self.clone(), Led::new(flight));
        // The loader's first part runs in the task as well: a slow closure must not slow the hit.
        self.spawn(async move {
            // All of it, not the field that is set: its drop is what counts.
            let mut permit = permit;
            let mut led = Some(led);
            let first = std::future::poll_fn(|cx| {
                let flight = led.take().and_then(Led::take);
                Poll::Ready(flight.map(|flight| engine.launch(flight, how, cx)))
            });
            let outcome = match first.await {
                Some(Ok(outcome)) => Some(outcome),
                Some(Err(flight)) => outcome_of(&engine, flight).await,
                None => None,
            };
            if let Some(Outcome::Value(_)) = outcome {
                permit.ends = Some(Count::RefreshOk);
            }
        });
    }
}

/// Polls the work of `flight` until it is over; where followers have moved it into another task, waits for that.
async fn outcome_of<K: Key, V: Value>(engine: &Arc<Engine<K, V>>, flight: Arc<Flight<K, V>>) -> Option<Outcome<V>> {
    match InPlace::new(engine, flight).await {
        Ok(outcome) => Some(outcome),
        Err(None) => None,
        Err(Some(flight)) => match Follow::new(flight, Heir::Nothing).await {
            Waited::Over(outcome) => Some(outcome),
            // The other task was given up. A ticket passes on when it is dropped.
            Waited::Lead(_) | Waited::Restart | Waited::TooLong => None,
        },
    }
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
