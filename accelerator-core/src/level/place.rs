//! Where a flight's work is: with its leader, who polls it in place, or in a task of its own.
//!
//! An unshared miss spawns nothing. As soon as somebody else depends on the work, it moves into a task: nobody's
//! progress may hang on whether a stranger's future is polled.

use std::task::Waker;

/// The place of a piece of work `W`.
pub(crate) enum Place<W> {
    /// The leader is polling it right now; `detach`: somebody wants it in a task after that.
    Polling { detach: bool },
    /// It waits for the leader to be woken. The leader's waker is kept beside it: whoever takes the work away tells the
    /// leader, who then waits like everybody else.
    Parked { work: W, leader: Waker },
    /// It runs in a task, or is over.
    Away,
}

impl<W> Place<W> {
    /// The leader's first poll is about to come.
    pub(crate) fn polling() -> Self {
        Self::Polling { detach: false }
    }

    /// Waiting for a leader that has not looked at it yet.
    pub(crate) fn parked(work: W) -> Self {
        Self::Parked { work, leader: Waker::noop().clone() }
    }

    /// The leader wants to poll again. `None`: it is in a task.
    pub(crate) fn unpark(&mut self) -> Option<W> {
        match std::mem::replace(self, Self::Away) {
            Self::Parked { work, .. } => {
                *self = Self::polling();
                Some(work)
            }
            other => {
                *self = other;
                None
            }
        }
    }

    /// The leader polled and it isn't done. `Some`: it must move into a task now.
    pub(crate) fn park(&mut self, work: W, leader: Waker) -> Option<W> {
        match self {
            Self::Polling { detach } if !*detach || cfg!(accelerator_mutant = "park-ignores-detach") => {
                *self = Self::Parked { work, leader };
                None
            }
            _ => {
                *self = Self::Away;
                Some(work)
            }
        }
    }

    /// The leader need not go on: whom to wake, so that it sees that. One that is polling sees it when that poll ends.
    pub(crate) fn recall(&mut self) -> Option<Waker> {
        match self {
            Self::Parked { leader, .. } => Some(std::mem::replace(leader, Waker::noop().clone())),
            Self::Polling { detach } => {
                *detach = true;
                None
            }
            Self::Away => None,
        }
    }

    /// Somebody wants it in a task. `Some`: here it is, and whom to wake. `None`: it is on its way there, or already
    /// there.
    pub(crate) fn detach(&mut self) -> Option<(W, Waker)> {
        match std::mem::replace(self, Self::Away) {
            Self::Parked { work, leader } => Some((work, leader)),
            Self::Polling { .. } => {
                *self = Self::Polling { detach: true };
                None
            }
            Self::Away => None,
        }
    }
}
