//! Where a flight's work is: with its leader, who polls it in place, or in a task.
//!
//! An unshared miss spawns nothing. As soon as somebody else depends on the work, it moves into a task: nobody's
//! progress may hang on whether a stranger's future is polled.
//!
//! A task may stand still as well: its runtime lives, and nobody runs it. So the work stays here between two polls, and
//! whoever depends on it looks after it:
//!
//! ```text
//! look     not polled for `LOOK_EVERY`: wake the task
//! again    not polled for `ASLEEP` since then: another task, in the runtime of who looks, takes its place
//! ```
//! A task that was replaced finds that out when it is polled at last, and ends.

use std::task::Waker;
use std::time::{Duration, Instant};

use crate::wake::wake;

/// Work that was polled so lately needs no look; and how often those who wait look.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(250);
/// A task that was woken and not polled for so long isn't run.
pub(crate) const ASLEEP: Duration = Duration::from_millis(500);

/// Who polls a piece of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Poller {
    Leader,
    /// The task of this number; a later one has taken its place.
    Task(u32),
}

/// The place of a piece of work `W`.
pub(crate) enum Handoff<W> {
    /// It is polled right now; `detach`: somebody wants it in a task after that.
    Polling { by: Poller, detach: bool },
    /// It waits for the leader to be woken. The leader's waker is kept beside it: whoever takes the work away tells the
    /// leader, who then waits like everybody else.
    Parked { work: W, leader: Waker },
    /// It waits for its task to be woken.
    InTask { work: W, task: Waker, number: u32, asked: Asked },
    /// It is over.
    Away,
}

/// What is known of a task between two polls.
#[derive(Clone, Copy)]
pub(crate) enum Asked {
    /// Polled at this time, and waiting since.
    No(Instant),
    /// Woken at this time.
    At(Instant),
}

/// What is to be done for work that somebody depends on.
pub(crate) enum Need {
    Nothing,
    /// It is polled right now, and has been asked to move.
    Polled,
    /// A task for it is to be started. The waker is that of who had it until now: a leader waits like everybody else from
    /// here on, and a task that was replaced ends.
    Task(Poller, Waker),
    /// Its task is to be woken.
    Wake(Waker),
}

/// What came of a look, after whoever had to be woken was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Looked {
    /// Nothing is left to be done.
    Well,
    /// It is polled right now, and has been asked to move.
    Polled,
    /// A task for it is to be started.
    Task(Poller),
}

/// What becomes of a piece of work whose task is dropped.
pub(crate) enum LetGo<W> {
    /// It was parked in that task, and is over.
    Work(W),
    /// It was in the middle of a poll there.
    Polled,
    /// Somebody else has it.
    Elsewhere,
}

impl Need {
    /// To be called outside of the lock: a waker is foreign code.
    pub(crate) fn wake(self) -> Looked {
        match self {
            Self::Nothing => Looked::Well,
            Self::Polled => Looked::Polled,
            Self::Wake(task) => {
                wake(task);
                Looked::Well
            }
            Self::Task(hand, before) => {
                wake(before);
                Looked::Task(hand)
            }
        }
    }
}

impl<W> Handoff<W> {
    /// The leader's first poll is about to come.
    pub(crate) fn polling() -> Self {
        Self::Polling { by: Poller::Leader, detach: false }
    }

    /// Whoever has it in hand wants to poll again. `None`: somebody else has it, or it is over.
    pub(crate) fn unpark(&mut self, by: Poller) -> Option<W> {
        match (std::mem::replace(self, Self::Away), by) {
            (Self::Parked { work, .. }, Poller::Leader) => {
                *self = Self::polling();
                Some(work)
            }
            (Self::InTask { work, number, .. }, Poller::Task(own)) if number == own => {
                *self = Self::Polling { by, detach: false };
                Some(work)
            }
            (other, _) => {
                *self = other;
                None
            }
        }
    }

    /// The leader polled and it isn't done. `Some`: a task must be started for it now.
    pub(crate) fn park(&mut self, work: W, leader: Waker) -> Option<Poller> {
        match self {
            Self::Polling { detach: true, .. } => Some(self.begin_task(work, 1)),
            _ => {
                *self = Self::Parked { work, leader };
                None
            }
        }
    }

    /// Its task polled and it isn't done.
    pub(crate) fn park_in_task(&mut self, work: W, number: u32, task: Waker) {
        *self = Self::InTask { work, task, number, asked: Asked::No(Instant::now()) };
    }

    fn begin_task(&mut self, work: W, number: u32) -> Poller {
        // Started is woken.
        let asked = Asked::At(Instant::now());
        *self = Self::InTask { work, task: Waker::noop().clone(), number, asked };
        Poller::Task(number)
    }

    /// The leader need not go on: whom to wake, so that it sees that. One that is polling sees it when that poll ends; a
    /// task goes on to its end.
    pub(crate) fn recall(&mut self) -> Option<Waker> {
        match self {
            Self::Parked { leader, .. } => Some(std::mem::replace(leader, Waker::noop().clone())),
            Self::Polling { detach, .. } => {
                *detach = true;
                None
            }
            Self::InTask { .. } | Self::Away => None,
        }
    }

    /// Somebody wants it in a task that is run. `looks`: who does so has waited for a while.
    pub(crate) fn detach(&mut self, looks: bool, now: Instant) -> Need {
        match std::mem::replace(self, Self::Away) {
            Self::Parked { work, leader } => Need::Task(self.begin_task(work, 1), leader),
            Self::Polling { by, .. } => {
                *self = Self::Polling { by, detach: true };
                Need::Polled
            }
            Self::InTask { work, task, number, asked: Asked::At(then) }
                if now.saturating_duration_since(then) >= ASLEEP =>
            {
                Need::Task(self.begin_task(work, number.wrapping_add(1)), task)
            }
            Self::InTask { work, task, number, asked: Asked::No(then) }
                if looks && now.saturating_duration_since(then) >= LOOK_EVERY =>
            {
                *self = Self::InTask { work, task: Waker::noop().clone(), number, asked: Asked::At(now) };
                Need::Wake(task)
            }
            other => {
                *self = other;
                Need::Nothing
            }
        }
    }

    /// Its task `by` is dropped.
    pub(crate) fn let_go(&mut self, by: Poller) -> LetGo<W> {
        match (std::mem::replace(self, Self::Away), by) {
            (Self::InTask { work, number, .. }, Poller::Task(own)) if number == own => LetGo::Work(work),
            (Self::Polling { by: own, .. }, _) if own == by => LetGo::Polled,
            (other, _) => {
                *self = other;
                LetGo::Elsewhere
            }
        }
    }
}
