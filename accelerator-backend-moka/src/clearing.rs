//! `clear` by time stamp, made exact.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// Both libraries clear by remembering the time of `invalidate_all`: older entries are dead. Two gaps, closed here:
/// an entry inserted in the very instant of the call would survive (its time is not *before* the call), and of two
/// concurrent calls the one with the older time may be remembered, which revives entries inserted between them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Clearing(Arc<Mutex<()>>);

impl Clearing {
    /// That of the store whose clones share this.
    pub(crate) fn address(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }

    /// Runs `invalidate_all` alone, and in a later instant than that of any insertion before this call.
    pub(crate) fn run(&self, invalidate_all: impl FnOnce()) {
        let _alone = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let called = Instant::now();
        // One turn or none where the clock counts nanoseconds.
        while Instant::now() <= called {
            std::hint::spin_loop();
        }
        invalidate_all();
    }
}
