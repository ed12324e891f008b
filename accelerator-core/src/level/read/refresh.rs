//! Refresh-ahead: a new value before the old one expires, never in a caller's time.
//!
//! One per key (it is the key's flight, so that readers of an expired value join it), at most `MAX_REFRESHES` at once,
//! and after a failure not again for `RETRY_AFTER`. Each that begins is counted once more when it ends, as a success or a
//! failure, wherever its work has moved to.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Waker;

use crate::level::bounds::{Key, Value};
use crate::level::drive::in_task::{leave_to_task, look_after, run_in_task};
use crate::level::engine::Engine;
use crate::level::flight::join::Join;
use crate::level::load::one::{LoadMode, load_one, run_flight};
use crate::level::local::Flight;
use crate::level::local::host::Led;
use crate::level::local::outcome::End;
use crate::level::local::work::Work;
use crate::level::stats::counters::Count;
use crate::level::time::policy::MAX_REFRESHES;

/// Starts a refresh of `key`, if one may start.
pub(crate) fn refresh_ahead<K: Key, V: Value>(engine: &Arc<Engine<K, V>>, key: &K, now: u64) {
    if !engine.sources.exist() || engine.local.is_closed() || engine.local.throttle.holds_for(key, now) {
        return;
    }
    // Without a runtime the next expiry loads in somebody's time.
    if engine.local.tasks.handle().is_none() {
        return;
    }
    let running = engine.refreshing.fetch_add(1, Relaxed);
    let mut permit = RefreshPermit { engine: engine.clone(), ends: None };
    if running >= MAX_REFRESHES {
        return;
    }
    let make = |key, hash, token| Flight::new(key, hash, token, false, engine.local.clone());
    let no_probe = || None::<()>;
    let flight = match engine.local.table.join(key, &engine.local, || engine.local.generation(), make, no_probe) {
        Join::Lead(flight) => flight,
        Join::Follow(flight) => {
            // Of a refresh in a runtime that stands still nobody else would ever know.
            look_after(&flight);
            return;
        }
        Join::Hit(()) => return,
    };
    engine.local.counters.one(Count::Refresh);
    permit.ends = Some(Count::RefreshFailed);
    let how = LoadMode { min_fresh: engine.local.policy.window, ..LoadMode::refresh(false) };
    let led = Led::new(flight);
    let Some(flight) = led.flight() else { return };
    let work = Work::Full(Box::pin(refreshes(flight.clone(), how, permit)));
    let parked = flight.park(work, Waker::noop());
    let Some(flight) = led.take() else { return };
    // The loader's first part runs in the task as well: a slow closure must not slow the hit.
    match parked {
        // Somebody follows already.
        Some(hand) => run_in_task(flight, hand),
        None => leave_to_task(&flight),
    }
}

/// The work of a refresh.
async fn refreshes<K: Key, V: Value>(
    flight: Arc<Flight<K, V>>,
    how: LoadMode,
    mut permit: RefreshPermit<K, V>,
) -> End<V> {
    let engine = permit.engine.clone();
    let end = match engine.remote.is_some() {
        true => run_flight(engine, flight, how).await,
        false => match load_one(&engine, flight.key().clone()).await {
            Ok(loaded) => End::Loaded(engine.local.with_lives(loaded)),
            Err(error) => End::Failed { error, stale: None },
        },
    };
    if let End::Loaded(_) | End::Found(_) = end {
        permit.ends = Some(Count::RefreshOk);
    }
    end
}

/// One of the refreshes that may run at once. One that is dropped before its end has failed.
struct RefreshPermit<K: Key, V: Value> {
    engine: Arc<Engine<K, V>>,
    /// How it is counted if it ends now; `None`: it has not begun.
    ends: Option<Count>,
}

impl<K: Key, V: Value> Drop for RefreshPermit<K, V> {
    fn drop(&mut self) {
        self.engine.refreshing.fetch_sub(1, Relaxed);
        if let Some(ends) = self.ends {
            self.engine.local.counters.one(ends);
        }
    }
}
