//! Closing.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::cache::ShutdownReport;
use crate::level::bounds::{Key, Value};
use crate::level::engine::Engine;

const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Stops taking work and waits for what is in progress. It looks every few milliseconds: nothing else in the cache
/// has to pay for being waited for here.
pub(crate) async fn shut<K: Key, V: Value>(engine: &Arc<Engine<K, V>>, deadline: Duration) -> ShutdownReport {
    engine.local.closed.store(true, Ordering::Release);
    let wait = async {
        while engine.local.table.len() > 0 || engine.unconfirmed() > 0 || engine.unpublished() > 0 {
            if let Some(remote) = &engine.remote {
                remote.tend();
            }
            if let Some(bus) = engine.bus.as_ref().filter(|bus| bus.unpublished() > 0) {
                bus.publish();
            }
            match engine.local.tasks.timer(LOOK_EVERY) {
                Some(timer) => timer.await,
                None => return,
            }
        }
    };
    // Over the deadline or not, what counts is what is left.
    let _ = engine.local.tasks.within(deadline, wait).await;
    if let Some(bus) = &engine.bus {
        bus.close();
    }
    let (unfinished, unconfirmed) = (engine.local.table.len(), engine.unconfirmed());
    ShutdownReport { unfinished, unconfirmed, unpublished: engine.unpublished() }
}
