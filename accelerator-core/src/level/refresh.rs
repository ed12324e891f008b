//! Refresh-ahead: a new value before the old one expires, never in a caller's time.
//!
//! One per key (it is the key's flight, so that readers of an expired value join it), at most `MAX_REFRESHES` at once,
//! and after a failure not again for `RETRY_AFTER`.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Poll;

use crate::level::engine::{Engine, Flight, Key, Value};
use crate::level::load::How;
use crate::level::policy::MAX_REFRESHES;
use crate::level::slots::Join;
use crate::level::stats::Count;
use crate::level::wait::{InPlace, Led};

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
        let permit = Permit(self.clone());
        if running >= MAX_REFRESHES {
            return;
        }
        let make = |key, hash, token| Flight::new(key, hash, token, false, self.clone());
        let no_probe = || None::<()>;
        let Join::Lead(flight) = self.table.join(key, self, || self.generation(), make, no_probe) else { return };
        self.counters.one(Count::Refresh);
        let how = How { skip_l2: false, min_fresh: self.policy.window };
        let (engine, led) = (self.clone(), Led::new(flight));
        // The loader's first part runs in the task as well: a slow closure must not slow the hit.
        self.spawn(async move {
            let _permit = permit;
            let mut led = Some(led);
            let first = std::future::poll_fn(|cx| {
                let flight = led.take().and_then(Led::take);
                Poll::Ready(flight.map(|flight| engine.launch(flight, how, cx)))
            });
            if let Some(Err(flight)) = first.await {
                // Followers may move the work into another task; either way it ends.
                let _ = InPlace::new(flight).await;
            }
        });
    }
}

/// One of the refreshes that may run at once.
struct Permit<K: Key, V: Value>(Arc<Engine<K, V>>);

impl<K: Key, V: Value> Drop for Permit<K, V> {
    fn drop(&mut self) {
        self.0.refreshing.fetch_sub(1, Relaxed);
    }
}
