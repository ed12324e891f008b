//! A background task of which there is one, and that many depend on.
//!
//! It says when it will be back. Where it is late, its runtime lives and isn't run: another task takes its place, and it
//! ends when it is run at last.

use std::time::{Duration, Instant};

use crate::level::flight::handoff::ASLEEP;
use crate::sync::{Mutex, lock};

/// The place of such a task.
#[derive(Default)]
pub(crate) struct Background(Mutex<State>);

#[derive(Default)]
struct State {
    /// Of the newest task.
    number: u64,
    /// When it is late; `None`: there is none.
    late: Option<Instant>,
}

impl Background {
    /// The number of a task that is to be started now; `None`: there is one, and it isn't late.
    pub(crate) fn begin(&self) -> Option<u64> {
        let now = Instant::now();
        let mut state = lock(&self.0);
        if state.late.is_some_and(|late| now < late) {
            return None;
        }
        state.number += 1;
        state.late = now.checked_add(ASLEEP);
        Some(state.number)
    }

    /// The task will be back within this time. `false`: another has taken its place.
    pub(crate) fn promise(&self, number: u64, within: Duration) -> bool {
        let late = Instant::now().checked_add(within.saturating_add(ASLEEP));
        let mut state = lock(&self.0);
        let is_mine = state.number == number;
        if is_mine {
            state.late = late;
        }
        is_mine
    }

    /// The task is over.
    pub(crate) fn end(&self, number: u64) {
        let mut state = lock(&self.0);
        if state.number == number {
            state.late = None;
        }
    }
}
