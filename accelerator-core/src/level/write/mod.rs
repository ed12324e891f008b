//! Writes and invalidations: `set`, `del`, `clear`, write guards.
//!
//! The verbs of `api` call it. L1 is corrected at the call; what goes to L2 takes its turn among the writers of its key, in
//! a task, so that a caller who goes away ends nothing.

pub(crate) mod delete;
pub(crate) mod guard;
pub(crate) mod in_task;
pub(crate) mod in_turn;
pub(crate) mod set;
pub(crate) mod tell;
