//! TODO

pub(crate) mod forced;
pub(crate) mod handoff;
pub(crate) mod join;
pub(crate) mod patience;
pub(crate) mod reservation;
pub(crate) mod shared_run;
pub(crate) mod slots;
pub(crate) mod state;
pub(crate) mod token;
