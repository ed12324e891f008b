//! What is counted, and what is said in the log now and then.
//!
//! Everybody may call it; it calls nobody.

pub(crate) mod bus_figures;
#[cfg(feature = "metrics")]
pub(crate) mod bus_reporter;
pub(crate) mod counters;
pub(crate) mod overdue;
pub(crate) mod rejects;
#[cfg(feature = "metrics")]
pub(crate) mod reporter;
pub(crate) mod thread_index;
