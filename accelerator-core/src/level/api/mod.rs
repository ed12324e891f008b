//! TODO

pub(crate) mod builder;
pub(crate) mod cache;
pub(crate) mod handle;
#[cfg(feature = "metrics")]
pub(crate) mod report;
pub(crate) mod settings;
pub(crate) mod verbs;
