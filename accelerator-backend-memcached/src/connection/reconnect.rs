//! Who tries to reach a server that is down: one task, which says when it will be back.
//!
//! It may stand still, where its runtime lives and nobody runs it. Then it is late, and the next call starts another.

use std::time::{Duration, Instant};

/// Later than this after its time, a task isn't run.
const LATE: Duration = Duration::from_millis(500);

/// Kept under the lock of the pool.
#[derive(Debug, Default)]
pub(crate) struct Probe {
    /// Of the newest task.
    number: u64,
    /// When it is late; `None`: there is none.
    late: Option<Instant>,
}

impl Probe {
    /// The number of a task that is to be started now; `None`: there is one, and it isn't late.
    pub(crate) fn begin(&mut self) -> Option<u64> {
        let now = Instant::now();
        if self.late.is_some_and(|late| now < late) {
            return None;
        }
        self.number += 1;
        self.late = now.checked_add(LATE);
        Some(self.number)
    }

    /// The task will be back within this time. `false`: another has taken its place.
    pub(crate) fn promise(&mut self, number: u64, within: Duration) -> bool {
        let is_mine = self.number == number;
        if is_mine {
            self.late = Instant::now().checked_add(within.saturating_add(LATE));
        }
        is_mine
    }

    /// The task is over.
    pub(crate) fn end(&mut self, number: u64) {
        if self.number == number {
            self.late = None;
        }
    }
}
