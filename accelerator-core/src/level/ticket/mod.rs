//! TODO

pub(crate) mod begin;
pub(crate) mod hold;
