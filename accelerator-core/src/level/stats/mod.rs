//! TODO

pub(crate) mod counters;
pub(crate) mod overdue;
pub(crate) mod rejects;
#[cfg(feature = "metrics")]
pub(crate) mod reporter;
pub(crate) mod thread_index;
