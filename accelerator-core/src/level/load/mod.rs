//! TODO

pub(crate) mod many;
pub(crate) mod one;
pub(crate) mod one_inline;
