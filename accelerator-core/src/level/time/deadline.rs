//! When a write of L2 is given up.

use std::time::Duration;

use tokio::time::Instant;

use crate::level::time::timer::from_now;

/// The end of a write, the wait for its turn included.
#[derive(Clone, Copy)]
pub(crate) struct Deadline {
    at: Instant,
    pub(crate) limit: Duration,
}

impl Deadline {
    pub(crate) fn new(limit: Duration) -> Self {
        Self { at: from_now(limit), limit }
    }

    pub(crate) fn left(self) -> Duration {
        self.at.saturating_duration_since(Instant::now())
    }
}
