//! Closing.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::level::api::verbs::ShutdownReport;
use crate::level::engine::{Engine, Key, Value};

const LOOK_EVERY: Duration = Duration::from_millis(5);

impl<K: Key, V: Value> Engine<K, V> {
    /// Stops taking work and waits for what is in progress. It looks every few milliseconds: nothing else in the cache
    /// has to pay for being waited for here.
    pub(crate) async fn shut(self: &Arc<Self>, deadline: Duration) -> ShutdownReport {
        self.closed.store(true, Ordering::Release);
        let wait = async {
            while self.table.len() > 0 || self.unconfirmed() > 0 {
                if let Some(remote) = &self.remote {
                    self.tend(remote);
                }
                match self.timer(LOOK_EVERY) {
                    Some(timer) => timer.await,
                    None => return,
                }
            }
        };
        // Over the deadline or not, what counts is what is left.
        let _ = self.timed(deadline, wait).await;
        ShutdownReport { unfinished: self.table.len(), unconfirmed: self.unconfirmed() }
    }
}
