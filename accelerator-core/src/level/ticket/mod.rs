//! TODO

pub(crate) mod begin;
pub(crate) mod begin_many;
pub(crate) mod hold;
