//! TODO

pub(crate) mod builder;
pub(crate) mod cache;
pub(crate) mod settings;
pub(crate) mod verbs;
