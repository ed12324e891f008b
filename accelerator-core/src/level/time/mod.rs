//! Lives, limits and waits: all arithmetic of time, one timer for all limits, the runtimes that work is done in.
//!
//! Everybody above may call it. It reads clocks and knows no level.

pub(crate) mod background;
pub(crate) mod deadline;
pub(crate) mod join_parts;
pub(crate) mod key_deadlines;
pub(crate) mod looks;
pub(crate) mod policy;
pub(crate) mod tasks;
pub(crate) mod ticker;
pub(crate) mod timer;
