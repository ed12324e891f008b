//! Patience with a load that a caller runs itself: how long those who wait for its ticket wait, and what then.
//!
//! ```text
//! wait       from one's own arrival, or from the last ticket or sign of life where that is later
//! ask        when the patience is over: whoever loads is woken, and has a moment to be polled
//! extend     it was polled: all wait once more, `MOST_EXTENSIONS` times at most for one ticket
//! beside     it was not, or can't be asked: one of all who wait gets a ticket beside it, and the others wait for both
//! ```

use std::time::Duration;

use tokio::time::Instant;

/// How often the wait for one ticket is extended because its holder is alive. It bounds the wait of a body that waits for
/// itself where nobody can see it (in a task of its own).
pub(crate) const MOST_EXTENSIONS: u32 = 16;
/// How long whoever is asked has to be polled, at least.
const SHORTEST_ANSWER: Duration = Duration::from_millis(50);

/// The limits of one wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Until whoever loads is asked.
    pub(crate) patience: Duration,
    answer: Duration,
}

impl Limits {
    /// For a load that may take so long until all who wait share its own timeout.
    pub(crate) fn new(load: Duration, before: Duration) -> Self {
        let more = (load / 16).max(Duration::from_millis(10));
        Self { patience: load + before + more, answer: more.max(SHORTEST_ANSWER) }
    }
}

/// What one does whose wait has come to an end of some kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Wait so much longer.
    Wait(Duration),
    /// Ask whoever loads, and wait so long for the answer.
    Ask(Duration),
    /// The time for an answer is over.
    Over,
    /// It is work with limits of its own by now: look after its task.
    Look,
}

/// What all who wait for one flight have in common.
#[derive(Debug, Default)]
pub(crate) struct Patience {
    // When the flight has last given a ticket to one who waited, or sign of life.
    since: Option<Instant>,
    asked: bool,
    extended: u32,
}

impl Patience {
    fn waited(&self, arrived: Instant, now: Instant) -> Duration {
        now.saturating_duration_since(self.since.map_or(arrived, |since| since.max(arrived)))
    }

    /// Whether one who waits since `arrived` may do something about it.
    pub(crate) fn is_over(&self, arrived: Instant, now: Instant, limits: Limits) -> bool {
        self.waited(arrived, now) >= limits.patience
    }

    /// What one does who waits since `arrived`.
    pub(crate) fn next(&mut self, arrived: Instant, now: Instant, limits: Limits) -> Next {
        let waited = self.waited(arrived, now);
        match limits.patience.saturating_sub(waited) {
            Duration::ZERO => {}
            left => return Next::Wait(left),
        }
        if !std::mem::replace(&mut self.asked, true) {
            return Next::Ask(limits.answer);
        }
        match (limits.patience + limits.answer).saturating_sub(waited) {
            Duration::ZERO => Next::Over,
            left => Next::Wait(left),
        }
    }

    /// Whoever loads is alive. `false`: that has been said often enough.
    pub(crate) fn extend(&mut self, now: Instant) -> bool {
        let may = self.extended < MOST_EXTENSIONS;
        if may {
            *self = Self { since: Some(now), asked: false, extended: self.extended.saturating_add(1) };
        }
        may
    }

    /// A ticket was given to one who waited.
    pub(crate) fn given(&mut self, now: Instant) {
        *self = Self { since: Some(now), ..Self::default() };
    }
}
