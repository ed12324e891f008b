//! TODO

pub(crate) mod in_task;
pub(crate) mod wait;
