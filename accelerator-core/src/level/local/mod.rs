//! TODO

pub(crate) mod batch_run;
pub(crate) mod claim;
pub(crate) mod commit;
pub(crate) mod keep;
