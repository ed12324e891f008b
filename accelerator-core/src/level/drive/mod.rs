//! Making flights progress: leading them in place or in a task, following them, looking after tasks.
//!
//! The rooms above call it. It knows flights and the slot table; what it needs of the cache beside them is one trait
//! (`host`), so the proofs run it as it is.

pub(crate) mod host;
pub(crate) mod in_place;
pub(crate) mod in_task;
pub(crate) mod led;
pub(crate) mod wait;
pub(crate) mod watch;
